//! State files that were damaged: refused with a documented code or used, but never a wrong movement from one.

use std::path::Path;

use rust_decimal::Decimal;

use super::{Field, Findings};

/// The header of an SQLite file.
const HEADER: usize = 100;

/// How one file is damaged.
enum Damage {
    Byte(usize, u8),
    Cut(usize),
    Empty,
    Foreign,
    /// A write-ahead log of another file beside it.
    ForeignLog,
}

/// Damages the state in so many random places, and in every place of its header.
pub fn damage(program: &Path, count: u64, seed: u64) -> Findings {
    let mut field = Field::open(program, seed);
    let mut found = Findings::default();
    let order = field.shop.sell(0, 2);
    field.shop.run(&["poll"]);
    field.shop.run(&["reserve"]);
    let path = field.shop.path("state.sqlite");
    let before = field.moment();
    let booked = before.dragonfish.movements.len();
    let (variant, units) = (field.shop.goods(0).1, Decimal::TWO);
    let (mut refused, mut used) = (0, 0);
    for damage in all(&mut field, count, before.state.len()) {
        field.go_back(&before);
        put(&path, &before.state, &damage);
        let end = field.run(&["move", "--wait", "0s"]);
        found.struck += 1;
        match end {
            Some(0 | 3 | 5) => used += 1,
            Some(65 | 70 | 74 | 75 | 78) => refused += 1,
            other => found
                .wrong
                .push(format!("{}: ended with {other:?}", damage.told())),
        }
        field.shop.sandbox.dragonfish.with(|model| {
            for movement in model.movements.iter().skip(booked) {
                let right = movement.note.contains(order.as_str())
                    && movement.lines == [(variant.clone(), units)];
                if !right {
                    found
                        .wrong
                        .push(format!("{}: booked {movement:?}", damage.told()));
                }
            }
        });
    }
    found.told = format!(
        "{} damaged files, {refused} refused, {used} used, none booked anything wrong",
        found.struck
    );
    found
}

fn all(field: &mut Field, count: u64, length: usize) -> Vec<Damage> {
    let flip = |chance: &mut fastrand::Rng, at| Damage::Byte(at, 1 << chance.u32(0..8));
    let mut all = vec![Damage::Empty, Damage::Foreign, Damage::ForeignLog];
    all.extend((0..HEADER).map(|at| flip(&mut field.chance, at)));
    all.extend((0..length).step_by(4096 * 8).map(Damage::Cut));
    while (all.len() as u64) < count {
        let at = field.chance.usize(0..length);
        all.push(flip(&mut field.chance, at));
    }
    all
}

impl Damage {
    fn told(&self) -> String {
        match self {
            Self::Byte(at, bits) => format!("byte {at} with bits {bits:#x} flipped"),
            Self::Cut(at) => format!("cut at {at}"),
            Self::Empty => "an empty file".into(),
            Self::Foreign => "the file of another program".into(),
            Self::ForeignLog => "a log of another file".into(),
        }
    }
}

fn put(path: &Path, whole: &[u8], damage: &Damage) {
    let mut bytes = whole.to_vec();
    match damage {
        Damage::Byte(at, bits) => bytes[*at] ^= bits,
        Damage::Cut(at) => bytes.truncate(*at),
        Damage::Empty => bytes.clear(),
        Damage::Foreign => bytes = b"not a database at all, but somebody's letters\n".repeat(200),
        Damage::ForeignLog => {
            std::fs::write(
                format!("{}-wal", path.display()),
                whole.iter().rev().copied().collect::<Vec<_>>(),
            )
            .unwrap();
        }
    }
    std::fs::write(path, bytes).unwrap();
}

//! The quantity rule against a small model of the storefront's reservations and of the shelves, over random histories.
//!
//! The model knows how the storefront counts and what truly lies on the shelves; it never calls the rule. The rule gets
//! only what the program would know: facts with their counter, and readings that may be older than the facts.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use stockbridge::domain::ids::{BaseCode, OrderId};
use stockbridge::domain::qty::Qty;
use stockbridge::domain::stock::{OrderTerm, QuantityTerms};
use stockbridge::domain::time::Moment;

/// How the storefront holds the units of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Held,
    Acknowledged(i64),
    None,
}

/// Where a movement of the program stands: planned, sent with an open outcome (applied or not), or confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Booking {
    None,
    Planned,
    Open { applied: bool },
    Done { seq: i64 },
}

#[derive(Debug, Clone)]
struct Sale {
    units: i64,
    hold: Hold,
    canceled: bool,
    /// When the program learned that handling was requested.
    in_a: bool,
    out: Booking,
    back: Booking,
}

#[derive(Debug, Clone, Copy)]
struct Read {
    t: i64,
    seq: i64,
    shelf: i64,
}

#[derive(Debug, Default)]
struct World {
    now: i64,
    shelf: i64,
    total: i64,
    sales: Vec<Sale>,
    reading: Option<Read>,
    /// What shops sold since the last reading: the storefront cannot know it.
    pushed: u32,
}

impl World {
    fn reserved(&self) -> i64 {
        self.sales
            .iter()
            .filter(|s| s.hold != Hold::None)
            .map(|s| s.units)
            .sum()
    }

    fn available(&self) -> i64 {
        self.total - self.reserved()
    }

    /// What may truly be sold: the shelf, less what is promised and still lies there, plus what is to come back.
    fn truth(&self, shelf: i64) -> i64 {
        let promised: i64 = self
            .sales
            .iter()
            .filter(|s| !s.canceled && !s.gone())
            .map(|s| s.units)
            .sum();
        let returning: i64 = self
            .sales
            .iter()
            .filter(|s| s.canceled && s.gone() && s.returns())
            .map(|s| s.units)
            .sum();
        shelf - promised + returning
    }

    fn step(&mut self, what: u8, which: u8, much: u8) {
        self.now += 1;
        let now = self.now;
        let units = i64::from(much % 3) + 1;
        if what.is_multiple_of(12) && self.available() >= units {
            let sale = Sale {
                units,
                hold: Hold::Held,
                canceled: false,
                in_a: false,
                out: Booking::None,
                back: Booking::None,
            };
            self.sales.push(sale);
        }
        if self.sales.is_empty() {
            return;
        }
        let at = usize::from(which) % self.sales.len();
        match what % 12 {
            1 => self.sales[at].cancel(),
            2 => self.sales[at].handle(now),
            3 | 4 => self.move_out(at, much),
            5 => self.move_back(at, much),
            6 => self.shelf -= i64::from(much % 2),
            7 | 8 => {
                self.reading = Some(Read {
                    t: now,
                    seq: now,
                    shelf: self.shelf,
                })
            }
            9..=11 => self.push(),
            _ => {}
        }
    }

    /// The program books the sale, in the steps planned, open, confirmed; the shelf follows when it is applied.
    fn move_out(&mut self, at: usize, much: u8) {
        let sale = &mut self.sales[at];
        sale.out = match sale.out {
            Booking::None if !sale.canceled => Booking::Planned,
            Booking::Planned if sale.canceled => Booking::None,
            Booking::Planned => {
                let applied = much.is_multiple_of(2);
                self.shelf -= if applied { sale.units } else { 0 };
                Booking::Open { applied }
            }
            Booking::Open { applied: true } => Booking::Done { seq: self.now },
            // Looked for twice and not found: it may be sent again.
            Booking::Open { applied: false } => Booking::Planned,
            other @ (Booking::None | Booking::Done { .. }) => other,
        };
    }

    fn move_back(&mut self, at: usize, much: u8) {
        let sale = &mut self.sales[at];
        if !sale.canceled || !matches!(sale.out, Booking::Done { .. }) {
            return;
        }
        sale.back = match sale.back {
            Booking::None => Booking::Planned,
            Booking::Planned => {
                let applied = much.is_multiple_of(2);
                self.shelf += if applied { sale.units } else { 0 };
                Booking::Open { applied }
            }
            Booking::Open { applied: true } => Booking::Done { seq: self.now },
            Booking::Open { applied: false } => Booking::Planned,
            done @ Booking::Done { .. } => done,
        };
    }

    /// The rule, then the storefront's answer to a stock update.
    fn push(&mut self) {
        let Some(read) = self.reading else { return };
        let desired = self.rule(read);
        // The truth the reading could know: later sales in the shops are not its fault, later movements change nothing.
        let moved: i64 = self.shelf - read.shelf;
        let truth = self
            .truth(self.shelf)
            .max(self.truth(self.shelf) - moved.min(0))
            .max(0);
        self.total = desired;
        for sale in &mut self.sales {
            if matches!(sale.hold, Hold::Acknowledged(at) if at <= read.t) {
                sale.hold = Hold::None;
            }
        }
        self.pushed += 1;
        assert!(
            self.available() <= truth,
            "available {} above the truth {truth}: {self:?}",
            self.available()
        );
    }

    fn rule(&self, read: Read) -> i64 {
        let orders = self
            .sales
            .iter()
            .enumerate()
            .map(|(at, sale)| sale.term(at, read.seq))
            .collect();
        let base = BaseCode::parse("A").unwrap();
        QuantityTerms {
            packs: None,
            read_at: Moment(read.t),
            road: "model".into(),
            bases: BTreeMap::from([(base, Qty::whole(read.shelf))]),
            missing: vec![],
            orders,
            safety: Qty::ZERO,
            vanished: false,
        }
        .desired()
    }

    /// Faults and events stop: outcomes become known, reversals are booked, everything is read and pushed once more.
    fn settle(&mut self) {
        for _ in 0..6 {
            for at in 0..self.sales.len() {
                self.now += 1;
                if !self.sales[at].canceled || self.sales[at].out != Booking::None {
                    self.move_out(at, 0);
                }
                self.move_back(at, 0);
            }
        }
        for _ in 0..2 {
            self.now += 1;
            self.reading = Some(Read {
                t: self.now,
                seq: self.now,
                shelf: self.shelf,
            });
            self.now += 1;
            self.push();
        }
    }
}

impl Sale {
    /// Whether the goods have truly left the shelf.
    fn gone(&self) -> bool {
        let applied =
            |b: Booking| matches!(b, Booking::Open { applied: true } | Booking::Done { .. });
        applied(self.out) && !applied(self.back)
    }

    /// Whether a reversal will bring them back.
    fn returns(&self) -> bool {
        self.back != Booking::None
    }

    fn cancel(&mut self) {
        if self.hold == Hold::Held {
            self.hold = Hold::None;
        }
        self.canceled = true;
        self.in_a = false;
    }

    fn handle(&mut self, now: i64) {
        if self.hold == Hold::Held && !self.canceled {
            self.hold = Hold::Acknowledged(now);
            self.in_a = true;
        }
    }

    fn term(&self, at: usize, start_seq: i64) -> OrderTerm {
        let done = |b: Booking| matches!(b, Booking::Done { seq } if seq < start_seq);
        let live = matches!(self.back, Booking::Open { .. } | Booking::Done { .. });
        OrderTerm {
            order: OrderId::parse(&format!("o-{at}")).unwrap(),
            present: if self.canceled { 0 } else { self.units },
            acknowledged: self.in_a,
            out_done: if done(self.out) { self.units } else { 0 },
            in_live: if live { self.units } else { 0 },
            in_planned: if self.back == Booking::Planned {
                self.units
            } else {
                0
            },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn published_is_never_above_the_truth_and_equal_to_it_when_quiet(
        start in 5_i64..30,
        steps in vec((any::<u8>(), any::<u8>(), any::<u8>()), 1..120),
    ) {
        let mut world = World { shelf: start, total: start, ..World::default() };
        for (what, which, much) in steps {
            world.step(what, which, much);
        }
        world.settle();
        let truth = world.truth(world.shelf);
        if truth >= 0 {
            assert_eq!(world.available(), truth, "{world:?}");
        } else {
            assert!(world.available() <= 0, "{world:?}");
        }
    }
}

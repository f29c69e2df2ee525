//! The closed form of the packaging partition against the six steps of the interface's page, word by word, in exact
//! rationals of any size.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use num_bigint::BigInt;
use num_rational::BigRational;
use stockbridge::domain::packaging::partition;
use stockbridge::domain::qty::Qty;

const CASES: u32 = 100_000;
/// What the quantities are multiples of.
const SCALE: i64 = 100_000_000;

/// A quantity in units of 10⁻⁸, as the decimal that the rule takes.
fn qty(units: i128) -> Qty {
    let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    let scale = u128::from(SCALE.unsigned_abs());
    format!("{sign}{}.{:08}", units / scale, units % scale)
        .parse()
        .unwrap()
}

fn rational(units: i128) -> BigRational {
    BigRational::new(BigInt::from(units), BigInt::from(SCALE))
}

fn whole(number: i64) -> BigRational {
    BigRational::from_integer(BigInt::from(number))
}

/// The six steps. `round` is what a percentage suffers before it is used; exact arithmetic leaves it alone.
fn six_steps(
    stock: &BigRational,
    factors: &[BigRational],
    round: &dyn Fn(BigRational) -> BigRational,
) -> (Vec<BigRational>, BigRational) {
    let hundred = whole(100);
    let sum: BigRational = factors.iter().sum();
    let mut results: Vec<BigRational> = Vec::new();
    for factor in factors {
        let weight = round(factor * &hundred / &sum);
        let applied = weight / &hundred * stock;
        let rest = &applied - (&applied / factor).floor() * factor;
        results.push(applied - rest);
    }
    let total: BigRational = results.iter().sum();
    let mut difference = stock - total;
    if let Some(at) = factors.iter().position(|factor| *factor == whole(1)) {
        results[at] += &difference;
        difference = whole(0);
    }
    (results, difference)
}

struct Case {
    stock: i128,
    factors: Vec<i128>,
    is_multiple: bool,
}

/// Shops of the usual kind and odd ones: a third with a factor 1, fractions of up to six decimals, stock of up to eight.
fn case(rng: &mut fastrand::Rng) -> Case {
    let one = i128::from(SCALE);
    let mut factors: Vec<i128> = (0..rng.usize(1..=5))
        .map(|_| match rng.u32(0..6) {
            0 => one,
            1..=3 => one * i128::from(rng.u32(2..=48)),
            4 => 50_000_000 * i128::from(rng.u32(1..=25)),
            _ => 100 * i128::from(rng.u32(1..=99_999_999)),
        })
        .collect();
    if rng.u32(0..3) == 0 {
        factors[0] = one;
    }
    let sum: i128 = factors.iter().sum();
    let is_multiple = rng.u32(0..3) == 0;
    let stock = if is_multiple {
        sum * i128::from(rng.u32(0..=5000))
    } else {
        match rng.u32(0..4) {
            0 => i128::from(rng.u64(0..1_000_000_000_000)),
            1 => one * i128::from(rng.u32(0..=2000)),
            2 => i128::from(rng.u64(0..u64::MAX >> 1)),
            // The largest quantity there can be.
            _ => one * 1_000_000_000_000 - i128::from(rng.u32(0..1000)),
        }
    };
    Case {
        stock: stock.min(one * 1_000_000_000_000),
        factors,
        is_multiple,
    }
}

#[test]
fn the_closed_form_is_the_page_s_six_steps() {
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut n_multiples, mut n_lost, mut n_unassigned) = (0, 0, 0);
    // A percentage kept to six decimals, cut off.
    let million = whole(1_000_000);
    let six_decimals = |weight: BigRational| (weight * &million).floor() / &million;
    for number in 0..CASES {
        let Case {
            stock,
            factors,
            is_multiple,
        } = case(&mut rng);
        let asked: Vec<_> = factors.iter().map(|f| Some(qty(*f))).collect();
        let parts = partition(qty(stock), &asked);
        let exact: Vec<_> = factors.iter().map(|f| rational(*f)).collect();
        let (results, difference) = six_steps(&rational(stock), &exact, &|weight| weight);
        let told = || format!("case {number}: {stock} over {factors:?} (10⁻⁸)");
        for (share, wanted) in parts.shares.iter().zip(&results) {
            let share = units(share.unwrap());
            assert_eq!(rational(share), *wanted, "{}", told());
        }
        assert_eq!(rational(units(parts.unassigned)), difference, "{}", told());
        n_multiples += u32::from(is_multiple);
        n_unassigned += u32::from(!parts.unassigned.is_zero());
        if is_multiple && number < 10_000 {
            let (rounded, _) = six_steps(&rational(stock), &exact, &six_decimals);
            n_lost += u32::from(rounded != results);
        }
    }
    assert!(n_multiples >= CASES / 5, "{n_multiples}");
    assert!(n_unassigned > CASES / 10, "{n_unassigned}");
    // The check can tell the difference: rounded percentages lose packs at multiples of the sum.
    assert!(n_lost > 500, "{n_lost}");
}

/// A quantity in units of 10⁻⁸; it has no more decimals than that here.
fn units(quantity: Qty) -> i128 {
    let mut decimal = quantity.decimal();
    assert!(decimal.scale() <= 8, "{quantity}");
    decimal.rescale(8);
    decimal.mantissa()
}

#[test]
fn factors_that_are_none_change_nothing_and_negative_stock_is_none() {
    let mut rng = fastrand::Rng::with_seed(11);
    for _ in 0..2_000 {
        let Case { stock, factors, .. } = case(&mut rng);
        let asked: Vec<_> = factors.iter().map(|f| Some(qty(*f))).collect();
        let clean = partition(qty(stock), &asked);
        let mut dirty = vec![None, Some(Qty::ZERO), Some(qty(-1))];
        dirty.extend(asked.clone());
        dirty.push(None);
        let found = partition(qty(stock), &dirty);
        assert_eq!(found.shares[..3], [None, None, None]);
        assert_eq!(found.shares[3..dirty.len() - 1], clean.shares);
        assert_eq!(found.unassigned, clean.unassigned);
        let none = partition(qty(-stock - 1), &asked);
        assert!(none.shares.iter().all(|share| *share == Some(Qty::ZERO)));
    }
}

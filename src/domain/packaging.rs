//! The packaging partition: how the stock of one product is divided among the packagings that sell it.
//!
//! The page of the available-stock interface gives six steps on percentages (weight, applied, rest, result, total,
//! difference). With S the stock, f the factors of one product in one base and F their sum, exact arithmetic makes of
//! them: every packaging gets `f · ⌊S / F⌋`, and what is left goes to the packaging whose factor is 1. The closed form
//! stands here: a percentage rounds a hair low at exact multiples of F and a whole pack vanishes.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::ids::ErpCode;
use crate::domain::qty::Qty;

/// A way in which a product is sold: so many of its base units in one pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packaging {
    /// The ERP's code of the packaging.
    pub code: ErpCode,
    /// Base units in one pack; above zero.
    pub factor: Qty,
}

/// What each packaging gets, in base units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// One share per packaging, in the order asked; `None` where the factor was missing or not above zero.
    pub shares: Vec<Option<Qty>>,
    /// What no packaging gets, since none has the factor 1.
    pub unassigned: Qty,
}

/// Decimals that are looked at: stock columns have at most eight.
const DECIMALS: u32 = 12;

/// Divides `stock` among packagings with these factors, all in base units.
///
/// Negative stock is none. A factor that is missing, not above zero or finer than 12 decimals takes no part. What is left
/// over goes to the first packaging with the factor 1, to exactly one: the caller lists the product's main packaging
/// first. Shares and the rest add up to the stock.
pub fn partition(stock: Qty, factors: &[Option<Qty>]) -> Partition {
    let stock = scaled(stock.max(Qty::ZERO));
    let factors: Vec<Option<i128>> = factors.iter().map(|f| f.and_then(exact)).collect();
    let total: i128 = factors.iter().flatten().sum();
    let packs = if total == 0 { 0 } else { stock / total };
    let mut left = stock - packs * total;
    let one = 10_i128.pow(DECIMALS);
    let shares = factors.iter().map(|factor| {
        let factor = (*factor)?;
        let rest = if factor == one {
            std::mem::take(&mut left)
        } else {
            0
        };
        Some(unscaled(factor * packs + rest))
    });
    Partition {
        shares: shares.collect(),
        unassigned: unscaled(left),
    }
}

/// Returns how many whole packs of this factor a quantity of base units makes, rounded down.
pub fn packs(units: Qty, factor: Qty) -> i64 {
    let Some(factor) = exact(factor) else {
        return 0;
    };
    i64::try_from(scaled(units).div_euclid(factor)).unwrap_or(0)
}

/// Whole multiples of 10⁻¹², rounded down; a quantity is at most 10¹², so that sums stay far below the type's limits.
fn scaled(quantity: Qty) -> i128 {
    let mut value = quantity.decimal().trunc_with_scale(DECIMALS);
    value.rescale(DECIMALS);
    value.mantissa()
}

fn exact(factor: Qty) -> Option<i128> {
    let fine = factor.decimal().normalize().scale() > DECIMALS;
    (!fine && factor > Qty::ZERO).then(|| scaled(factor))
}

fn unscaled(value: i128) -> Qty {
    Qty::from_decimal(Decimal::from_i128_with_scale(value, DECIMALS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qty(text: &str) -> Qty {
        Qty::parse(text).unwrap()
    }

    fn divided(stock: &str, factors: &[&str]) -> (Vec<String>, String) {
        let factors: Vec<_> = factors.iter().map(|f| Some(qty(f))).collect();
        let parts = partition(qty(stock), &factors);
        let shares = parts.shares.iter().map(|s| s.unwrap().to_string());
        (shares.collect(), parts.unassigned.to_string())
    }

    #[test]
    fn the_worked_examples() {
        let cases: &[(&str, &[&str], &[&str], &str)] = &[
            ("100", &["1", "6", "12"], &["10", "30", "60"], "0"),
            ("10", &["1", "6", "12"], &["10", "0", "0"], "0"),
            ("100", &["6", "12"], &["30", "60"], "10"),
            ("100", &["12"], &["96"], "4"),
            ("10.75", &["1", "2.5"], &["3.25", "7.5"], "0"),
            ("2.2", &["1", "0.5"], &["1.7", "0.5"], "0"),
            ("37.5", &["1"], &["37.5"], "0"),
            ("25", &["1", "1", "6"], &["4", "3", "18"], "0"),
            ("-7", &["1", "6", "12"], &["0", "0", "0"], "0"),
            // Multiples of the sum of factors, where percentages lose a pack.
            ("65", &["1", "12"], &["5", "60"], "0"),
            ("55", &["1", "3", "7"], &["5", "15", "35"], "0"),
            ("19", &["1", "6", "12"], &["1", "6", "12"], "0"),
            ("18", &["1", "2", "3"], &["3", "6", "9"], "0"),
        ];
        for (stock, factors, shares, unassigned) in cases {
            let (got, rest) = divided(stock, factors);
            assert_eq!(got, *shares, "{stock} over {factors:?}");
            assert_eq!(rest, *unassigned, "{stock} over {factors:?}");
        }
    }

    #[test]
    fn factors_that_are_none_take_no_part() {
        let factors = [None, Some(qty("0")), Some(qty("-3")), Some(qty("6"))];
        let parts = partition(qty("20"), &factors);
        assert_eq!(parts.shares, [None, None, None, Some(qty("18"))]);
        assert_eq!(parts.unassigned, qty("2"));
        assert_eq!(partition(qty("20"), &[]).unassigned, qty("20"));
    }

    #[test]
    fn packs_are_whole_and_rounded_down() {
        assert_eq!(packs(qty("60"), qty("12")), 5);
        assert_eq!(packs(qty("7.5"), qty("2.5")), 3);
        assert_eq!(packs(qty("11.999"), qty("12")), 0);
        assert_eq!(packs(qty("-1"), qty("12")), -1);
        assert_eq!(packs(qty("5"), Qty::ZERO), 0);
    }
}

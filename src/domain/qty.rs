//! Quantities: exact decimals inside, whole units at the storefront. Never floating point.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Neg, Sub};
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An exact decimal quantity of one stocked variant, in the ERP's unit; may be negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Qty(Decimal);

/// A quantity beyond what any stock can hold; keeps all sums far from the type's limits.
const LARGEST: i64 = 1_000_000_000_000;

/// The text is not a plain decimal number, or is beyond ± 10¹².
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity")]
pub struct QtyError(String);

impl Qty {
    /// No units.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Returns a whole number of units.
    pub fn whole(units: i64) -> Self {
        Self(Decimal::from(units))
    }

    /// Parses a plain decimal with a point (`-2`, `3.00`); a decimal comma is refused, since it may be a thousands mark.
    /// An exponent is accepted only as JSON writes it (`1e3`).
    pub fn parse(text: &str) -> Result<Self, QtyError> {
        let fail = || QtyError(text.chars().take(40).collect());
        let text = text.trim();
        let value = if text.contains(['e', 'E']) {
            Decimal::from_scientific(text)
        } else {
            Decimal::from_str(text)
        };
        let value = value.map_err(|_| fail())?;
        if text.contains('_') || value.abs() > Decimal::from(LARGEST) {
            return Err(fail());
        }
        Ok(Self(value.normalize()))
    }

    /// Rounds towards minus infinity to whole units.
    pub fn floor_units(self) -> i64 {
        i64::try_from(self.0.floor())
            .expect("a quantity is bounded by 10^12 times the number of its summands")
    }

    /// Tells whether the quantity is below zero.
    pub fn is_negative(self) -> bool {
        self < Self::ZERO
    }

    /// Tells whether the quantity is zero.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Tells whether the quantity is a whole number.
    pub fn is_whole(self) -> bool {
        self.0.is_integer()
    }

    /// Returns so many times this quantity.
    pub fn times(self, count: i64) -> Self {
        Self(self.0.saturating_mul(Decimal::from(count)).normalize())
    }

    /// Returns the decimal itself, for arithmetic that this type does not offer.
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Wraps a decimal.
    pub fn from_decimal(value: Decimal) -> Self {
        Self(value.normalize())
    }
}

impl Add for Qty {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).normalize())
    }
}

impl Sub for Qty {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).normalize())
    }
}

impl Neg for Qty {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Qty {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Qty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.normalize(), f)
    }
}

impl FromStr for Qty {
    type Err = QtyError;
    fn from_str(text: &str) -> Result<Self, QtyError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Qty {
    type Error = QtyError;
    fn try_from(text: String) -> Result<Self, QtyError> {
        Self::parse(&text)
    }
}

impl From<Qty> for String {
    fn from(qty: Qty) -> Self {
        qty.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimals_are_quantities() {
        for (text, units) in [
            ("3.00", 3),
            ("-2", -2),
            ("2.99", 2),
            ("-0.5", -1),
            ("1e3", 1000),
            (" 7 ", 7),
        ] {
            assert_eq!(Qty::parse(text).unwrap().floor_units(), units, "{text}");
        }
        for bad in ["3,00", "", "NaN", "inf", "1_000", "0x10", "9999999999999"] {
            assert!(Qty::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let tenth = Qty::parse("0.1").unwrap();
        assert_eq!((0..10).map(|_| tenth).sum::<Qty>(), Qty::whole(1));
        assert_eq!(Qty::parse("3.00").unwrap().to_string(), "3");
    }
}

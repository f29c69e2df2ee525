//! A length of time as the configuration writes it: `500ms`, `5s`, `2m`, `48h`, `4d`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time, written with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

impl Span {
    /// Returns a span of whole seconds.
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// Returns a span of whole hours.
    pub const fn hours(n: u64) -> Self {
        Self(Duration::from_secs(n * 3600))
    }

    /// Parses a number with a unit.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail =
            || format!("{text:?} is not a length of time; write it like 500ms, 5s, 2m, 48h or 4d");
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(fail)?;
        let (digits, unit) = text.split_at(split);
        let number: u64 = digits.parse().map_err(|_| fail())?;
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fail()),
        };
        let ms = number
            .checked_mul(unit_ms)
            .filter(|ms| *ms <= i64::MAX.unsigned_abs() / 4)
            .ok_or_else(fail)?;
        Ok(Self(Duration::from_millis(ms)))
    }

    /// Returns the span as a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Returns the span in milliseconds.
    pub fn ms(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX / 4)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let units = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1000, "s"),
        ];
        match units
            .iter()
            .find(|(size, _)| ms >= *size && ms.is_multiple_of(*size))
        {
            Some((size, unit)) => write!(f, "{}{unit}", ms / size),
            None => write!(f, "{ms}ms"),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_trip_and_need_a_unit() {
        for text in ["500ms", "5s", "2m", "48h", "4d", "90s"] {
            let span = Span::parse(text).unwrap();
            assert_eq!(Span::parse(&span.to_string()), Ok(span), "{text}");
        }
        for bad in ["", "5", "-1s", "1.5h", "s", "5 s", "99999999999999999d"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }
}

//! Two kinds of time: [`Moment`] is wall time, for people, days and the storefront; [`BootTime`] is the machine's
//! monotonic time since boot, for everything that guards against a duplicate.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An instant in UTC, in milliseconds since 1970; the one form of wall time in the store and the code.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Moment(pub i64);

impl Moment {
    /// Parses RFC 3339 with an offset or `Z` and any number of fractional digits; finer than a millisecond is cut off.
    ///
    /// Returns `None` for what is not an instant, a local time without zone included.
    pub fn parse(text: &str) -> Option<Self> {
        Timestamp::from_str(text.trim())
            .ok()
            .map(|t| Self(t.as_millisecond()))
    }

    /// Tells whether the instant can be the date of a live order: from 2000 to a day after `now`.
    ///
    /// Placeholders (0001-01-01, 1900-01-01) and clocks gone astray are not used to order events.
    pub fn plausible(self, now: Self) -> bool {
        const YEAR_2000: i64 = 946_684_800_000;
        self.0 >= YEAR_2000 && self.0 <= now.0.saturating_add(86_400_000)
    }

    /// Returns the instant `ms` milliseconds later (earlier when negative).
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns how many milliseconds lie between `earlier` and this instant; negative when it is later.
    pub fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the instant rounded down to a whole second.
    pub fn floor_second(self) -> Self {
        Self(self.0.div_euclid(1000) * 1000)
    }
}

impl fmt::Display for Moment {
    /// Writes `2026-01-31T19:12:01Z`, with milliseconds where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "@{}ms", self.0),
        }
    }
}

/// Milliseconds since the machine started, sleep included; comparable only under the same [`BootId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootTime(pub i64);

impl BootTime {
    /// Returns the time `ms` milliseconds later.
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// The kernel's random id of this boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootId(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storefront_dates_are_read_with_seven_digits_and_offsets() {
        let moment = Moment::parse("2024-01-31T19:12:01.0256621+00:00").unwrap();
        assert_eq!(moment.to_string(), "2024-01-31T19:12:01.025Z");
        assert_eq!(
            Moment::parse("2024-01-31T16:12:01-03:00"),
            Moment::parse("2024-01-31T19:12:01Z")
        );
        assert_eq!(Moment::parse("2024-01-31T19:12:01"), None);
    }

    #[test]
    fn placeholders_and_far_futures_are_not_plausible() {
        let now = Moment::parse("2026-01-01T00:00:00Z").unwrap();
        for text in [
            "0001-01-01T00:00:00Z",
            "1900-01-01T00:00:00Z",
            "2099-01-01T00:00:00Z",
        ] {
            assert!(!Moment::parse(text).unwrap().plausible(now), "{text}");
        }
        assert!(
            Moment::parse("2025-12-31T23:59:59Z")
                .unwrap()
                .plausible(now)
        );
    }
}

//! Dragonfish's dates, the service's local hours, and the end of its token.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::domain::movement::ErpDay;
use crate::domain::time::Moment;

const DAY_MIN: i64 = 24 * 60;

/// Parses a WCF date, `/Date(1763780400000-0300)/`: signed milliseconds since 1970 in UTC; the offset only informs.
pub(super) fn parse_wcf(text: &str) -> Option<Moment> {
    let inner = text.trim().strip_prefix("/Date(")?.strip_suffix(")/")?;
    // The sign of the number is not the sign of the offset.
    let from = usize::from(inner.starts_with(['-', '+']));
    let offset = inner.get(from..)?.find(['-', '+']).map(|at| at + from);
    let (ms, offset) = inner.split_at(offset.unwrap_or(inner.len()));
    let plain = offset.is_empty() || (offset.len() == 5 && offset.is_ascii());
    if !plain || !offset.bytes().skip(1).all(|b| b.is_ascii_digit()) {
        return None;
    }
    ms.parse().ok().map(Moment)
}

/// Tells whether a row's date can be read: a WCF or ISO date, or none at all.
pub(super) fn readable(date: Option<&Value>) -> bool {
    match date {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => {
            let text = text.trim();
            text.is_empty()
                || parse_wcf(text).is_some()
                || text
                    .get(..10)
                    .is_some_and(|day| day.parse::<Date>().is_ok())
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

/// How far a movement may stand from the instant it was sent, because the clocks differ or the request waited.
const DAY_MARGIN_MS: i64 = 2 * 3_600_000;

/// Parses an offset such as `-03:00` into minutes.
pub(super) fn offset_min(offset: &str) -> Result<i64, String> {
    let (sign, clock) = match offset.trim().split_at_checked(1) {
        Some(("-", clock)) => (-1, clock),
        Some(("+", clock)) => (1, clock),
        Some(_) | None => (1, ""),
    };
    minutes(clock)
        .map(|min| sign * min)
        .ok_or_else(|| format!("utc offset {offset:?} is not written like -03:00"))
}

/// Returns the service's days around an instant: two when it lies near the service's midnight.
pub(super) fn days_around(at: Moment, offset_min: i64) -> Vec<ErpDay> {
    let mut days: Vec<_> = [-DAY_MARGIN_MS, 0, DAY_MARGIN_MS]
        .into_iter()
        .filter_map(|by| day_of(at.plus_ms(by), offset_min))
        .collect();
    days.dedup();
    days
}

/// Returns the service's day at an instant.
pub(super) fn day_of(at: Moment, offset_min: i64) -> Option<ErpDay> {
    let utc = Timestamp::from_millisecond(at.plus_ms(offset_min * 60_000).0).ok()?;
    ErpDay::parse(&utc.to_zoned(TimeZone::UTC).date().to_string())
}

/// Reads the day of a row's `Fecha`: WCF or ISO.
pub(super) fn row_day(date: Option<&Value>, offset_min: i64) -> Option<ErpDay> {
    let text = date?.as_str()?.trim();
    match parse_wcf(text) {
        Some(at) => day_of(at, offset_min),
        None => text.get(..10).and_then(ErpDay::parse),
    }
}

/// Reads when a row was entered: the day of `FechaAltaFW`, else of the row, at the local time `HoraAltaFW`.
pub(super) fn row_created(row: &Value, offset_min: i64) -> Option<Moment> {
    let more = row.get("InformacionAdicional")?;
    let day = row_day(more.get("FechaAltaFW"), offset_min)
        .or_else(|| row_day(row.get("Fecha"), offset_min))?;
    let time = more.get("HoraAltaFW")?.as_str()?.trim();
    let local = Moment::parse(&format!("{day}T{time}Z"))?;
    Some(local.plus_ms(-offset_min * 60_000))
}

/// Local hours in which the service is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuietHours {
    from_min: i64,
    to_min: i64,
    offset_min: i64,
}

impl QuietHours {
    /// Parses `01:00-08:00` at an offset such as `-03:00`.
    pub(super) fn parse(hours: &str, offset: &str) -> Result<Self, String> {
        let fail = || format!("quiet hours {hours:?} are not written like 01:00-08:00");
        let (from, to) = hours.split_once('-').ok_or_else(fail)?;
        let from_min = minutes(from.trim()).ok_or_else(fail)?;
        let to_min = minutes(to.trim()).ok_or_else(fail)?;
        let offset_min = offset_min(offset)?;
        Ok(Self {
            from_min,
            to_min,
            offset_min,
        })
    }

    /// Returns how long the quiet hours still last; `None` outside them.
    pub(super) fn left(&self, now: Moment) -> Option<Duration> {
        let local_ms = now
            .0
            .saturating_add(self.offset_min * 60_000)
            .rem_euclid(DAY_MIN * 60_000);
        let length = (self.to_min - self.from_min).rem_euclid(DAY_MIN) * 60_000;
        let since = (local_ms - self.from_min * 60_000).rem_euclid(DAY_MIN * 60_000);
        let left = u64::try_from(length - since)
            .ok()
            .filter(|left| *left > 0)?;
        Some(Duration::from_millis(left))
    }
}

fn minutes(clock: &str) -> Option<i64> {
    let (hours, minutes) = clock.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// Reads when a JWT ends, without verifying it; `None` when it does not say. The claim comes as number or text.
pub(super) fn token_end(token: &str) -> Option<Moment> {
    let claims = token.trim().split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&base64_url(claims)?).ok()?;
    let seconds = match claims.get("exp")? {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let whole = seconds.split('.').next()?;
    whole.parse::<i64>().ok()?.checked_mul(1000).map(Moment)
}

fn base64_url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for b in text.trim_end_matches('=').bytes() {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        buffer = (buffer << 6 | u32::from(value)) & 0xFFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xFF).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_and_hours_are_the_services_own() {
        let at = |text: &str| Moment::parse(text).unwrap();
        let days = |text| -> Vec<String> {
            days_around(at(text), -180)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(days("2026-01-31T15:00:00Z"), ["2026-01-31"]);
        assert_eq!(days("2026-02-01T02:59:00Z"), ["2026-01-31", "2026-02-01"]);
        assert_eq!(days("2026-02-01T03:01:00Z"), ["2026-01-31", "2026-02-01"]);
        let midnight = at("2026-01-31T03:00:00Z").0;
        let row = serde_json::json!({"Fecha": format!("/Date({midnight}-0300)/"),
            "InformacionAdicional": {"HoraAltaFW": "22:30:05"}});
        assert_eq!(row_day(row.get("Fecha"), -180), ErpDay::parse("2026-01-31"));
        assert_eq!(row_created(&row, -180), Some(at("2026-02-01T01:30:05Z")));
        for odd in ["", "x", "25:00:00"] {
            let row = serde_json::json!({"Fecha": "2026-01-31", "InformacionAdicional": {"HoraAltaFW": odd}});
            assert_eq!(row_created(&row, -180), None, "{odd}");
        }
    }

    #[test]
    fn e13_wcf_dates_are_read_or_refused() {
        for (text, ms) in [
            ("/Date(1700000000000-0300)/", 1_700_000_000_000),
            ("/Date(1700000000000)/", 1_700_000_000_000),
            ("/Date(-2208988800000+0000)/", -2_208_988_800_000),
            (" /Date(-1)/ ", -1),
        ] {
            assert_eq!(parse_wcf(text), Some(Moment(ms)), "{text}");
        }
        for bad in [
            "",
            "/Date()/",
            "/Date(x)/",
            "/Date(1-3)/",
            "/Date(1-0ñ)/",
            "/Date(--1)/",
            "/Date(99999999999999999999)/",
            "Date(1)",
        ] {
            assert_eq!(parse_wcf(bad), None, "{bad}");
        }
        assert!(readable(Some(&Value::from("1900-01-01T00:00:00"))));
        assert!(readable(None) && readable(Some(&Value::from(""))));
        assert!(!readable(Some(&Value::from("yesterday"))) && !readable(Some(&Value::from(3))));
    }

    proptest! {
        #[test]
        fn e13_no_text_panics(text in any::<String>(), inner in "[-+0-9]{0,24}") {
            parse_wcf(&text);
            parse_wcf(&format!("/Date({inner})/"));
            readable(Some(&Value::from(text)));
        }
    }

    #[test]
    fn quiet_hours_end_at_their_local_end_also_past_midnight() {
        let at = |text| Moment::parse(text).unwrap();
        let night = QuietHours::parse("01:00-08:00", "-03:00").unwrap();
        assert_eq!(night.left(at("2026-01-10T03:59:59Z")), None);
        assert_eq!(
            night.left(at("2026-01-10T04:00:00Z")),
            Some(Duration::from_secs(7 * 3600))
        );
        assert_eq!(
            night.left(at("2026-01-10T10:59:59Z")),
            Some(Duration::from_secs(1))
        );
        assert_eq!(night.left(at("2026-01-10T11:00:00Z")), None);
        let across = QuietHours::parse("23:30-00:30", "+00:00").unwrap();
        assert_eq!(
            across.left(at("2026-01-10T23:45:00Z")),
            Some(Duration::from_secs(45 * 60))
        );
        assert_eq!(
            across.left(at("2026-01-11T00:15:00Z")),
            Some(Duration::from_secs(15 * 60))
        );
        assert_eq!(across.left(at("2026-01-11T12:00:00Z")), None);
        for (hours, offset) in [
            ("1-8", "-03:00"),
            ("01:00-24:00", "-03:00"),
            ("01:00-08:00", "03:00"),
            ("01:00-08:00", ""),
        ] {
            assert!(
                QuietHours::parse(hours, offset).is_err(),
                "{hours} {offset}"
            );
        }
    }

    #[test]
    fn e18_the_tokens_end_is_read_as_number_and_as_text() {
        // {"usuario":"X","exp":1893456000} and {"exp":"1893456000"}, unsigned.
        for claims in [
            "eyJ1c3VhcmlvIjoiWCIsImV4cCI6MTg5MzQ1NjAwMH0",
            "eyJleHAiOiIxODkzNDU2MDAwIn0",
        ] {
            let end = token_end(&format!("e30.{claims}.x"));
            assert_eq!(end, Some(Moment(1_893_456_000_000)), "{claims}");
        }
        for bad in ["", "a.b", "a.$$.c", "e30.e30.x"] {
            assert_eq!(token_end(bad), None, "{bad}");
        }
    }
}

//! How values are bound: as wide text, or as a timestamp where the statement says so.

use crate::adapters::odbc::fault::{Fault, Kind};

/// What stands before the `?` of a value (`YYYY-MM-DD HH:MM:SS`) that is bound as a timestamp. A text compared with a
/// date would be read by the session's own format there.
pub const TIMESTAMP: &str = "/*timestamp*/";

/// A value as it is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// Year, month, day, hour, minute, second.
    Timestamp([u16; 6]),
}

/// Gives each value the type that its place in the statement asks for.
///
/// # Errors
///
/// A [`Fault`] where a timestamp is none, or where values and places differ in number.
pub fn typed(text: &str, values: &[String]) -> Result<Vec<Value>, Fault> {
    let places = places(text);
    if places.len() != values.len() {
        let told = format!("{} values for {} places", values.len(), places.len());
        return Err(Fault::new(Kind::Refused, told));
    }
    let one = |(value, is_timestamp): (&String, &bool)| {
        if !is_timestamp {
            return Ok(Value::Text(value.clone()));
        }
        let told = || {
            Fault::new(
                Kind::Refused,
                format!("{value:?} is not YYYY-MM-DD HH:MM:SS"),
            )
        };
        timestamp(value).map(Value::Timestamp).ok_or_else(told)
    };
    values.iter().zip(&places).map(one).collect()
}

/// Returns for each `?` outside quotes and comments whether a timestamp is bound there.
fn places(text: &str) -> Vec<bool> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut marked = false;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            marked = rest.starts_with(TIMESTAMP);
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let '\'' | '"' | '[' = c {
            let end = if c == '[' { ']' } else { c };
            rest[1..].find(end).map_or(rest.len(), |at| at + 2)
        } else {
            if c == '?' {
                found.push(marked);
            }
            marked = marked && c.is_whitespace();
            c.len_utf8()
        };
        rest = &rest[skipped..];
    }
    found
}

fn timestamp(text: &str) -> Option<[u16; 6]> {
    let (day, time) = text.split_once(' ')?;
    let parts: Vec<&str> = day.split('-').chain(time.split(':')).collect();
    let widths = [4, 2, 2, 2, 2, 2];
    if day.split('-').count() != 3 || parts.len() != widths.len() {
        return None;
    }
    let mut found = [0; 6];
    for ((part, width), into) in parts.iter().zip(widths).zip(&mut found) {
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *into = part.parse().ok()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_makes_a_timestamp_of_the_next_value_only() {
        let text = "-- ?\nSELECT '?', [?] FROM t WHERE a = ? AND b >= /*timestamp*/? AND c = /*timestamp*/ x AND d = ?";
        let values = ["1", "2026-01-31 23:59:58", "2"].map(String::from);
        let typed = typed(text, &values).unwrap();
        assert_eq!(typed[0], Value::Text("1".into()));
        assert_eq!(typed[1], Value::Timestamp([2026, 1, 31, 23, 59, 58]));
        assert_eq!(typed[2], Value::Text("2".into()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(typed("SELECT ?", &[]).is_err());
        for text in [
            "2026-01-31",
            "2026-01-31T00:00:00",
            "26-01-31 00:00:00",
            "2026-01-31 00:00:0x",
        ] {
            assert!(
                typed("/*timestamp*/?", &[text.to_owned()]).is_err(),
                "{text}"
            );
        }
    }
}

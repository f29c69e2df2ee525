//! Lenient reading of single values: VTEX writes ids and numbers as text in one place and as numbers in another.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::domain::time::Moment;

/// Everything but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Encodes one path segment or query value.
pub(super) fn encode(text: &str) -> String {
    match text {
        // Unreserved characters, and still no names: the address parser would walk the path with them.
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => utf8_percent_encode(text, ESCAPED).to_string(),
    }
}

/// Returns a text or a number as text, with the digits it was written with.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns an integer written as a JSON integer: no fraction, no exponent, no quotes.
pub(super) fn integer(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else {
        return None;
    };
    let digits = number.to_string();
    let unsigned = digits.strip_prefix('-').unwrap_or(&digits);
    if !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Returns a whole count that may be written `3`, `3.0` or `"3"`.
pub(super) fn count(value: &Value) -> Option<u64> {
    let quantity = crate::domain::qty::Qty::parse(&text(value)?).ok()?;
    u64::try_from(quantity.floor_units()).ok()
}

/// Returns an instant; `None` for what is none, a local time without zone included.
pub(super) fn moment(value: &Value) -> Option<Moment> {
    Moment::parse(value.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v8_nothing_leaves_its_path_segment() {
        assert_eq!(encode("a/b?c#d%2e\r\n"), "a%2Fb%3Fc%23d%252e%0D%0A");
        assert_eq!(encode(".."), "%2E%2E");
        assert_eq!(encode("1_1-x.y~z"), "1_1-x.y~z");
    }

    #[test]
    fn v12_only_json_integers_are_integers() {
        let parse = |json: &str| integer(&serde_json::from_str::<Value>(json).unwrap());
        assert_eq!(parse("2"), Some(2));
        assert_eq!(parse("-2"), Some(-2));
        for bad in ["1.5", "1.0", "1e3", "\"2\"", "null", "99999999999999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

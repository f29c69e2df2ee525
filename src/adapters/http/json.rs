//! Strict reading of JSON answers: what could be cut, ambiguous or hostile is an error, never a guess.

use serde::de::DeserializeOwned;

use crate::adapters::http::client::Answer;
use crate::adapters::http::text::one_line;

/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;

/// Why an answer's body cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The answer did not come from the service, or not whole: empty, cut, a web page. Worth another try.
    #[error("{0}")]
    Transport(String),
    /// The service wrote something unusable: not worth another try.
    #[error("{0}")]
    Unusable(String),
}

/// Reads an answer's body.
///
/// Duplicate keys are refused for the fields of derived structs; numbers keep their digits in
/// [`serde_json::Number`].
///
/// # Errors
///
/// [`JsonError::Transport`] for an empty or cut body or a web page, [`JsonError::Unusable`] for anything else.
pub fn parse_json<T: DeserializeOwned>(answer: &Answer) -> Result<T, JsonError> {
    if is_web_page(answer) {
        return Err(JsonError::Transport(
            "a web page came instead of data".to_owned(),
        ));
    }
    parse_json_bytes(&answer.body)
}

/// Tells whether the answer is a web page: a log-in form or a proxy's error.
pub fn is_web_page(answer: &Answer) -> bool {
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.trim_start().to_ascii_lowercase();
    kind.starts_with("text/html") || kind.starts_with("application/xhtml")
}

/// Reads a body without looking at its headers.
pub fn parse_json_bytes<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(JsonError::Transport("an empty answer".to_owned()));
    }
    if body.trim_ascii_start().first() == Some(&b'<') {
        return Err(JsonError::Transport(
            "markup came instead of data".to_owned(),
        ));
    }
    // The whole body, not only what is read: `serde_json` skips unused strings without looking at their bytes.
    if std::str::from_utf8(body).is_err() {
        return Err(JsonError::Unusable("the answer is not UTF-8".to_owned()));
    }
    check_depth(body)?;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|err| {
        if err.is_eof() {
            return JsonError::Transport("the answer was cut".to_owned());
        }
        // The parser may quote a value: only its kind and place are safe to show.
        let what = describe(&err);
        JsonError::Unusable(format!(
            "{what} at line {} column {}",
            err.line(),
            err.column()
        ))
    })
}

/// Says what is wrong without the value that is wrong.
fn describe(err: &serde_json::Error) -> String {
    let text = err.to_string();
    match err.classify() {
        serde_json::error::Category::Syntax => "not JSON".to_owned(),
        serde_json::error::Category::Data
            if text.starts_with("duplicate field") || text.starts_with("missing field") =>
        {
            let end = text.find(" at line").unwrap_or(text.len());
            one_line(&text[..end], 100)
        }
        serde_json::error::Category::Data => "a field of an unexpected type".to_owned(),
        serde_json::error::Category::Io | serde_json::error::Category::Eof => {
            "the answer was cut".to_owned()
        }
    }
}

fn check_depth(body: &[u8]) -> Result<(), JsonError> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in body {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(JsonError::Unusable(format!(
                "nested deeper than {MAX_DEPTH} levels"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        quantity: Option<serde_json::Number>,
    }

    fn read(body: &[u8]) -> Result<Row, JsonError> {
        parse_json_bytes(body)
    }

    #[test]
    fn v1_an_empty_body_is_a_transport_error() {
        assert!(matches!(read(b""), Err(JsonError::Transport(_))));
        assert!(matches!(read(b" \r\n"), Err(JsonError::Transport(_))));
    }

    #[test]
    fn v3_cut_json_is_a_transport_error() {
        assert!(matches!(
            read(br#"{"quantity": 1"#),
            Err(JsonError::Transport(_))
        ));
    }

    #[test]
    fn v4_depth_is_limited_without_recursion() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(matches!(
            parse_json_bytes::<serde_json::Value>(deep.as_bytes()),
            Err(JsonError::Unusable(_))
        ));
        let text = format!(r#"{{"quantity":1,"x":"{}\"["}}"#, "[".repeat(100));
        assert!(read(text.as_bytes()).is_ok());
    }

    #[test]
    fn v6_a_byte_order_mark_is_tolerated_and_bad_encodings_are_not() {
        assert!(read(b"\xef\xbb\xbf{\"quantity\":1}").is_ok());
        for bad in [
            &b"{\"x\":\"\xff\"}"[..],
            b"\xff\xfe{\0}\0",
            b"{\"quantity\":\"\\ud800\"}",
        ] {
            assert!(matches!(read(bad), Err(JsonError::Unusable(_))), "{bad:?}");
        }
        assert!(parse_json_bytes::<String>(br#""\ud800""#).is_err());
    }

    #[test]
    fn v7_duplicate_keys_are_ambiguous() {
        let err = read(br#"{"quantity":1,"quantity":2}"#).unwrap_err();
        assert!(err.to_string().contains("duplicate field"), "{err}");
    }

    #[test]
    fn e19_trailing_bytes_and_nan_are_refused() {
        for bad in [&br#"{"quantity":1} x"#[..], br#"{"quantity":NaN}"#] {
            assert!(matches!(read(bad), Err(JsonError::Unusable(_))), "{bad:?}");
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let row = read(br#"{"quantity":1.50}"#).unwrap();
        assert_eq!(row.quantity.unwrap().to_string(), "1.50");
    }

    #[test]
    fn errors_quote_no_value() {
        let err = read(br#"{"quantity":"Juana Azurduy 123"}"#).unwrap_err();
        assert!(!err.to_string().contains("Juana"), "{err}");
    }
}

//! Names of things, each with its own parser, so that no raw text crosses a room's door.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?}: {rule}")]
pub struct IdError {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

impl IdError {
    fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        // A hostile name may be megabytes long; the message needs only its beginning.
        Self {
            kind,
            text: text.chars().take(80).collect(),
            rule,
        }
    }
}

/// Tells whether `text` is made of characters that are safe in a log line, a path segment and a mail header.
fn printable(text: &str, max: usize) -> bool {
    !text.is_empty() && text.chars().count() <= max && !text.chars().any(char::is_control)
}

/// The id of one order of the store, safe in URLs, file names and logs: `[A-Za-z0-9._-]{1,64}`, not `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderId(String);

impl OrderId {
    /// Parses an order id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty()
            || text.len() > 64
            || !text.chars().all(safe)
            || text == "."
            || text == ".."
        {
            return Err(IdError::new(
                "order id",
                text,
                "must be 1 to 64 characters of A-Z a-z 0-9 . _ -",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The storefront's id of one sellable unit; compared as text (`0123` and `123` differ).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SkuId(String);

impl SkuId {
    /// Parses a SKU id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(IdError::new("SKU id", text, "must be 1 to 20 digits"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Tells whether the storefront accepts stock for this id: no leading zero, within 31 bits.
    ///
    /// Source: VTEX help centre, "Managing stock items"; Catalog API.
    pub fn pushable(&self) -> bool {
        !self.0.starts_with('0') && self.0.parse::<i32>().is_ok()
    }
}

/// The storefront's warehouse id, compared exactly (letter case included).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WarehouseId(String);

impl WarehouseId {
    /// Parses a warehouse id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if !printable(text, 100) || text.contains(char::is_whitespace) {
            return Err(IdError::new(
                "warehouse id",
                text,
                "must be 1 to 100 characters without blanks",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The code of one ERP base (a shop's database, a branch): trimmed, upper case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseCode(String);

impl BaseCode {
    /// Parses a base code; blanks around it and letter case do not matter.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        if !printable(text, 40) {
            return Err(IdError::new(
                "base",
                text,
                "must be 1 to 40 printable characters",
            ));
        }
        Ok(Self(text.to_uppercase()))
    }

    /// Returns what stands for a base where there is none.
    pub fn none() -> Self {
        Self("-".to_owned())
    }
}

/// The reference a shop gave a SKU in the storefront, kept exactly as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SkuRef(String);

impl SkuRef {
    /// Parses a SKU reference.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if !printable(text, 200) {
            return Err(IdError::new(
                "SKU reference",
                text,
                "must be 1 to 200 printable characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The ERP's name of one stocked variant, in the canonical form its adapter gives (for Dragonfish `ART-COL-TAL`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ErpCode(String);

impl ErpCode {
    /// Parses a canonical ERP code.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if !printable(text, 100) {
            return Err(IdError::new(
                "ERP code",
                text,
                "must be 1 to 100 printable characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! text_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )*};
}
text_id!(OrderId, SkuId, WarehouseId, BaseCode, SkuRef, ErpCode);

/// One counter of the store: orders local events, which the clock must not do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Seq(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_ids_that_could_leave_a_path_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a?b",
            "a#b",
            "a%2e",
            "a b",
            "a\n",
            "ñ",
            &"x".repeat(65),
        ] {
            assert!(OrderId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            OrderId::parse("1234567890123-01").unwrap().as_str(),
            "1234567890123-01"
        );
    }

    #[test]
    fn sku_ids_keep_their_zeros_and_are_not_pushed_with_them() {
        let padded = SkuId::parse("0123").unwrap();
        assert_ne!(padded, SkuId::parse("123").unwrap());
        assert!(!padded.pushable());
        assert!(!SkuId::parse("99999999999").unwrap().pushable());
        assert!(SkuId::parse("123").unwrap().pushable());
    }

    #[test]
    fn base_codes_ignore_case_and_padding() {
        assert_eq!(
            BaseCode::parse(" woo  ").unwrap(),
            BaseCode::parse("WOO").unwrap()
        );
        assert!(BaseCode::parse("   ").is_err());
    }
}

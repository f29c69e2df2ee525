//! From a shop's SKU reference to WinThor's code of a packaging or a product, and back from a row.
//!
//! Codes are numbers there (`CODPROD`, `CODAUXILIAR` of up to 20 digits, which no 64-bit integer holds), so they stay text,
//! without leading zeros.

pub use crate::config::winthor::SkuCode;
use crate::domain::ids::{ErpCode, SkuRef};

/// The most digits of a product's or a packaging's code.
const DIGITS: usize = 20;

/// What stands between a packaging's code and its product's, as the service writes `productId`.
const JOINT: char = '-';

/// Returns the canonical code for a shop's reference.
///
/// # Errors
///
/// A sentence that names the reference and says why it cannot be a code.
pub fn code(mode: SkuCode, reference: &SkuRef) -> Result<ErpCode, String> {
    let text = reference.as_str().trim();
    let explain = |why: String| format!("reference {:?}: {why}", reference.as_str());
    let (auxiliary, product) = text.rsplit_once(JOINT).unwrap_or(("", text));
    let joined = match mode {
        SkuCode::ProductId if auxiliary.is_empty() => Err("is not auxiliary code-product".into()),
        SkuCode::ProductId => join(auxiliary, product),
        SkuCode::LastPart => number("product", product),
        SkuCode::BarCode => number("bar code", text),
    };
    let joined = joined.map_err(explain)?;
    ErpCode::parse(&joined).map_err(|err| err.to_string())
}

/// Returns the product that a canonical code names; `None` when it names none, as a bar code.
pub fn product_of(mode: SkuCode, code: &ErpCode) -> Option<String> {
    match mode {
        SkuCode::ProductId => {
            let (_, product) = code.as_str().rsplit_once(JOINT)?;
            Some(product.to_owned())
        }
        SkuCode::LastPart => Some(code.as_str().to_owned()),
        SkuCode::BarCode => None,
    }
}

/// Returns the canonical code of a row with these two numbers; the auxiliary code is looked at only where it is a part.
///
/// # Errors
///
/// A sentence that says which of the two is no number.
pub fn of_row(mode: SkuCode, auxiliary: &str, product: &str) -> Result<ErpCode, String> {
    let joined = match mode {
        SkuCode::ProductId => join(auxiliary, product),
        SkuCode::LastPart => number("product", product),
        SkuCode::BarCode => number("bar code", auxiliary),
    }?;
    ErpCode::parse(&joined).map_err(|err| err.to_string())
}

fn join(auxiliary: &str, product: &str) -> Result<String, String> {
    let auxiliary = number("auxiliary code", auxiliary)?;
    Ok(format!("{auxiliary}{JOINT}{}", number("product", product)?))
}

/// Checks a whole number without sign and drops its leading zeros, as a number column does.
fn number(what: &str, text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("the {what} {text:?} is not a whole number"));
    }
    let bare = text.trim_start_matches('0');
    if bare.len() > DIGITS {
        return Err(format!("the {what} {text:?} has more than {DIGITS} digits"));
    }
    Ok(if bare.is_empty() { "0" } else { bare }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(mode: SkuCode, text: &str) -> Result<String, String> {
        code(mode, &SkuRef::parse(text).unwrap()).map(String::from)
    }

    #[test]
    fn references_become_codes_by_mode() {
        for (mode, reference, wanted) in [
            (SkuCode::ProductId, "7891000100103-100", "7891000100103-100"),
            (SkuCode::ProductId, " 0789-0100 ", "789-100"),
            (
                SkuCode::ProductId,
                "99999999999999999999-1",
                "99999999999999999999-1",
            ),
            (SkuCode::ProductId, "0-7", "0-7"),
            (SkuCode::LastPart, "7891000100103-100", "100"),
            (SkuCode::LastPart, "100", "100"),
            (SkuCode::LastPart, "CAIXA-X-100", "100"),
            (SkuCode::BarCode, "07891000100103", "7891000100103"),
        ] {
            assert_eq!(mapped(mode, reference).unwrap(), wanted, "{reference}");
        }
    }

    #[test]
    fn what_is_no_code_says_why() {
        for (mode, reference, why) in [
            (SkuCode::ProductId, "100", "is not auxiliary code-product"),
            (SkuCode::ProductId, "-100", "is not auxiliary code-product"),
            (SkuCode::ProductId, "789-", "the product is empty"),
            (SkuCode::ProductId, "A1-100", "not a whole number"),
            (SkuCode::ProductId, "1-2-3", "not a whole number"),
            (SkuCode::ProductId, "999999999999999999999-1", "20 digits"),
            (SkuCode::LastPart, "100-", "the product is empty"),
            (SkuCode::LastPart, "+100", "not a whole number"),
            (SkuCode::BarCode, "789-100", "not a whole number"),
        ] {
            let err = mapped(mode, reference).unwrap_err();
            assert!(
                err.contains(why) && err.contains(reference),
                "{reference}: {err}"
            );
        }
    }

    #[test]
    fn rows_give_the_codes_that_references_give() {
        for (mode, text, product) in [
            (SkuCode::ProductId, "789-100", Some("100")),
            (SkuCode::LastPart, "100", Some("100")),
            (SkuCode::BarCode, "789", None),
        ] {
            let code = of_row(mode, "0789", "100").unwrap();
            assert_eq!(code.as_str(), text);
            assert_eq!(product_of(mode, &code).as_deref(), product);
        }
        assert!(of_row(SkuCode::ProductId, "", "100").is_err());
        assert!(of_row(SkuCode::LastPart, "", "100").is_ok());
        assert!(of_row(SkuCode::BarCode, "789", "").is_ok());
    }
}

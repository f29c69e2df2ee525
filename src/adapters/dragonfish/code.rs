//! From a shop's SKU reference to article, colour and size, and back.

use std::collections::BTreeMap;

use crate::domain::ids::ErpCode;
use crate::domain::notice::Attribute;

/// Longest article code (`COART char(15)`).
pub(super) const ARTICLE_MAX: usize = 15;
/// Longest colour code (`COCOL char(6)`).
pub(super) const COLOR_MAX: usize = 6;
/// Longest size code (`TALLE char(5)`).
pub(super) const SIZE_MAX: usize = 5;

/// What stands between the parts of a canonical code. Colours and sizes never hold it, so that a code splits again
/// from the right; articles may.
const JOINT: char = '-';

/// One stocked variant as Dragonfish names it: trimmed, upper case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Variant {
    /// The article code; may hold hyphens and blanks.
    pub(super) article: String,
    /// The colour code.
    pub(super) color: String,
    /// The size code.
    pub(super) size: String,
}

impl Variant {
    /// Builds a variant from the three fields of an ERP row; blanks and letter case do not matter.
    pub(super) fn new(article: &str, color: &str, size: &str) -> Result<Self, String> {
        Ok(Self {
            article: part("article", article, ARTICLE_MAX)?,
            color: last_part("colour", color, COLOR_MAX)?,
            size: last_part("size", size, SIZE_MAX)?,
        })
    }

    /// Returns the canonical code `ART-COL-TAL`.
    pub(super) fn code(&self) -> Result<ErpCode, String> {
        let text = format!("{}{JOINT}{}{JOINT}{}", self.article, self.color, self.size);
        ErpCode::parse(&text).map_err(|err| err.to_string())
    }

    /// Returns the variant under every spelling of a numeric size that leading zeros make (`3`, `03`).
    pub(super) fn spellings(&self) -> Vec<Self> {
        let bare = without_zeros(&self.size);
        let mut sizes = vec![self.size.clone()];
        if bare.bytes().all(|b| b.is_ascii_digit()) {
            sizes.extend([bare.to_owned(), format!("{bare:0>2}")]);
        }
        sizes.sort();
        sizes.dedup();
        sizes
            .into_iter()
            .map(|size| Self {
                size,
                ..self.clone()
            })
            .collect()
    }

    /// Tells whether two variants are the same, sizes compared without leading zeros where asked.
    pub(super) fn same(&self, other: &Self, sizes_ignore_zeros: bool) -> bool {
        let sizes = if sizes_ignore_zeros {
            without_zeros(&self.size) == without_zeros(&other.size)
        } else {
            self.size == other.size
        };
        sizes && self.article == other.article && self.color == other.color
    }
}

/// Reads a shop's reference: size, colour and article, split from the right, since articles hold separators too.
pub(super) fn parse_reference(reference: &str, separators: &str) -> Result<ErpCode, String> {
    let explain =
        |why: String| format!("reference {reference:?} is not article, colour, size: {why}");
    let parts: Vec<&str> = reference.rsplitn(3, |c| separators.contains(c)).collect();
    let [size, color, article] = parts.as_slice() else {
        return Err(explain(format!(
            "it has {} of 3 parts (separators {separators:?})",
            parts.len()
        )));
    };
    Variant::new(article, color, size)
        .and_then(|variant| variant.code())
        .map_err(explain)
}

/// Splits a canonical code into its variant.
pub(super) fn split(code: &ErpCode) -> Result<Variant, String> {
    let parts: Vec<&str> = code.as_str().rsplitn(3, JOINT).collect();
    let [size, color, article] = parts.as_slice() else {
        return Err(format!(
            "code {:?} is not article, colour, size",
            code.as_str()
        ));
    };
    Variant::new(article, color, size).map_err(|why| format!("code {:?}: {why}", code.as_str()))
}

/// Returns a variant's colour and size; nothing for a code that is no variant.
pub(super) fn attributes(code: &ErpCode) -> Vec<Attribute> {
    let Ok(variant) = split(code) else {
        return Vec::new();
    };
    let named = |(name, value): (&str, String)| Attribute {
        name: name.to_owned(),
        value,
    };
    [("color", variant.color), ("size", variant.size)]
        .map(named)
        .into()
}

/// Groups codes by article, in the order of the articles; codes that are none stand alone.
pub(super) fn by_article(codes: &[ErpCode]) -> Vec<Vec<ErpCode>> {
    let mut groups: BTreeMap<String, Vec<ErpCode>> = BTreeMap::new();
    for code in codes {
        let article = split(code).map_or_else(|_| code.to_string(), |variant| variant.article);
        let group = groups.entry(article).or_default();
        if !group.contains(code) {
            group.push(code.clone());
        }
    }
    groups.into_values().collect()
}

fn without_zeros(size: &str) -> &str {
    match size.trim_start_matches('0') {
        "" if !size.is_empty() => "0",
        bare => bare,
    }
}

fn last_part(what: &str, text: &str, max: usize) -> Result<String, String> {
    let text = part(what, text, max)?;
    if text.contains(JOINT) {
        return Err(format!("{what} {text:?} holds {JOINT:?}"));
    }
    Ok(text)
}

fn part(what: &str, text: &str, max: usize) -> Result<String, String> {
    let text: String = text.trim().chars().map(upper).collect();
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if let Some(c) = text.chars().find(|c| !in_windows_1252(*c)) {
        return Err(format!(
            "{what} {text:?} holds {c:?}, which the ERP cannot store"
        ));
    }
    let length = text.chars().count();
    if length > max {
        return Err(format!(
            "{what} {text:?} has {length} characters, at most {max} fit"
        ));
    }
    Ok(text)
}

/// Upper-cases as a one-byte code page can: what has no capital there stays.
fn upper(c: char) -> char {
    let mut capital = c.to_uppercase();
    match (capital.next(), capital.next()) {
        (Some(upper), None) if in_windows_1252(upper) => upper,
        (_, _) => c,
    }
}

/// Tells whether Windows-1252, the ERP's code page, holds a printable character.
pub(super) fn in_windows_1252(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{ff}') || "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(reference: &str) -> Result<String, String> {
        parse_reference(reference, "-").map(String::from)
    }

    #[test]
    fn v15_references_split_from_the_right_trimmed_and_upper_cased() {
        for (reference, canonical) in [
            ("ART1-N01-42", "ART1-N01-42"),
            ("A-B-C-D", "A-B-C-D"),
            (" art1 - n01 - 42 ", "ART1-N01-42"),
            ("rem era-azul-xl", "REM ERA-AZUL-XL"),
            ("ñandú-n01-u", "ÑANDÚ-N01-U"),
        ] {
            assert_eq!(code(reference).unwrap(), canonical, "{reference}");
        }
        let parts = split(&parse_reference("A-B-C-D", "-").unwrap()).unwrap();
        assert_eq!(parts, Variant::new("A-B", "C", "D").unwrap());
    }

    #[test]
    fn v15_other_separators_count_only_where_configured() {
        assert!(code("ART1#N01#42").is_err());
        for (reference, separators) in [
            ("ART1#N01#42", "#"),
            ("ART1!N01!42", "-!"),
            ("ART1!N01-42", "-!"),
        ] {
            let code = parse_reference(reference, separators).unwrap();
            assert_eq!(code.as_str(), "ART1-N01-42");
        }
        let hyphen = parse_reference("ART1#N-1#42", "#").unwrap_err();
        assert!(hyphen.contains("colour \"N-1\" holds '-'"), "{hyphen}");
    }

    #[test]
    fn v15_what_does_not_map_says_why() {
        for (reference, why) in [
            ("A-B", "2 of 3 parts"),
            ("A", "1 of 3 parts"),
            ("A--T", "the colour is empty"),
            ("A-B- ", "the size is empty"),
            ("-B-C", "the article is empty"),
            ("ABCDEFGHIJKLMNOP-N01-42", "16 characters, at most 15"),
            ("A-COLOURS-42", "at most 6"),
            ("A-B-123456", "at most 5"),
            ("A😀-N01-42", "cannot store"),
            ("Ж-N01-42", "cannot store"),
        ] {
            let err = code(reference).unwrap_err();
            assert!(err.contains(why), "{reference}: {err}");
        }
    }

    #[test]
    fn a_variant_is_told_by_its_colour_and_size() {
        let told = |code: &str| {
            let told = attributes(&ErpCode::parse(code).unwrap());
            let told = told.iter().map(|a| format!("{}={}", a.name, a.value));
            told.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told("A-B-N01-42"), "color=N01 size=42");
        assert_eq!(told("A-B"), "");
    }

    #[test]
    fn groups_are_articles_and_sizes_may_ignore_zeros() {
        let parse = |text| ErpCode::parse(text).unwrap();
        let codes = ["B-N-1", "A-X-N-1", "B-N-2", "B-N-1"].map(parse);
        let groups = by_article(&codes);
        assert_eq!(
            groups,
            [vec![parse("A-X-N-1")], vec![parse("B-N-1"), parse("B-N-2")]]
        );
        let three = Variant::new("A", "N", "3").unwrap();
        let padded = Variant::new("A", "N", "03").unwrap();
        assert!(three.same(&padded, true) && !three.same(&padded, false));
        assert_eq!(padded.spellings(), [padded.clone(), three]);
        assert_eq!(Variant::new("A", "N", "XL").unwrap().spellings().len(), 1);
    }
}

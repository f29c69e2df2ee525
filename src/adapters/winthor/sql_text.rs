//! The statements for WinThor's database, by name, and the marks in their comments.
//!
//! One text runs on Oracle 11.2, PostgreSQL and MariaDB in its ORACLE mode, so a text of `sql/winthor/` is complete SQL
//! and says in comments what may be left out or repeated:
//!
//! | mark | meaning |
//! |---|---|
//! | `/*o*/` | the owner's name and a point, where one is configured |
//! | `/*=name*/?` | a value, or one of several |
//! | `/*each*/ … /*,*/` | repeated for each value of the name inside, with commas between |
//! | `/*if name*/ … /*end*/` | left out where the caller does not ask for it |
//! | `/*swap name*/ … /*end*/` | a fragment of our own in place of what stands there |
//!
//! Nothing else ever enters a statement: values are bound, names in fragments were checked by the configuration.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapters::odbc::values::TIMESTAMP;
use crate::config::winthor_sql::{Available, WinthorSqlConfig, WinthorStatement};

/// Words that no reading needs and that write, lock or run something else.
const FORBIDDEN: [&str; 21] = [
    "INTO", "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP", "GRANT",
    "REVOKE", "EXEC", "EXECUTE", "CALL", "DECLARE", "BEGIN", "LOCK", "COMMIT", "ROLLBACK", "COPY",
    "LOAD",
];

/// Returns the text that is compiled in.
pub fn text(statement: WinthorStatement) -> &'static str {
    match statement {
        WinthorStatement::Page => include_str!("../../../sql/winthor/page.sql"),
        WinthorStatement::Stock => include_str!("../../../sql/winthor/stock.sql"),
        WinthorStatement::Packagings => include_str!("../../../sql/winthor/packagings.sql"),
        WinthorStatement::BarCodes => include_str!("../../../sql/winthor/bar_codes.sql"),
        WinthorStatement::Changed => include_str!("../../../sql/winthor/changed.sql"),
        WinthorStatement::Watermark => include_str!("../../../sql/winthor/watermark.sql"),
        WinthorStatement::Clock => include_str!("../../../sql/winthor/clock.sql"),
        WinthorStatement::Orders => include_str!("../../../sql/winthor/orders.sql"),
        WinthorStatement::Sample => include_str!("../../../sql/winthor/sample.sql"),
        WinthorStatement::Branches => include_str!("../../../sql/winthor/branches.sql"),
    }
}

/// Names of values that a statement may use.
fn values_of(statement: WinthorStatement) -> &'static [&'static str] {
    match statement {
        WinthorStatement::Page => &[
            "letter",
            "branch",
            "product",
            "category",
            "subcategory",
            "section",
            "department",
            "provider",
            "type",
            "since",
            "after",
            "upto",
        ],
        WinthorStatement::Stock => &[
            "letter",
            "branch",
            "product",
            "category",
            "subcategory",
            "section",
            "department",
            "provider",
            "type",
        ],
        WinthorStatement::Packagings => &["branch", "product"],
        WinthorStatement::BarCodes => &["branch", "bar_code"],
        WinthorStatement::Changed => &["branch", "since"],
        WinthorStatement::Watermark => &["branch", "until"],
        WinthorStatement::Clock => &[],
        WinthorStatement::Orders => &["order"],
        WinthorStatement::Sample => &["letter", "branch", "upto"],
        WinthorStatement::Branches => &["branch"],
    }
}

/// Names of conditions that are not also values.
const SWITCHES: [&str; 5] = [
    "web",
    "resale",
    "not_resale",
    "packagings_for_ecommerce",
    "packagings_active",
];

/// What a statement is filled with.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    values: BTreeMap<&'static str, Vec<String>>,
    instants: BTreeSet<&'static str>,
    switches: BTreeSet<&'static str>,
    fragments: BTreeMap<&'static str, String>,
}

impl Slots {
    /// Adds a value, or several; none at all means that the condition on it is left out.
    pub fn values(mut self, name: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        self.values.insert(name, values.into_iter().collect());
        self
    }

    /// Adds an instant (`YYYY-MM-DD HH:MM:SS`), which is bound as a timestamp.
    pub fn instant(mut self, name: &'static str, instant: String) -> Self {
        self.instants.insert(name);
        self.values(name, [instant])
    }

    /// Turns a condition on or off.
    pub fn switch(mut self, name: &'static str, on: bool) -> Self {
        if on {
            self.switches.insert(name);
        }
        self
    }

    /// Gives a fragment in place of what stands in the text.
    pub fn fragment(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.fragments.insert(name, text.into());
        self
    }

    fn has(&self, name: &str) -> bool {
        self.switches.contains(name) || self.values.get(name).is_some_and(|v| !v.is_empty())
    }
}

/// The expression for the available stock of the row `e` of `PCEST`, as configured.
pub fn available(config: &WinthorSqlConfig) -> String {
    match config.available {
        Available::Package => package(config),
        Available::FormulaA => {
            "COALESCE(e.qtestger, 0) - COALESCE(e.qtreserv, 0) - COALESCE(e.qtbloqueada, 0)".into()
        }
        Available::FormulaB => {
            "COALESCE(e.qtestger, 0) - COALESCE(e.qtreserv, 0) - COALESCE(e.qtbloqueada, 0) - \
             COALESCE(e.qtpendente, 0)"
                .into()
        }
    }
}

/// The expression for what the package says of the row `e` of `PCEST`.
pub fn package(config: &WinthorSqlConfig) -> String {
    let function = &config.function;
    format!("/*o*/{function}(e.codprod, e.codfilial, CAST(/*=letter*/? AS VARCHAR(3)))")
}

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Owner,
    Value(String),
    Each(Vec<Self>),
    If(String, Vec<Self>),
    Swap(String, Vec<Self>),
}

/// A statement that was taken apart and found to read only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    parts: Vec<Part>,
}

impl Statement {
    /// Takes a text apart.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with the text.
    pub fn parse(statement: WinthorStatement, text: &str) -> Result<Self, String> {
        check(text)?;
        let mut reader = Reader { rest: text };
        let parts = reader.parts(None)?;
        names(&parts, values_of(statement))?;
        Ok(Self { parts })
    }

    /// Returns the text and its values in the order of their marks.
    ///
    /// # Errors
    ///
    /// A sentence, where a value is asked for that the caller does not have.
    pub fn render(&self, owner: &str, slots: &Slots) -> Result<(String, Vec<String>), String> {
        let mut out = Out {
            owner,
            slots,
            text: String::new(),
            values: Vec::new(),
        };
        out.parts(&self.parts, 0)?;
        // Nothing hangs on the layout, and drivers have been seen to look for marks in comments.
        let words: Vec<&str> = out.text.split_whitespace().collect();
        Ok((words.join(" "), out.values))
    }
}

struct Out<'a> {
    owner: &'a str,
    slots: &'a Slots,
    text: String,
    values: Vec<String>,
}

impl Out<'_> {
    fn parts(&mut self, parts: &[Part], nth: usize) -> Result<(), String> {
        for part in parts {
            match part {
                Part::Text(text) => self.text.push_str(text),
                Part::Owner if self.owner.is_empty() => {}
                Part::Owner => {
                    self.text.push_str(self.owner);
                    self.text.push('.');
                }
                Part::Value(name) => self.value(name, nth)?,
                Part::Each(inner) => self.each(inner)?,
                Part::If(name, inner) if self.slots.has(name) => self.parts(inner, nth)?,
                Part::If(..) => {}
                Part::Swap(name, inner) => match self.slots.fragments.get(name.as_str()) {
                    Some(fragment) => {
                        let swapped = Reader { rest: fragment }.parts(None)?;
                        self.parts(&swapped, nth)?;
                    }
                    None => self.parts(inner, nth)?,
                },
            }
        }
        Ok(())
    }

    fn value(&mut self, name: &str, nth: usize) -> Result<(), String> {
        let value = self
            .slots
            .values
            .get(name)
            .and_then(|values| values.get(nth));
        let value =
            value.ok_or_else(|| format!("asks for a value {name:?}, which there is not"))?;
        if self.slots.instants.contains(name) {
            self.text.push_str(TIMESTAMP);
        }
        self.text.push('?');
        self.values.push(value.clone());
        Ok(())
    }

    fn each(&mut self, inner: &[Part]) -> Result<(), String> {
        let name = inner.iter().find_map(|part| match part {
            Part::Value(name) => Some(name),
            Part::Text(_) | Part::Owner | Part::Each(_) | Part::If(..) | Part::Swap(..) => None,
        });
        let count = name.and_then(|name| self.slots.values.get(name.as_str()));
        let count = count.map_or(0, Vec::len);
        if count == 0 {
            return Err("repeats a part for each of no values".into());
        }
        for nth in 0..count {
            if nth > 0 {
                self.text.push_str(", ");
            }
            self.parts(inner, nth)?;
        }
        Ok(())
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Reads up to a closing mark, or to the end where none is awaited.
    fn parts(&mut self, closing: Option<&str>) -> Result<Vec<Part>, String> {
        let mut found = Vec::new();
        loop {
            let Some((text, mark)) = self.step()? else {
                found.push(Part::Text(std::mem::take(&mut self.rest).to_owned()));
                return match closing {
                    Some(mark) => Err(format!("lacks a mark /*{mark}*/")),
                    None => Ok(found),
                };
            };
            found.push(Part::Text(text));
            let Some(mark) = mark else { continue };
            let (word, name) = mark.split_once(' ').unwrap_or((&mark, ""));
            match word {
                _ if Some(mark.as_str()) == closing => return Ok(found),
                "o" => found.push(Part::Owner),
                "each" => found.push(Part::Each(self.parts(Some(","))?)),
                "if" => found.push(Part::If(name.to_owned(), self.parts(Some("end"))?)),
                "swap" => found.push(Part::Swap(name.to_owned(), self.parts(Some("end"))?)),
                "end" | "," => return Err(format!("has a mark /*{mark}*/ too many")),
                value if value.starts_with('=') => {
                    let after = self.rest.strip_prefix('?');
                    self.rest = after.ok_or_else(|| format!("has no ? after /*{value}*/"))?;
                    found.push(Part::Value(value[1..].to_owned()));
                }
                // Any other comment is for people.
                _ => {}
            }
        }
    }

    /// Returns the text before the next comment and what the comment says; hints to the optimiser are text.
    fn step(&mut self) -> Result<Option<(String, Option<String>)>, String> {
        let mut quoted = None;
        let mut at = 0;
        while let Some(c) = self.rest[at..].chars().next() {
            let here = &self.rest[at..];
            match quoted {
                Some(quote) if c == quote => quoted = None,
                Some(_) => {}
                None if c == '\'' || c == '"' => quoted = Some(c),
                None if here.starts_with("--") => {
                    let text = self.rest[..at].to_owned();
                    self.rest = here.split_once('\n').map_or("", |(_, rest)| rest);
                    return Ok(Some((text + "\n", None)));
                }
                None if here.starts_with("/*") && !here.starts_with("/*+") => {
                    let text = self.rest[..at].to_owned();
                    let (mark, rest) = here[2..].split_once("*/").ok_or("leaves a comment open")?;
                    self.rest = rest;
                    return Ok(Some((text, Some(mark.trim().to_owned()))));
                }
                None if c == '?' => return Err("has a ? without its /*=name*/".into()),
                None => {}
            }
            at += c.len_utf8();
        }
        if quoted.is_some() {
            return Err("leaves a quote open".into());
        }
        Ok(None)
    }
}

/// Every name is one that this statement is given.
fn names(parts: &[Part], values: &[&str]) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(_) | Part::Owner => {}
            Part::Value(name) if values.contains(&name.as_str()) => {}
            Part::Value(name) => return Err(format!("asks for {name:?}; it is given {values:?}")),
            Part::If(name, inner) => {
                if !values.contains(&name.as_str()) && !SWITCHES.contains(&name.as_str()) {
                    return Err(format!("has a condition {name:?} that nobody sets"));
                }
                names(inner, values)?;
            }
            Part::Each(inner) | Part::Swap(_, inner) => names(inner, values)?,
        }
    }
    Ok(())
}

/// Refuses what could write or be more than one statement. A scan of words: it errs towards refusing.
fn check(text: &str) -> Result<(), String> {
    let mut bare = String::new();
    let mut reader = Reader { rest: text };
    // Comments are dropped; a value's mark stands for the value.
    while let Some((before, mark)) = reader.step()? {
        bare.push_str(&before);
        bare.push(' ');
        if mark.is_some_and(|mark| mark.starts_with('=')) {
            reader.rest = reader.rest.strip_prefix('?').unwrap_or(reader.rest);
        }
    }
    bare.push_str(reader.rest);
    let mut quoted = None;
    let outside: String = bare
        .chars()
        .map(|c| match quoted {
            Some(quote) if c == quote => {
                quoted = None;
                ' '
            }
            Some(_) => ' ',
            None if c == '\'' || c == '"' => {
                quoted = Some(c);
                ' '
            }
            None => c,
        })
        .collect();
    if outside.contains(';') {
        return Err("must be one statement, without a semicolon".into());
    }
    let words = outside.split(|c: char| !(c.is_alphanumeric() || "_$#".contains(c)));
    let words: Vec<String> = words
        .filter(|w| !w.is_empty())
        .map(str::to_uppercase)
        .collect();
    match words.first().map(String::as_str) {
        Some("SELECT" | "WITH") => {}
        Some(_) | None => return Err("must begin with SELECT or WITH".into()),
    }
    match words.iter().find(|word| FORBIDDEN.contains(&word.as_str())) {
        Some(word) => Err(format!("must only read, and holds {word}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> WinthorSqlConfig {
        toml::from_str(text).unwrap()
    }

    fn parsed(statement: WinthorStatement) -> Statement {
        Statement::parse(statement, text(statement)).unwrap()
    }

    fn two() -> [String; 2] {
        ["1", "2"].map(String::from)
    }

    #[test]
    fn every_text_is_a_reading_whose_names_are_known() {
        for statement in WinthorStatement::ALL {
            let text = text(statement);
            let found = Statement::parse(statement, text);
            assert!(found.is_ok(), "{statement}: {found:?}");
        }
    }

    #[test]
    fn values_stand_in_the_order_of_their_marks() {
        let slots = Slots::default()
            .values("branch", two())
            .values("product", ["7".to_owned()])
            .values("letter", ["V".to_owned()])
            .fragment("available", available(&config("dbq = \"X\"")));
        let (text, values) = parsed(WinthorStatement::Stock)
            .render("WINT", &slots)
            .unwrap();
        assert_eq!(values, ["V", "1", "2", "7"]);
        assert_eq!(text.matches('?').count(), 4);
        assert!(
            text.contains("WINT.PKG_ESTOQUE.ESTOQUE_DISPONIVEL("),
            "{text}"
        );
        assert!(text.contains("FROM WINT.pcest e"), "{text}");
        assert!(!text.contains("/*") && !text.contains("--") && !text.contains("enviaecommerce"));
    }

    #[test]
    fn formulas_take_no_letter_and_are_chosen_by_name() {
        let slots = |available_as: &str| {
            let config = config(&format!("dbq = \"X\"\navailable = \"{available_as}\""));
            let slots = Slots::default().values("branch", two());
            slots.fragment("available", available(&config))
        };
        let render = |name| {
            parsed(WinthorStatement::Stock)
                .render("", &slots(name))
                .unwrap()
                .0
        };
        let (a, b) = (render("formula-a"), render("formula-b"));
        assert!(
            a.contains("qtbloqueada")
                && !a.contains("qtpendente")
                && !a.contains("estoque_disponivel")
        );
        assert!(b.contains("qtpendente"));
        let package = parsed(WinthorStatement::Stock).render("", &slots("package"));
        assert!(package.unwrap_err().contains("letter"));
    }

    #[test]
    fn an_instant_is_marked_and_a_condition_not_asked_for_is_gone() {
        let slots = Slots::default()
            .values("branch", two())
            .instant("since", "2026-01-31 00:00:00".into());
        let (text, values) = parsed(WinthorStatement::Changed)
            .render("", &slots)
            .unwrap();
        assert_eq!(text.matches("/*timestamp*/?").count(), 2);
        assert_eq!(values.len(), 4);
    }

    #[test]
    fn a_text_that_could_do_more_is_refused() {
        for (text, told) in [
            ("", "begin with"),
            ("DELETE FROM pcest", "begin with"),
            ("SELECT 1 FROM pcest FOR UPDATE", "UPDATE"),
            ("SELECT 1 FROM pcest; SELECT 2 FROM pcest", "semicolon"),
            ("SELECT 1 FROM pcest WHERE a = ?", "without its"),
            ("SELECT 1 FROM pcest WHERE a = /*=nobody*/?", "it is given"),
            (
                "SELECT 1 FROM pcest /*if nobody*/ WHERE 1 = 1 /*end*/",
                "nobody sets",
            ),
            ("SELECT 1 FROM pcest /*if web*/ WHERE 1 = 1", "lacks a mark"),
            ("SELECT 1 FROM pcest /*end*/", "too many"),
            ("SELECT 1 FROM pcest WHERE a = /*=branch*/ 1", "no ? after"),
            ("SELECT 'x FROM pcest", "quote open"),
            ("SELECT 1 /* x", "comment open"),
        ] {
            let err = Statement::parse(WinthorStatement::Stock, text).unwrap_err();
            assert!(err.contains(told), "{text}: {err}");
        }
        for text in [
            "-- DELETE; ?\nSELECT ';INTO?', /* UPDATE ? */ 1 FROM pcest",
            "WITH x AS (SELECT 1 a FROM pcest) SELECT /*+ FIRST_ROWS */ a FROM x",
        ] {
            let found = Statement::parse(WinthorStatement::Stock, text);
            assert!(found.is_ok(), "{text}: {found:?}");
        }
    }
}

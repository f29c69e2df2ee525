//! The statements that are sent to the ERP's SQL Server, by name, and what a text of the operator's own must look like
//! to take the place of one.
//!
//! No parser of T-SQL is at hand, so this is a scan of words and brackets: it refuses what could write or run something
//! else, counts values and columns, and errs towards refusing. The server and `doctor` have the last word.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The longest text of a statement, in bytes.
const MOST_BYTES: u64 = 64 * 1024;
/// What begins the part of a statement that is repeated for each variant.
pub const EACH: &str = "/*each*/";
/// What ends it.
pub const OR: &str = "/*or*/";

/// Words that no reading needs and that write, run or open something else.
const FORBIDDEN: [&str; 24] = [
    "INTO",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "TRUNCATE",
    "CREATE",
    "ALTER",
    "DROP",
    "GRANT",
    "REVOKE",
    "DENY",
    "EXEC",
    "EXECUTE",
    "CALL",
    "DECLARE",
    "SET",
    "USE",
    "BEGIN",
    "BACKUP",
    "OPENROWSET",
    "OPENQUERY",
    "OPENDATASOURCE",
    "GO",
];

/// A statement that can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Statement {
    /// The databases of the server, with their state.
    Bases,
    /// Whether the login could write.
    CanWrite,
    /// The server's clock.
    Clock,
    /// Stock of some variants of a base.
    StockMany,
    /// Stock of a whole base.
    StockAll,
    /// Variants changed since an instant.
    StockChanged,
    /// The bar codes of a variant.
    Barcodes,
    /// The variant of a bar code.
    Barcode,
    /// Movements that bear a text.
    MovementsText,
    /// Movements of a day.
    MovementsDay,
    /// Sales documents that bear an order's id.
    Sales,
}

impl Statement {
    /// All statements.
    pub const ALL: [Self; 11] = [
        Self::Bases,
        Self::CanWrite,
        Self::Clock,
        Self::StockMany,
        Self::StockAll,
        Self::StockChanged,
        Self::Barcodes,
        Self::Barcode,
        Self::MovementsText,
        Self::MovementsDay,
        Self::Sales,
    ];

    /// Returns its key in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bases => "bases",
            Self::CanWrite => "can_write",
            Self::Clock => "clock",
            Self::StockMany => "stock_many",
            Self::StockAll => "stock_all",
            Self::StockChanged => "stock_changed",
            Self::Barcodes => "barcodes",
            Self::Barcode => "barcode",
            Self::MovementsText => "movements_text",
            Self::MovementsDay => "movements_day",
            Self::Sales => "sales",
        }
    }

    /// Returns how many values it takes, for one variant where it is repeated for each.
    pub fn values(self) -> usize {
        match self {
            Self::Bases | Self::CanWrite | Self::Clock | Self::StockAll => 0,
            Self::Barcode | Self::Sales => 1,
            Self::MovementsText | Self::MovementsDay => 2,
            Self::StockMany | Self::StockChanged | Self::Barcodes => 3,
        }
    }

    /// Returns how many columns it gives.
    pub fn columns(self) -> usize {
        match self {
            Self::CanWrite | Self::Clock => 1,
            Self::Bases | Self::Barcodes | Self::Sales => 2,
            Self::StockChanged => 3,
            Self::StockMany | Self::StockAll | Self::Barcode => 4,
            Self::MovementsText | Self::MovementsDay => 13,
        }
    }

    /// Checks a text that is to take its place.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with the text.
    pub fn check(self, text: &str) -> Result<(), String> {
        let words = words(text)?;
        match words.first().map(|word| word.text.as_str()) {
            Some("SELECT" | "WITH") => {}
            Some(_) | None => return Err("must begin with SELECT or WITH".into()),
        }
        if let Some(word) = words.iter().find(|w| FORBIDDEN.contains(&w.text.as_str())) {
            return Err(format!("must only read, and holds {}", word.text));
        }
        one_select(&words)?;
        let n_values = words.iter().filter(|word| word.text == "?").count();
        if n_values != self.values() {
            let wanted = self.values();
            return Err(format!("takes {n_values} values (?), {wanted} are given"));
        }
        self.check_marks(text)?;
        let n_columns = columns(&words)?;
        if n_columns != self.columns() {
            let wanted = self.columns();
            return Err(format!("gives {n_columns} columns, {wanted} are read"));
        }
        Ok(())
    }

    /// The marks of the repeated part hold all the values, or are not there.
    fn check_marks(self, text: &str) -> Result<(), String> {
        if self != Self::StockMany || (!text.contains(EACH) && !text.contains(OR)) {
            return Ok(());
        }
        let between = text
            .split_once(EACH)
            .and_then(|(_, rest)| rest.split_once(OR))
            .map(|(between, _)| between);
        let marked = match between {
            Some(between) => words(between)?.iter().filter(|w| w.text == "?").count(),
            None => 0,
        };
        if marked == self.values() {
            return Ok(());
        }
        Err(format!(
            "must have its {} values between {EACH} and {OR}, once each, or no such marks",
            self.values()
        ))
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads and checks the operator's own statements.
///
/// # Errors
///
/// A sentence that names the key, the file and what is wrong with it.
pub fn read(paths: &BTreeMap<Statement, PathBuf>) -> Result<BTreeMap<Statement, String>, String> {
    let mut texts = BTreeMap::new();
    for (statement, path) in paths {
        let fail = |why: String| {
            let path = path.display();
            format!("erp.dragonfish.sql.statements.{statement}: {path}: {why}")
        };
        let text = text_of(path).map_err(fail)?;
        statement.check(&text).map_err(fail)?;
        texts.insert(*statement, text);
    }
    Ok(texts)
}

/// Reads the text of an operator's own statement.
pub(super) fn text_of(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|err| err.to_string())?;
    file.take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|err| err.to_string())?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MOST_BYTES {
        return Err(format!("is longer than {MOST_BYTES} bytes"));
    }
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// A word or a sign of a statement, in upper case, with the number of brackets around it.
struct Word {
    text: String,
    depth: usize,
}

/// Takes a statement apart; comments are dropped, and what stands in quotes or square brackets is one word.
fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").ok_or("leaves a comment open")? + 2
        } else if let '\'' | '"' | '[' = c {
            let end = if c == '[' { ']' } else { c };
            let after = rest.get(1..).unwrap_or_default();
            let length = after.find(end).ok_or("leaves a quote open")? + 2;
            // A quoted word is no keyword, whatever it says; a doubled quote only makes two of them.
            found.push(Word {
                text: "'".into(),
                depth,
            });
            length
        } else if c.is_alphanumeric() || "_@#$".contains(c) {
            let part = |c: char| !(c.is_alphanumeric() || "_@#$".contains(c));
            rest.find(part).unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        rest = after;
        if word.starts_with("--") || word.starts_with("/*") || word.starts_with(['\'', '"', '[']) {
            continue;
        }
        match c {
            ')' => depth = depth.checked_sub(1).ok_or("closes a bracket too many")?,
            c if c.is_whitespace() => continue,
            _ => {}
        }
        found.push(Word {
            text: word.to_uppercase(),
            depth,
        });
        if c == '(' {
            depth += 1;
        }
    }
    if depth > 0 {
        return Err("leaves a bracket open".into());
    }
    Ok(found)
}

/// Refuses a second statement: T-SQL needs no semicolon between two.
fn one_select(words: &[Word]) -> Result<(), String> {
    let semicolon = words.iter().position(|word| word.text == ";");
    if semicolon.is_some_and(|at| words[at..].iter().any(|word| word.text != ";")) {
        return Err("must be one statement".into());
    }
    let joined = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| words.get(at));
        before.is_some_and(|w| matches!(w.text.as_str(), "UNION" | "ALL" | "EXCEPT" | "INTERSECT"))
    };
    let selects = words
        .iter()
        .enumerate()
        .filter(|(at, word)| word.depth == 0 && word.text == "SELECT" && !joined(*at));
    match selects.count() {
        1 => Ok(()),
        0 => Err("has no SELECT of its own".into()),
        _ => Err("must be one statement".into()),
    }
}

/// Counts the columns of the outer SELECT.
fn columns(words: &[Word]) -> Result<usize, String> {
    let outer = |word: &&Word| word.depth == 0;
    let list: Vec<_> = words
        .iter()
        .filter(outer)
        .skip_while(|word| word.text != "SELECT")
        .skip(1)
        .take_while(|word| word.text != "FROM" && word.text != "UNION")
        .collect();
    let star = |at: usize| match at.checked_sub(1).map(|before| list[before].text.as_str()) {
        None => true,
        Some(before) => matches!(before, "," | "." | "DISTINCT" | "ALL"),
    };
    if (0..list.len()).any(|at| list[at].text == "*" && star(at)) {
        return Err("must name its columns, not say *".into());
    }
    if list.is_empty() {
        return Err("names no column".into());
    }
    Ok(list.iter().filter(|word| word.text == ",").count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(statement: Statement, text: &str) -> String {
        statement.check(text).unwrap_err()
    }

    #[test]
    fn a_reading_of_the_right_shape_is_taken() {
        for text in [
            "SELECT A, B, C, D FROM T",
            "-- why; DELETE\nWITH X AS (SELECT 1 AS A)\nSELECT A, [drop;], (SELECT MAX(Z) FROM Y), 'it''s; INTO' FROM X;",
            "select a, b, c, sum(d) from t group by a, b, c UNION ALL SELECT 1, 2, 3, 4",
            "SELECT A * 2, COUNT(*), C, D FROM T",
        ] {
            assert_eq!(Statement::StockAll.check(text), Ok(()), "{text}");
        }
        let many = "SELECT A, B, C, D FROM T WHERE A = ? AND B = ? AND C = ?";
        assert_eq!(Statement::StockMany.check(many), Ok(()));
    }

    #[test]
    fn what_could_write_or_is_not_one_reading_is_refused() {
        for (text, told) in [
            ("", "begin with"),
            ("UPDATE T SET A = 1", "begin with"),
            ("SELECT A, B, C, D INTO X FROM T", "INTO"),
            ("SELECT A, B, C, D FROM T DELETE FROM T", "DELETE"),
            ("SELECT A, B, C, D FROM T; SELECT 1", "one statement"),
            ("SELECT A, B, C, D FROM T SELECT 1", "one statement"),
            ("WITH X AS (SELECT 1 AS A) DELETE FROM X", "DELETE"),
            ("SELECT A, B, C, D FROM OPENQUERY(S, 'x')", "OPENQUERY"),
            ("SELECT * FROM T", "not say *"),
            ("SELECT T.*, A, B, C FROM T", "not say *"),
            ("SELECT A, B, C FROM T", "gives 3 columns"),
            ("SELECT A, B, C, D FROM T WHERE A = ?", "takes 1 values"),
            ("SELECT A, B, C, D FROM T WHERE (A = 1", "bracket open"),
            ("SELECT A, B, C, 'D FROM T", "quote open"),
            ("SELECT A, B, C, D FROM T /* x", "comment open"),
        ] {
            let reason = why(Statement::StockAll, text);
            assert!(reason.contains(told), "{text}: {reason}");
        }
        let half = "SELECT A, B, C, D FROM T WHERE A = ? AND /*each*/ (B = ? AND C = ?) /*or*/";
        assert!(why(Statement::StockMany, half).contains("between"));
    }

    #[test]
    fn names_round_trip() {
        for statement in Statement::ALL {
            let text = format!("{statement} = \"x.sql\"");
            let read: BTreeMap<Statement, PathBuf> = toml::from_str(&text).unwrap();
            assert_eq!(read.keys().next(), Some(&statement));
        }
    }
}

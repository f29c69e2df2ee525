//! WinThor's database: the section `[erp.winthor.sql]`, what is wrong with it, and the operator's own statements.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::config::secret::SecretSource;
use crate::config::span::Span;
use crate::config::statements::text_of;
use crate::domain::ids::BaseCode;
use crate::domain::qty::Qty;

/// Decimals of a percentage: with the eight of a stock column they stay within what the partition looks at.
const PERCENT_DECIMALS: u32 = 2;

/// An Oracle database reached over ODBC, with a login that can only read.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WinthorSqlConfig {
    /// The driver's registered name, or the absolute path of its library.
    #[serde(default = "driver")]
    pub driver: String,
    /// A TNS name, or `//host:1521/service`.
    #[serde(default)]
    pub dbq: String,
    /// A login of the database.
    #[serde(default)]
    pub user: String,
    /// Its password.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// Bytes that the driver fetches at once (`FBS`).
    #[serde(default = "fetch_buffer")]
    pub fetch_buffer: u32,
    /// A whole connection string in place of driver, dbq and fetch_buffer, without a password.
    #[serde(default)]
    pub connection_string: Option<String>,
    /// The owner of tables and package, where the login is another; may be empty.
    #[serde(default)]
    pub owner: String,
    /// Which figure is the available stock.
    #[serde(default)]
    pub available: Available,
    /// The function of the package.
    #[serde(default = "function")]
    pub function: String,
    /// What the function is given as its third argument.
    #[serde(default = "letter")]
    pub package_letter: String,
    /// Per branch, how many percent of its available stock the store may offer (parameter 2829); 100 where not named.
    #[serde(default)]
    pub ecommerce_percent: BTreeMap<BaseCode, Qty>,
    /// Take only packagings that are flagged for e-commerce themselves.
    #[serde(default)]
    pub packagings_for_ecommerce: bool,
    /// Take no packaging that has a date of inactivation.
    #[serde(default)]
    pub packagings_active: bool,
    /// The column of `PCPEDC` that holds the store's order id.
    #[serde(default = "order_column")]
    pub order_column: String,
    /// Positions (`POSICAO`) in which the available stock excludes an order's units.
    #[serde(default = "reserving")]
    pub reserving_positions: Vec<String>,
    /// Ask what changed since the last run, and publish that first.
    #[serde(default = "yes")]
    pub changes: bool,
    /// How much of the past is asked for again, because transactions end late.
    #[serde(default = "overlap")]
    pub changes_overlap: Span,
    /// Which clock says where the next reading of changes begins.
    #[serde(default)]
    pub changes_clock: ChangesClock,
    /// Time to connect.
    #[serde(default = "connect")]
    pub connect_timeout: Span,
    /// Time to the first rows of a statement, and from one bunch of rows to the next.
    #[serde(default = "silence")]
    pub statement_timeout: Span,
    /// Time for a whole statement.
    #[serde(default = "total")]
    pub total_timeout: Span,
    /// Files whose statements take the place of those compiled in, by name.
    #[serde(default)]
    pub statements: BTreeMap<WinthorStatement, PathBuf>,
}

/// Which figure is the available stock. One is never taken in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Available {
    /// What the ERP's own function says.
    #[default]
    Package,
    /// `QTESTGER - QTRESERV - QTBLOQUEADA`.
    FormulaA,
    /// The same, less `QTPENDENTE`.
    FormulaB,
}

/// Which clock says where the next reading of changes begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangesClock {
    /// The latest change that any row bears.
    #[default]
    Rows,
    /// The session's clock in the database, whose zone must be that of the rows.
    Session,
}

/// A statement that can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WinthorStatement {
    /// One page of available stock.
    Page,
    /// Stock of some products, or of all.
    Stock,
    /// Packagings of some products, or of all.
    Packagings,
    /// The products of some bar codes.
    BarCodes,
    /// Products that changed since an instant.
    Changed,
    /// The latest change of any row.
    Watermark,
    /// The database's clock.
    Clock,
    /// The store's orders, as the ERP holds them.
    Orders,
    /// The package beside the formulas, for a few rows.
    Sample,
    /// Branches by name.
    Branches,
}

impl WinthorStatement {
    /// All statements.
    pub const ALL: [Self; 10] = [
        Self::Page,
        Self::Stock,
        Self::Packagings,
        Self::BarCodes,
        Self::Changed,
        Self::Watermark,
        Self::Clock,
        Self::Orders,
        Self::Sample,
        Self::Branches,
    ];

    /// Returns its key in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Stock => "stock",
            Self::Packagings => "packagings",
            Self::BarCodes => "bar_codes",
            Self::Changed => "changed",
            Self::Watermark => "watermark",
            Self::Clock => "clock",
            Self::Orders => "orders",
            Self::Sample => "sample",
            Self::Branches => "branches",
        }
    }
}

impl fmt::Display for WinthorStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a key, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key within the section.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: String,
}

impl WinthorSqlConfig {
    /// Returns what is wrong with the section.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut fail = |key: &str, problem: &str, hint: &str| {
            found.push(Problem {
                key: key.to_owned(),
                problem: problem.to_owned(),
                hint: hint.to_owned(),
            });
        };
        if self.connection_string.is_none() && self.dbq.trim().is_empty() {
            fail(
                "dbq",
                "is missing",
                "give a TNS name or //host:1521/service",
            );
        }
        if self.user.is_empty() != self.password.is_none() {
            fail(
                "password",
                "goes with user, and user with password",
                "give both, or neither where the driver logs in by itself",
            );
        }
        for (key, name) in [
            ("owner", &self.owner),
            ("function", &self.function),
            ("order_column", &self.order_column),
        ] {
            let may_be_empty = key == "owner" && name.is_empty();
            if !may_be_empty && !is_name(name) {
                fail(
                    key,
                    "is not a name",
                    "use letters, digits, _ $ # and points between names",
                );
            }
        }
        if !is_letter(&self.package_letter) {
            fail(
                "package_letter",
                "must be 1 to 3 letters",
                "the default is V",
            );
        }
        for (branch, percent) in &self.ecommerce_percent {
            if !is_percent(*percent) {
                fail(
                    &format!("ecommerce_percent.{branch}"),
                    "must be from 0 to 100 with at most two decimals",
                    "write it as text, such as \"80\" or \"12.5\"",
                );
            }
        }
        let positions = &self.reserving_positions;
        if positions.is_empty() || positions.iter().any(|p| !is_letter(p)) {
            fail(
                "reserving_positions",
                "must be letters of POSICAO",
                "the default is [\"L\", \"M\", \"F\"]",
            );
        }
        if self.reserving_positions.iter().any(|p| p == "C") {
            fail(
                "reserving_positions",
                "must not have C: a canceled order reserves nothing",
                "take C out",
            );
        }
        if self.changes_overlap > Span::hours(24) {
            fail(
                "changes_overlap",
                "must be at most 24h",
                "push.full_every finds everything else",
            );
        }
        found
    }
}

/// Tells whether a text can stand for a name in a statement: parts of letters, digits, `_`, `$` and `#`, with points
/// between them.
fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        part.len() <= 30
            && part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_$#".contains(c))
    };
    text.len() <= 92 && text.split('.').all(part)
}

fn is_letter(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn is_percent(percent: Qty) -> bool {
    let value = percent.decimal();
    value >= Decimal::ZERO && value <= Decimal::ONE_HUNDRED && value.scale() <= PERCENT_DECIMALS
}

/// Reads the operator's own statements; what they say is for the adapter to check.
///
/// # Errors
///
/// A sentence that names the key, the file and what is wrong with it.
pub fn read(
    paths: &BTreeMap<WinthorStatement, PathBuf>,
) -> Result<BTreeMap<WinthorStatement, String>, String> {
    let mut texts = BTreeMap::new();
    for (statement, path) in paths {
        let fail = |why: String| {
            let path = path.display();
            format!("erp.winthor.sql.statements.{statement}: {path}: {why}")
        };
        texts.insert(*statement, text_of(path).map_err(fail)?);
    }
    Ok(texts)
}

fn yes() -> bool {
    true
}

fn driver() -> String {
    "Oracle 19 ODBC driver".into()
}

fn fetch_buffer() -> u32 {
    60_000
}

fn function() -> String {
    "PKG_ESTOQUE.ESTOQUE_DISPONIVEL".into()
}

fn letter() -> String {
    "V".into()
}

fn order_column() -> String {
    // Unverified: which column a given integration fills; this one is text of 150 characters.
    "NUMPEDMKTPLACE".into()
}

fn reserving() -> Vec<String> {
    // Unverified: whether a blocked order (B) reserves. Without it a blocked order is counted twice, which errs towards
    // fewer.
    ["L", "M", "F"].map(String::from).to_vec()
}

fn overlap() -> Span {
    Span::secs(300)
}

fn connect() -> Span {
    Span::secs(10)
}

fn silence() -> Span {
    Span::secs(60)
}

fn total() -> Span {
    Span::secs(600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let config: WinthorSqlConfig = toml::from_str(text).unwrap();
        config.problems().into_iter().map(|p| p.key).collect()
    }

    #[test]
    fn a_bare_section_is_sound_and_reads_the_package() {
        let text = "dbq = \"//erp:1521/WINT\"\nuser = \"reader\"\npassword = { env = \"P\" }\n";
        assert_eq!(keys(text), [] as [String; 0]);
        let config: WinthorSqlConfig = toml::from_str(text).unwrap();
        assert_eq!(config.available, Available::Package);
        assert_eq!(config.reserving_positions, ["L", "M", "F"]);
    }

    #[test]
    fn what_could_change_a_statement_is_refused() {
        let base = "dbq = \"X\"\n";
        for (line, key) in [
            ("owner = \"A; DROP\"", "owner"),
            ("owner = \"A.\"", "owner"),
            ("function = \"P.F(1)\"", "function"),
            ("function = \"\"", "function"),
            ("order_column = \"A B\"", "order_column"),
            ("package_letter = \"V'\"", "package_letter"),
            ("reserving_positions = [\"C\"]", "reserving_positions"),
            ("reserving_positions = []", "reserving_positions"),
            (
                "ecommerce_percent = { \"1\" = \"101\" }",
                "ecommerce_percent.1",
            ),
            (
                "ecommerce_percent = { \"1\" = \"0.125\" }",
                "ecommerce_percent.1",
            ),
            (
                "ecommerce_percent = { \"1\" = \"-1\" }",
                "ecommerce_percent.1",
            ),
            ("changes_overlap = \"2d\"", "changes_overlap"),
            ("user = \"reader\"", "password"),
        ] {
            assert_eq!(keys(&format!("{base}{line}\n")), [key], "{line}");
        }
        assert_eq!(keys(""), ["dbq"]);
        assert_eq!(
            keys("dbq = \"X\"\nowner = \"WINTHOR_$1#\"\n"),
            [] as [String; 0]
        );
    }

    #[test]
    fn statements_go_by_name() {
        for statement in WinthorStatement::ALL {
            let text = format!("{statement} = \"x.sql\"");
            let read: BTreeMap<WinthorStatement, PathBuf> = toml::from_str(&text).unwrap();
            assert_eq!(read.keys().next(), Some(&statement));
        }
        let missing = BTreeMap::from([(WinthorStatement::Stock, PathBuf::from("/no/such.sql"))]);
        let told = read(&missing).unwrap_err();
        assert!(
            told.starts_with("erp.winthor.sql.statements.stock: /no/such.sql"),
            "{told}"
        );
    }
}

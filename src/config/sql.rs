//! Stock by SQL Server: the section `[erp.dragonfish.sql]` and the keys that choose between the two roads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::secret::SecretSource;
use crate::config::span::Span;
use crate::config::statements::Statement;

/// Which road stock is read by. The second road is taken when the first fails, never because it answered zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StockRoad {
    /// The REST service.
    #[default]
    Api,
    /// The bases' tables.
    Sql,
    /// The service; the tables when it fails.
    ApiThenSql,
    /// The tables; the service when they fail.
    SqlThenApi,
    /// Both, compared; one alone when the other fails.
    Both,
}

/// What becomes of a variant of which two roads gave two figures. People are told in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDisagreement {
    /// Its number is not published until they agree.
    #[default]
    Hold,
    /// The service is right.
    Api,
    /// The tables are right.
    Sql,
}

/// When the tables are asked for movements besides the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Witness {
    /// Never.
    Never,
    /// When the service's own listing proves nothing.
    #[default]
    Doubt,
    /// Always: where the two differ, nothing follows.
    Always,
}

/// A SQL Server reached over ODBC, with a login that can only read.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// The driver's registered name, or the absolute path of its library.
    #[serde(default = "driver")]
    pub driver: String,
    /// `host`, `host\\instance` or `host,port`.
    #[serde(default)]
    pub server: String,
    /// A login of the server; without one the account of the process logs in (Windows, Kerberos).
    #[serde(default)]
    pub user: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// Require an encrypted connection.
    #[serde(default = "yes")]
    pub encrypt: bool,
    /// Accept any certificate.
    #[serde(default)]
    pub trust_server_certificate: bool,
    /// A whole connection string in place of the keys above, without a password.
    #[serde(default)]
    pub connection_string: Option<String>,
    /// Time to connect.
    #[serde(default = "connect")]
    pub connect_timeout: Span,
    /// Time to the first rows of a statement, and from one bunch of rows to the next.
    #[serde(default = "silence")]
    pub statement_timeout: Span,
    /// Databases of the product that are no bases, without their `DRAGONFISH_`.
    #[serde(default = "left_out")]
    pub left_out: Vec<String>,
    /// Ask what changed since the last run, and publish that first.
    #[serde(default = "yes")]
    pub changes: bool,
    /// How much of the past is asked for again, because clocks differ and transactions end late.
    #[serde(default = "overlap")]
    pub changes_overlap: Span,
    /// When the tables are asked for movements besides the service.
    #[serde(default)]
    pub movement_witness: Witness,
    /// Files whose statements take the place of those compiled in, by name.
    #[serde(default)]
    pub statements: BTreeMap<Statement, PathBuf>,
}

fn yes() -> bool {
    true
}

fn driver() -> String {
    "ODBC Driver 18 for SQL Server".into()
}

fn connect() -> Span {
    Span::secs(10)
}

fn silence() -> Span {
    Span::secs(30)
}

fn left_out() -> Vec<String> {
    vec!["ZOOLOGICMASTER".into(), "ADNIMPLANT".into()]
}

fn overlap() -> Span {
    Span::secs(600)
}

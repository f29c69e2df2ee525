//! The bases' own databases: one connection for each base, statements that only read, and nothing asked without the
//! gate's leave or past the run's deadline.
//!
//! A base that is offline or refuses is missing, never zero, and is spoken of once a run. Reading order: `statements`
//! (what is asked), `stock` (figures, and what changed), `papers` (movements, sales documents, bar codes), `checks`.

mod checks;
mod papers;
mod statements;
mod stock;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) use crate::adapters::dragonfish::sql::papers::chosen;
pub(super) use crate::adapters::dragonfish::sql::stock::may_fall_back;

use crate::adapters::dragonfish::sql::statements::query;
use crate::adapters::http::calls::Env;
use crate::adapters::odbc::connect::Target;
use crate::adapters::odbc::fault::{Fault, Kind};
use crate::adapters::odbc::gated::Gated;
use crate::adapters::odbc::link::{Limits, Link, Query, Rows};
use crate::config::sql::SqlConfig;
use crate::config::statements::Statement;
use crate::domain::ids::BaseCode;
use crate::domain::ports::PortResult;

/// What the name of a base's database begins with.
const PREFIX: &str = "DRAGONFISH_";
/// How often a base is connected to in a run: a worker left behind by a time-out stays until its driver returns.
const CONNECTIONS: u32 = 2;

/// What a [`Sql`] is made of.
pub(super) struct Parts<'a> {
    /// Its section of the configuration.
    pub(super) config: &'a SqlConfig,
    /// Where, and who logs in.
    pub(super) target: Target,
    /// The longest whole statement.
    pub(super) total: Duration,
    /// The operator's own statements.
    pub(super) statements: BTreeMap<Statement, String>,
    /// Clocks, the gate and the run's deadline.
    pub(super) env: Env<'a>,
    /// Bases that the configuration names, counted or blocked.
    pub(super) named: BTreeSet<BaseCode>,
    /// The service's offset from UTC, in which its rows say when they were entered.
    pub(super) offset_min: i64,
}

/// The bases behind a SQL Server.
pub(super) struct Sql<'a> {
    parts: Parts<'a>,
    gated: Gated<'a>,
    state: Mutex<State>,
}

/// What one run has learned so far.
#[derive(Default)]
struct State {
    /// The state of each database that can be a base, by name in upper case; `None` before the server was asked.
    bases: Option<BTreeMap<String, String>>,
    /// Bases that are online and that no key of the configuration names.
    unnamed: Vec<String>,
    links: BTreeMap<BaseCode, Link>,
    /// How often a base was connected to.
    opened: BTreeMap<BaseCode, u32>,
    /// Bases whose fault is on the log already.
    told: BTreeSet<BaseCode>,
}

impl State {
    /// Puts a base's fault on the log, once a run.
    fn tell(&mut self, base: &BaseCode, fault: &Fault) {
        if self.told.insert(base.clone()) {
            log::warn!("base {base} cannot be read by SQL: {fault}");
        }
    }
}

impl<'a> Sql<'a> {
    pub(super) fn new(parts: Parts<'a>) -> Self {
        let config = parts.config;
        let host = match parts.target.server.as_str() {
            "" => "sql server".to_owned(),
            server => format!("sql server {server}"),
        };
        let limits = Limits {
            connect: config.connect_timeout.duration(),
            silence: config.statement_timeout.duration(),
            total: parts.total,
        };
        Self {
            gated: Gated {
                env: parts.env,
                host,
                limits,
            },
            parts,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn query(&self, statement: Statement, values: Vec<String>) -> Query {
        query(&self.parts.statements, statement, values)
    }

    /// Asks the server once a run which bases it has: a wrong login shows here, before it is tried on every base.
    fn learn_bases(&self, state: &mut State) -> PortResult<()> {
        if state.bases.is_some() {
            return Ok(());
        }
        let mut bases = BTreeMap::new();
        let query = self.query(Statement::Bases, Vec::new());
        self.connect(None)
            .and_then(|link| {
                self.gated.call(|limits| {
                    link.query_within(query, limits, &mut |rows| {
                        for row in 0..rows.len() {
                            let cell =
                                |column| rows.cell(row, column).unwrap_or_default().to_uppercase();
                            bases.insert(cell(0), cell(1));
                        }
                    })
                })
            })
            .map_err(|fault| fault.port("list the bases by SQL"))?;
        let left_out = &self.parts.config.left_out;
        bases.retain(|name, _| {
            let code = name.strip_prefix(PREFIX);
            code.is_some_and(|code| !left_out.iter().any(|out| out.eq_ignore_ascii_case(code)))
        });
        let unnamed = bases
            .iter()
            .filter(|(_, state)| *state == "ONLINE")
            .filter_map(|(name, _)| name.strip_prefix(PREFIX))
            .filter(|code| !self.parts.named.iter().any(|base| base.as_str() == *code));
        state.unnamed = unnamed.map(str::to_owned).collect();
        if !state.unnamed.is_empty() {
            // Not counted: whose goods they are is for a person to say.
            log::warn!(
                "the server has bases that no warehouse names and that are not blocked: {}",
                state.unnamed.join(", ")
            );
        }
        state.bases = Some(bases);
        Ok(())
    }

    /// Runs one statement in a base.
    fn ask(
        &self,
        state: &mut State,
        base: &BaseCode,
        query: Query,
        take: &mut dyn FnMut(&Rows),
    ) -> Result<u64, Fault> {
        let link = self.link(state, base)?;
        let result = self
            .gated
            .call(|limits| link.query_within(query, limits, take));
        if result.as_ref().err().is_none_or(|f| !f.ends_connection()) {
            state.links.insert(base.clone(), link);
        }
        result
    }

    /// Returns the connection to a base, opened where there is none.
    fn link(&self, state: &mut State, base: &BaseCode) -> Result<Link, Fault> {
        let name = format!("{PREFIX}{base}").to_uppercase();
        match state.bases.as_ref().and_then(|bases| bases.get(&name)) {
            Some(online) if online == "ONLINE" => {}
            Some(other) => {
                return Err(Fault::new(Kind::Busy, format!("{name} is {other}")));
            }
            None => {
                let told = format!("the server shows no database {name} to this login");
                return Err(Fault::new(Kind::Refused, told));
            }
        }
        if let Some(link) = state.links.remove(base) {
            return Ok(link);
        }
        let opened = state.opened.entry(base.clone()).or_default();
        if *opened >= CONNECTIONS {
            let told = "its connection broke twice in this run";
            return Err(Fault::new(Kind::Broken, told));
        }
        *opened += 1;
        self.connect(Some(&name))
    }

    fn connect(&self, database: Option<&str>) -> Result<Link, Fault> {
        let connection = self.parts.target.string(database);
        let connection = connection.map_err(|why| Fault::new(Kind::Driver, why))?;
        self.gated.call(|limits| Link::open(connection, limits))
    }
}

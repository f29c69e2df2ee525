//! What `doctor` can tell of the bases behind the service.

use crate::adapters::dragonfish::code::Variant;
use crate::adapters::dragonfish::sql::statements::{anywhere, stock_of};
use crate::adapters::dragonfish::sql::{Sql, State};
use crate::adapters::odbc::fault::Fault;
use crate::adapters::odbc::link::Query;
use crate::config::statements::Statement;
use crate::domain::ids::BaseCode;
use crate::domain::ports::{Check, CheckOutcome};

/// A text that stands nowhere, in the form of our keys.
const NOWHERE: &str = "V1ZZZZZZZZZZZZZ";
/// A day on which nothing was ever booked; the first day of 1900 means "no day" there.
const LONG_AGO: &str = "1901-01-01T00:00:00";
/// A day on which nothing was booked yet.
const FAR_OFF: &str = "9990-01-01T00:00:00";

impl Sql<'_> {
    /// Asks each base that counts whether it can be read, and whether the login could write there, which it should not;
    /// then which bases nobody names, and whether every statement runs.
    pub(in crate::adapters::dragonfish) fn checks(&self, bases: &[BaseCode]) -> Vec<Check> {
        let name = "erp.sql";
        let mut state = self.state();
        if let Err(err) = self.learn_bases(&mut state) {
            return vec![Check::new(name, CheckOutcome::Fail, err.to_string())];
        }
        let mut checks: Vec<_> = bases
            .iter()
            .map(|base| self.base(&mut state, name, base))
            .collect();
        checks.push(unnamed(&state));
        let readable = bases
            .iter()
            .find(|base| state.links.contains_key(*base))
            .cloned();
        match readable {
            Some(base) => checks.extend(self.statements(&mut state, &base)),
            None => checks.push(Check::new(
                "erp.sql.statements",
                CheckOutcome::Skipped,
                "no base can be read",
            )),
        }
        checks
    }

    fn base(&self, state: &mut State, name: &str, base: &BaseCode) -> Check {
        let mut writes = None;
        let query = self.query(Statement::CanWrite, Vec::new());
        let asked = self.ask(state, base, query, &mut |rows| {
            writes = rows.cell(0, 0).map(|cell| cell != "0");
        });
        match (asked, writes) {
            (Err(fault), _) => {
                Check::new(name, CheckOutcome::Fail, format!("base {base}: {fault}"))
            }
            (Ok(_), Some(false)) => {
                Check::new(name, CheckOutcome::Ok, format!("base {base} can be read"))
            }
            (Ok(_), Some(true)) => Check::new(
                name,
                CheckOutcome::Warn,
                format!("the login can write to base {base}"),
            )
            .hint("give it db_datareader and nothing else"),
            (Ok(_), None) => Check::new(
                name,
                CheckOutcome::Fail,
                format!("base {base} has no ZooLogic.COMB for this login"),
            ),
        }
    }

    /// Runs every statement once with values that nothing answers to: tables, columns and permissions show.
    fn statements(&self, state: &mut State, base: &BaseCode) -> Vec<Check> {
        let name = "erp.sql.statements";
        let mut failed = Vec::new();
        let mut n_run = 0;
        for statement in Statement::ALL {
            for query in self.probes(statement) {
                match self.probe(state, base, statement, query) {
                    Ok(()) => n_run += 1,
                    Err(fault) => {
                        let told = format!("{statement} does not run in base {base}: {fault}");
                        let check = Check::new(name, CheckOutcome::Fail, told);
                        failed.push(check.hint(hint(statement)));
                    }
                }
            }
        }
        if failed.is_empty() {
            let own = self.parts.statements.len();
            let told = format!("{n_run} run in base {base}, {own} of them the configuration's own");
            failed.push(Check::new(name, CheckOutcome::Ok, told));
        }
        failed
    }

    /// Returns a statement with values that nothing answers to.
    fn probes(&self, statement: Statement) -> Vec<Query> {
        let one = |values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            vec![self.query(statement, values)]
        };
        let nowhere = anywhere(NOWHERE);
        match statement {
            // Asked before any base is.
            Statement::Bases | Statement::CanWrite => Vec::new(),
            Statement::StockChanged if !self.parts.config.changes => Vec::new(),
            Statement::StockAll | Statement::Clock => one(&[]),
            Statement::StockMany => Variant::new("-", "?", "?").map_or_else(
                |_| Vec::new(),
                |variant| stock_of(&self.parts.statements, &[variant], 1),
            ),
            Statement::StockChanged => one(&[FAR_OFF, FAR_OFF, "00:00:00"]),
            Statement::Barcodes => one(&["-", "?", "?"]),
            Statement::Barcode => one(&[NOWHERE]),
            Statement::MovementsText => one(&[&nowhere, &nowhere]),
            Statement::MovementsDay => one(&[LONG_AGO, LONG_AGO]),
            Statement::Sales => one(&[&nowhere]),
        }
    }

    fn probe(
        &self,
        state: &mut State,
        base: &BaseCode,
        statement: Statement,
        query: Query,
    ) -> Result<(), Fault> {
        if statement != Statement::StockAll {
            return self.ask(state, base, query, &mut |_| {}).map(drop);
        }
        // Its whole answer may be a million rows: the first ones are enough, on a connection that is given up.
        let connection = self.link(state, base)?;
        self.gated.call(|limits| connection.begin(query, limits))?;
        state.opened.remove(base);
        Ok(())
    }
}

fn hint(statement: Statement) -> String {
    match statement {
        Statement::StockChanged => {
            "set erp.dragonfish.sql.changes = false; push.full_every finds the changes".into()
        }
        Statement::MovementsText | Statement::MovementsDay => {
            "set erp.dragonfish.sql.movement_witness = \"never\", or give a statement of your own"
                .into()
        }
        Statement::Bases
        | Statement::CanWrite
        | Statement::Clock
        | Statement::StockMany
        | Statement::StockAll
        | Statement::Barcodes
        | Statement::Barcode
        | Statement::Sales => format!(
            "give a statement of your own: erp.dragonfish.sql.statements = {{ {statement} = \"file\" }}"
        ),
    }
}

/// Bases of the server that nobody names: goods that are sold nowhere, or a warehouse that lacks a shop.
fn unnamed(state: &State) -> Check {
    let name = "erp.sql.bases";
    if state.unnamed.is_empty() {
        let told = "every base of the server is counted or blocked";
        return Check::new(name, CheckOutcome::Ok, told);
    }
    let told = format!("not counted and not blocked: {}", state.unnamed.join(", "));
    Check::new(name, CheckOutcome::Warn, told).hint(
        "add each to a warehouse's bases, to erp.blocked_bases, or to erp.dragonfish.sql.left_out",
    )
}

//! What `doctor` asks WinThor's database: whether it answers, whether the branches are there, which figure the package's
//! is, whether every statement runs, and whether the store's orders can be looked for.

use crate::adapters::winthor::sql::WinthorSql;
use crate::adapters::winthor::sql_page::PAGE;
use crate::adapters::winthor::sql_rows::{BRANCH, NUMBER, PACKAGINGS, STOCK, TIME, number};
use crate::config::winthor_sql::{Available, ChangesClock, WinthorStatement};
use crate::domain::ids::OrderId;
use crate::domain::ports::{Check, CheckOutcome, Checks, OrderBook};
use crate::domain::qty::Qty;

/// Rows that the package and the formulas are compared on.
const SAMPLE: usize = 200;

/// An instant after which nothing has changed yet.
const LATE: &str = "2999-01-01 00:00:00";

/// How the figures of the sample compare.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sample {
    rows: u32,
    pending: u32,
    a: u32,
    b: u32,
    unreadable: u32,
}

impl Checks for WinthorSql<'_> {
    fn checks(&self) -> Vec<Check> {
        let mut found = Vec::new();
        match self.known_branches() {
            Err(fault) => {
                let check = Check::new("erp.sql", CheckOutcome::Fail, fault.to_string());
                return vec![check.hint("check driver, dbq, user and password")];
            }
            Ok((known, missing)) => {
                for branch in known {
                    let told = format!("branch {branch} can be read");
                    found.push(Check::new("erp.sql", CheckOutcome::Ok, told));
                }
                for why in missing.into_values() {
                    let check = Check::new("erp.sql", CheckOutcome::Fail, why);
                    found.push(check.hint("branches are text: 1 and 01 differ"));
                }
            }
        }
        found.push(self.check_statements());
        found.push(self.check_available());
        found.push(self.check_orders());
        found
    }
}

impl WinthorSql<'_> {
    /// Runs each statement that no other probe runs, with a product that nobody has.
    fn check_statements(&self) -> Check {
        let name = "erp.sql.statements";
        let nobody = || ["0".to_owned()];
        let slots = self
            .slots(&self.branches)
            .values("product", nobody())
            .values("bar_code", nobody())
            .values("after", nobody())
            .values("upto", nobody())
            .instant("since", LATE.to_owned())
            .instant("until", LATE.to_owned());
        let mut statements: Vec<(WinthorStatement, &[usize])> = vec![
            (WinthorStatement::Stock, &STOCK),
            (WinthorStatement::Packagings, &PACKAGINGS),
            (WinthorStatement::BarCodes, &[NUMBER, NUMBER]),
            (WinthorStatement::Page, &PAGE),
        ];
        if self.config.changes {
            statements.push((WinthorStatement::Changed, &[NUMBER, NUMBER]));
            statements.push(match self.config.changes_clock {
                ChangesClock::Rows => (WinthorStatement::Watermark, &[TIME]),
                ChangesClock::Session => (WinthorStatement::Clock, &[TIME]),
            });
        }
        let refused = |(statement, widths): &(WinthorStatement, &[usize])| {
            let asked = self.ask(*statement, &slots, widths, &mut |_| {});
            asked.err().map(|fault| fault.to_string())
        };
        let refused: Vec<String> = statements.iter().filter_map(refused).collect();
        if refused.is_empty() {
            let told = format!("{} statements run", statements.len());
            return Check::new(name, CheckOutcome::Ok, told);
        }
        Check::new(name, CheckOutcome::Fail, refused.join("; "))
            .hint("grant SELECT on the tables, set owner, or replace the statement (statements)")
    }

    fn check_available(&self) -> Check {
        let name = "erp.sql.available";
        let slots = self
            .slots(&self.branches)
            .values("upto", [SAMPLE.to_string()]);
        let widths = [BRANCH, NUMBER, NUMBER, NUMBER, NUMBER];
        let mut sample = Sample::default();
        let asked = self.ask(WinthorStatement::Sample, &slots, &widths, &mut |rows| {
            for row in 0..rows.len() {
                sample.take([2, 3, 4].map(|column| number(rows.cell(row, column))));
            }
        });
        let configured = self.config.available;
        if let Err(fault) = asked {
            let outcome = match configured {
                Available::Package => CheckOutcome::Fail,
                Available::FormulaA | Available::FormulaB => CheckOutcome::Warn,
            };
            let check = Check::new(
                name,
                outcome,
                format!("the package cannot be asked: {fault}"),
            );
            return check.hint(
                "grant EXECUTE on the package, set owner and function, or choose available = \"formula-a\"",
            );
        }
        let (outcome, hint) = sample.judge(configured);
        let check = Check::new(name, outcome, sample.to_string());
        match hint {
            Some(hint) => check.hint(hint),
            None => check,
        }
    }

    fn check_orders(&self) -> Check {
        let name = "erp.sql.orders";
        let asked = OrderId::parse("stockbridge-doctor").map(|order| self.held(&[order]));
        let column = &self.config.order_column;
        match asked {
            Ok(Ok(_)) => Check::new(
                name,
                CheckOutcome::Ok,
                format!("the store's orders can be looked for in {column}"),
            ),
            Ok(Err(err)) => Check::new(name, CheckOutcome::Fail, err.to_string())
                .hint("set order_column, or a statement of your own (statements.orders)"),
            Err(err) => Check::new(name, CheckOutcome::Fail, err.to_string()),
        }
    }
}

impl Sample {
    fn take(&mut self, figures: [Result<Qty, String>; 3]) {
        self.rows += 1;
        let [Ok(package), Ok(a), Ok(pending)] = figures else {
            self.unreadable += 1;
            return;
        };
        self.pending += u32::from(!pending.is_zero());
        self.a += u32::from(package == a);
        self.b += u32::from(package == a - pending);
    }

    /// Decides what the sample says about the configured figure.
    fn judge(&self, configured: Available) -> (CheckOutcome, Option<&'static str>) {
        if self.unreadable > 0 {
            let hint = "set NLS_LANG to an AMERICAN locale, so that numbers come with a point";
            return (CheckOutcome::Fail, Some(hint));
        }
        let agreeing = match configured {
            Available::Package => return (CheckOutcome::Ok, None),
            Available::FormulaA => self.a,
            Available::FormulaB => self.b,
        };
        if agreeing == self.rows {
            return (CheckOutcome::Ok, None);
        }
        let hint = "available = \"package\" asks the ERP itself";
        (CheckOutcome::Warn, Some(hint))
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            rows,
            pending,
            a,
            b,
            unreadable,
        } = self;
        write!(
            f,
            "of {rows} rows, {pending} with pending units, the package agrees with formula A in {a} and with B in {b}"
        )?;
        if *unreadable > 0 {
            write!(f, "; {unreadable} hold a number that cannot be read")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_that_differs_from_the_package_is_told() {
        let qty = |text: &str| number(Some(text));
        let mut sample = Sample::default();
        sample.take([qty("10"), qty("10"), qty("0")]);
        sample.take([qty("7"), qty("7"), qty("3")]);
        assert_eq!(
            (sample.rows, sample.pending, sample.a, sample.b),
            (2, 1, 2, 1)
        );
        assert_eq!(sample.judge(Available::Package).0, CheckOutcome::Ok);
        assert_eq!(sample.judge(Available::FormulaA).0, CheckOutcome::Ok);
        assert_eq!(sample.judge(Available::FormulaB).0, CheckOutcome::Warn);
        sample.take([qty("1,5"), qty("1"), qty("0")]);
        assert_eq!(sample.judge(Available::Package).0, CheckOutcome::Fail);
    }
}

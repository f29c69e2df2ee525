//! What `doctor` asks WinThor: everything that the vendor's pages leave open and that can be read without harm.

use crate::adapters::winthor::Winthor;
use crate::adapters::winthor::stock::Asked;
use crate::domain::ids::{BaseCode, OrderId};
use crate::domain::ports::{Check, CheckOutcome, Checks, PortResult};

impl Checks for Winthor<'_> {
    fn checks(&self) -> Vec<Check> {
        let logged_in = match self.session.token(false) {
            Ok(_) => Check::new("erp.log-in", CheckOutcome::Ok, "a token was given"),
            Err(err) => Check::new("erp.log-in", CheckOutcome::Fail, err.to_string())
                .hint("erp.winthor.login_fields and password_hash name what else is known"),
        };
        let go_on = logged_in.outcome == CheckOutcome::Ok;
        let mut checks = vec![logged_in];
        if !go_on {
            for name in [
                "erp.branches",
                "erp.first-page",
                "erp.packagings",
                "erp.orders",
            ] {
                checks.push(Check::new(name, CheckOutcome::Skipped, "not logged in"));
            }
            return checks;
        }
        checks.extend(self.branches.iter().map(|branch| self.branch(branch)));
        if let Some(branch) = self.branches.first() {
            checks.push(self.first_page(branch));
            checks.push(self.packagings(branch));
        }
        checks.push(self.orders_found());
        checks
    }
}

impl Winthor<'_> {
    /// The first row of a page of one.
    fn glance(&self, branch: &BaseCode, page: u32) -> PortResult<Option<String>> {
        let path = self.page_path(branch, &Asked::default(), page, 1);
        let items = self.page(branch, &path)?.items;
        let row = items.first().and_then(|item| item.row().ok());
        Ok(row.map(|row| format!("{}-{} of branch {}", row.auxiliary, row.product, row.branch)))
    }

    fn branch(&self, branch: &BaseCode) -> Check {
        let name = format!("erp.branch.{branch}");
        match self.glance(branch, self.config.first_page) {
            Ok(Some(row)) => Check::new(&name, CheckOutcome::Ok, format!("tells of {row}")),
            Ok(None) => Check::new(&name, CheckOutcome::Warn, "tells of no product")
                .hint("is the branch right, are its products marked for e-commerce, is call_origin right?"),
            Err(err) => Check::new(&name, CheckOutcome::Fail, err.to_string()),
        }
    }

    fn first_page(&self, branch: &BaseCode) -> Check {
        let name = "erp.first-page";
        let pages = self.glance(branch, 0).and_then(|zero| {
            let one = self.glance(branch, 1)?;
            Ok((zero, one))
        });
        let (outcome, detail) = match pages {
            Err(err) => (CheckOutcome::Warn, err.to_string()),
            Ok((zero, one)) if zero == one => (
                CheckOutcome::Ok,
                "page 0 answers like page 1: the first is 1".to_owned(),
            ),
            Ok((None, Some(_))) => (CheckOutcome::Ok, "the first page is 1".to_owned()),
            Ok(_) => (
                CheckOutcome::Warn,
                "page 0 is another than page 1: the first is 0".to_owned(),
            ),
        };
        let wrong = (outcome == CheckOutcome::Warn) == (self.config.first_page == 1);
        let check = Check::new(name, outcome, detail);
        if wrong && outcome == CheckOutcome::Warn {
            return check.hint("set erp.winthor.first_page = 0");
        }
        check
    }

    /// Whether each packaging bears a code of its own.
    fn packagings(&self, branch: &BaseCode) -> Check {
        let name = "erp.packagings";
        let path = self.page_path(branch, &Asked::default(), self.config.first_page, 100);
        let items = match self.page(branch, &path) {
            Ok(page) => page.items,
            Err(err) => return Check::new(name, CheckOutcome::Fail, err.to_string()),
        };
        let rows: Vec<_> = items.iter().filter_map(|item| item.row().ok()).collect();
        let twice = rows.iter().enumerate().find(|(at, row)| {
            let same = |other: &&_| same_code(other, row);
            rows[..*at].iter().any(|other| same(&other))
        });
        match twice {
            Some((_, row)) => {
                let detail = format!(
                    "two packagings of product {} bear the code {}",
                    row.product, row.auxiliary
                );
                Check::new(name, CheckOutcome::Fail, detail)
                    .hint("their stock cannot be told apart; read it by SQL, or set packaging_sales = false")
            }
            None => Check::new(
                name,
                CheckOutcome::Ok,
                format!("{} rows, each with a code of its own", rows.len()),
            ),
        }
    }

    fn orders_found(&self) -> Check {
        let name = "erp.orders";
        let nobody = OrderId::parse("0000000000000-00").map_err(|err| err.to_string());
        match nobody.and_then(|id| self.order(&id).map_err(|err| err.to_string())) {
            Ok(None) => Check::new(
                name,
                CheckOutcome::Ok,
                "an order that is not there is not found",
            ),
            Ok(Some(_)) => Check::new(
                name,
                CheckOutcome::Fail,
                "an order that cannot be there was found",
            ),
            Err(reason) => Check::new(name, CheckOutcome::Fail, reason)
                .hint("erp.winthor.orders says where orders are looked up"),
        }
    }
}

fn same_code(one: &super::wire::Row, other: &super::wire::Row) -> bool {
    one.product == other.product && one.auxiliary == other.auxiliary && one.branch == other.branch
}

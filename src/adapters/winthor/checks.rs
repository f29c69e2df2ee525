//! What `doctor` asks WinThor: everything that the vendor's pages leave open and that can be read without harm.

use std::collections::BTreeSet;

use crate::adapters::http::text::one_line;
use crate::adapters::winthor::Winthor;
use crate::adapters::winthor::stock::Asked;
use crate::adapters::winthor::wire::{Row, WireItem, date};
use crate::domain::ids::{BaseCode, OrderId};
use crate::domain::packaging::partition;
use crate::domain::ports::{Check, CheckOutcome, Checks, PortError, PortResult};
use crate::domain::qty::Qty;

/// Products whose division is looked at.
const SAMPLE: usize = 5;

impl Checks for Winthor<'_> {
    fn checks(&self) -> Vec<Check> {
        let logged_in = match self.session.token(false) {
            Ok(_) => Check::new("erp.log-in", CheckOutcome::Ok, "a token was given"),
            Err(err) => Check::new("erp.log-in", CheckOutcome::Fail, err.to_string())
                .hint("erp.winthor.login_fields and password_hash name what else is known"),
        };
        let go_on = logged_in.outcome == CheckOutcome::Ok;
        let mut checks = vec![self.transport(), logged_in];
        if !go_on {
            for name in [
                "erp.branches",
                "erp.first-page",
                "erp.packagings",
                "erp.division",
                "erp.changes",
                "erp.refusal",
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
            checks.push(self.division(branch));
            checks.push(self.order(branch));
            checks.push(self.refusal(branch));
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

    /// Which number the first page has: a wrong one leaves out a page of products without a word.
    fn first_page(&self, branch: &BaseCode) -> Check {
        let name = "erp.first-page";
        let pages = self
            .glance(branch, 0)
            .and_then(|zero| Ok((zero, self.glance(branch, 1)?)));
        let (first, detail) = match pages {
            // Refused, as a page that cannot be.
            Err(PortError::Rejected { reason }) => (1, format!("page 0 is refused: {reason}")),
            Err(err) => return Check::new(name, CheckOutcome::Warn, err.to_string()),
            Ok((None, None)) => {
                let detail = "there is no product to tell pages apart";
                return Check::new(name, CheckOutcome::Skipped, detail);
            }
            Ok((zero, one)) if zero == one => (1, "page 0 answers like page 1".to_owned()),
            Ok((None, Some(_))) => (1, "page 0 is empty".to_owned()),
            Ok((Some(_), _)) => (0, "page 0 is another than page 1".to_owned()),
        };
        let detail = format!("{detail}: the first is {first}");
        if first == self.config.first_page {
            return Check::new(name, CheckOutcome::Ok, detail);
        }
        Check::new(name, CheckOutcome::Fail, detail)
            .hint(format!("set erp.winthor.first_page = {first}"))
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

    /// Whether the newest row comes first when that is asked for: where changes begin rests on it.
    fn order(&self, branch: &BaseCode) -> Check {
        let name = "erp.changes";
        let first = |newest| {
            let asked = Asked {
                newest,
                ..Asked::default()
            };
            let path = self.page_path(branch, &asked, self.config.first_page, 1);
            let items = self.page(branch, &path)?.items;
            let row = items.first().and_then(|item| item.row().ok());
            Ok(row.and_then(|row| row.changed))
        };
        let both: PortResult<_> = first(true).and_then(|newest| Ok((newest, first(false)?)));
        let (outcome, detail) = match both {
            Err(err) => (CheckOutcome::Warn, err.to_string()),
            Ok((None, _)) => (
                CheckOutcome::Warn,
                "the newest row bears no date: what changes is found by whole readings only".into(),
            ),
            Ok((newest, oldest)) if newest >= oldest => {
                let told = newest.map(date).unwrap_or_default();
                (CheckOutcome::Ok, format!("the newest change is of {told}"))
            }
            Ok(_) => (
                CheckOutcome::Warn,
                "order=-lastChange is not obeyed: the first reading of changes is of everything"
                    .into(),
            ),
        };
        Check::new(name, outcome, detail)
    }

    /// Whether the shares of packagings are what the page's six steps make of the product's stock.
    fn division(&self, branch: &BaseCode) -> Check {
        let name = "erp.division";
        if !self.config.packaging_sales {
            return Check::new(name, CheckOutcome::Skipped, "packagings are not sold apart");
        }
        let path = self.page_path(branch, &Asked::default(), self.config.first_page, 100);
        let compared = self
            .page(branch, &path)
            .and_then(|page| self.compare(branch, &page.items));
        match compared {
            Err(err) => Check::new(name, CheckOutcome::Warn, err.to_string()),
            Ok(division) => division.check(name),
        }
    }

    /// Reads some products both divided and whole.
    fn compare(&self, branch: &BaseCode, items: &[WireItem]) -> PortResult<Division> {
        let rows = items.iter().filter_map(|item| item.row().ok());
        let products: BTreeSet<String> = rows.map(|row| row.product).collect();
        let mut division = Division::default();
        for product in products.iter().take(SAMPLE) {
            let read = |packaging_sales: bool| -> PortResult<Vec<Row>> {
                let asked = Asked {
                    product: Some(product),
                    whole: !packaging_sales,
                    ..Asked::default()
                };
                let path = self.page_path(branch, &asked, self.config.first_page, 100);
                let items = self.page(branch, &path)?.items;
                let rows = items.iter().filter_map(|item| item.row().ok());
                let rows = rows.filter(|row| row.product == *product && row.branch == *branch);
                Ok(rows.collect())
            };
            let parts: Vec<Row> = read(true)?;
            let whole: Vec<Row> = read(false)?;
            division.take(product, &parts, &whole);
        }
        Ok(division)
    }

    /// What the service says of a parameter that it cannot know: its errors are documented nowhere.
    fn refusal(&self, branch: &BaseCode) -> Check {
        let name = "erp.refusal";
        let asked = Asked {
            origin: Some("STOCKBRIDGE"),
            ..Asked::default()
        };
        let path = self.page_path(branch, &asked, self.config.first_page, 1);
        match self.page(branch, &path) {
            Ok(_) => Check::new(
                name,
                CheckOutcome::Ok,
                "a call origin that cannot be is not refused",
            ),
            Err(PortError::Rejected { reason }) => {
                let told = one_line(&reason, 200);
                Check::new(
                    name,
                    CheckOutcome::Ok,
                    format!("a call origin that cannot be is refused: {told}"),
                )
            }
            Err(err) => Check::new(name, CheckOutcome::Warn, err.to_string()),
        }
    }

    fn orders_found(&self) -> Check {
        let name = "erp.orders";
        let nobody = OrderId::parse("0000000000000-00").map_err(|err| err.to_string());
        let found = nobody.and_then(|id| self.orders(&[id]).map_err(|err| err.to_string()));
        match found {
            Ok(found) if found.is_empty() => Check::new(
                name,
                CheckOutcome::Ok,
                "an order that is not there is not found",
            ),
            Ok(_) => Check::new(
                name,
                CheckOutcome::Fail,
                "an order that cannot be there was found",
            ),
            Err(reason) => Check::new(name, CheckOutcome::Fail, reason)
                .hint("erp.winthor.orders says where orders are looked up"),
        }
    }

    fn transport(&self) -> Check {
        let name = "erp.transport";
        if self.config.url.to_ascii_lowercase().starts_with("https://") {
            return Check::new(name, CheckOutcome::Ok, "encrypted");
        }
        Check::new(
            name,
            CheckOutcome::Warn,
            "plain HTTP: whoever is on the way reads the password's hash and the token, and can use them",
        )
        .hint("run on the ERP's own machine, or go through WireGuard, stunnel or SSH")
    }
}

/// How the shares of packagings compare with our own division.
#[derive(Default)]
struct Division {
    compared: usize,
    kept_back: usize,
    /// The first product whose figures differ, and how.
    differs: Option<String>,
}

impl Division {
    fn take(&mut self, product: &str, parts: &[Row], whole: &[Row]) {
        let (Some(stock), true) = (whole.first(), whole.len() == 1 && !parts.is_empty()) else {
            return;
        };
        let shown: Option<Vec<Qty>> = parts.iter().map(|row| row.quantity.clone().ok()).collect();
        let (Some(shown), Ok(stock)) = (shown, &stock.quantity) else {
            return;
        };
        let factors: Vec<_> = parts.iter().map(|row| row.factor).collect();
        let ours = partition(*stock, &factors);
        self.compared += 1;
        self.kept_back += usize::from(!ours.unassigned.is_zero());
        let shares: Vec<_> = ours
            .shares
            .iter()
            .map(|share| share.unwrap_or_default())
            .collect();
        // Two packagings with the factor 1: which of them gets the rest is not told.
        let sorted = |quantities: &[Qty]| {
            let mut sorted = quantities.to_vec();
            sorted.sort();
            sorted
        };
        if sorted(&shown) != sorted(&shares) && self.differs.is_none() {
            let list = |quantities: &[Qty]| {
                let texts: Vec<_> = quantities.iter().map(Qty::to_string).collect();
                texts.join("; ")
            };
            self.differs = Some(format!(
                "product {product}: of {stock} the service makes {}, the six steps make {}",
                list(&shown),
                list(&shares)
            ));
        }
    }

    fn check(self, name: &str) -> Check {
        let Self {
            compared,
            kept_back,
            differs,
        } = self;
        if let Some(differs) = differs {
            return Check::new(name, CheckOutcome::Warn, differs)
                .hint("a sale between the two readings looks like this too; else the installation divides otherwise");
        }
        let mut detail = format!("{compared} products are divided as the six steps say");
        if kept_back > 0 {
            let more = "have no packaging of one unit: of them the service keeps back a rest";
            detail = format!("{detail}; {kept_back} {more}");
        }
        let outcome = if compared == 0 {
            CheckOutcome::Skipped
        } else {
            CheckOutcome::Ok
        };
        Check::new(name, outcome, detail)
    }
}

fn same_code(one: &Row, other: &Row) -> bool {
    one.product == other.product && one.auxiliary == other.auxiliary && one.branch == other.branch
}

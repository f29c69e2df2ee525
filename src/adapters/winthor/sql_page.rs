//! One page of the stock interface, read from the tables: the whole filter and the paging in SQL, the partition here.

use crate::adapters::odbc::fault::{Fault, Kind};
use crate::adapters::winthor::sql::{Filters, WinthorSql};
use crate::adapters::winthor::sql_rows::{
    BRANCH, NUMBER, PACKAGINGS, Pack, Products, TIME, by_number, number,
};
use crate::config::winthor_sql::WinthorStatement;
use crate::domain::available::{
    AvailablePage, AvailableQuery, AvailableRow, AvailableStock, CallOrigin, LocalTime, OrderKey,
};
use crate::domain::ids::BaseCode;
use crate::domain::packaging;
use crate::domain::ports::{PortError, PortResult};
use crate::domain::qty::Qty;

/// Columns of `page.sql`: branch, its name, product, its auxiliary code, created, changed, available, sold without limit.
pub(super) const PAGE: [usize; 8] = [BRANCH, 60, NUMBER, NUMBER, TIME, TIME, NUMBER, 1];
/// The most rows a page may have.
const LARGEST_PAGE: u32 = 10_000;
/// The most values in a list.
const LONGEST_LIST: usize = 1000;

/// One branch and product, before its stock is divided.
struct Whole {
    branch: BaseCode,
    branch_name: String,
    product: String,
    main: String,
    created: LocalTime,
    changed: LocalTime,
    stock: Qty,
    unlimited: bool,
}

impl AvailableStock for WinthorSql<'_> {
    fn page(&self, query: &AvailableQuery) -> PortResult<AvailablePage> {
        if query.branches.is_empty() || query.branches.len() > LONGEST_LIST {
            return Err(PortError::rejected("name 1 to 1000 branches"));
        }
        if query.types.len() > LONGEST_LIST {
            return Err(PortError::rejected("name at most 1000 types"));
        }
        if query.page == 0 || query.page_size == 0 || query.page_size > LARGEST_PAGE {
            let told = format!("pages count from 1 and have 1 to {LARGEST_PAGE} rows");
            return Err(PortError::rejected(told));
        }
        self.one_page(query)
            .map_err(|fault| fault.port("read a page of stock by SQL"))
    }
}

impl WinthorSql<'_> {
    fn one_page(&self, query: &AvailableQuery) -> Result<AvailablePage, Fault> {
        let size = u64::from(query.page_size);
        let after = u64::from(query.page - 1) * size;
        let filters = Filters {
            web: query.origin == CallOrigin::Web,
            category: query.category,
            subcategory: query.subcategory,
            section: query.section,
            department: query.department,
            provider: query.provider,
            resale: query.resale,
            types: query.types.clone(),
        };
        let mut slots = filters
            .add_to(self.slots(&query.branches))
            .values("product", query.product.clone())
            .values("after", [after.to_string()])
            // One row more tells whether another page follows.
            .values("upto", [(after + size + 1).to_string()])
            .fragment("order", order(&query.order));
        if let Some(since) = query.since {
            slots = slots.instant("since", since.blank());
        }
        let mut found = Vec::new();
        let mut broken = None;
        self.ask(WinthorStatement::Page, &slots, &PAGE, &mut |rows| {
            for row in 0..rows.len() {
                match whole(&|column| rows.cell(row, column)) {
                    Ok(whole) => found.push(whole),
                    Err(why) => broken = broken.take().or(Some(why)),
                }
            }
        })?;
        if let Some(why) = broken {
            // A page with a hole would look complete to whoever pages on.
            return Err(Fault::new(Kind::Refused, why));
        }
        let wanted = usize::try_from(query.page_size).unwrap_or(usize::MAX);
        let has_next = found.len() > wanted;
        found.truncate(wanted);
        let packagings = self.packagings_of(&query.branches, &found)?;
        let mut rows = Vec::new();
        for whole in &found {
            let packs = packagings.packs(&whole.product, &whole.branch);
            let packs = packs.map_err(|why| {
                let told = format!("product {}: {why}", whole.product);
                Fault::new(Kind::Refused, told)
            })?;
            let stock = self.offered(&whole.branch, whole.stock).max(Qty::ZERO);
            if query.packaging_sales {
                rows.extend(divided(whole, stock, packs));
            } else {
                rows.extend(undivided(whole, stock, &packs));
            }
        }
        Ok(AvailablePage { rows, has_next })
    }

    fn packagings_of(&self, branches: &[BaseCode], found: &[Whole]) -> Result<Products, Fault> {
        let mut read = Products::default();
        for whole in found {
            let row = read.rows.entry(whole.product.clone()).or_default();
            row.main.clone_from(&whole.main);
        }
        let products: Vec<String> = read.rows.keys().cloned().collect();
        for chunk in products.chunks(LONGEST_LIST) {
            let slots = self
                .slots(branches)
                .values("product", chunk.iter().cloned());
            self.ask(
                WinthorStatement::Packagings,
                &slots,
                &PACKAGINGS,
                &mut |rows| read.take_packagings(rows),
            )?;
        }
        Ok(read)
    }
}

/// The order of a page: constant fragments, and at last what makes it total.
fn order(keys: &[(OrderKey, bool)]) -> String {
    let default = [(OrderKey::LastChange, false)];
    let keys = if keys.is_empty() { &default[..] } else { keys };
    let mut text = String::new();
    for (key, descending) in keys {
        text.push_str(match key {
            OrderKey::LastChange => "t.lastchange",
            OrderKey::CreateDate => "t.createdate",
            OrderKey::Product => "t.codprod",
            OrderKey::Branch => "t.codfilial",
        });
        text.push_str(if *descending { " DESC, " } else { ", " });
    }
    text.push_str("t.codfilial, t.codprod");
    text
}

fn whole<'r>(cell: &dyn Fn(usize) -> Option<&'r str>) -> Result<Whole, String> {
    let text = |column| cell(column).unwrap_or_default().trim().to_owned();
    let product = text(2);
    let time = |column| {
        let read = cell(column).map_or(Some(LocalTime::NONE), LocalTime::parse);
        read.ok_or_else(|| format!("product {product}: {:?} is no date", cell(column)))
    };
    let stock = number(cell(6)).map_err(|why| format!("product {product}: {why}"))?;
    Ok(Whole {
        branch: BaseCode::parse(&text(0)).map_err(|err| err.to_string())?,
        branch_name: text(1),
        main: text(3),
        created: time(4)?,
        changed: time(5)?,
        stock,
        unlimited: text(7) == "S",
        product,
    })
}

/// One row for each packaging, each with its share, in the order of their codes.
///
/// What no packaging of factor 1 takes is left unassigned, as the interface's rule gives it no home.
fn divided(whole: &Whole, stock: Qty, packs: Vec<Pack>) -> Vec<AvailableRow> {
    let factors: Vec<_> = packs.iter().map(|pack| Some(pack.factor)).collect();
    let shares = packaging::partition(stock, &factors).shares;
    let mut rows: Vec<_> = packs
        .into_iter()
        .zip(shares)
        .filter_map(|(pack, share)| Some((pack, share?)))
        .collect();
    rows.sort_by_key(|(pack, _)| by_number(&pack.auxiliary));
    rows.iter()
        .map(|(pack, share)| row(whole, &pack.auxiliary, *share, pack.factor))
        .collect()
}

/// One row with the whole stock, and the smallest packaging's units.
fn undivided(whole: &Whole, stock: Qty, packs: &[Pack]) -> Option<AvailableRow> {
    let smallest = packs.iter().map(|pack| pack.factor).min()?;
    Some(row(whole, &whole.main, stock, smallest))
}

/// The one place that decides which auxiliary code is a part of `productId`: the packaging's own where stock is divided,
/// the product's otherwise.
///
/// Unverified: both, and the `0` of a product that has none.
fn row(whole: &Whole, auxiliary: &str, quantity: Qty, unit_multiplier: Qty) -> AvailableRow {
    let auxiliary = if auxiliary.is_empty() { "0" } else { auxiliary };
    AvailableRow {
        created: whole.created,
        changed: whole.changed,
        product_id: format!("{auxiliary}-{}", whole.product),
        quantity,
        unlimited: whole.unlimited,
        branch: whole.branch.clone(),
        branch_name: whole.branch_name.clone(),
        unit_multiplier,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_total() {
        assert_eq!(order(&[]), "t.lastchange, t.codfilial, t.codprod");
        let keys = [(OrderKey::Product, false), (OrderKey::CreateDate, true)];
        assert_eq!(
            order(&keys),
            "t.codprod, t.createdate DESC, t.codfilial, t.codprod"
        );
    }
}

//! The available stock, as the services tell it: pages of rows, put together per product and branch.
//!
//! Source: "Integração do estoque disponível" (TDN). With `usesPackagingSales` a row stands for one packaging and its
//! quantity is that packaging's part in base units, so the product's stock is the sum of its rows. Where no packaging has
//! the factor 1 the service keeps the rest of the division back: the sum is then a lower bound, short of one pack of each.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapters::winthor::Winthor;
use crate::adapters::winthor::code::{SkuCode, code, of_row, product_of};
use crate::adapters::winthor::session::encoded;
use crate::adapters::winthor::wire::{Row, WirePage, date};
use crate::config::winthor::CallOrigin;
use crate::domain::ids::{BaseCode, ErpCode, SkuRef};
use crate::domain::packaging::Packaging;
use crate::domain::ports::{Changes, PortError, PortResult, StockSource};
use crate::domain::qty::Qty;
use crate::domain::stock::{PackedLevel, StockLevels, VariantLevels};
use crate::domain::time::Moment;

const LIST: &str = "/api/stock-vtex/v1/available/list";
const ROAD: &str = "api";
const BULK: &str = "api bulk";
/// How far ahead of ours a row's date may be, whatever the database's zone, to be believed.
const BELIEVED_AHEAD_MS: i64 = 24 * 3_600_000;

/// What is asked of the list.
#[derive(Debug, Default, Clone)]
pub(super) struct Asked<'q> {
    pub(super) product: Option<&'q str>,
    /// Milliseconds of the database's clock.
    pub(super) since: Option<i64>,
    /// Newest first.
    pub(super) newest: bool,
    /// Not divided among packagings, whatever is configured.
    pub(super) whole: bool,
    /// Another call origin than the configured one.
    pub(super) origin: Option<&'q str>,
}

impl Winthor<'_> {
    /// Returns the path of one page of a branch's list.
    pub(super) fn page_path(
        &self,
        branch: &BaseCode,
        asked: &Asked<'_>,
        page: u32,
        size: u32,
    ) -> String {
        let config = self.config;
        let mut query: Vec<(&str, String)> = vec![("branchId", branch.to_string())];
        let origin = asked.origin.or(match config.call_origin {
            CallOrigin::W => Some("W"),
            CallOrigin::Wsh => Some("WSH"),
            CallOrigin::None => None,
        });
        query.extend(origin.map(|origin| ("callOrigin", origin.to_owned())));
        for (name, id) in [
            ("categoryId", config.category),
            ("subcategoryId", config.subcategory),
            ("sectionId", config.section),
            ("departmentId", config.department),
            ("providerId", config.provider),
        ] {
            if id != 0 {
                query.push((name, id.to_string()));
            }
        }
        if let Some(resale) = config.resale {
            query.push(("resale", resale.to_string()));
        }
        if !config.merchandise_types.is_empty() {
            let types = config.merchandise_types.replace(' ', "");
            query.push(("merchandiseType", types));
        }
        if let Some(product) = asked.product {
            query.push(("productId", product.to_owned()));
        }
        if let Some(since) = asked.since {
            query.push(("lastChange", date(since)));
        }
        let order = if asked.newest {
            "-lastChange"
        } else {
            "lastChange"
        };
        query.push(("order", order.into()));
        query.push(("page", page.to_string()));
        query.push(("pageSize", size.to_string()));
        let divided = config.packaging_sales && !asked.whole;
        query.push(("usesPackagingSales", divided.to_string()));
        let query = query
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        format!("{LIST}?{}", query.collect::<Vec<_>>().join("&"))
    }

    /// Reads one page.
    pub(super) fn page(&self, branch: &BaseCode, path: &str) -> PortResult<WirePage> {
        const NAME: &str = "read available stock";
        let about = format!("of branch {branch}");
        let body = self.session.get(NAME, &about, path)?;
        let unusable = |why: String| PortError::rejected(format!("{NAME} {about}: {why}"));
        let body = body.ok_or_else(|| unusable("404: the service is not there".into()))?;
        serde_json::from_value(body).map_err(|err| unusable(format!("not a page of stock: {err}")))
    }

    /// Reads every row of a branch that fits, page by page. The list may move meanwhile: a row that comes again replaces
    /// what it said before.
    fn rows(&self, branch: &BaseCode, asked: &Asked<'_>, told: &dyn Fn(u64)) -> PortResult<Rows> {
        let refuse = |why: String| {
            PortError::rejected(format!("read available stock of branch {branch}: {why}"))
        };
        let mut found = Rows::default();
        let (first, most) = (self.config.first_page, self.config.max_pages);
        for page in first..first.saturating_add(most) {
            let path = self.page_path(branch, asked, page, self.config.page_size);
            let read = self.page(branch, &path)?;
            let (mut new, mut rows) = (0, 0);
            for item in &read.items {
                rows += 1;
                let row = item.row().map_err(&refuse)?;
                // The service may tell more than was asked.
                if row.branch != *branch {
                    continue;
                }
                match found.rows.insert(Key::of(&row), row) {
                    None => new += 1,
                    Some(_) => found.moved = true,
                }
            }
            told(u64::try_from(found.rows.len()).unwrap_or(u64::MAX));
            if !read.more {
                return Ok(found);
            }
            if rows == 0 {
                return Err(refuse(format!("page {page} is empty and promises more")));
            }
            if new == 0 {
                let hint = "hint: erp.winthor.first_page";
                return Err(refuse(format!("page {page} repeats what was read; {hint}")));
            }
        }
        let hint = "hint: erp.winthor.page_size, erp.winthor.max_pages";
        Err(refuse(format!("more than {most} pages; {hint}")))
    }

    /// Reads what is asked in every branch; one that fails is missing, unless all do.
    fn branches(&self, asked: &Asked<'_>, told: &dyn Fn(u64)) -> PortResult<Gathered> {
        let mut gathered = Gathered::default();
        let mut failure = None;
        let mut before = 0;
        for branch in &self.branches {
            match self.rows(branch, asked, &|rows| told(before + rows)) {
                Ok(found) => {
                    before += u64::try_from(found.rows.len()).unwrap_or(0);
                    gathered.answered.insert(branch.clone());
                    if found.moved {
                        gathered.moved.insert(branch.clone());
                    }
                    gathered.rows.extend(found.rows.into_values());
                }
                Err(err @ PortError::Denied { .. }) => return Err(err),
                Err(err) => {
                    gathered.missing.insert(branch.clone(), err.to_string());
                    failure = Some(err);
                }
            }
        }
        match failure {
            Some(err) if gathered.answered.is_empty() => Err(err),
            _ => Ok(gathered),
        }
    }

    /// Tells whether a branch has any stock to tell of: an unknown one answers like an empty one.
    fn lives(&self, branch: &BaseCode) -> PortResult<bool> {
        let path = self.page_path(branch, &Asked::default(), self.config.first_page, 1);
        Ok(!self.page(branch, &path)?.items.is_empty())
    }

    /// Puts rows together; `wanted` are the codes that the answer must speak of.
    fn levels(
        &self,
        gathered: Gathered,
        wanted: &[ErpCode],
        road: &str,
    ) -> PortResult<StockLevels> {
        let Gathered {
            rows,
            answered,
            moved,
            mut missing,
        } = gathered;
        let told: BTreeSet<BaseCode> = rows.iter().map(|row| row.branch.clone()).collect();
        let mut variants = put_together(self.config.sku_code, rows);
        for branch in &answered {
            // In a whole list every branch has rows; of one product it may have none.
            if told.contains(branch) {
                continue;
            }
            match self.lives(branch) {
                Ok(true) => {}
                Ok(false) => {
                    let why = "no product at all; hint: the branch, call_origin, the e-commerce flag of products";
                    missing.insert(branch.clone(), why.to_owned());
                }
                Err(err @ PortError::Denied { .. }) => return Err(err),
                Err(err) => drop(missing.insert(branch.clone(), err.to_string())),
            }
        }
        // Held, and then read by itself: one product is one page, which cannot move.
        let moving = |branch: &BaseCode| {
            VariantLevels::Unreadable(format!(
                "it was not in the list of branch {branch}, which moved while it was read"
            ))
        };
        for level in variants.values_mut() {
            if let VariantLevels::Packed(bases) = level
                && let Some(branch) = moved.iter().find(|branch| !bases.contains_key(*branch))
            {
                *level = moving(branch);
            }
        }
        for code in wanted.iter().filter(|_| missing.is_empty()) {
            let absent = moved.first().map_or(VariantLevels::Absent, moving);
            variants.entry(code.clone()).or_insert(absent);
        }
        Ok(StockLevels {
            variants,
            missing,
            road: road.to_owned(),
            ..StockLevels::default()
        })
    }
}

/// What was read of one branch.
#[derive(Default)]
struct Rows {
    rows: BTreeMap<Key, Row>,
    /// Whether a row came twice: while pages were read rows changed their places, and others may have slipped through.
    moved: bool,
}

/// What was read in all branches.
#[derive(Default)]
struct Gathered {
    rows: Vec<Row>,
    answered: BTreeSet<BaseCode>,
    /// Branches whose list moved: what is not in it proves nothing.
    moved: BTreeSet<BaseCode>,
    missing: BTreeMap<BaseCode, String>,
}

/// What makes a row: packagings of one product may bear one code, but then not one factor.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key(String, String, Option<Qty>);

impl Key {
    fn of(row: &Row) -> Self {
        Self(row.product.clone(), row.auxiliary.clone(), row.factor)
    }
}

/// Puts the rows of all branches together, product by product.
pub(super) fn put_together(mode: SkuCode, rows: Vec<Row>) -> BTreeMap<ErpCode, VariantLevels> {
    let mut products: BTreeMap<(String, BaseCode), Vec<Row>> = BTreeMap::new();
    for row in rows {
        let key = (row.product.clone(), row.branch.clone());
        products.entry(key).or_default().push(row);
    }
    let mut variants = BTreeMap::new();
    for ((product, branch), rows) in products {
        for (code, read) in of_product(mode, &product, &rows) {
            let level = match read {
                Ok(level) => {
                    VariantLevels::Packed(BTreeMap::from([(branch.clone(), Box::new(level))]))
                }
                Err(why) => VariantLevels::Unreadable(why),
            };
            add(&mut variants, code, level);
        }
    }
    variants
}

/// Adds one branch's word about a variant to the others'.
fn add(variants: &mut BTreeMap<ErpCode, VariantLevels>, code: ErpCode, level: VariantLevels) {
    let known = variants.remove(&code);
    let joined = match (known, level) {
        (None, level) => level,
        (Some(bad @ VariantLevels::Unreadable(_)), _) | (_, bad @ VariantLevels::Unreadable(_)) => {
            bad
        }
        (Some(VariantLevels::Packed(mut bases)), VariantLevels::Packed(more)) => {
            let product = |bases: &BTreeMap<_, Box<PackedLevel>>| {
                bases.values().next().map(|level| level.product.clone())
            };
            if product(&bases) == product(&more) {
                bases.extend(more);
                VariantLevels::Packed(bases)
            } else {
                VariantLevels::Unreadable(format!("{code} is the code of two products"))
            }
        }
        (Some(_), level) => level,
    };
    variants.insert(code, joined);
}

/// Reads one product in one branch: what is said of each of its packagings.
fn of_product(
    mode: SkuCode,
    product: &str,
    rows: &[Row],
) -> BTreeMap<ErpCode, Result<PackedLevel, String>> {
    let mut codes = BTreeMap::new();
    let mut packagings: Vec<Packaging> = Vec::new();
    let mut stock = Qty::ZERO;
    let mut problem = None;
    for row in rows {
        let code = match of_row(mode, &row.auxiliary, product) {
            Ok(code) => code,
            Err(why) => {
                problem = Some(format!("product {product}: {why}"));
                continue;
            }
        };
        let factor = row.factor.filter(|factor| *factor > Qty::ZERO);
        // A packaging that is none takes no part in the division, and says nothing about the others.
        let Some(factor) = factor else {
            let why = "has no factor above zero; hint: the packaging's quantity in WinThor";
            codes.insert(code, Some(why));
            continue;
        };
        match &row.quantity {
            Ok(quantity) => stock = stock + *quantity,
            Err(why) => problem = Some(why.clone()),
        }
        if packagings.iter().any(|known| known.code == code) {
            problem = Some(format!(
                "two packagings of product {product} bear the code {code}"
            ));
        }
        codes.entry(code.clone()).or_insert(None);
        packagings.push(Packaging { code, factor });
    }
    // Which packaging is the main one is not told: the lowest code stands for it. Codes are numbers without zeros before.
    packagings.sort_by_key(|packaging| {
        let text = packaging.code.as_str().to_owned();
        (text.len(), text)
    });
    let whole = match problem {
        Some(why) => Err(why),
        None => ErpCode::parse(product)
            .map_err(|err| err.to_string())
            .map(|product| PackedLevel {
                product,
                stock,
                packagings,
                unlimited: rows.iter().any(|row| row.unlimited),
            }),
    };
    let level = |(code, none): (ErpCode, Option<&str>)| {
        let level = match none {
            Some(why) => Err(format!("packaging {code} of product {product} {why}")),
            None => whole.clone(),
        };
        (code, level)
    };
    codes.into_iter().map(level).collect()
}

/// From the date that no row passes to where the next reading of changes begins.
///
/// Dates have whole seconds, so the milliseconds of a mark are free. They hold the minute at which its newest date was
/// first seen, or that the overlap is over: once nothing newer has come for longer than that, what was under way then has
/// ended, and a quiet evening need not read its last minutes again until morning. The next newer date takes its own overlap
/// off, so a mark may go back then.
fn next_mark(before: Option<i64>, newest: Option<i64>, overlap: i64, now: Moment) -> i64 {
    const ROUND: i64 = 500;
    let minute = now.0.div_euclid(60_000).rem_euclid(ROUND);
    let Some(newest) = newest else {
        return before.unwrap_or(0);
    };
    let second = |ms: i64| ms.div_euclid(1000).saturating_mul(1000);
    let fresh = second(newest.saturating_sub(overlap));
    let Some(before) = before else {
        return fresh + minute;
    };
    let since = before.rem_euclid(1000);
    if second(before) != fresh || since >= ROUND {
        return fresh + minute;
    }
    let waited_ms = (minute - since).rem_euclid(ROUND) * 60_000;
    if waited_ms <= overlap {
        return before;
    }
    second(newest).saturating_add(1000) + ROUND
}

impl StockSource for Winthor<'_> {
    fn code(&self, reference: &SkuRef) -> Result<ErpCode, String> {
        code(self.config.sku_code, reference)
    }

    /// By product; codes that name none are all read by one list.
    fn groups(&self, codes: &[ErpCode]) -> Vec<Vec<ErpCode>> {
        let mut groups: BTreeMap<Option<String>, Vec<ErpCode>> = BTreeMap::new();
        for code in codes {
            let product = product_of(self.config.sku_code, code);
            groups.entry(product).or_default().push(code.clone());
        }
        groups.into_values().collect()
    }

    fn read(&self, codes: &[ErpCode]) -> PortResult<StockLevels> {
        let products = codes
            .iter()
            .map(|code| product_of(self.config.sku_code, code));
        let Some(products) = products.collect::<Option<BTreeSet<_>>>() else {
            let gathered = self.branches(&Asked::default(), &|_| {})?;
            return self.only(gathered, codes);
        };
        let mut all = Gathered::default();
        for product in &products {
            let asked = Asked {
                product: Some(product),
                ..Asked::default()
            };
            let read = self.branches(&asked, &|_| {})?;
            all.rows.extend(read.rows);
            all.answered.extend(read.answered);
            all.moved.extend(read.moved);
            all.missing.extend(read.missing);
        }
        let missing = &all.missing;
        all.rows.retain(|row| !missing.contains_key(&row.branch));
        all.answered.retain(|branch| !missing.contains_key(branch));
        self.only(all, codes)
    }

    fn read_all(&self, progress: &dyn Fn(u64)) -> PortResult<StockLevels> {
        let gathered = self.branches(&Asked::default(), progress)?;
        self.levels(gathered, &[], BULK)
    }

    fn read_wanted(
        &self,
        wanted: &BTreeSet<ErpCode>,
        progress: &dyn Fn(u64),
    ) -> PortResult<StockLevels> {
        let wanted: Vec<_> = wanted.iter().cloned().collect();
        let gathered = self.branches(&Asked::default(), progress)?;
        self.levels(gathered, &wanted, BULK)
    }

    fn changed_since(&self, watermark: Option<i64>) -> PortResult<Option<Changes>> {
        if !self.config.changes {
            return Ok(None);
        }
        let now = self.session.now();
        let mut codes = BTreeSet::new();
        let mut newest = None;
        let (mut failed, mut answered) = (None, false);
        for branch in &self.branches {
            let rows = match self.changed(branch, watermark) {
                Ok(rows) => rows,
                Err(err @ PortError::Denied { .. }) => return Err(err),
                Err(err) => {
                    log::warn!("what changed in branch {branch} cannot be read: {err}");
                    failed = Some(err);
                    continue;
                }
            };
            answered = true;
            // One row from the future would hide every change until then.
            let believed = |ms: &i64| *ms <= now.plus_ms(BELIEVED_AHEAD_MS).0;
            newest = newest.max(
                rows.iter()
                    .filter_map(|row| row.changed.filter(believed))
                    .max(),
            );
            if watermark.is_some() {
                let code = |row: &Row| of_row(self.config.sku_code, &row.auxiliary, &row.product);
                codes.extend(rows.iter().filter_map(|row| code(row).ok()));
            }
        }
        let overlap = self.config.changes_overlap.ms();
        let next = match (failed, watermark) {
            (Some(err), _) if !answered => return Err(err),
            // What a branch did not tell is asked again.
            (Some(_), Some(before)) => before,
            (Some(err), None) => return Err(err),
            (None, before) => next_mark(before, newest, overlap, now),
        };
        Ok(Some(Changes {
            codes: codes.into_iter().collect(),
            watermark: next,
        }))
    }
}

impl Winthor<'_> {
    /// Puts rows together for the codes asked for: the product's other packagings come along, and were not asked for.
    fn only(&self, gathered: Gathered, codes: &[ErpCode]) -> PortResult<StockLevels> {
        let mut levels = self.levels(gathered, codes, ROAD)?;
        levels.variants.retain(|code, _| codes.contains(code));
        Ok(levels)
    }

    /// Reads the rows that changed since a mark; without one, the newest.
    fn changed(&self, branch: &BaseCode, mark: Option<i64>) -> PortResult<Vec<Row>> {
        if mark.is_some() {
            let asked = Asked {
                since: mark,
                ..Asked::default()
            };
            let found = self.rows(branch, &asked, &|_| {})?;
            return Ok(found.rows.into_values().collect());
        }
        let asked = Asked {
            newest: true,
            ..Asked::default()
        };
        let path = self.page_path(branch, &asked, self.config.first_page, 1);
        let items = self.page(branch, &path)?.items;
        Ok(items.iter().filter_map(|item| item.row().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const OVERLAP: i64 = 5 * MINUTE;

    /// Reads at these minutes of our clock; each tells the newest date it saw, in seconds.
    fn marks(readings: &[(i64, Option<i64>)]) -> Vec<i64> {
        let mut before = None;
        let mut marks = Vec::new();
        for (minute, newest) in readings {
            let newest = newest.map(|second| second * 1000);
            let mark = next_mark(before, newest, OVERLAP, Moment(minute * MINUTE));
            before = Some(mark);
            marks.push(mark.div_euclid(1000));
        }
        marks
    }

    #[test]
    fn a_quiet_source_is_read_again_for_the_overlap_and_not_for_ever() {
        let told = [(10, 1000), (11, 1000), (14, 1000), (15, 1000), (16, 1000)];
        let told = told.map(|(minute, second)| (minute, Some(second)));
        assert_eq!(marks(&told), [700, 700, 700, 700, 1001]);
        // Nothing is told from then on, and a new date brings its own overlap, whatever it is.
        let more = [(17, None), (18, Some(1301)), (19, Some(1301))];
        assert_eq!(
            marks(&[told.as_slice(), &more].concat())[5..],
            [1001, 1001, 1001]
        );
        let later = [(17, None), (18, Some(2000)), (24, Some(2000))];
        assert_eq!(
            marks(&[told.as_slice(), &later].concat())[5..],
            [1001, 1700, 2001]
        );
    }

    #[test]
    fn a_newer_date_moves_the_mark_and_an_empty_source_begins_at_the_beginning() {
        assert_eq!(
            marks(&[(1, Some(1000)), (2, Some(1060)), (3, Some(1060))]),
            [700, 760, 760]
        );
        assert_eq!(marks(&[(1, None), (2, None)]), [0, 0]);
    }

    fn row(auxiliary: &str, quantity: &str, factor: &str) -> Row {
        Row {
            branch: BaseCode::parse("1").unwrap(),
            auxiliary: auxiliary.into(),
            product: "9".into(),
            quantity: Qty::parse(quantity).map_err(|err| err.to_string()),
            factor: Qty::parse(factor).ok(),
            unlimited: false,
            changed: None,
        }
    }

    #[test]
    fn a_packaging_without_a_factor_is_no_zero_and_takes_no_part() {
        let rows = [
            row("11", "10", "1"),
            row("22", "30", "6"),
            row("33", "7", ""),
        ];
        let told = of_product(SkuCode::ProductId, "9", &rows);
        let code = |text: &str| ErpCode::parse(text).unwrap();
        let whole = told[&code("22-9")].as_ref().unwrap();
        assert_eq!((whole.stock, whole.packagings.len()), (Qty::whole(40), 2));
        let why = told[&code("33-9")].as_ref().unwrap_err();
        assert!(why.contains("33-9") && why.contains("factor"), "{why}");
    }
}

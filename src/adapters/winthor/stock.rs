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

const LIST: &str = "/api/stock-vtex/v1/available/list";
const ROAD: &str = "api";

/// What is asked of the list.
#[derive(Debug, Default, Clone)]
pub(super) struct Asked<'q> {
    pub(super) product: Option<&'q str>,
    /// Milliseconds of the database's clock.
    pub(super) since: Option<i64>,
    /// Newest first.
    pub(super) newest: bool,
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
        match config.call_origin {
            CallOrigin::W => query.push(("callOrigin", "W".into())),
            CallOrigin::Wsh => query.push(("callOrigin", "WSH".into())),
            CallOrigin::None => {}
        }
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
        query.push(("usesPackagingSales", config.packaging_sales.to_string()));
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
    fn rows(
        &self,
        branch: &BaseCode,
        asked: &Asked<'_>,
        told: &dyn Fn(u64),
    ) -> PortResult<BTreeMap<Key, Row>> {
        let refuse = |why: String| {
            PortError::rejected(format!("read available stock of branch {branch}: {why}"))
        };
        let mut found = BTreeMap::new();
        let (first, most) = (self.config.first_page, self.config.max_pages);
        for page in first..first.saturating_add(most) {
            let path = self.page_path(branch, asked, page, self.config.page_size);
            let read = self.page(branch, &path)?;
            let (mut new, mut rows) = (0, 0);
            for item in &read.items {
                rows += 1;
                let row = item.row().map_err(&refuse)?;
                // The service may tell more than was asked.
                if row.branch == *branch && found.insert(Key::of(&row), row).is_none() {
                    new += 1;
                }
            }
            told(u64::try_from(found.len()).unwrap_or(u64::MAX));
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
        for branch in &self.branches {
            match self.rows(branch, asked, told) {
                Ok(rows) => {
                    gathered.answered.insert(branch.clone());
                    gathered.rows.extend(rows.into_values());
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
    fn levels(&self, gathered: Gathered, wanted: &[ErpCode]) -> PortResult<StockLevels> {
        let Gathered {
            rows,
            answered,
            mut missing,
        } = gathered;
        let mut with_rows: BTreeSet<BaseCode> = rows.iter().map(|row| row.branch.clone()).collect();
        let mut variants = put_together(self.config.sku_code, rows);
        for branch in &answered {
            // In a whole list every branch has rows; of one product it may have none.
            if !with_rows.contains(branch) {
                if self.lives(branch)? {
                    with_rows.insert(branch.clone());
                } else {
                    let why = "no product at all; hint: the branch, call_origin, the e-commerce flag of products";
                    missing.insert(branch.clone(), why.to_owned());
                }
            }
        }
        for level in variants.values_mut() {
            fill(level, &with_rows);
        }
        if missing.is_empty() {
            for code in wanted {
                variants
                    .entry(code.clone())
                    .or_insert(VariantLevels::Absent);
            }
        }
        Ok(StockLevels {
            variants,
            missing,
            road: ROAD.to_owned(),
            ..StockLevels::default()
        })
    }
}

/// What was read in all branches.
#[derive(Default)]
struct Gathered {
    rows: Vec<Row>,
    answered: BTreeSet<BaseCode>,
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

/// A product that a branch does not list while it lists others lies there no more: none of it.
fn fill(level: &mut VariantLevels, branches: &BTreeSet<BaseCode>) {
    let VariantLevels::Packed(bases) = level else {
        return;
    };
    let Some(known) = bases.values().next().cloned() else {
        return;
    };
    for branch in branches {
        bases.entry(branch.clone()).or_insert_with(|| PackedLevel {
            stock: Qty::ZERO,
            unlimited: false,
            ..known.clone()
        });
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
    let mut left_out = 0_usize;
    for ((product, branch), rows) in products {
        let (codes, read) = of_product(mode, &product, &rows, &mut left_out);
        for code in codes {
            let level = match &read {
                Ok(level) => {
                    VariantLevels::Packed(BTreeMap::from([(branch.clone(), level.clone())]))
                }
                Err(why) => VariantLevels::Unreadable(why.clone()),
            };
            add(&mut variants, code, level);
        }
    }
    if left_out > 0 {
        log::warn!("{left_out} packagings without a factor above zero are left out");
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
            let product = |bases: &BTreeMap<_, PackedLevel>| {
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

/// Reads one product in one branch: the codes of its packagings, and what is said of all of them.
fn of_product(
    mode: SkuCode,
    product: &str,
    rows: &[Row],
    left_out: &mut usize,
) -> (Vec<ErpCode>, Result<PackedLevel, String>) {
    let mut codes = Vec::new();
    let mut packagings: Vec<Packaging> = Vec::new();
    let mut stock = Qty::ZERO;
    let mut problem = None;
    for row in rows {
        match &row.quantity {
            Ok(quantity) => stock = stock + *quantity,
            Err(why) => problem = Some(why.clone()),
        }
        let code = match of_row(mode, &row.auxiliary, product) {
            Ok(code) => code,
            Err(why) => {
                problem = Some(format!("product {product}: {why}"));
                continue;
            }
        };
        let Some(factor) = row.factor.filter(|factor| *factor > Qty::ZERO) else {
            *left_out += 1;
            codes.push(code);
            continue;
        };
        if packagings.iter().any(|known| known.code == code) {
            problem = Some(format!(
                "two packagings of product {product} bear the code {code}"
            ));
        }
        codes.push(code.clone());
        packagings.push(Packaging { code, factor });
    }
    // Which packaging is the main one is not told: the lowest code stands for it. Codes are numbers without zeros before.
    packagings.sort_by_key(|packaging| {
        let text = packaging.code.as_str().to_owned();
        (text.len(), text)
    });
    codes.dedup();
    let unlimited = rows.iter().any(|row| row.unlimited);
    let level = match (problem, ErpCode::parse(product)) {
        (Some(why), _) => Err(why),
        (None, Err(err)) => Err(err.to_string()),
        (None, Ok(_)) if packagings.is_empty() => {
            Err(format!("product {product} has no packaging with a factor"))
        }
        (None, Ok(product)) => Ok(PackedLevel {
            product,
            stock,
            packagings,
            unlimited,
        }),
    };
    (codes, level)
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
            return self.levels(gathered, codes);
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
            all.missing.extend(read.missing);
        }
        let missing = &all.missing;
        all.rows.retain(|row| !missing.contains_key(&row.branch));
        all.answered.retain(|branch| !missing.contains_key(branch));
        self.levels(all, codes)
    }

    fn read_all(&self, progress: &dyn Fn(u64)) -> PortResult<StockLevels> {
        let gathered = self.branches(&Asked::default(), progress)?;
        self.levels(gathered, &[])
    }

    fn changed_since(&self, watermark: Option<i64>) -> PortResult<Option<Changes>> {
        if !self.config.changes {
            return Ok(None);
        }
        let overlap = self.config.changes_overlap.ms();
        let mut codes = BTreeSet::new();
        let mut newest = watermark.map(|mark| mark.saturating_add(overlap));
        for branch in &self.branches {
            let rows = match watermark {
                Some(since) => {
                    let asked = Asked {
                        since: Some(since),
                        ..Asked::default()
                    };
                    self.rows(branch, &asked, &|_| {})?.into_values().collect()
                }
                None => {
                    let asked = Asked {
                        newest: true,
                        ..Asked::default()
                    };
                    let path = self.page_path(branch, &asked, self.config.first_page, 1);
                    let items = self.page(branch, &path)?.items;
                    items
                        .iter()
                        .filter_map(|item| item.row().ok())
                        .collect::<Vec<_>>()
                }
            };
            newest = newest.max(rows.iter().filter_map(|row| row.changed).max());
            if watermark.is_some() {
                let mode = self.config.sku_code;
                codes.extend(
                    rows.iter()
                        .filter_map(|row| of_row(mode, &row.auxiliary, &row.product).ok()),
                );
            }
        }
        Ok(Some(Changes {
            codes: codes.into_iter().collect(),
            watermark: newest.unwrap_or(0).saturating_sub(overlap),
        }))
    }
}

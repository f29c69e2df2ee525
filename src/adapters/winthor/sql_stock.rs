//! Stock of WinThor's products by branch, each of its packagings seeing the whole, and what changed since a reading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use crate::adapters::odbc::fault::Fault;
use crate::adapters::winthor::code::{self, SkuCode, of_row, product_of};
use crate::adapters::winthor::sql::{AT_ONCE, WinthorSql};
use crate::adapters::winthor::sql_rows::{NUMBER, PACKAGINGS, Products, STOCK, TIME};
use crate::config::winthor_sql::{ChangesClock, WinthorStatement};
use crate::domain::available::LocalTime;
use crate::domain::ids::{BaseCode, ErpCode, SkuRef};
use crate::domain::ports::{Changes, PortResult, StockSource};
use crate::domain::stock::{PackedLevel, StockLevels, VariantLevels};

/// Products in one group: few enough that their numbers are published soon after they were read.
const PRODUCTS_A_GROUP: usize = 200;
/// How far ahead of ours the date of a row may be, whatever the database's zone, to be believed.
const BELIEVED_AHEAD_MS: i64 = 24 * 3_600_000;

/// The products of some codes; a code without one says why.
type Wanted = BTreeMap<ErpCode, Result<BTreeSet<String>, String>>;

impl StockSource for WinthorSql<'_> {
    fn code(&self, reference: &SkuRef) -> Result<ErpCode, String> {
        code::code(self.sku_code, reference)
    }

    /// Some products at once; packagings of one are read together. A bar code does not tell whose packaging it is.
    fn groups(&self, codes: &[ErpCode]) -> Vec<Vec<ErpCode>> {
        let mut products: BTreeMap<String, BTreeSet<ErpCode>> = BTreeMap::new();
        for code in codes {
            let product = product_of(self.sku_code, code).unwrap_or_else(|| code.to_string());
            products.entry(product).or_default().insert(code.clone());
        }
        let products: Vec<_> = products.into_values().collect();
        let group = |some: &[BTreeSet<ErpCode>]| some.iter().flatten().cloned().collect();
        products.chunks(PRODUCTS_A_GROUP).map(group).collect()
    }

    fn read(&self, codes: &[ErpCode]) -> PortResult<StockLevels> {
        self.read_some(codes)
            .map_err(|fault| fault.port("read stock by SQL"))
    }

    fn read_all(&self, progress: &dyn Fn(u64)) -> PortResult<StockLevels> {
        self.read_every(progress)
            .map_err(|fault| fault.port("read all stock by SQL"))
    }

    fn changed_since(&self, watermark: Option<i64>) -> PortResult<Option<Changes>> {
        if !self.config.changes {
            return Ok(None);
        }
        self.changes(watermark)
            .map(Some)
            .map_err(|fault| fault.port("read what changed by SQL"))
    }
}

impl WinthorSql<'_> {
    /// Whether each packaging has a code of its own.
    fn each(&self) -> bool {
        self.packaging_sales && self.sku_code != SkuCode::LastPart
    }

    fn read_some(&self, codes: &[ErpCode]) -> Result<StockLevels, Fault> {
        let (known, missing) = self.known_branches()?;
        let wanted = self.wanted(&known, codes)?;
        let mut products = BTreeSet::new();
        for found in wanted.values().flatten() {
            products.extend(found.iter().cloned());
        }
        let products: Vec<String> = products.into_iter().collect();
        let mut read = Products::default();
        if !known.is_empty() {
            for chunk in products.chunks(AT_ONCE) {
                self.read_products(&known, Some(chunk), &|_| {}, &mut read)?;
            }
        }
        let mut levels = StockLevels {
            missing,
            road: "sql".into(),
            ..StockLevels::default()
        };
        for (code, products) in wanted {
            let level = match products {
                Ok(products) if products.len() > 1 => VariantLevels::Unreadable(format!(
                    "{} products have this bar code",
                    products.len()
                )),
                Ok(products) => match products.first() {
                    Some(product) => self.level(&read, product, &code),
                    None => VariantLevels::Absent,
                },
                Err(why) => VariantLevels::Unreadable(why),
            };
            // A branch that was not read may be the one that knows it.
            if level != VariantLevels::Absent || levels.missing.is_empty() {
                levels.variants.insert(code, level);
            }
        }
        Ok(levels)
    }

    fn read_every(&self, progress: &dyn Fn(u64)) -> Result<StockLevels, Fault> {
        let (known, missing) = self.known_branches()?;
        let mut levels = StockLevels {
            missing,
            road: "sql bulk".into(),
            ..StockLevels::default()
        };
        if known.is_empty() {
            return Ok(levels);
        }
        let mut read = Products::default();
        self.read_products(&known, None, progress, &mut read)?;
        let mut owners: BTreeMap<ErpCode, Option<&String>> = BTreeMap::new();
        for product in read.rows.keys() {
            for code in read.codes(self.sku_code, self.each(), product, &known) {
                // A bar code that two products share names neither.
                let owner = owners.entry(code);
                owner.and_modify(|one| *one = None).or_insert(Some(product));
            }
        }
        for (code, product) in owners {
            let level = match product {
                Some(product) => self.level(&read, product, &code),
                None => VariantLevels::Unreadable("two products have this bar code".into()),
            };
            levels.variants.insert(code, level);
        }
        Ok(levels)
    }

    /// Reads stock and packagings of some products, or of all, in branches that exist.
    fn read_products(
        &self,
        branches: &[BaseCode],
        products: Option<&[String]>,
        progress: &dyn Fn(u64),
        read: &mut Products,
    ) -> Result<(), Fault> {
        let products = products.unwrap_or_default();
        let slots = self.slots(branches);
        let slots = slots.values("product", products.iter().cloned());
        let slots = self.filters.add_to(slots);
        let mut n_rows = 0_u64;
        let mut counted = |more: usize| {
            n_rows = n_rows.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
            progress(n_rows);
        };
        self.ask(WinthorStatement::Stock, &slots, &STOCK, &mut |rows| {
            read.take_stock(rows);
            counted(rows.len());
        })?;
        self.ask(
            WinthorStatement::Packagings,
            &slots,
            &PACKAGINGS,
            &mut |rows| {
                read.take_packagings(rows);
                counted(rows.len());
            },
        )?;
        Ok(())
    }

    /// Returns the branches that exist, and those that do not with the reason.
    ///
    /// A branch that is spelled otherwise (`01` for `1`) would look like one without goods.
    pub(super) fn known_branches(
        &self,
    ) -> Result<(Vec<BaseCode>, BTreeMap<BaseCode, String>), Fault> {
        if self.branches_seen.load(Ordering::Relaxed) {
            return Ok((self.branches.clone(), BTreeMap::new()));
        }
        let mut found = BTreeSet::new();
        if !self.branches.is_empty() {
            let slots = self.slots(&self.branches);
            self.ask(WinthorStatement::Branches, &slots, &[2, 60], &mut |rows| {
                let codes = (0..rows.len()).filter_map(|row| rows.cell(row, 0));
                found.extend(codes.filter_map(|code| BaseCode::parse(code).ok()));
            })?;
        }
        let (known, unknown): (Vec<_>, Vec<_>) = self
            .branches
            .iter()
            .cloned()
            .partition(|branch| found.contains(branch));
        // Asked once, unless one is missing.
        self.branches_seen
            .store(unknown.is_empty(), Ordering::Relaxed);
        let reason = |branch: BaseCode| {
            let told = format!("the ERP shows no branch {branch} to this login");
            (branch, told)
        };
        Ok((known, unknown.into_iter().map(reason).collect()))
    }

    /// Finds whose packagings the codes are.
    fn wanted(&self, branches: &[BaseCode], codes: &[ErpCode]) -> Result<Wanted, Fault> {
        let mut wanted = Wanted::new();
        let mut bar_codes = Vec::new();
        for code in codes {
            let product = product_of(self.sku_code, code);
            let found = match product {
                Some(product) if is_number(&product) => Ok(BTreeSet::from([product])),
                Some(product) => Err(format!("product {product:?} is not a number")),
                None if is_number(code.as_str()) => {
                    bar_codes.push(code.as_str().to_owned());
                    Ok(BTreeSet::new())
                }
                None => Err(format!("bar code {code} is not a number")),
            };
            wanted.insert(code.clone(), found);
        }
        if branches.is_empty() {
            return Ok(wanted);
        }
        for chunk in bar_codes.chunks(AT_ONCE) {
            let slots = self
                .slots(branches)
                .values("bar_code", chunk.iter().cloned());
            let widths = [NUMBER, NUMBER];
            self.ask(WinthorStatement::BarCodes, &slots, &widths, &mut |rows| {
                for row in 0..rows.len() {
                    let cell = |column| rows.cell(row, column).unwrap_or_default();
                    let code = of_row(SkuCode::BarCode, cell(0), cell(1));
                    let entry = code.ok().and_then(|code| wanted.get_mut(&code));
                    if let Some(Ok(products)) = entry {
                        products.insert(cell(1).to_owned());
                    }
                }
            })?;
        }
        Ok(wanted)
    }

    /// Decides what the rows of a product mean for one of its codes.
    ///
    /// A branch that has the product and not this packaging is listed, with the others: nothing of it is for this one.
    fn level(&self, read: &Products, product: &str, code: &ErpCode) -> VariantLevels {
        let unreadable = |branch: &BaseCode, why: &str| {
            VariantLevels::Unreadable(format!("branch {branch}: product {product}: {why}"))
        };
        let Some(row) = read.rows.get(product) else {
            return VariantLevels::Absent;
        };
        let Ok(product_code) = ErpCode::parse(product) else {
            return VariantLevels::Unreadable(format!("product {product:?} is no code"));
        };
        let mut levels = BTreeMap::new();
        let mut is_sold = false;
        for (branch, cell) in &row.branches {
            let (stock, unlimited) = match cell {
                Ok(cell) => *cell,
                Err(why) => return unreadable(branch, why),
            };
            let packagings = match read.sold_as(self.sku_code, self.each(), product, branch) {
                Ok(packagings) => packagings,
                Err(why) => return unreadable(branch, &why),
            };
            is_sold |= packagings.iter().any(|packaging| packaging.code == *code);
            let level = PackedLevel {
                product: product_code.clone(),
                stock: self.offered(branch, stock),
                packagings,
                unlimited,
            };
            levels.insert(branch.clone(), Box::new(level));
        }
        if is_sold {
            VariantLevels::Packed(levels)
        } else {
            VariantLevels::Absent
        }
    }

    fn changes(&self, watermark: Option<i64>) -> Result<Changes, Fault> {
        // Asked first: what changes while the rows are read is found the next time.
        let next = self.next_watermark()?;
        let Some(since) = watermark else {
            let watermark = next.unwrap_or(LocalTime::NONE.as_ms());
            return Ok(Changes {
                codes: Vec::new(),
                watermark,
            });
        };
        let from = LocalTime::from_ms(since).unwrap_or(LocalTime::NONE);
        let slots = self.slots(&self.branches).instant("since", from.blank());
        let mut changed: BTreeMap<String, String> = BTreeMap::new();
        let widths = [NUMBER, NUMBER];
        self.ask(WinthorStatement::Changed, &slots, &widths, &mut |rows| {
            for row in 0..rows.len() {
                let cell = |column| rows.cell(row, column).unwrap_or_default().to_owned();
                changed.insert(cell(0), cell(1));
            }
        })?;
        let products: Vec<String> = changed.keys().cloned().collect();
        let mut codes = BTreeSet::new();
        for chunk in products.chunks(AT_ONCE) {
            let mut read = Products::default();
            for product in chunk {
                let main = changed.get(product).cloned().unwrap_or_default();
                let row = read.rows.entry(product.clone()).or_default();
                row.main = main;
            }
            let slots = self
                .slots(&self.branches)
                .values("product", chunk.iter().cloned());
            self.ask(
                WinthorStatement::Packagings,
                &slots,
                &PACKAGINGS,
                &mut |rows| {
                    read.take_packagings(rows);
                },
            )?;
            for product in chunk {
                codes.extend(read.codes(self.sku_code, self.each(), product, &self.branches));
            }
        }
        Ok(Changes {
            codes: codes.into_iter().collect(),
            watermark: next.map_or(since, |next| next.max(since)),
        })
    }

    /// Returns from where the next reading of changes begins; `None` where no row bears a date.
    fn next_watermark(&self) -> Result<Option<i64>, Fault> {
        let statement = match self.config.changes_clock {
            ChangesClock::Rows => WinthorStatement::Watermark,
            ChangesClock::Session => WinthorStatement::Clock,
        };
        let until = self
            .gated
            .env
            .clock
            .now()
            .0
            .saturating_add(BELIEVED_AHEAD_MS);
        let until = LocalTime::from_ms(until).unwrap_or(LocalTime::NONE);
        let slots = self.slots(&self.branches).instant("until", until.blank());
        let mut latest = None;
        self.ask(statement, &slots, &[TIME], &mut |rows| {
            latest = rows.cell(0, 0).and_then(LocalTime::parse);
        })?;
        let overlap = self.config.changes_overlap.ms();
        Ok(latest.map(|latest| latest.as_ms().saturating_sub(overlap)))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

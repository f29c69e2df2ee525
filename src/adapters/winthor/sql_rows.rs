//! What rows of WinThor's tables mean: products with their stock per branch, and packagings with their factors.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapters::odbc::link::Rows;
use crate::adapters::winthor::code::{SkuCode, of_row};
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::packaging::Packaging;
use crate::domain::qty::Qty;

/// The most characters of a number as text, sign, point and exponent included.
pub(super) const NUMBER: usize = 48;
/// The most characters of a branch's code.
pub(super) const BRANCH: usize = 2;
/// The most characters of a date and time.
pub(super) const TIME: usize = 32;

/// Columns of `stock.sql`: branch, product, its main auxiliary code, available, sold without limit.
pub(super) const STOCK: [usize; 5] = [BRANCH, NUMBER, NUMBER, NUMBER, 1];
/// Columns of `packagings.sql`: branch, product, auxiliary code, base units.
pub(super) const PACKAGINGS: [usize; 4] = [BRANCH, NUMBER, NUMBER, NUMBER];

/// One branch's stock of a product, or why it cannot be told.
pub(super) type Cell = Result<(Qty, bool), String>;

/// A product as `stock.sql` shows it.
#[derive(Debug, Default)]
pub(super) struct Product {
    /// Its own auxiliary code; empty where it has none.
    pub(super) main: String,
    /// Per branch its stock, and whether it is sold without limit.
    pub(super) branches: BTreeMap<BaseCode, Cell>,
}

/// A packaging of a product in one branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pack {
    /// Its auxiliary code.
    pub(super) auxiliary: String,
    /// Base units in it.
    pub(super) factor: Qty,
}

/// The packagings of a product in one branch, or why they cannot be told.
pub(super) type Packs = Result<Vec<Pack>, String>;

/// What was read, by product.
#[derive(Debug, Default)]
pub(super) struct Products {
    /// The products.
    pub(super) rows: BTreeMap<String, Product>,
    packs: BTreeMap<(String, BaseCode), Packs>,
}

/// Reads a number as a driver writes it; a decimal comma is refused, since it may be a thousands mark.
pub(super) fn number(text: Option<&str>) -> Result<Qty, String> {
    let text = text.ok_or("a number is NULL")?;
    Qty::parse(text).map_err(|err| {
        let comma = text.contains(',');
        let hint = if comma {
            "; hint: set NLS_LANG to an AMERICAN locale"
        } else {
            ""
        };
        format!("{err}{hint}")
    })
}

impl Products {
    /// Takes rows of `stock.sql`.
    pub(super) fn take_stock(&mut self, rows: &Rows) {
        for row in 0..rows.len() {
            let cell = |column| rows.cell(row, column).unwrap_or_default().trim();
            let (Ok(branch), false) = (BaseCode::parse(cell(0)), cell(1).is_empty()) else {
                continue;
            };
            let found = number(rows.cell(row, 3)).map(|qty| (qty, cell(4) == "S"));
            let product = self.rows.entry(cell(1).to_owned()).or_default();
            cell(2).clone_into(&mut product.main);
            product
                .branches
                .entry(branch)
                .and_modify(|cell| *cell = Err("it has more than one row".into()))
                .or_insert(found);
        }
    }

    /// Takes rows of `packagings.sql`.
    pub(super) fn take_packagings(&mut self, rows: &Rows) {
        for row in 0..rows.len() {
            let cell = |column| rows.cell(row, column).unwrap_or_default().trim();
            let Ok(branch) = BaseCode::parse(cell(0)) else {
                continue;
            };
            let auxiliary = cell(2).to_owned();
            let found = number(rows.cell(row, 3)).map(|factor| Pack { auxiliary, factor });
            let packs = self.packs.entry((cell(1).to_owned(), branch));
            let packs = packs.or_insert_with(|| Ok(Vec::new()));
            match (packs.as_mut(), found) {
                (Ok(list), Ok(pack)) => list.push(pack),
                (Ok(_), Err(why)) => *packs = Err(format!("packaging {}: {why}", cell(2))),
                (Err(_), _) => {}
            }
        }
    }

    /// Returns a product's packagings in a branch, its main one first, the others by their code.
    pub(super) fn packs(&self, product: &str, branch: &BaseCode) -> Packs {
        let main = self.rows.get(product).map_or("", |row| row.main.as_str());
        let mut packs = match self.packs.get(&(product.to_owned(), branch.clone())) {
            Some(packs) => packs.clone()?,
            None => Vec::new(),
        };
        packs.retain(|pack| pack.factor > Qty::ZERO);
        packs.sort_by_key(|pack| (pack.auxiliary != main, by_number(&pack.auxiliary)));
        if packs
            .windows(2)
            .any(|two| two[0].auxiliary == two[1].auxiliary)
        {
            return Err("a packaging has more than one row".into());
        }
        Ok(packs)
    }

    /// Returns what a product is sold as in a branch: each of its packagings, or the product in its smallest one.
    pub(super) fn sold_as(
        &self,
        mode: SkuCode,
        each: bool,
        product: &str,
        branch: &BaseCode,
    ) -> Result<Vec<Packaging>, String> {
        let packs = self.packs(product, branch)?;
        let main = self.rows.get(product).map_or("", |row| row.main.as_str());
        if !each {
            let smallest = packs.iter().map(|pack| pack.factor).min();
            let code = of_row(mode, main, product);
            let whole = smallest.map(|factor| code.map(|code| Packaging { code, factor }));
            return Ok(whole.transpose()?.into_iter().collect());
        }
        let sold = packs.into_iter().map(|pack| {
            Ok(Packaging {
                code: of_row(mode, &pack.auxiliary, product)?,
                factor: pack.factor,
            })
        });
        sold.collect()
    }

    /// Returns the codes under which a product is sold in any of these branches.
    pub(super) fn codes(
        &self,
        mode: SkuCode,
        each: bool,
        product: &str,
        branches: &[BaseCode],
    ) -> BTreeSet<ErpCode> {
        let sold = |branch| {
            self.sold_as(mode, each, product, branch)
                .unwrap_or_default()
        };
        let sold = branches.iter().flat_map(sold);
        sold.map(|packaging| packaging.code).collect()
    }
}

/// Orders whole numbers written as text, as long as no integer type holds them.
pub(super) fn by_number(text: &str) -> (usize, String) {
    (text.len(), text.to_owned())
}

//! What a WinThor installation remembers: products, their packagings, stock per branch, and the orders brought into it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::domain::ids::{OrderId, SkuId};
use crate::domain::time::Moment;
use crate::sandbox::catalogue::{Product as StoreProduct, Variant};

/// The branch whose stock the store sells.
pub const BRANCH: &str = "1";
/// A branch that is none of the store's.
pub const OTHER: &str = "2";

/// A packaging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packaging {
    /// Its bar code, up to 20 digits.
    pub code: String,
    /// Base units in one pack, where the column is filled.
    pub factor: Option<Decimal>,
}

/// What lies in one branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Everything.
    pub lying: Decimal,
    /// Of that, reserved for orders.
    pub reserved: Decimal,
    /// Of that, blocked.
    pub blocked: Decimal,
    /// When what is available last changed; `None` as for a product that never moved.
    pub changed: Option<Moment>,
}

impl Shelf {
    /// What may still be sold.
    pub fn available(&self) -> Decimal {
        self.lying - self.reserved - self.blocked
    }
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its packagings.
    pub packagings: Vec<Packaging>,
    /// Per branch.
    pub shelves: BTreeMap<String, Shelf>,
    /// Whether it is sold on the web at all.
    pub on_web: bool,
    /// Whether it is sold without regard to stock.
    pub unlimited: bool,
    /// Whether it is marked for resale.
    pub resale: bool,
    /// Its type of goods.
    pub kind: String,
}

/// An order in WinThor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErpOrder {
    /// Its number.
    pub number: u64,
    /// `P` pending, `L` released, `F` invoiced, `C` canceled.
    pub position: char,
    /// Base units per product.
    pub items: BTreeMap<u64, Decimal>,
}

impl ErpOrder {
    /// Whether its units are out of what is available.
    pub fn holds(&self) -> bool {
        matches!(self.position, 'L' | 'F')
    }
}

/// How it behaves where its documentation leaves a choice.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// How long a token lives.
    pub token_ms: i64,
    /// The same page again and again, whatever is asked.
    pub same_page: bool,
    /// Decimal commas in quantities, as text.
    pub commas: bool,
}

/// What it remembers.
#[derive(Debug, Clone)]
pub struct WinthorModel {
    /// The products by code.
    pub products: BTreeMap<u64, Product>,
    /// The store's orders as they were brought in.
    pub orders: BTreeMap<OrderId, ErpOrder>,
    /// Breaches of its rules.
    pub violations: Vec<String>,
    /// How it behaves.
    pub habits: Habits,
}

/// The factors of the products, in turn.
const FACTORS: [&[&str]; 6] = [
    &["1"],
    &["1", "6"],
    &["1", "6", "12"],
    &["6", "12"],
    &["1", "2.5"],
    &["1", "1", "6"],
];

impl WinthorModel {
    /// Fills an installation with so many products.
    pub fn new(count: u64) -> Self {
        let product = |number: u64| {
            let at = usize::try_from(number).unwrap_or(0);
            let packaging = |(i, factor): (u64, &&str)| Packaging {
                // Some codes are longer than any 64-bit number.
                code: if number.is_multiple_of(7) {
                    format!("9999999999999{number:05}{i:02}")
                } else {
                    format!("7890000{number:05}{i}")
                },
                factor: factor.parse().ok(),
            };
            let units = |branch: u64| Decimal::from((number * 37 + branch * 11) % 190);
            let shelf = |branch: u64| Shelf {
                lying: units(branch)
                    + if number % 5 == 4 {
                        Decimal::new(75, 2)
                    } else {
                        Decimal::ZERO
                    },
                blocked: Decimal::from(number % 3),
                ..Shelf::default()
            };
            let product = Product {
                packagings: (0..)
                    .zip(FACTORS[at % FACTORS.len()])
                    .map(packaging)
                    .collect(),
                shelves: [(BRANCH.to_owned(), shelf(1)), (OTHER.to_owned(), shelf(2))].into(),
                on_web: true,
                unlimited: number.is_multiple_of(29),
                resale: true,
                kind: "L".into(),
            };
            (number, product)
        };
        Self {
            products: (1..=count).map(product).collect(),
            orders: BTreeMap::new(),
            violations: Vec::new(),
            habits: Habits {
                token_ms: 7_200_000,
                same_page: false,
                commas: false,
            },
        }
    }

    /// Returns the store's catalogue: one SKU for each packaging, its reference the code and the product.
    pub fn store_products(&self) -> Vec<StoreProduct> {
        let all = self.products.iter().flat_map(|(number, product)| {
            product
                .packagings
                .iter()
                .map(move |packaging| (number, packaging))
        });
        let sku = |(at, (number, packaging)): (usize, (&u64, &Packaging))| StoreProduct {
            sku: SkuId::parse(&(5001 + at).to_string()).expect("digits"),
            variant: Variant {
                article: format!("{}-{number}", packaging.code),
                color: String::new(),
                size: String::new(),
            },
            name: format!(
                "Produto {number}, embalagem de {}",
                packaging.factor.unwrap_or_default()
            ),
            stock: BTreeMap::new(),
        };
        all.enumerate().map(sku).collect()
    }

    /// Returns the product and factor of a reference.
    pub fn packaging(&self, reference: &str) -> Option<(u64, Decimal)> {
        let (code, number) = reference.rsplit_once('-')?;
        let number = number.parse().ok()?;
        let product = self.products.get(&number)?;
        let packaging = product.packagings.iter().find(|p| p.code == code)?;
        Some((number, packaging.factor?))
    }

    /// Sells over the counter of a branch.
    pub fn counter_sale(&mut self, product: u64, branch: &str, units: Decimal, now: Moment) {
        if let Some(shelf) = self.shelf(product, branch) {
            shelf.lying -= units;
            shelf.changed = Some(now);
        }
    }

    /// Somebody's integration brings an order of the store in; it is pending.
    pub fn bring_in(&mut self, id: &OrderId, items: BTreeMap<u64, Decimal>) {
        let number = 7000 + u64::try_from(self.orders.len()).unwrap_or(0);
        let order = ErpOrder {
            number,
            position: 'P',
            items,
        };
        self.orders.entry(id.clone()).or_insert(order);
    }

    /// Moves an order to another position: released it is reserved, invoiced it has left, canceled it is neither.
    pub fn position(&mut self, id: &OrderId, position: char, now: Moment) {
        let Some(order) = self.orders.get_mut(id) else {
            return;
        };
        let (before, items) = (order.position, order.items.clone());
        order.position = position;
        for (product, units) in items {
            if let Some(shelf) = self.shelf(product, BRANCH) {
                match before {
                    'L' => shelf.reserved -= units,
                    'F' => shelf.lying += units,
                    _ => {}
                }
                match position {
                    'L' => shelf.reserved += units,
                    'F' => shelf.lying -= units,
                    _ => {}
                }
                shelf.changed = Some(now);
            }
        }
    }

    fn shelf(&mut self, product: u64, branch: &str) -> Option<&mut Shelf> {
        self.products.get_mut(&product)?.shelves.get_mut(branch)
    }
}

/// Divides stock among packagings by the six steps of the interface's page, on fractions of whole numbers.
///
/// Returns one share per packaging with a factor above zero.
pub fn shares(stock: Decimal, packagings: &[Packaging]) -> Vec<(&Packaging, Decimal)> {
    const SCALE: u32 = 6;
    let whole = |value: Decimal| {
        let mut value = value.trunc_with_scale(SCALE);
        value.rescale(SCALE);
        value.mantissa()
    };
    let fits = |p: &&Packaging| p.factor.is_some_and(|factor| factor > Decimal::ZERO);
    let used: Vec<_> = packagings.iter().filter(fits).collect();
    let factor = |p: &Packaging| whole(p.factor.unwrap_or_default());
    let sum: i128 = used.iter().map(|p| factor(p)).sum();
    let stock = whole(stock.max(Decimal::ZERO));
    let mut result: Vec<(&Packaging, i128)> = Vec::new();
    for packaging in used {
        let f = factor(packaging);
        // The weight is 100 f / sum, what is applied is stock · weight / 100: the fraction `f · stock / sum`.
        let applied = f * stock;
        // The rest of `applied / sum` divided by f, over the same denominator.
        let rest = applied % (f * sum);
        result.push((packaging, (applied - rest) / sum));
    }
    let given: i128 = result.iter().map(|(_, units)| units).sum();
    let difference = stock - given;
    let one = 10_i128.pow(SCALE);
    let mut singles: Vec<_> = result
        .iter_mut()
        .filter(|(p, _)| factor(p) == one)
        .collect();
    singles.sort_by_key(|(p, _)| (p.code.len(), p.code.clone()));
    if let Some((_, units)) = singles.first_mut() {
        *units += difference;
    }
    let back = |units| Decimal::from_i128_with_scale(units, SCALE).normalize();
    result
        .into_iter()
        .map(|(p, units)| (p, back(units)))
        .collect()
}

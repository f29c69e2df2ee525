//! A shop's catalogue: the same one for every run, with the codes that make trouble in real ones.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::domain::ids::{BaseCode, SkuId};

/// One variant, in the store and in the ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id in the store.
    pub sku: SkuId,
    /// Article, colour, size in the ERP.
    pub variant: Variant,
    /// What people call it.
    pub name: String,
    /// Stock per base at the beginning of the day.
    pub stock: BTreeMap<BaseCode, Decimal>,
}

/// Article, colour, size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// The article.
    pub article: String,
    /// The colour.
    pub color: String,
    /// The size.
    pub size: String,
}

impl Variant {
    /// Returns the reference in the store; an ERP that knows no colours and sizes has the article alone.
    pub fn reference(&self) -> String {
        if self.color.is_empty() && self.size.is_empty() {
            return self.article.clone();
        }
        format!("{}-{}-{}", self.article, self.color, self.size)
    }
}

/// The shops, the bases that must not count, and the virtual depot.
pub const SHOPS: [&str; 3] = ["CENTRO", "NORTE", "SUR"];
/// Bases of the installation that are none of the store's.
pub const BLOCKED: [&str; 2] = ["MELI", "ADMIN"];
/// The virtual depot.
pub const DEPOT: &str = "WOO";
/// The warehouse of the store.
pub const WAREHOUSE: &str = "1_1";

const COLORS: [(&str, &str); 4] = [
    ("N01", "negro"),
    ("B02", "blanco"),
    ("AZ3", "azul"),
    ("R04", "rojo"),
];
const SIZES: [&str; 5] = ["S", "M", "L", "XL", "42"];
const KINDS: [(&str, &str); 4] = [
    ("REM", "Remera"),
    ("CAM-OX", "Camisa oxford"),
    ("PAN 5B", "Pantalón cinco bolsillos"),
    ("CAMP-IN 2", "Campera de invierno"),
];

/// Returns a base code.
pub fn base(code: &str) -> BaseCode {
    BaseCode::parse(code).expect("the catalogue's bases are valid")
}

/// Returns so many products.
pub fn products(count: usize) -> Vec<Product> {
    let mut products = Vec::new();
    let mut number = 1_usize;
    while products.len() < count {
        for (prefix, kind) in KINDS {
            for (color, color_name) in COLORS {
                for size in SIZES {
                    let variant = Variant {
                        article: format!("{prefix}{number}"),
                        color: color.into(),
                        size: size.into(),
                    };
                    let name = format!("{kind} {number} {color_name} {size}");
                    products.push(product(products.len(), variant, name));
                }
            }
        }
        number += 1;
    }
    products.truncate(count);
    products
}

fn product(at: usize, variant: Variant, name: String) -> Product {
    let sku = SkuId::parse(&(1001 + at).to_string()).expect("digits");
    let mut stock = BTreeMap::new();
    for (i, shop) in SHOPS.iter().enumerate() {
        let units = (at * 7 + i * 5) % 9 + usize::from(i == 0) * 2;
        stock.insert(base(shop), Decimal::from(units));
    }
    // A shop that sold what it did not book in: its stock is negative until somebody counts.
    if at % 41 == 3 {
        stock.insert(base("SUR"), Decimal::from(-1));
    }
    if at % 53 == 5 {
        stock.insert(base("NORTE"), Decimal::new(25, 1));
    }
    for blocked in BLOCKED {
        stock.insert(base(blocked), Decimal::from(50));
    }
    stock.insert(base(DEPOT), Decimal::ZERO);
    Product {
        sku,
        variant,
        name,
        stock,
    }
}

//! A whole reading of stock, kept to answer page by page, with the time at which each figure was first seen.
//!
//! For a source of stock that tells figures and no dates: what changed is told apart by comparing with the reading before.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::domain::available::{AvailablePage, AvailableQuery, AvailableRow, LocalTime, OrderKey};
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::packaging::{Packaging, partition};
use crate::domain::ports::{PortError, PortResult};
use crate::domain::qty::Qty;
use crate::domain::stock::{StockLevels, VariantLevels};

/// What one base holds of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    stock: Qty,
    packagings: Vec<Packaging>,
    unlimited: bool,
    changed: LocalTime,
}

/// A whole reading, by base and product.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(BTreeMap<(BaseCode, ErpCode), Held>);

impl Snapshot {
    /// Keeps a reading made at `now`; what stands as it stood `before` keeps its time.
    ///
    /// A variant that could not be read keeps what it had.
    pub fn new(levels: &StockLevels, before: &Self, now: LocalTime) -> Self {
        let mut kept = BTreeMap::new();
        let dated = |key: &(BaseCode, ErpCode), held: Held| {
            let same = before.0.get(key).filter(|old| {
                old.stock == held.stock
                    && old.packagings == held.packagings
                    && old.unlimited == held.unlimited
            });
            let changed = same.map_or(now, |old| old.changed);
            Held { changed, ..held }
        };
        for (code, level) in &levels.variants {
            match level {
                VariantLevels::Known(bases) => {
                    for (base, stock) in bases {
                        let one = Packaging {
                            code: code.clone(),
                            factor: Qty::whole(1),
                        };
                        let held = Held {
                            stock: *stock,
                            packagings: vec![one],
                            unlimited: false,
                            changed: now,
                        };
                        let key = (base.clone(), code.clone());
                        kept.insert(key.clone(), dated(&key, held));
                    }
                }
                VariantLevels::Packed(bases) => {
                    for (base, level) in bases {
                        let held = Held {
                            stock: level.stock,
                            packagings: level.packagings.clone(),
                            unlimited: level.unlimited,
                            changed: now,
                        };
                        let key = (base.clone(), level.product.clone());
                        kept.insert(key.clone(), dated(&key, held));
                    }
                }
                VariantLevels::Unreadable(_) => {
                    for (key, held) in before.0.iter().filter(|((_, product), _)| product == code) {
                        kept.insert(key.clone(), held.clone());
                    }
                }
                VariantLevels::Absent => {}
            }
        }
        for (key, held) in &before.0 {
            if levels.missing.contains_key(&key.0) {
                kept.entry(key.clone()).or_insert_with(|| held.clone());
            }
        }
        Self(kept)
    }

    /// Answers one page.
    ///
    /// # Errors
    ///
    /// [`PortError::Rejected`] for a filter on what a source of stock does not tell.
    pub fn page(&self, query: &AvailableQuery) -> PortResult<AvailablePage> {
        for (name, given) in [
            ("categoryId", query.category),
            ("subcategoryId", query.subcategory),
            ("sectionId", query.section),
            ("departmentId", query.department),
            ("providerId", query.provider),
        ] {
            if given.is_some() {
                let reason = format!("{name}: this source does not tell categories or suppliers");
                return Err(PortError::rejected(reason));
            }
        }
        if query.resale.is_some() {
            let reason = "resale: this source does not tell which products are for resale";
            return Err(PortError::rejected(reason));
        }
        // No type of merchandise is known here, and an unknown one answers nothing.
        if !query.types.is_empty() {
            return Ok(AvailablePage::default());
        }
        let fits = |((base, product), held): &(&(BaseCode, ErpCode), &Held)| {
            query.branches.contains(base)
                && query
                    .product
                    .as_deref()
                    .is_none_or(|text| is(product, held, text))
                && query.since.is_none_or(|since| held.changed >= since)
        };
        let mut found: Vec<_> = self.0.iter().filter(fits).collect();
        found.sort_by(|one, other| compare(query, one, other));
        let size = usize::try_from(query.page_size).unwrap_or(usize::MAX);
        let after = usize::try_from(query.page.saturating_sub(1)).unwrap_or(usize::MAX);
        let after = after.saturating_mul(size).min(found.len());
        let has_next = found.len() - after > size;
        let rows = found.into_iter().skip(after).take(size);
        Ok(AvailablePage {
            rows: rows
                .flat_map(|((base, _), held)| rows_of(base, held, query.packaging_sales))
                .collect(),
            has_next,
        })
    }
}

/// Whether a text names a product: its code, or that of one of its packagings.
fn is(product: &ErpCode, held: &Held, text: &str) -> bool {
    product.as_str() == text || held.packagings.iter().any(|p| p.code.as_str() == text)
}

fn compare(
    query: &AvailableQuery,
    one: &(&(BaseCode, ErpCode), &Held),
    other: &(&(BaseCode, ErpCode), &Held),
) -> Ordering {
    let by = |key: OrderKey| match key {
        OrderKey::LastChange => one.1.changed.cmp(&other.1.changed),
        // No such date is told: all are equal.
        OrderKey::CreateDate => Ordering::Equal,
        OrderKey::Product => one.0.1.cmp(&other.0.1),
        OrderKey::Branch => one.0.0.cmp(&other.0.0),
    };
    let asked = query.order.iter().map(|(key, descending)| {
        let order = by(*key);
        if *descending { order.reverse() } else { order }
    });
    let asked = asked.fold(Ordering::Equal, Ordering::then);
    let otherwise = if query.order.is_empty() {
        by(OrderKey::LastChange)
    } else {
        Ordering::Equal
    };
    asked.then(otherwise).then_with(|| one.0.cmp(other.0))
}

fn rows_of(base: &BaseCode, held: &Held, divided: bool) -> Vec<AvailableRow> {
    let stock = held.stock.max(Qty::ZERO);
    let row = |packaging: &Packaging, quantity: Qty| AvailableRow {
        created: LocalTime::NONE,
        changed: held.changed,
        product_id: packaging.code.to_string(),
        quantity,
        unlimited: held.unlimited,
        branch: base.clone(),
        branch_name: base.to_string(),
        unit_multiplier: packaging.factor,
    };
    if divided {
        let factors: Vec<_> = held.packagings.iter().map(|p| Some(p.factor)).collect();
        let shares = partition(stock, &factors).shares;
        let pairs = held.packagings.iter().zip(shares);
        return pairs
            .filter_map(|(p, share)| Some(row(p, share?)))
            .collect();
    }
    let smallest = held.packagings.iter().min_by_key(|p| p.factor);
    smallest.map(|p| row(p, stock)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stock::PackedLevel;

    fn base(code: &str) -> BaseCode {
        BaseCode::parse(code).unwrap()
    }

    fn code(text: &str) -> ErpCode {
        ErpCode::parse(text).unwrap()
    }

    fn time(text: &str) -> LocalTime {
        LocalTime::parse(text).unwrap()
    }

    fn levels(stock: i64) -> StockLevels {
        let packaging = |text: &str, factor| Packaging {
            code: code(text),
            factor: Qty::whole(factor),
        };
        let packed = PackedLevel {
            product: code("9"),
            stock: Qty::whole(stock),
            packagings: vec![packaging("11-9", 1), packaging("22-9", 6)],
            unlimited: false,
        };
        let known = BTreeMap::from([(base("1"), Qty::whole(-3)), (base("2"), Qty::whole(4))]);
        StockLevels {
            variants: BTreeMap::from([
                (code("A"), VariantLevels::Known(known)),
                (
                    code("11-9"),
                    VariantLevels::Packed(BTreeMap::from([(base("1"), packed.clone())])),
                ),
                (
                    code("22-9"),
                    VariantLevels::Packed(BTreeMap::from([(base("1"), packed)])),
                ),
            ]),
            ..StockLevels::default()
        }
    }

    fn told(page: &AvailablePage) -> Vec<String> {
        let row = |row: &AvailableRow| {
            format!(
                "{} {} {} x{}",
                row.branch, row.product_id, row.quantity, row.unit_multiplier
            )
        };
        page.rows.iter().map(row).collect()
    }

    #[test]
    fn pages_follow_the_order_and_clamp_what_is_below_zero() {
        let early = time("2026-01-01T10:00:00");
        let first = Snapshot::new(&levels(20), &Snapshot::default(), early);
        let late = time("2026-01-01T11:00:00");
        let second = Snapshot::new(&levels(21), &first, late);
        let mut query = AvailableQuery::of(vec![base("1"), base("2")], 2);
        let page = second.page(&query).unwrap();
        assert_eq!(told(&page), ["1 A 0 x1", "2 A 4 x1"]);
        assert!(page.has_next);
        query.page = 2;
        let page = second.page(&query).unwrap();
        assert_eq!(told(&page), ["1 11-9 21 x1"]);
        assert!(!page.has_next);
        query = AvailableQuery {
            since: Some(late),
            packaging_sales: true,
            ..AvailableQuery::of(vec![base("1")], 20)
        };
        let page = second.page(&query).unwrap();
        assert_eq!(
            told(&page),
            ["1 11-9 3 x1", "1 22-9 18 x6"],
            "only what changed, divided"
        );
        query.since = None;
        query.product = Some("22-9".into());
        assert_eq!(
            second.page(&query).unwrap().rows.len(),
            2,
            "one product by a packaging's code"
        );
    }

    #[test]
    fn what_cannot_be_told_is_refused_and_what_is_unknown_is_empty() {
        let snapshot = Snapshot::new(&levels(20), &Snapshot::default(), LocalTime::NONE);
        let mut query = AvailableQuery::of(vec![base("1")], 20);
        query.types = vec!["PA".into()];
        assert_eq!(snapshot.page(&query).unwrap(), AvailablePage::default());
        query.types.clear();
        query.section = Some(3);
        assert!(snapshot.page(&query).is_err());
    }

    #[test]
    fn a_base_that_is_missing_keeps_what_was_known() {
        let first = Snapshot::new(&levels(20), &Snapshot::default(), LocalTime::NONE);
        let mut gone = levels(20);
        gone.variants.remove(&code("A"));
        gone.missing.insert(base("2"), "offline".into());
        let second = Snapshot::new(&gone, &first, time("2026-01-01"));
        let page = second
            .page(&AvailableQuery::of(vec![base("1"), base("2")], 20))
            .unwrap();
        assert_eq!(told(&page), ["1 11-9 20 x1", "2 A 4 x1"]);
    }
}

//! A whole reading of stock, kept to answer page by page, with the time at which each figure was first seen.
//!
//! For a source of stock that tells figures and no dates: what changed is told apart by comparing with the reading before.
//! A base or a variant that could not be read keeps what was known of it; how long a base has been unread is remembered,
//! so that nobody is told old figures for ever.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::available::{
    AvailablePage, AvailableQuery, AvailableRow, LocalTime, OrderKey, product_part,
};
use crate::domain::ids::{BaseCode, ErpCode};
use crate::domain::packaging::{Packaging, partition};
use crate::domain::ports::{PortError, PortResult};
use crate::domain::qty::Qty;
use crate::domain::stock::{StockLevels, VariantLevels};
use crate::domain::time::BootTime;

/// Orders that are kept sorted; one more is sorted anew.
const MOST_ORDERS: usize = 4;

/// What one base holds of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    stock: Qty,
    packagings: Arc<[Packaging]>,
    /// The packagings share the product's stock, and the product has a number of its own.
    shared: bool,
    unlimited: bool,
    changed: LocalTime,
}

/// One of the rows, which stand by base and product.
#[derive(Debug)]
struct Row {
    /// The place among the bases.
    base: usize,
    product: ErpCode,
    held: Held,
}

/// By what rows are ordered, each with true for descending.
type Keys = Vec<(OrderKey, bool)>;

/// A whole reading, by base and product.
#[derive(Debug)]
pub struct Snapshot {
    /// The bases in their order.
    bases: Vec<BaseCode>,
    /// When each was last read; `None` for one that never could be.
    read: Vec<Option<BootTime>>,
    rows: Vec<Row>,
    newest: LocalTime,
    /// The places of the rows in orders that were asked for.
    sorted: Mutex<Vec<(Keys, Arc<[usize]>)>>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            bases: Vec::new(),
            read: Vec::new(),
            rows: Vec::new(),
            newest: LocalTime::NONE,
            sorted: Mutex::default(),
        }
    }
}

impl Snapshot {
    /// Keeps a reading that ended at `now` and began at `at`; what stands as it stood `before` keeps its time.
    ///
    /// A clock that was set back does not make a change older than one that was told before: who asks for what changed
    /// since then would never hear of it.
    pub fn new(levels: &StockLevels, before: &Self, now: LocalTime, at: BootTime) -> Self {
        let now = now.max(before.newest);
        let mut kept: BTreeMap<(&BaseCode, &ErpCode), Held> = BTreeMap::new();
        let mut unreadable = BTreeSet::new();
        for (code, level) in &levels.variants {
            match level {
                VariantLevels::Known(bases) => {
                    let factor = Qty::whole(1);
                    let code_of = code.clone();
                    let one: Arc<[Packaging]> = [Packaging {
                        code: code_of,
                        factor,
                    }]
                    .into();
                    for (base, stock) in bases {
                        let held = Held {
                            stock: *stock,
                            packagings: Arc::clone(&one),
                            shared: false,
                            unlimited: false,
                            changed: now,
                        };
                        kept.insert((base, code), before.dated(base, code, held));
                    }
                }
                VariantLevels::Packed(bases) => {
                    for (base, level) in bases {
                        let held = Held {
                            stock: level.stock,
                            packagings: level.packagings.as_slice().into(),
                            shared: true,
                            unlimited: level.unlimited,
                            changed: now,
                        };
                        let held = before.dated(base, &level.product, held);
                        kept.insert((base, &level.product), held);
                    }
                }
                VariantLevels::Unreadable(_) => {
                    unreadable.insert(code);
                }
                VariantLevels::Absent => {}
            }
        }
        for row in &before.rows {
            let base = &before.bases[row.base];
            let codes = row.held.packagings.iter().map(|packaging| &packaging.code);
            let mut names = codes.chain([&row.product]);
            if levels.missing.contains_key(base) || names.any(|code| unreadable.contains(code)) {
                let held = || row.held.clone();
                kept.entry((base, &row.product)).or_insert_with(held);
            }
        }
        let known = kept.keys().map(|(base, _)| *base);
        let bases: BTreeSet<&BaseCode> = known.chain(levels.missing.keys()).collect();
        let bases: Vec<BaseCode> = bases.into_iter().cloned().collect();
        let read = bases.iter().map(|base| match levels.missing.get(base) {
            Some(_) => before.read_at(base),
            None => Some(at),
        });
        let row = |((base, product), held): ((&BaseCode, &ErpCode), Held)| {
            let base = bases.binary_search(base).ok()?;
            let product = product.clone();
            Some(Row {
                base,
                product,
                held,
            })
        };
        Self {
            read: read.collect(),
            rows: kept.into_iter().filter_map(row).collect(),
            bases,
            newest: now,
            sorted: Mutex::default(),
        }
    }

    fn read_at(&self, base: &BaseCode) -> Option<BootTime> {
        let at = self.bases.binary_search(base).ok()?;
        self.read.get(at).copied().flatten()
    }

    /// Gives a figure the time of the same figure here.
    fn dated(&self, base: &BaseCode, product: &ErpCode, held: Held) -> Held {
        let found = self.bases.binary_search(base).ok().and_then(|base| {
            let place = |row: &Row| (row.base, &row.product).cmp(&(base, product));
            self.rows.binary_search_by(place).ok()
        });
        let Some(old) = found.map(|at| &self.rows[at].held) else {
            return held;
        };
        let changed = old.changed;
        let same = Held {
            changed,
            ..held.clone()
        };
        if same == *old { same } else { held }
    }

    /// Answers one page from bases that were read at `oldest` or later.
    ///
    /// # Errors
    ///
    /// [`PortError::Rejected`] for a filter on what a source of stock does not tell, [`PortError::Transient`] when a base
    /// that is asked for has not been read for too long, or never.
    pub fn page(&self, query: &AvailableQuery, oldest: BootTime) -> PortResult<AvailablePage> {
        refuse_unknown(query)?;
        let mut wanted = vec![false; self.bases.len()];
        for base in &query.branches {
            let Ok(at) = self.bases.binary_search(base) else {
                continue;
            };
            if self.read[at].is_none_or(|read| read < oldest) {
                let reason = format!("{base} could not be read for too long");
                return Err(PortError::transient(reason));
            }
            wanted[at] = true;
        }
        // No type of merchandise is known here, and an unknown one answers nothing.
        if !query.types.is_empty() {
            return Ok(AvailablePage::default());
        }
        let product = query.product.as_deref().map(Named::of);
        let fits = |row: &&Row| {
            wanted[row.base]
                && query.since.is_none_or(|since| row.held.changed >= since)
                && product.as_ref().is_none_or(|product| product.is(row))
        };
        let size = usize::try_from(query.page_size).unwrap_or(usize::MAX);
        let after = usize::try_from(query.page.saturating_sub(1)).unwrap_or(usize::MAX);
        let sorted = self.sorted(keys(&query.order));
        let rows = sorted.iter().map(|at| &self.rows[*at]).filter(fits);
        let mut rows = rows.skip(after.saturating_mul(size));
        let page = rows.by_ref().take(size).flat_map(|row| {
            let base = &self.bases[row.base];
            rows_of(base, &row.held, query.packaging_sales)
        });
        Ok(AvailablePage {
            rows: page.collect(),
            has_next: rows.next().is_some(),
        })
    }

    /// Returns the places of the rows in an order; a page of many then costs no sorting of all.
    fn sorted(&self, keys: Keys) -> Arc<[usize]> {
        let mut kept = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sorted)) = kept.iter().find(|(known, _)| *known == keys) {
            return Arc::clone(sorted);
        }
        let mut places: Vec<usize> = (0..self.rows.len()).collect();
        // Equal rows stay as they stand: by base and product.
        places.sort_by(|one, other| compare(&keys, &self.rows[*one], &self.rows[*other]));
        let places: Arc<[usize]> = places.into();
        if kept.len() >= MOST_ORDERS {
            kept.remove(0);
        }
        kept.push((keys, Arc::clone(&places)));
        places
    }
}

/// Refuses a filter on what no source of stock tells.
fn refuse_unknown(query: &AvailableQuery) -> PortResult<()> {
    let of = |name: &'static str, given: Option<u64>| given.map(|_| name);
    let categories = [
        of("categoryId", query.category),
        of("subcategoryId", query.subcategory),
        of("sectionId", query.section),
        of("departmentId", query.department),
        of("providerId", query.provider),
    ];
    if let Some(name) = categories.into_iter().flatten().next() {
        let reason = format!("{name}: this source does not tell categories or suppliers");
        return Err(PortError::rejected(reason));
    }
    if query.resale.is_some() {
        let reason = "resale: this source does not tell which products are for resale";
        return Err(PortError::rejected(reason));
    }
    Ok(())
}

/// A product as a question names it.
struct Named<'q> {
    text: &'q str,
    /// The product's number, where it has one.
    number: Option<String>,
}

impl<'q> Named<'q> {
    fn of(text: &'q str) -> Self {
        let bare = |part: String| match part.trim_start_matches('0') {
            "" => "0".to_owned(),
            bare => bare.to_owned(),
        };
        Self {
            text,
            number: product_part(text).map(bare),
        }
    }

    /// Whether a row is of this product: by its code, by that of a packaging, or by the number after the hyphen.
    fn is(&self, row: &Row) -> bool {
        let code = row.product.as_str();
        let packagings = &row.held.packagings;
        code == self.text
            || (row.held.shared && self.number.as_deref() == Some(code))
            || packagings.iter().any(|p| p.code.as_str() == self.text)
    }
}

/// The keys that tell rows apart.
fn keys(asked: &[(OrderKey, bool)]) -> Keys {
    if asked.is_empty() {
        return vec![(OrderKey::LastChange, false)];
    }
    let mut keys = Keys::new();
    for (key, descending) in asked {
        // No date of creation is told: all are equal. What comes again decides nothing.
        let known = keys.iter().any(|(known, _)| known == key);
        if *key != OrderKey::CreateDate && !known {
            keys.push((*key, *descending));
        }
    }
    keys
}

fn compare(keys: &Keys, one: &Row, other: &Row) -> Ordering {
    let by = |(key, descending): &(OrderKey, bool)| {
        let order = match key {
            OrderKey::LastChange => one.held.changed.cmp(&other.held.changed),
            OrderKey::CreateDate => Ordering::Equal,
            OrderKey::Product => one.product.cmp(&other.product),
            OrderKey::Branch => one.base.cmp(&other.base),
        };
        if *descending { order.reverse() } else { order }
    };
    keys.iter().map(by).fold(Ordering::Equal, Ordering::then)
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

    const BOOT: BootTime = BootTime(1_000);

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
        let packed = Box::new(PackedLevel {
            product: code("9"),
            stock: Qty::whole(stock),
            packagings: vec![packaging("11-9", 1), packaging("22-9", 6)],
            unlimited: false,
        });
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
        let first = Snapshot::new(&levels(20), &Snapshot::default(), early, BOOT);
        let late = time("2026-01-01T11:00:00");
        let second = Snapshot::new(&levels(21), &first, late, BOOT);
        let mut query = AvailableQuery::of(vec![base("1"), base("2")], 2);
        let page = second.page(&query, BOOT).unwrap();
        assert_eq!(told(&page), ["1 A 0 x1", "2 A 4 x1"]);
        assert!(page.has_next);
        query.page = 2;
        let page = second.page(&query, BOOT).unwrap();
        assert_eq!(told(&page), ["1 11-9 21 x1"]);
        assert!(!page.has_next);
        query = AvailableQuery {
            since: Some(late),
            packaging_sales: true,
            ..AvailableQuery::of(vec![base("1")], 20)
        };
        let page = second.page(&query, BOOT).unwrap();
        assert_eq!(
            told(&page),
            ["1 11-9 3 x1", "1 22-9 18 x6"],
            "only what changed, divided"
        );
        query.since = None;
        query.product = Some("22-9".into());
        assert_eq!(
            second.page(&query, BOOT).unwrap().rows.len(),
            2,
            "one product by a packaging's code"
        );
    }

    #[test]
    fn what_cannot_be_told_is_refused_and_what_is_unknown_is_empty() {
        let snapshot = Snapshot::new(&levels(20), &Snapshot::default(), LocalTime::NONE, BOOT);
        let mut query = AvailableQuery::of(vec![base("1")], 20);
        query.types = vec!["PA".into()];
        assert_eq!(
            snapshot.page(&query, BOOT).unwrap(),
            AvailablePage::default()
        );
        query.types.clear();
        query.section = Some(3);
        assert!(snapshot.page(&query, BOOT).is_err());
    }

    #[test]
    fn a_base_that_is_missing_keeps_what_was_known() {
        let first = Snapshot::new(&levels(20), &Snapshot::default(), LocalTime::NONE, BOOT);
        let mut gone = levels(20);
        gone.variants.remove(&code("A"));
        gone.missing.insert(base("2"), "offline".into());
        let second = Snapshot::new(&gone, &first, time("2026-01-01"), BOOT.plus_ms(9));
        let page = second
            .page(&AvailableQuery::of(vec![base("1"), base("2")], 20), BOOT)
            .unwrap();
        assert_eq!(told(&page), ["1 11-9 20 x1", "2 A 4 x1"]);
    }

    #[test]
    fn a_base_that_was_not_read_for_too_long_or_never_is_no_answer() {
        let first = Snapshot::new(&levels(20), &Snapshot::default(), LocalTime::NONE, BOOT);
        let mut gone = levels(20);
        gone.missing.insert(base("1"), "offline".into());
        gone.missing.insert(base("3"), "offline".into());
        gone.variants.clear();
        let second = Snapshot::new(&gone, &first, LocalTime::NONE, BOOT.plus_ms(60_000));
        let asked = |code: &str| AvailableQuery::of(vec![base(code)], 20);
        let old = second.page(&asked("1"), BOOT.plus_ms(1));
        assert!(matches!(old, Err(PortError::Transient { .. })), "{old:?}");
        assert_eq!(second.page(&asked("1"), BOOT).unwrap().rows.len(), 2);
        let never = second.page(&asked("3"), BOOT);
        assert!(
            matches!(never, Err(PortError::Transient { .. })),
            "{never:?}"
        );
        // One that is not there any more is no fault.
        assert!(
            second
                .page(&asked("2"), BOOT.plus_ms(1))
                .unwrap()
                .rows
                .is_empty()
        );
    }

    #[test]
    fn a_product_is_named_by_its_number_and_by_any_code_before_it() {
        let kept = Snapshot::new(&levels(20), &Snapshot::default(), LocalTime::NONE, BOOT);
        for (text, rows) in [
            ("9", 1),
            ("11-9", 1),
            ("99999999999999999999-009", 1),
            ("A", 1),
            // A variant's code is no number, and nothing is cut off it.
            ("11-A", 0),
            ("8", 0),
        ] {
            let query = AvailableQuery {
                product: Some(text.into()),
                ..AvailableQuery::of(vec![base("1")], 20)
            };
            assert_eq!(kept.page(&query, BOOT).unwrap().rows.len(), rows, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_keeps_its_figure_and_a_clock_set_back_hides_no_change() {
        let late = time("2026-01-01T10:00:00");
        let first = Snapshot::new(&levels(20), &Snapshot::default(), late, BOOT);
        let mut odd = levels(20);
        for packaging in ["11-9", "22-9"] {
            let why = VariantLevels::Unreadable("two figures".into());
            odd.variants.insert(code(packaging), why);
        }
        let changed = BTreeMap::from([(base("2"), Qty::whole(5))]);
        odd.variants
            .insert(code("A"), VariantLevels::Known(changed));
        let early = time("2026-01-01T09:00:00");
        let second = Snapshot::new(&odd, &first, early, BOOT);
        let query = AvailableQuery {
            since: Some(late),
            ..AvailableQuery::of(vec![base("1"), base("2")], 20)
        };
        let page = second.page(&query, BOOT).unwrap();
        assert_eq!(told(&page), ["1 11-9 20 x1", "2 A 5 x1"]);
    }

    #[test]
    fn every_order_is_that_of_its_keys_then_base_and_product() {
        let early = time("2026-01-01T10:00:00");
        let first = Snapshot::new(&levels(20), &Snapshot::default(), early, BOOT);
        let kept = Snapshot::new(&levels(21), &first, time("2026-01-02"), BOOT);
        let ids = |order: &[(OrderKey, bool)]| {
            let query = AvailableQuery {
                order: order.to_vec(),
                ..AvailableQuery::of(vec![base("1"), base("2")], 20)
            };
            let page = kept.page(&query, BOOT).unwrap();
            let id = |row: &AvailableRow| format!("{}:{}", row.branch, row.product_id);
            page.rows.iter().map(id).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ids(&[]), "1:A 2:A 1:11-9");
        assert_eq!(ids(&[(OrderKey::LastChange, true)]), "1:11-9 1:A 2:A");
        assert_eq!(ids(&[(OrderKey::CreateDate, true)]), "1:11-9 1:A 2:A");
        assert_eq!(ids(&[(OrderKey::Branch, true)]), "2:A 1:11-9 1:A");
        let two = [(OrderKey::Product, true), (OrderKey::Branch, true)];
        assert_eq!(ids(&two), "2:A 1:A 1:11-9");
        for _ in 0..2 * MOST_ORDERS {
            ids(&[(OrderKey::Product, false)]);
        }
        assert!(kept.sorted.lock().unwrap().len() <= MOST_ORDERS);
    }
}

//! The judge: compares what the store offers with what truly lies on the shelves, by the sandbox's own log alone.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::domain::ids::{BaseCode, OrderId, SkuId, WarehouseId};
use crate::sandbox::catalogue::Variant;
use crate::sandbox::dragonfish::model::{DragonfishModel, Movement};
use crate::sandbox::vtex::model::{Order, VtexModel};
use crate::sandbox::winthor::model::{BRANCH, WinthorModel, shares};
use crate::sandbox::{Sandbox, WinthorSandbox};

/// One number against the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The SKU.
    pub sku: SkuId,
    /// Its reference.
    pub reference: String,
    /// The warehouse.
    pub warehouse: WarehouseId,
    /// What customers can buy.
    pub offered: i64,
    /// What may be sold.
    pub truth: i64,
    /// Units that orders still need, which are not to be sold.
    pub needed: i64,
}

impl Row {
    /// Whether the number is right: equal, or nothing offered where there is less than nothing.
    pub fn right(&self) -> bool {
        self.offered == self.truth || (self.truth < 0 && self.offered <= 0)
    }
}

/// What the ERP booked for one order, per variant: out less in, movements counted once per row.
pub type Booked = BTreeMap<Variant, Decimal>;

/// Reads the marker of a movement: order and key.
fn marker(movement: &Movement) -> Option<(OrderId, String)> {
    let mut words = movement.note.split_whitespace();
    if words.next()? != "VTEX" {
        return None;
    }
    let order = OrderId::parse(words.next()?).ok()?;
    let _operation = words.next()?;
    let key = words.next()?.trim_end_matches('.').to_owned();
    Some((order, key))
}

/// Returns what the ERP booked per order, annulled movements left out.
pub fn bookings(movements: &[Movement]) -> BTreeMap<OrderId, Booked> {
    let mut bookings: BTreeMap<OrderId, Booked> = BTreeMap::new();
    for movement in movements.iter().filter(|movement| !movement.annulled) {
        let Some((order, _)) = marker(movement) else {
            continue;
        };
        let sign = if movement.kind == 2 {
            Decimal::ONE
        } else {
            -Decimal::ONE
        };
        let booked = bookings.entry(order).or_default();
        for (variant, units) in &movement.lines {
            *booked.entry(variant.clone()).or_default() += sign * *units;
        }
    }
    for booked in bookings.values_mut() {
        booked.retain(|_, units| !units.is_zero());
    }
    bookings
}

/// Compares every number of a warehouse with the truth. `counted` are the bases that feed it.
///
/// The truth is the stock that lies in these bases, less what live orders still need from it, plus what canceled orders
/// have booked and will give back.
pub fn numbers(
    sandbox: &Sandbox,
    warehouse: &WarehouseId,
    counted: &BTreeSet<BaseCode>,
) -> Vec<Row> {
    let erp = sandbox.dragonfish.with(|erp| erp.clone());
    sandbox
        .vtex
        .with(|store| numbers_of(&erp, store, warehouse, counted))
}

/// Like [`numbers`], on the models alone.
pub fn numbers_of(
    erp: &DragonfishModel,
    store: &VtexModel,
    warehouse: &WarehouseId,
    counted: &BTreeSet<BaseCode>,
) -> Vec<Row> {
    let stock = &erp.stock;
    let bookings = bookings(&erp.movements);
    let empty = Booked::new();
    let row = |product: &crate::sandbox::catalogue::Product| {
        let variant = &product.variant;
        let shelf: Decimal = counted
            .iter()
            .filter_map(|base| stock.get(base)?.get(variant))
            .copied()
            .sum();
        let mut goods = shelf;
        let mut all_needed = 0;
        for order in store.orders.values() {
            let booked = bookings
                .get(&order.id)
                .unwrap_or(&empty)
                .get(variant)
                .copied()
                .unwrap_or_default();
            goods += booked;
            all_needed += needed(order, &product.sku, warehouse);
        }
        Row {
            sku: product.sku.clone(),
            reference: variant.reference(),
            warehouse: warehouse.clone(),
            offered: store.available(&product.sku, warehouse),
            truth: goods.floor().to_i64().unwrap_or(0) - all_needed,
            needed: all_needed,
        }
    };
    store.products.iter().map(row).collect()
}

/// Like [`numbers`], for a store whose goods are packagings of WinThor's products in one branch.
///
/// Free of a product is what is available there and what it holds for the store's orders, less what live orders need over
/// all packagings. The truth is a packaging's share of that by the page's own steps, in whole packs.
pub fn packs(sandbox: &WinthorSandbox, warehouse: &WarehouseId) -> Vec<Row> {
    let erp = sandbox.winthor.with(|erp| erp.clone());
    sandbox.vtex.with(|store| packs_of(&erp, store, warehouse))
}

fn packs_of(erp: &WinthorModel, store: &VtexModel, warehouse: &WarehouseId) -> Vec<Row> {
    let mut free: BTreeMap<u64, Decimal> = BTreeMap::new();
    for (number, product) in &erp.products {
        free.insert(*number, product.shelves[BRANCH].available());
    }
    for (order, held) in &erp.orders {
        // What it holds for an order that the store canceled comes back when WinThor cancels it too.
        let live = store.orders.get(order).is_some_and(Order::live);
        for (number, units) in held.items.iter().filter(|_| held.holds() && live) {
            *free.entry(*number).or_default() += *units;
        }
    }
    let packaging = |sku: &SkuId| erp.packaging(&store.product(sku)?.variant.reference());
    for order in store.orders.values() {
        let skus: BTreeSet<_> = order.lines.iter().map(|line| &line.sku).collect();
        for sku in skus {
            if let Some((number, factor)) = packaging(sku) {
                let units = Decimal::from(needed(order, sku, warehouse)) * factor;
                *free.entry(number).or_default() -= units;
            }
        }
    }
    let row = |product: &crate::sandbox::catalogue::Product| {
        let reference = product.variant.reference();
        let (number, factor) = erp.packaging(&reference)?;
        let known = &erp.products[&number];
        let parts = shares(free[&number], &known.packagings);
        let code = reference.rsplit_once('-')?.0;
        let (_, share) = parts
            .into_iter()
            .find(|(packaging, _)| packaging.code == code)?;
        let unlimited = store.shelves.get(&(product.sku.clone(), warehouse.clone()));
        let unlimited = unlimited.is_some_and(|shelf| shelf.unlimited);
        let (offered, truth) = match (known.unlimited, unlimited) {
            (true, true) => (1, 1),
            (true, false) => (0, 1),
            (false, true) => (i64::MAX, 0),
            (false, false) => {
                // Less than nothing is owed, and nothing may be offered.
                let units = share.min(free[&number]);
                let whole = (units / factor).floor().to_i64().unwrap_or(0);
                (store.available(&product.sku, warehouse), whole)
            }
        };
        let orders = store.orders.values();
        Some(Row {
            sku: product.sku.clone(),
            reference,
            warehouse: warehouse.clone(),
            offered,
            truth,
            needed: orders
                .map(|order| needed(order, &product.sku, warehouse))
                .sum(),
        })
    };
    store.products.iter().filter_map(row).collect()
}

/// Units of a SKU that an order takes or will take out of a warehouse: none when canceled.
fn needed(order: &Order, sku: &SkuId, warehouse: &WarehouseId) -> i64 {
    if matches!(order.status, "canceled" | "cancel") {
        return 0;
    }
    let lines = order
        .lines
        .iter()
        .filter(|line| line.sku == *sku && line.warehouse == *warehouse);
    lines
        .filter(|line| order.live() || line.hold.reserves())
        .map(|line| i64::from(line.units))
        .sum()
}

/// Finds doubled, missing and left-over movements: each key at most once, each settled order booked as it stands.
pub fn bookkeeping(sandbox: &Sandbox) -> Vec<String> {
    let erp = sandbox.dragonfish.with(|erp| erp.clone());
    sandbox.vtex.with(|store| bookkeeping_of(&erp, store))
}

/// Like [`bookkeeping`], on the models alone.
pub fn bookkeeping_of(erp: &DragonfishModel, store: &VtexModel) -> Vec<String> {
    let movements = &erp.movements;
    let mut problems = Vec::new();
    let mut keys: BTreeMap<String, u32> = BTreeMap::new();
    for (order, key) in movements.iter().filter(|m| !m.annulled).filter_map(marker) {
        let times = keys.entry(key.clone()).or_insert(0);
        *times += 1;
        if *times == 2 {
            problems.push(format!("order {order}: key {key} stands in the ERP twice"));
        }
    }
    let bookings = bookings(movements);
    for order in store.orders.values() {
        let mut due = Booked::new();
        for line in &order.lines {
            let product = store.product(&line.sku);
            let units = if order.live() {
                Decimal::from(line.units)
            } else {
                Decimal::ZERO
            };
            if let Some(product) = product {
                *due.entry(product.variant.clone()).or_default() += units;
            }
        }
        due.retain(|_, units| !units.is_zero());
        let booked = bookings.get(&order.id).cloned().unwrap_or_default();
        if due != booked {
            let id = &order.id;
            problems.push(format!(
                "order {id} ({}): booked {} instead of {}",
                order.status,
                sum(&booked),
                sum(&due)
            ));
        }
    }
    problems
}

fn sum(booked: &Booked) -> Decimal {
    booked.values().copied().sum()
}

//! The invariants, judged on the peers' own logs.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use stockbridge::domain::ids::{SkuId, WarehouseId};
use stockbridge::domain::time::Moment;
use stockbridge::sandbox::catalogue::{DEPOT, SHOPS, base};
use stockbridge::sandbox::oracle::{Row, bookkeeping_of, numbers_of};
use stockbridge::stages::runner::Ending;

use super::world::World;

/// Every SKU's number against the truth, as it is now.
fn numbers(world: &World, warehouse: &WarehouseId) -> Vec<Row> {
    let counted = SHOPS
        .iter()
        .chain(&[DEPOT])
        .map(|code| base(code))
        .collect();
    numbers_of(&world.erp, &world.vtex, warehouse, &counted)
}

/// The truth of a SKU from an instant on.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    at: i64,
    truth: i64,
    needed: i64,
}

/// Notes the truth of every SKU, when it changed.
pub fn remember_truths(world: &mut World, warehouse: &WarehouseId) {
    let at = world.t;
    for row in numbers(world, warehouse) {
        let known = world.truths.entry(row.sku).or_default();
        let (truth, needed) = (row.truth, row.needed);
        if known
            .last()
            .is_none_or(|last| (last.truth, last.needed) != (truth, needed))
        {
            known.push(Truth { at, truth, needed });
        }
    }
}

/// I6: what a push offers is not more than the goods at any instant since its reading began less what orders needed at
/// that instant or a later one.
///
/// Both at one instant would be too much to ask: of a sale in a shop and a cancelation in the store, both after the
/// reading, the store knows the second by itself and nobody the first before the next reading.
pub fn pushed(world: &mut World, sku: &SkuId, warehouse: &WarehouseId, as_of: Moment) {
    let Some(now) = numbers(world, warehouse)
        .into_iter()
        .find(|row| row.sku == *sku)
    else {
        return;
    };
    let from = as_of.0 - 5_000;
    let mut known = world.truths.get(sku).cloned().unwrap_or_default();
    known.push(Truth {
        at: world.t,
        truth: now.truth,
        needed: now.needed,
    });
    let before = known.iter().rposition(|known| known.at <= from);
    let (mut goods, mut most) = (i64::MIN, i64::MIN);
    for then in &known[before.unwrap_or(0)..] {
        goods = goods.max(then.truth + then.needed);
        most = most.max(goods - then.needed);
    }
    let offered = now.offered;
    if offered > most && offered > 0 && !world.unjudged(sku, from) && world.rates.too_late == 0 {
        let known: Vec<_> = known
            .iter()
            .map(|then| (then.at - 1_790_000_000_000, then.truth, then.needed))
            .collect();
        world.note(&format!("truths of {sku}: {known:?}"));
        world.violate(&format!(
            "I6: {sku} offers {offered}, the truth was at most {most}"
        ));
    }
}

/// The final judgement of a settled world.
pub fn settled(world: &mut World, state: &Connection, warehouse: &WarehouseId, last: &[Ending]) {
    let rows = |sql: &str| -> Vec<String> {
        let mut statement = state.prepare_cached(sql).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        rows.map(Result::unwrap).collect()
    };
    let parked: BTreeSet<String> =
        rows("SELECT order_id FROM orders WHERE parked_at IS NOT NULL AND settled_at IS NULL")
            .into_iter()
            .collect();
    for problem in bookkeeping_of(&world.erp, &world.vtex) {
        let order = problem.split([' ', ':']).nth(1).unwrap_or_default();
        if !parked.contains(order) {
            world.violate(&format!("I2: {problem}"));
        }
    }
    let breaches = world.vtex.violations.iter().chain(&world.erp.violations);
    for breach in breaches.cloned().collect::<Vec<_>>() {
        world.violate(&format!("outside: {breach}"));
    }
    let known: BTreeSet<String> = rows("SELECT order_id FROM orders").into_iter().collect();
    let lost: Vec<_> = world
        .vtex
        .orders
        .keys()
        .filter(|id| !known.contains(id.as_str()))
        .map(ToString::to_string)
        .collect();
    for id in lost {
        world.violate(&format!("I4: order {id} is not known"));
    }
    for key in
        rows("SELECT key FROM attempts WHERE kind = 'movement' AND state = 'DONE' AND erp_id <> ''")
    {
        let there = world
            .erp
            .movements
            .iter()
            .filter(|m| m.reference == key)
            .count();
        if there != 1 {
            world.violate(&format!(
                "I3: {key} is done and stands in the ERP {there} times"
            ));
        }
    }
    for row in numbers(world, warehouse) {
        if !row.right() && parked.is_empty() {
            let (sku, offered, truth) = (&row.sku, row.offered, row.truth);
            world.violate(&format!("I7: {sku} offers {offered}, the truth is {truth}"));
        }
    }
    notices(world, state);
    let broken = rows("PRAGMA integrity_check").join("; ");
    if broken != "ok" {
        world.violate(&format!("I12: {broken}"));
    }
    let person = last.contains(&Ending::Person);
    if person == parked.is_empty() && !last.is_empty() {
        let told = rows("SELECT key FROM outbox WHERE state = 'QUARANTINED'");
        let oversold = rows("SELECT sku FROM pushes WHERE oversold = 1");
        let found = rows("SELECT subject FROM findings");
        if !parked.is_empty() || (told.is_empty() && oversold.is_empty() && found.is_empty()) {
            let n = parked.len();
            world.violate(&format!(
                "I16: {n} orders are parked, and the last run ended {last:?}"
            ));
        }
    }
}

/// I9: a remito notice for every reserved order, each further copy marked.
fn notices(world: &mut World, state: &Connection) {
    let mut unmarked: BTreeMap<String, u32> = BTreeMap::new();
    for mail in world.mails.iter().filter(|mail| !mail.marked) {
        *unmarked.entry(mail.key.clone()).or_insert(0) += 1;
    }
    for (key, times) in unmarked {
        if times > 1 {
            world.violate(&format!("I9: notice {key} arrived {times} times unmarked"));
        }
    }
    let sql = "SELECT o.order_id FROM orders o WHERE o.reserved_at IS NOT NULL AND EXISTS
               (SELECT 1 FROM lines l WHERE l.order_id = o.order_id AND l.units > 0)
               AND NOT EXISTS (SELECT 1 FROM outbox n WHERE n.subject = o.order_id AND n.kind LIKE 'remito%'
                               AND n.state <> 'SENT')";
    let mut statement = state.prepare_cached(sql).unwrap();
    let orders: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for order in orders {
        let told = world.mails.iter().any(|mail| {
            mail.kind.starts_with("remito")
                && mail.order.as_ref().is_some_and(|o| o.as_str() == order)
        });
        if !told {
            world.violate(&format!("I9: nobody was told of order {order}"));
        }
    }
}

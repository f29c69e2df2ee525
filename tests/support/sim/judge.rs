//! The invariants, judged on the peers' own logs.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use stockbridge::domain::ids::{SkuId, WarehouseId};
use stockbridge::domain::time::Moment;
use stockbridge::sandbox::catalogue::{DEPOT, SHOPS, base};
use stockbridge::sandbox::oracle::{bookkeeping_of, numbers_of};
use stockbridge::stages::runner::Ending;

use super::world::World;

/// What a judge compares the truth of a SKU with.
pub fn truth(world: &World, sku: &SkuId, warehouse: &WarehouseId) -> (i64, i64) {
    let counted = SHOPS
        .iter()
        .chain(&[DEPOT])
        .map(|code| base(code))
        .collect();
    let rows = numbers_of(&world.erp, &world.vtex, warehouse, &counted);
    let row = rows.into_iter().find(|row| row.sku == *sku);
    row.map_or((0, 0), |row| (row.offered, row.truth))
}

/// Notes the truth of every SKU, when it changed.
pub fn remember_truths(world: &mut World, warehouse: &WarehouseId) {
    let counted = SHOPS
        .iter()
        .chain(&[DEPOT])
        .map(|code| base(code))
        .collect();
    let t = world.t;
    for row in numbers_of(&world.erp, &world.vtex, warehouse, &counted) {
        let known = world.truths.entry(row.sku).or_default();
        if known.last().is_none_or(|(_, truth)| *truth != row.truth) {
            known.push((t, row.truth));
        }
    }
}

/// I6: what a push offers is not more than the truth was at any instant since its reading began.
pub fn pushed(world: &mut World, sku: &SkuId, warehouse: &WarehouseId, as_of: Moment) {
    let (offered, now) = truth(world, sku, warehouse);
    let from = as_of.0 - 5_000;
    let known = world.truths.get(sku).cloned().unwrap_or_default();
    let before = known.iter().rev().find(|(at, _)| *at <= from);
    let since = known.iter().filter(|(at, _)| *at > from);
    let most = before
        .into_iter()
        .chain(since)
        .map(|(_, truth)| *truth)
        .max();
    let most = most.unwrap_or(now).max(now);
    if offered > most && offered > 0 && !world.unjudged(sku, from) && world.rates.too_late == 0 {
        let known: Vec<_> = known
            .iter()
            .map(|(t, n)| (t - 1_790_000_000_000, n))
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
        let mut statement = state.prepare(sql).unwrap();
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
    let counted = SHOPS
        .iter()
        .chain(&[DEPOT])
        .map(|code| base(code))
        .collect();
    for row in numbers_of(&world.erp, &world.vtex, warehouse, &counted) {
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
    let mut statement = state.prepare(sql).unwrap();
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

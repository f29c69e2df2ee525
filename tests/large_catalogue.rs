//! A catalogue that is larger than what one run may ask the store about.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/shop.rs"]
mod shop;

use rusqlite::Connection;
use rust_decimal::Decimal;
use shop::{Shop, warehouse};
use stockbridge::exit::Exit;

/// The requests a minute of the small budget, of which an eighth is the most that is published for the first time.
const BUDGET: &str = "requests_a_minute = 1000";
const FIRST_TIMES: usize = 125;
const KNOWN: usize = 130;
const NEW: usize = 140;

/// How many SKUs were written to the store, and how many units it holds of all.
fn written(shop: &Shop) -> (usize, i64) {
    shop.sandbox.vtex.with(|store| {
        let written = store.shelves.values().filter(|shelf| shelf.writes > 0);
        let units = store.shelves.values().map(|shelf| shelf.total).sum();
        (written.count(), units)
    })
}

/// A shop whose first SKUs are published, with so small a budget from then on that the others take two runs.
fn half_published() -> Shop {
    let shop = Shop::with(KNOWN + NEW, "[push]\nmax_drop_percent = 50");
    shop.run(&["poll"]);
    let mut known = vec!["push-stock".to_owned()];
    for at in 0..KNOWN {
        known.extend(["--sku".to_owned(), shop.goods(at).0.to_string()]);
    }
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    assert_eq!(shop.run(&known), Exit::Done);
    assert_eq!(written(&shop).0, KNOWN);
    let file = shop.path("stockbridge.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("requests_a_minute = 100000", BUDGET);
    std::fs::write(&file, text).unwrap();
    // What was asked of it in this minute is over, as it would be in the next.
    let state = Connection::open(shop.path("state.sqlite")).unwrap();
    state.execute("UPDATE gates SET taken = 0", []).unwrap();
    shop
}

#[test]
fn the_catalogue_is_read_run_after_run_within_the_budget_of_requests() {
    let budget = format!("[protocol]\n{BUDGET}");
    let shop = Shop::with(300, &budget);
    let read = || -> i64 {
        let state = Connection::open(shop.path("state.sqlite")).unwrap();
        let sql = "SELECT count(*) FROM skus WHERE erp_code IS NOT NULL";
        state.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(shop.run(&["poll"]), Exit::Done);
    assert_eq!(read(), 250, "a quarter of the budget");
    assert_eq!(shop.run(&["poll"]), Exit::Done);
    assert_eq!(read(), 300);
}

#[test]
fn first_numbers_go_out_run_after_run_within_the_budget_of_requests() {
    let shop = half_published();
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Partial);
    assert_eq!(written(&shop).0, KNOWN + FIRST_TIMES);
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Done);
    assert_eq!(written(&shop).0, KNOWN + NEW);
    shop.assert_right();
}

/// Half of all would fall, which one run may not do; that a run takes fewer of them must not change the verdict.
#[test]
fn the_brake_is_not_loosened_by_what_is_put_off() {
    let shop = half_published();
    for at in KNOWN..KNOWN + NEW {
        let (sku, variant) = shop.goods(at);
        shop.sandbox.vtex.with(|store| {
            let shelf = store.shelves.entry((sku, warehouse())).or_default();
            shelf.total = 5;
        });
        shop.sandbox.dragonfish.with(|erp| {
            for stock in erp.stock.values_mut() {
                stock.insert(variant.clone(), Decimal::ZERO);
            }
        });
    }
    let before = written(&shop);
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Person);
    assert_eq!(written(&shop), before, "nothing was published");
}

//! The whole program with WinThor's services: somebody else brings the orders into the ERP, the program looks and publishes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/shop.rs"]
mod shop;
#[path = "support/winthor_shop.rs"]
mod winthor_shop;

use std::fs;

use rusqlite::Connection;
use rust_decimal::Decimal;
use stockbridge::domain::ids::{OrderId, WarehouseId};
use stockbridge::exit::Exit;
use stockbridge::sandbox::faults::{Fault, When};
use stockbridge::sandbox::vtex::model::Shelf;
use stockbridge::sandbox::winthor::model::{BRANCH, WinthorModel};
use winthor_shop::WinthorShop;

/// Shops that are open at once.
const AT_ONCE: usize = 8;
/// A product in packagings of 1, 6 and 12.
const THREE: u64 = 2;

/// What changes the outside; everything else only reads.
fn writes(shop: &WinthorShop) -> Vec<&'static str> {
    let calls = shop.sandbox.faults.calls().into_iter();
    let operations = calls.map(|call| call.operation);
    operations
        .filter(|name| matches!(*name, "set stock" | "start handling" | "commit feed"))
        .collect()
}

#[test]
fn an_order_goes_from_the_feed_into_handling_when_the_erp_has_reserved_it() {
    let shop = WinthorShop::open(6);
    shop.cycles(3);
    shop.assert_right("before anything is sold");
    let (units, sixes) = (shop.offered(THREE, 0), shop.offered(THREE, 1));
    assert!(units > 0 && sixes > 0, "{units} units, {sixes} packs");
    let order = shop.sell(&[(THREE, 1, 2), (THREE, 0, 1)]);
    shop.cycles(2);
    shop.assert_right("sold, and not in the ERP");
    assert_ne!(shop.status(&order), "handling");
    shop.bring_in(&order);
    shop.position(&order, 'L');
    shop.cycles(3);
    shop.assert_right("reserved in the ERP");
    assert_eq!(shop.status(&order), "handling");
    let handled = |shop: &WinthorShop| shop.sandbox.vtex.with(|store| store.handling_calls[&order]);
    assert_eq!(handled(&shop), 1);
    shop.position(&order, 'F');
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| store.invoice(&order, now));
    shop.cycles(3);
    shop.assert_right("invoiced");
    assert_eq!(handled(&shop), 1);
}

#[test]
fn each_stage_run_twice_does_its_work_once_and_a_run_with_nothing_to_do_writes_nothing() {
    let shop = WinthorShop::open(3);
    shop.cycles(3);
    let order = shop.sell(&[(THREE, 1, 1)]);
    shop.bring_in(&order);
    shop.position(&order, 'L');
    for stage in ["poll", "reserve", "move", "push-stock", "notify"] {
        shop.run(&[stage]);
        shop.run(&[stage]);
    }
    let handled = shop.sandbox.vtex.with(|store| store.handling_calls[&order]);
    assert_eq!(handled, 1);
    shop.cycles(3);
    shop.assert_right("each stage twice");
    shop.sandbox.faults.clear();
    let orders = shop.sandbox.winthor.with(|erp| erp.orders.clone());
    assert_eq!(shop.run(&["run"]), Exit::Done);
    assert_eq!(writes(&shop), Vec::<&str>::new());
    assert_eq!(shop.sandbox.winthor.with(|erp| erp.orders.clone()), orders);
}

#[test]
fn an_order_in_position_p_is_not_counted_as_reserved() {
    let shop = WinthorShop::open(3);
    shop.cycles(3);
    let order = shop.sell(&[(THREE, 1, 2)]);
    shop.cycles(2);
    shop.assert_right("sold");
    let offered = shop.offered(THREE, 0);
    shop.bring_in(&order);
    assert_eq!(shop.run(&["move"]), Exit::Partial);
    shop.cycles(2);
    shop.assert_right("pending");
    assert_ne!(shop.status(&order), "handling");
    assert_eq!(shop.offered(THREE, 0), offered, "pending changes nothing");
    shop.position(&order, 'L');
    shop.cycles(3);
    shop.assert_right("released");
    assert_eq!(shop.status(&order), "handling");
    assert_eq!(
        shop.offered(THREE, 0),
        offered,
        "what was sold was sold before"
    );
}

#[test]
fn an_order_that_only_the_erp_cancels_is_still_sold() {
    let shop = WinthorShop::open(3);
    shop.cycles(3);
    let order = shop.sell(&[(THREE, 2, 1)]);
    shop.bring_in(&order);
    shop.position(&order, 'L');
    shop.cycles(3);
    shop.assert_right("reserved");
    let offered = shop.offered(THREE, 0);
    shop.position(&order, 'C');
    shop.cycles(3);
    shop.assert_right("canceled in the ERP only");
    assert_eq!(shop.offered(THREE, 0), offered);
    shop.cancel(&order);
    shop.cycles(3);
    shop.assert_right("canceled in both");
    // Nineteen base units make one more of each packaging; twelve of them came back.
    let free = shop
        .sandbox
        .winthor
        .with(|erp| erp.products[&THREE].shelves[BRANCH].available());
    assert_eq!(free, Decimal::from(83));
}

#[test]
fn an_order_that_never_shows_up_is_told_to_people_once_and_goes_on_when_it_comes() {
    let shop = WinthorShop::with(3, "[erp.winthor]\norder_deadline = \"1m\"");
    shop.cycles(3);
    let order = shop.sell(&[(THREE, 0, 3)]);
    shop.cycles(1);
    assert_eq!(shop.run(&["move"]), Exit::Partial, "it may still come");
    assert_eq!(shop.mails("parked"), 0);
    let file = Connection::open(shop.path("state.sqlite")).unwrap();
    let later = "UPDATE orders SET reserved_at = reserved_at - 61000 WHERE order_id = ?1";
    assert_eq!(file.execute(later, [order.as_str()]).unwrap(), 1);
    drop(file);
    assert_eq!(shop.run(&["move"]), Exit::Person);
    assert_eq!(shop.cycles(3), Exit::Person);
    assert_eq!(shop.mails("parked"), 1);
    shop.assert_right("its units are sold all the while");
    assert_ne!(shop.status(&order), "handling");
    shop.bring_in(&order);
    shop.position(&order, 'L');
    shop.cycles(2);
    assert_eq!(shop.run(&["move"]), Exit::Done);
    assert_eq!(shop.status(&order), "handling");
    assert_eq!(shop.mails("parked"), 1);
    shop.assert_right("it came after all");
}

#[test]
fn sold_without_limit_is_set_for_every_packaging_and_taken_back() {
    let shop = WinthorShop::open(3);
    shop.cycles(3);
    let offered = [0, 1, 2].map(|packaging| shop.offered(THREE, packaging));
    let limits = |shop: &WinthorShop| {
        [0, 1, 2].map(|packaging| {
            let key = (shop.sku(THREE, packaging), shop::warehouse());
            shop.sandbox
                .vtex
                .with(|store| store.shelves[&key].unlimited)
        })
    };
    let set = |unlimited: bool| {
        let mark = |erp: &mut WinthorModel| {
            erp.products.get_mut(&THREE).unwrap().unlimited = unlimited;
        };
        shop.sandbox.winthor.with(mark);
        shop.run(&["push-stock", "--all"]);
        shop.cycles(1);
    };
    set(true);
    assert_eq!(limits(&shop), [true; 3]);
    shop.assert_right("without limit");
    set(false);
    assert_eq!(limits(&shop), [false; 3]);
    shop.assert_right("with a limit again");
    assert_eq!(
        [0, 1, 2].map(|packaging| shop.offered(THREE, packaging)),
        offered
    );
}

#[test]
fn what_changes_in_the_erp_is_published_by_the_next_run_and_what_bears_no_date_by_all() {
    let shop = WinthorShop::open(6);
    shop.cycles(3);
    shop.counter_sale(THREE, 20);
    assert_eq!(shop.wrong_numbers().len(), 3);
    shop.cycles(1);
    shop.assert_right("its date tells of a sale");
    let silent = |erp: &mut WinthorModel| {
        for number in [1, 3] {
            let product = erp.products.get_mut(&number).unwrap();
            product.shelves.get_mut(BRANCH).unwrap().lying -= Decimal::from(19);
        }
    };
    shop.sandbox.winthor.with(silent);
    shop.cycles(1);
    assert!(!shop.wrong_numbers().is_empty(), "nothing told of it");
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Done);
    shop.assert_right("a whole reading finds it");
}

#[test]
fn a_product_that_leaves_one_branch_is_sold_from_there_no_more_and_from_the_other_as_before() {
    let shop = WinthorShop::open(3);
    let second = WarehouseId::parse("1_2").unwrap();
    let config = shop.path("stockbridge.toml");
    let text = fs::read_to_string(&config).unwrap();
    let more = "\n[[warehouse]]\nid = \"1_2\"\nbases = [\"2\"]\n";
    fs::write(&config, text + more).unwrap();
    let sku = shop.sku(THREE, 0);
    shop.sandbox.vtex.with(|store| {
        let skus: Vec<_> = store.products.iter().map(|p| p.sku.clone()).collect();
        let shelf = |sku| ((sku, second.clone()), Shelf::default());
        store.shelves.extend(skus.into_iter().map(shelf));
    });
    let first = shop::warehouse();
    let offered = |warehouse: &WarehouseId| {
        shop.sandbox
            .vtex
            .with(|store| store.available(&sku, warehouse))
    };
    shop.cycles(3);
    let (here, there) = (offered(&first), offered(&second));
    assert!(here > 0 && there > 0, "{here} and {there}");
    let leave = |erp: &mut WinthorModel| {
        let shelves = &mut erp.products.get_mut(&THREE).unwrap().shelves;
        assert!(shelves.remove("2").is_some());
    };
    shop.sandbox.winthor.with(leave);
    shop.run(&["push-stock", "--all"]);
    assert_eq!(offered(&second), there, "one reading without it may err");
    shop.run(&["push-stock", "--all"]);
    assert_eq!(offered(&second), 0);
    assert_eq!(offered(&first), here);
}

#[test]
fn a_branch_that_fails_or_is_not_there_moves_no_number() {
    let shop = WinthorShop::open(3);
    shop.cycles(3);
    let offered = [0, 1, 2].map(|packaging| shop.offered(THREE, packaging));
    shop.sandbox.faults.clear();
    shop.sandbox
        .faults
        .on("read stock", 500, When::Before, Fault::Status(400));
    shop.counter_sale(THREE, 5);
    shop.run(&["push-stock", "--all"]);
    assert!(!writes(&shop).contains(&"set stock"));
    assert_eq!(
        [0, 1, 2].map(|packaging| shop.offered(THREE, packaging)),
        offered
    );
    shop.sandbox.faults.clear();
    // As a branch that is misspelled: it answers, and there is nothing in it.
    let shelves = shop.sandbox.winthor.with(|erp| {
        let before = erp.products.clone();
        erp.products
            .values_mut()
            .for_each(|product| product.shelves.clear());
        before
    });
    shop.run(&["push-stock", "--all"]);
    shop.run(&["push-stock", "--all"]);
    assert_eq!(
        [0, 1, 2].map(|packaging| shop.offered(THREE, packaging)),
        offered
    );
    shop.sandbox.winthor.with(|erp| erp.products = shelves);
    shop.finish();
    shop.assert_right("back again");
}

#[test]
fn a_token_that_is_refused_for_good_ends_with_77_and_moves_no_number() {
    let shop = WinthorShop::open(3);
    shop.cycles(3);
    shop.sandbox.faults.clear();
    for operation in ["read stock", "look up order", "log in"] {
        shop.sandbox
            .faults
            .on(operation, 500, When::Before, Fault::Status(401));
    }
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Denied);
    assert!(!writes(&shop).contains(&"set stock"));
    shop.sandbox.faults.clear();
    shop.finish();
    shop.assert_right("let in again");
}

/// One order reserved and kept, one canceled in both systems after it was reserved.
fn play(shop: &WinthorShop, fault: impl Fn(&WinthorShop)) -> [OrderId; 2] {
    shop.cycles(3);
    shop.assert_right("before");
    shop.sandbox.faults.clear();
    fault(shop);
    let kept = shop.sell(&[(THREE, 1, 2)]);
    let lost = shop.sell(&[(THREE, 0, 1), (1, 0, 1)]);
    shop.cycles(1);
    for order in [&kept, &lost] {
        shop.bring_in(order);
        shop.position(order, 'L');
    }
    shop.cycles(1);
    shop.cancel(&lost);
    shop.position(&lost, 'C');
    shop.cycles(1);
    [kept, lost]
}

fn ends_well(shop: &WinthorShop, [kept, lost]: &[OrderId; 2], what: &str) {
    shop.sandbox.faults.clear();
    shop.finish();
    shop.assert_right(what);
    assert_eq!(shop.status(kept), "handling", "{what}");
    assert_eq!(shop.status(lost), "canceled", "{what}");
    assert_eq!(shop.mails("parked"), 0, "{what}");
}

#[test]
fn every_call_fails_once_and_the_next_runs_finish_the_job() {
    let clean = WinthorShop::open(3);
    let orders = play(&clean, |_| {});
    let calls = clean.sandbox.faults.calls();
    ends_well(&clean, &orders, "clean");
    assert!(calls.len() > 20, "the scenario makes {} calls", calls.len());
    assert!(calls.iter().any(|call| call.operation == "look up order"));
    let jobs: Vec<_> = (1_u64..)
        .zip(&calls)
        .flat_map(|(number, call)| [(number, call, When::Before), (number, call, When::After)])
        .collect();
    // Shops know nothing of each other, and most of their time is waiting.
    std::thread::scope(|scope| {
        for some in jobs.chunks(jobs.len().div_ceil(AT_ONCE)) {
            scope.spawn(move || {
                for (number, call, when) in some {
                    let shop = WinthorShop::open(3);
                    let orders = play(&shop, |shop| {
                        shop.sandbox.faults.at_call(*number, *when, Fault::Reset);
                    });
                    let (system, operation) = (call.system, call.operation);
                    let what = format!("call {number} ({system} {operation}) lost {when:?}");
                    ends_well(&shop, &orders, &what);
                }
            });
        }
    });
}

#[test]
fn every_kind_of_fault_of_the_erp_s_answers_is_survived() {
    let faults = [
        Fault::Cut,
        Fault::Status(400),
        Fault::Status(401),
        Fault::Status(500),
        Fault::Status(503),
        Fault::TooMany(Some(1)),
    ];
    std::thread::scope(|scope| {
        for operation in ["log in", "read stock", "look up order"] {
            scope.spawn(move || {
                for fault in faults {
                    let shop = WinthorShop::open(3);
                    let orders = play(&shop, |shop| {
                        shop.sandbox.faults.on(operation, 1, When::After, fault);
                    });
                    ends_well(&shop, &orders, &format!("{operation} {fault:?}"));
                }
            });
        }
    });
}

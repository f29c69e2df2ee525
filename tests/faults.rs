//! Every external call of an order's life goes wrong once, before and after its effect; the next runs finish the job.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/shop.rs"]
mod shop;

use shop::Shop;
use stockbridge::domain::ids::OrderId;
use stockbridge::exit::Exit;
use stockbridge::sandbox::catalogue::base;
use stockbridge::sandbox::faults::{Fault, When};

/// Shops that are open at once.
const AT_ONCE: usize = 8;

/// Does some jobs: shops know nothing of each other, and most of their time is waiting.
fn side_by_side<J: Sync>(jobs: &[J], work: impl Fn(&J) + Sync) {
    std::thread::scope(|scope| {
        for some in jobs.chunks(jobs.len().div_ceil(AT_ONCE)) {
            scope.spawn(|| some.iter().for_each(&work));
        }
    });
}

/// One order booked, one canceled after it, one changed.
fn play(shop: &Shop, fault: impl Fn(&Shop)) -> [OrderId; 2] {
    // The first order makes the listing believable: from now on a canary can be found.
    shop.sell(2, 1);
    shop.finish();
    shop.assert_right();
    shop.sandbox.faults.clear();
    fault(shop);
    let kept = shop.sell(0, 2);
    let lost = shop.sell_all(&[(0, 1), (1, 1)]);
    shop.cycles(1);
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| store.cancel(&lost, now));
    shop.cycles(1);
    [kept, lost]
}

fn finish(shop: &Shop, orders: &[OrderId; 2], what: &str) {
    shop.sandbox.faults.clear();
    shop.finish();
    let wrong = shop.wrong_numbers();
    assert!(wrong.is_empty(), "{what}: {wrong:?}");
    let books = stockbridge::sandbox::oracle::bookkeeping(&shop.sandbox);
    assert_eq!(books, Vec::<String>::new(), "{what}");
    assert_eq!(shop.movements(&orders[0]).0, 1, "{what}");
    assert_eq!(shop.sandbox.violations(), Vec::<String>::new(), "{what}");
    let mails = shop.mails();
    let remitos = mails
        .iter()
        .filter(|m| m.contains(orders[0].as_str()) && m.contains("Message-ID: <remito."));
    assert!(remitos.count() <= 1, "{what}");
}

#[test]
fn every_call_fails_once_and_the_next_runs_finish_the_job() {
    let clean = Shop::open(3);
    let orders = play(&clean, |_| {});
    let calls = clean.sandbox.faults.calls();
    finish(&clean, &orders, "clean");
    assert!(calls.len() > 20, "the scenario makes {} calls", calls.len());
    let jobs: Vec<_> = (1_u64..)
        .zip(&calls)
        .flat_map(|(number, call)| [(number, call, When::Before), (number, call, When::After)])
        .collect();
    side_by_side(&jobs, |(number, call, when)| {
        let shop = Shop::open(3);
        let orders = play(&shop, |shop| {
            shop.sandbox.faults.at_call(*number, *when, Fault::Reset)
        });
        let (system, operation) = (call.system, call.operation);
        let what = format!("call {number} ({system} {operation}) lost {when:?}");
        finish(&shop, &orders, &what);
    });
}

#[test]
fn every_kind_of_fault_of_a_write_is_survived() {
    let faults = [
        Fault::Cut,
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
        Fault::TooMany(Some(1)),
        Fault::Status(401),
        Fault::Locked,
    ];
    let operations = [
        "book movement",
        "start handling",
        "set stock",
        "commit feed",
    ];
    let jobs: Vec<_> = operations
        .iter()
        .flat_map(|operation| faults.map(|fault| (*operation, fault)))
        .flat_map(|(o, fault)| [(o, fault, When::Before), (o, fault, When::After)])
        .collect();
    side_by_side(&jobs, |(operation, fault, when)| {
        let shop = Shop::open(3);
        let orders = play(&shop, |shop| {
            shop.sandbox.faults.on(operation, 1, *when, *fault)
        });
        finish(&shop, &orders, &format!("{operation} {fault:?} {when:?}"));
    });
}

#[test]
fn e3_a_refusal_is_believed_only_after_looking_twice_and_then_shown_to_a_person() {
    for status in [400, 409, 422] {
        let shop = Shop::open(3);
        shop.sell(2, 1);
        shop.cycles(3);
        shop.sandbox
            .faults
            .on("book movement", 1, When::Before, Fault::Status(status));
        let order = shop.sell(0, 1);
        shop.finish();
        assert_eq!(shop.movements(&order), (0, 0), "{status}");
        assert_eq!(shop.run(&["status"]), Exit::Person, "{status}");
        assert_eq!(shop.run(&["move"]), Exit::Person, "{status}");
        // Refused in words, applied in fact: the look finds it.
        shop.sandbox
            .faults
            .on("book movement", 1, When::After, Fault::Status(status));
        let order = shop.sell(1, 1);
        shop.cycles(3);
        assert_eq!(shop.movements(&order), (1, 0), "{status}");
    }
}

#[test]
fn chance_breaks_a_tenth_of_all_calls_and_nothing_is_lost_or_doubled() {
    for seed in 1..=6 {
        let shop = Shop::open(4);
        shop.cycles(2);
        shop.sandbox.faults.by_chance(10, seed);
        for day in 0..6_usize {
            shop.sell(day % 4, 1);
            shop.cycles(2);
        }
        let fired = shop.sandbox.faults.fired();
        shop.sandbox.faults.clear();
        shop.finish();
        assert!(fired > 10, "only {fired} faults");
        let wrong = shop.wrong_numbers();
        assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
        let books = stockbridge::sandbox::oracle::bookkeeping(&shop.sandbox);
        assert_eq!(books, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn v24_a_window_with_more_orders_than_the_list_shows_is_narrowed() {
    let shop = Shop::open(1);
    let sku = shop.goods(0).0;
    assert_eq!(shop.run(&["poll"]), Exit::Done);
    let now = shop.sandbox.clock.now();
    // The list shows 3000 orders of a window, the oldest first; the feed never told of any of these.
    let orders: Vec<OrderId> = shop.sandbox.vtex.with(|store| {
        let placed = (0..3_050_i64).map(|at| {
            let line = (sku.clone(), shop::warehouse(), 1);
            store.place(&[line], now.plus_ms((at - 3_050) * 1000))
        });
        let placed = placed.collect();
        store.feed.clear();
        placed
    });
    // All but the newest are known, which saves the time of reading them.
    let mut file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    let known = file.transaction().unwrap();
    for order in &orders[..3_000] {
        known
            .execute(
                "INSERT INTO orders (order_id, status, stage, complete, workflow_in_error, has_package, before_cutover,
                     found_by, seen_at, read_at, fact_seq, taken_at)
                 VALUES (?1, 'payment-pending', 'early', 1, 0, 0, 0, 'list', 1, 1, 1, 1)",
                [order.as_str()],
            )
            .unwrap();
    }
    known
        .execute("DELETE FROM marks WHERE name = 'sweep'", [])
        .unwrap();
    known.commit().unwrap();
    shop.run(&["poll"]);
    let n_known: i64 = file
        .query_row("SELECT count(*) FROM orders", [], |row| row.get(0))
        .unwrap();
    assert_eq!(n_known, 3_050);
    assert_eq!(shop.sandbox.violations(), Vec::<String>::new());
}

/// Its start of handling had no effect, and for a while nobody may look at its reservation, which is subtracted for good.
#[test]
fn a_look_that_was_refused_does_not_decide_whether_handling_began() {
    for refusal in [401, 400] {
        let shop = Shop::open(3);
        shop.cycles(1);
        let faults = &shop.sandbox.faults;
        faults.on("start handling", 1, When::Before, Fault::Reset);
        let order = shop.sell(0, 2);
        shop.cycles(1);
        let now = shop.sandbox.clock.now();
        let vtex = &shop.sandbox.vtex;
        vtex.with(|store| store.invoice(&order, now));
        faults.on("get reservation", 100, When::Before, Fault::Status(refusal));
        shop.cycles(2);
        faults.clear();
        shop.finish();
        shop.assert_right();
    }
}

#[test]
fn a_stock_write_without_an_answer_may_still_come_over_a_later_one() {
    let shop = Shop::with(3, "[protocol]\nstock_settle = \"1h\"");
    shop.cycles(2);
    let (sku, variant) = shop.goods(0);
    let sale = || {
        let dragonfish = &shop.sandbox.dragonfish;
        dragonfish.with(|erp| erp.shop_sale(&base("CENTRO"), &variant, 1));
        assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Done);
        shop.assert_right();
        shop.sandbox.vtex.with(|store| {
            let place = (sku.clone(), shop::warehouse());
            store.shelves[&place].total
        })
    };
    let faults = &shop.sandbox.faults;
    faults.on("set stock", 1, When::After, Fault::Status(500));
    let older = sale();
    assert!(sale() < older);
    let now = shop.sandbox.clock.now();
    let vtex = &shop.sandbox.vtex;
    vtex.with(|store| store.set_quantity(&sku, &shop::warehouse(), older, now));
    assert_eq!(shop.wrong_numbers().len(), 1);
    shop.run(&["push-stock"]);
    shop.assert_right();
}

#[test]
fn what_waits_by_a_clock_that_was_set_back_is_tried_again() {
    let shop = Shop::with(3, "[protocol]\nbackoff_cap = \"2h\"");
    shop.cycles(2);
    let order = shop.sell(0, 1);
    assert_eq!(shop.run(&["poll"]), Exit::Done);
    // An hour ago, when the clock was an hour ahead, the ERP could not be reached.
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    let ahead = "(SELECT 3600000 + max(ended_at) FROM runs)";
    let put_off = format!("UPDATE orders SET not_before = {ahead} WHERE replan = 1");
    assert_eq!(file.execute(&put_off, []).unwrap(), 1);
    shop.run(&["reserve"]);
    shop.run(&["move"]);
    assert_eq!(shop.movements(&order), (0, 0), "it waits");
    let ran = format!("UPDATE runs SET ended_at = {ahead} WHERE stage = 'reserve'");
    assert_eq!(file.execute(&ran, []).unwrap(), 1);
    shop.run(&["reserve"]);
    shop.run(&["move"]);
    assert_eq!(shop.movements(&order), (1, 0));
}

/// Where its lock is broken, another process may publish, and settle what it published, while this one stands still.
#[test]
fn a_number_is_not_sent_once_a_later_reading_was_looked_at() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let (_, variant) = shop.goods(0);
    let dragonfish = &shop.sandbox.dragonfish;
    dragonfish.with(|erp| erp.shop_sale(&base("CENTRO"), &variant, 1));
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    file.execute_batch(
        "CREATE TRIGGER the_other_one AFTER UPDATE ON counter BEGIN
             UPDATE pushes SET checked_seq = NEW.seq + 1000;
         END",
    )
    .unwrap();
    shop.run(&["push-stock", "--all"]);
    assert_eq!(shop.wrong_numbers().len(), 1);
    file.execute_batch("DROP TRIGGER the_other_one; UPDATE pushes SET checked_seq = 0")
        .unwrap();
    shop.run(&["push-stock", "--all"]);
    shop.assert_right();
}

/// Paid after its reservation expired, an order takes goods that nothing in the store holds, and only a look at the
/// reservation shows it.
#[test]
fn a_number_waits_while_a_reservation_cannot_be_looked_up_by_a_key_that_may() {
    for refusal in [401, 403, 400] {
        let shop = Shop::open(3);
        // The first look that tells something: the key may.
        shop.sell(2, 1);
        shop.finish();
        let (sku, variant) = shop.goods(0);
        let (vtex, clock) = (&shop.sandbox.vtex, &shop.sandbox.clock);
        let lines = [(sku.clone(), shop::warehouse(), 2)];
        let order = vtex.with(|store| store.place(&lines, clock.now()));
        shop.run(&["poll", "--order", order.as_str()]);
        let writes = || vtex.with(|s| s.shelves[&(sku.clone(), shop::warehouse())].writes);
        let before = writes();
        vtex.with(|store| {
            store.expire(&order);
            store.pay(&order, clock.now());
            store.release(&order, clock.now());
        });
        let dragonfish = &shop.sandbox.dragonfish;
        dragonfish.with(|erp| erp.shop_sale(&base("CENTRO"), &variant, 1));
        let faults = &shop.sandbox.faults;
        faults.on("get reservation", 100, When::Before, Fault::Status(refusal));
        assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Partial);
        assert_eq!(writes(), before, "{refusal}");
        faults.clear();
        shop.cycles(1);
        shop.run(&["push-stock", "--all"]);
        assert!(writes() > before, "{refusal}");
        shop.finish();
        shop.assert_right();
    }
}

#[test]
fn a_key_that_may_look_at_no_reservation_publishes_by_the_status() {
    let shop = Shop::open(3);
    let faults = &shop.sandbox.faults;
    faults.on("get reservation", 100_000, When::Before, Fault::Status(403));
    shop.cycles(1);
    let (_, variant) = shop.goods(0);
    shop.sell(0, 2);
    shop.run(&["poll"]);
    let dragonfish = &shop.sandbox.dragonfish;
    dragonfish.with(|erp| erp.shop_sale(&base("CENTRO"), &variant, 1));
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Done);
    assert!(shop.wrong_numbers().is_empty());
    shop.finish();
    shop.assert_right();
}

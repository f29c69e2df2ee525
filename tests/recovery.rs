//! What the pipeline cannot settle by itself: old copies of the state file, quarantine, refusals, differences in the
//! books; and the operator's acts on them.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that meets an unexpected error should stop there; a dead call needs real time"
)]

#[path = "support/shop.rs"]
mod shop;

use std::fs;

use rust_decimal::Decimal;
use shop::Shop;
use stockbridge::domain::ids::OrderId;
use stockbridge::exit::Exit;
use stockbridge::sandbox::catalogue::{DEPOT, base};
use stockbridge::sandbox::dragonfish::model::Draft;
use stockbridge::sandbox::faults::{Fault, When};

/// Says what is true of an order, without being asked.
fn resolve(shop: &Shop, order: &OrderId, word: &[&str]) -> Exit {
    let mut args = vec!["resolve", order.as_str()];
    args.extend(word);
    args.extend(["--evidence", "looked it up in the ERP", "--yes"]);
    shop.run(&args)
}

/// Books nothing for an order but leaves its movement refused.
fn refused(shop: &Shop) -> OrderId {
    let order = shop.sell(0, 1);
    let faults = &shop.sandbox.faults;
    faults.on("book movement", 1, When::Before, Fault::Status(400));
    shop.finish();
    for _ in 0..6 {
        if shop.run(&["status"]) == Exit::Person {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        shop.cycles(1);
    }
    assert_eq!(shop.movements(&order), (0, 0));
    order
}

/// Leaves an order quarantined: a person has entered its sale by hand.
fn twin(shop: &Shop) -> OrderId {
    let order = shop.sell(0, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    let draft = Draft {
        kind: 2,
        origin: DEPOT.into(),
        note: format!("venta web pedido {order}"),
        lines: vec![(shop.goods(0).1, Decimal::ONE)],
        ..Draft::default()
    };
    let now = shop.sandbox.clock.now();
    shop.sandbox
        .dragonfish
        .with(|erp| erp.enter(&base(DEPOT), draft, now));
    assert_eq!(shop.run(&["move"]), Exit::Person);
    assert_eq!(shop.movements(&order), (0, 0), "never beside a twin");
    order
}

#[test]
fn a_restored_copy_finds_what_it_missed_and_books_nothing_twice() {
    let shop = Shop::open(4);
    shop.cycles(2);
    let known = shop.sell(0, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    let copy = shop.path("copy.sqlite");
    assert_eq!(shop.run(&["backup", copy.to_str().unwrap()]), Exit::Done);
    shop.cycles(2);
    let lost = shop.sell_all(&[(1, 2), (2, 1)]);
    let canceled = shop.sell(3, 1);
    shop.cycles(3);
    for order in [&known, &lost, &canceled] {
        assert_eq!(shop.movements(order), (1, 0));
    }
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| store.cancel(&canceled, now));
    let restored = shop.run(&["backup", "restore", copy.to_str().unwrap(), "--yes"]);
    assert_eq!(restored, Exit::Done);
    shop.finish();
    assert_eq!(shop.movements(&known), (1, 0));
    assert_eq!(shop.movements(&lost), (1, 0));
    assert_eq!(shop.movements(&canceled), (1, 1));
    shop.assert_right();
}

#[test]
fn a_return_that_a_restored_copy_had_planned_does_not_come_on_top_of_another() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(0, 2);
    shop.finish();
    let change = |units| {
        let now = shop.sandbox.clock.now();
        let sku = shop.goods(0).0;
        let vtex = &shop.sandbox.vtex;
        vtex.with(|store| store.change(&order, &sku, units, now));
        shop.run(&["poll"]);
        shop.run(&["reserve"]);
    };
    change(1);
    let copy = shop.path("copy.sqlite");
    assert_eq!(shop.run(&["backup", copy.to_str().unwrap()]), Exit::Done);
    change(2);
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| store.cancel(&order, now));
    shop.cycles(2);
    assert_eq!(shop.movements(&order), (1, 1), "both units came back");
    let restored = shop.run(&["backup", "restore", copy.to_str().unwrap(), "--yes"]);
    assert_eq!(restored, Exit::Done);
    // The books are right already; what matters is that the copy, once it may book again, leaves them so.
    for _ in 0..6 {
        std::thread::sleep(std::time::Duration::from_millis(300));
        shop.cycles(1);
    }
    assert_eq!(shop.movements(&order), (1, 1));
    shop.assert_right();
}

#[test]
fn s7_a_file_behind_its_mark_is_known_for_an_old_copy() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let state = shop.path("state.sqlite");
    let copy = shop.path("copy.sqlite");
    shop.run(&["backup", copy.to_str().unwrap()]);
    let order = shop.sell(0, 1);
    shop.cycles(3);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", state.display()));
    }
    fs::copy(&copy, &state).unwrap();
    shop.run(&["run"]);
    let file = rusqlite::Connection::open(&state).unwrap();
    let generation: i64 = file
        .query_row("SELECT generation FROM instance", [], |row| row.get(0))
        .unwrap();
    assert_eq!(generation, 2);
    drop(file);
    shop.finish();
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

#[test]
fn s7_a_file_that_lost_its_log_is_known_for_an_old_copy() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let state = shop.path("state.sqlite");
    // While somebody reads, what is written stays in the log.
    let reader = rusqlite::Connection::open(&state).unwrap();
    let count = "SELECT count(*) FROM orders";
    let orders = |file: &rusqlite::Connection| -> i64 {
        file.query_row(count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(orders(&reader), 0);
    let order = shop.sell(0, 1);
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 0));
    assert_eq!(orders(&reader), 1);
    let without_log = fs::read(&state).unwrap();
    drop(reader);
    fs::write(&state, without_log).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", state.display()));
    }
    let file = rusqlite::Connection::open(&state).unwrap();
    assert_eq!(orders(&file), 0, "the order stood in the log alone");
    drop(file);
    shop.finish();
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

#[test]
fn s7_the_log_of_another_file_is_refused() {
    let (shop, other) = (Shop::open(3), Shop::open(3));
    for each in [&shop, &other] {
        each.cycles(2);
        // Without any movement in the base, nothing proves that one is absent.
        each.sell(2, 1);
        each.cycles(2);
    }
    let copy = shop.path("copy.sqlite");
    assert_eq!(shop.run(&["backup", copy.to_str().unwrap()]), Exit::Done);
    let reader = rusqlite::Connection::open(other.path("state.sqlite")).unwrap();
    let count = "SELECT count(*) FROM orders";
    let _: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    other.sell(1, 1);
    other.cycles(2);
    let log = fs::read(other.path("state.sqlite-wal")).unwrap();
    assert!(!log.is_empty());
    drop(reader);
    let order = shop.sell(0, 1);
    fs::write(shop.path("state.sqlite-wal"), log).unwrap();
    assert!(!shop.path("state.sqlite-shm").exists());
    assert_eq!(shop.run(&["run"]), Exit::Broken);
    assert_eq!(shop.run(&["backup", "adopt", "--yes"]), Exit::Broken);
    assert_eq!(shop.movements(&order), (0, 0));
    // The way out that the message names.
    let restored = shop.run(&["backup", "restore", copy.to_str().unwrap(), "--yes"]);
    assert_eq!(restored, Exit::Done);
    shop.finish();
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

#[test]
fn s1_a_state_file_that_is_gone_is_not_a_first_start() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(0, 2);
    shop.cycles(3);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", shop.path("state.sqlite").display()));
    }
    assert_eq!(shop.run(&["run"]), Exit::Broken);
    assert!(!shop.path("state.sqlite").exists());
    assert_eq!(shop.run(&["backup", "adopt", "--yes"]), Exit::Done);
    shop.finish();
    assert_eq!(shop.movements(&order), (1, 0), "taken in, not booked again");
    shop.assert_right();
}

#[test]
fn c13_retry_is_refused_where_a_second_booking_could_follow() {
    let shop = Shop::open(2);
    shop.cycles(2);
    let order = twin(&shop);
    assert_eq!(shop.run(&["retry", order.as_str()]), Exit::Usage);
    assert_eq!(shop.run(&["move", "--force"]), Exit::Person);
    assert_eq!(shop.movements(&order), (0, 0));
    let open = shop.sell(1, 1);
    let faults = &shop.sandbox.faults;
    faults.on("book movement", 1, When::After, Fault::Reset);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    shop.run(&["move"]);
    assert_eq!(shop.run(&["retry", open.as_str()]), Exit::Usage);
    assert_eq!(shop.movements(&open), (1, 0));
}

#[test]
fn c14_resolve_needs_evidence_the_right_state_and_works_once() {
    let shop = Shop::open(2);
    shop.cycles(2);
    let order = twin(&shop);
    let bare = ["resolve", order.as_str(), "--booked", "9", "--yes"];
    assert_eq!(shop.run(&bare), Exit::Usage);
    let unasked = [
        "resolve",
        order.as_str(),
        "--booked",
        "9",
        "--evidence",
        "x",
    ];
    assert_eq!(shop.run(&unasked), Exit::Usage, "no terminal and no --yes");
    assert_eq!(resolve(&shop, &order, &["--handled"]), Exit::Usage);
    assert_eq!(resolve(&shop, &order, &["--booked", "9"]), Exit::Done);
    assert_eq!(resolve(&shop, &order, &["--booked", "9"]), Exit::Usage);
    assert_eq!(resolve(&shop, &order, &["--not-booked"]), Exit::Usage);
    shop.cycles(3);
    assert_eq!(
        shop.movements(&order),
        (0, 0),
        "the person's movement is the only one"
    );
    // The sandbox does not know that the person's movement is this sale, and takes it off once more.
    let rows = shop.wrong_numbers();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].offered, rows[0].truth + 1);
    assert_eq!(shop.run(&["status"]), Exit::Done);
}

#[test]
fn a_twin_that_was_something_else_is_dismissed_and_the_movement_booked() {
    let shop = Shop::open(2);
    shop.cycles(2);
    let order = twin(&shop);
    assert_eq!(resolve(&shop, &order, &["--not-booked"]), Exit::Done);
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 0));
    assert_eq!(shop.run(&["status"]), Exit::Done);
}

#[test]
fn a_refused_movement_waits_for_retry_or_is_waived() {
    let shop = Shop::open(2);
    shop.cycles(2);
    // Without any movement in the base, nothing proves that one is absent.
    shop.sell(1, 1);
    shop.cycles(2);
    let first = refused(&shop);
    assert_eq!(shop.run(&["retry", first.as_str()]), Exit::Done);
    shop.finish();
    assert_eq!(shop.movements(&first), (1, 0));
    shop.assert_right();
    let second = refused(&shop);
    assert_eq!(resolve(&shop, &second, &["--booked", "1"]), Exit::Usage);
    assert_eq!(resolve(&shop, &second, &["--cancel"]), Exit::Done);
    shop.cycles(4);
    assert_eq!(
        shop.movements(&second),
        (0, 0),
        "a waived movement is not planned again"
    );
    assert_eq!(shop.run(&["status"]), Exit::Done);
}

#[test]
fn reconcile_tells_of_doubled_lost_and_foreign_movements_and_changed_numbers() {
    let shop = Shop::open(4);
    shop.cycles(2);
    let (twice, gone) = (shop.sell(0, 1), shop.sell(1, 1));
    shop.cycles(3);
    assert_eq!(shop.run(&["reconcile", "--check"]), Exit::Done);
    let now = shop.sandbox.clock.now();
    let shelf = (shop.goods(2).0, shop::warehouse());
    shop.sandbox.dragonfish.with(|erp| {
        let text = twice.to_string();
        let again = erp
            .movements
            .iter()
            .find(|m| m.note.contains(&text))
            .unwrap();
        let draft = Draft {
            kind: again.kind,
            origin: again.origin.clone(),
            reference: again.reference.clone(),
            note: again.note.clone(),
            lines: again.lines.clone(),
            ..Draft::default()
        };
        erp.enter(&base(DEPOT), draft, now);
        let text = gone.to_string();
        erp.movements.retain(|m| !m.note.contains(&text));
        let draft = Draft {
            kind: 2,
            origin: DEPOT.into(),
            reference: "V1AAAAAAAAAAAAA".into(),
            lines: vec![(shop.goods(3).1, Decimal::ONE)],
            ..Draft::default()
        };
        erp.enter(&base(DEPOT), draft, now);
    });
    shop.sandbox
        .vtex
        .with(|store| store.shelves.get_mut(&shelf).unwrap().total = 777);
    let seq = || -> (i64, i64) {
        let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
        let sql = "SELECT seq, (SELECT count(*) FROM findings) FROM counter";
        file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    let before = seq();
    assert_eq!(shop.run(&["reconcile", "--check"]), Exit::Drift);
    assert_eq!(seq(), before, "--check changes nothing");
    assert_eq!(shop.run(&["reconcile"]), Exit::Person);
    let file = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    let mut kinds = file
        .prepare("SELECT kind FROM findings ORDER BY kind")
        .unwrap();
    let kinds: Vec<String> = kinds
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(kinds, ["gone", "twice", "unknown"]);
    assert_eq!(shop.run(&["status"]), Exit::Person);
    shop.cycles(1);
    let held = shop.sandbox.vtex.with(|store| store.shelves[&shelf].total);
    assert_ne!(held, 777, "the number is published anew");
}

#[test]
fn the_probe_finds_what_it_books_and_leaves_nothing_behind() {
    let shop = Shop::open(2);
    shop.cycles(1);
    let reference = shop.goods(0).1.reference();
    let probe = |base: &str| {
        shop.run(&[
            "doctor",
            "erp-probe",
            "--base",
            base,
            "--reference",
            &reference,
            "--yes",
        ])
    };
    assert_eq!(probe(DEPOT), Exit::Usage, "never in a base of the shop");
    let test_base = stockbridge::sandbox::catalogue::BLOCKED[0];
    let before = shop
        .sandbox
        .dragonfish
        .with(|erp| erp.stock_of(&base(test_base), &shop.goods(0).1));
    assert_eq!(probe(test_base), Exit::Done);
    shop.sandbox.dragonfish.with(|erp| {
        assert_eq!(erp.stock_of(&base(test_base), &shop.goods(0).1), before);
        assert_eq!(erp.movements.len(), 2);
    });
}

#[test]
fn orders_before_the_cut_over_are_taken_over_or_left_in_bulk() {
    let shop = Shop::open(2);
    let order = shop.sell(0, 1);
    let text = fs::read_to_string(shop.path("stockbridge.toml")).unwrap();
    let at = text
        .lines()
        .find(|line| line.starts_with("cutover"))
        .unwrap();
    let later = shop.sandbox.clock.now().plus_ms(1000);
    fs::write(
        shop.path("stockbridge.toml"),
        text.replace(at, &format!("cutover = \"{later}\"")),
    )
    .unwrap();
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (0, 0));
    let before = [
        "resolve",
        "--before-cutover",
        "unbooked",
        "--evidence",
        "asked the shop",
        "--yes",
    ];
    assert_eq!(shop.run(&before), Exit::Done);
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 0));
}

/// Where its lock is broken, another process may park a start of handling between our look and our word.
#[test]
fn whoever_is_slower_at_parking_a_start_of_handling_leaves_it() {
    let shop = Shop::with(3, "[protocol]\nundecided_after = \"0s\"");
    shop.sell(0, 1);
    let faults = &shop.sandbox.faults;
    faults.on("start handling", 1, When::Before, Fault::Reset);
    shop.cycles(1);
    let state = rusqlite::Connection::open(shop.path("state.sqlite")).unwrap();
    let handling = || -> String {
        let sql = "SELECT state FROM attempts WHERE kind = 'handling'";
        state.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(handling(), "UNKNOWN");
    // The order is noted as it was just read: that is when the other one acts.
    state
        .execute_batch(
            "CREATE TRIGGER the_other_one AFTER UPDATE ON orders BEGIN
                 UPDATE attempts SET state = 'QUARANTINED' WHERE kind = 'handling' AND state = 'UNKNOWN';
             END",
        )
        .unwrap();
    assert_eq!(shop.run(&["move"]), Exit::Person);
    assert_eq!(handling(), "QUARANTINED");
}

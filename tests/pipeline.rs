//! The pipeline against the sandbox: an order from the feed to settled, and what can happen to it on the way.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/shop.rs"]
mod shop;

use rust_decimal::Decimal;
use shop::{Shop, warehouse};
use stockbridge::exit::Exit;
use stockbridge::sandbox::catalogue::base;
use stockbridge::sandbox::faults::{Fault, When};

#[test]
fn an_order_goes_from_the_feed_to_settled() {
    let shop = Shop::open(5);
    shop.cycles(2);
    shop.assert_right();
    let order = shop.sell(0, 2);
    shop.cycles(3);
    shop.assert_right();
    assert_eq!(shop.movements(&order), (1, 0));
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| {
        assert_eq!(store.orders[&order].status, "handling");
        store.invoice(&order, now);
    });
    assert_eq!(shop.cycles(3), Exit::Done);
    shop.assert_right();
    assert_eq!(shop.mails().len(), 1, "one remito notice");
    assert!(shop.mails()[0].contains(order.as_str()));
}

#[test]
fn a_run_with_nothing_to_do_writes_nothing_outside() {
    let shop = Shop::open(3);
    shop.sell(0, 1);
    shop.cycles(4);
    shop.sandbox.faults.clear();
    assert_eq!(shop.run(&["run"]), Exit::Done);
    let writes: Vec<_> = shop
        .sandbox
        .faults
        .calls()
        .into_iter()
        .filter(|c| {
            matches!(
                c.operation,
                "set stock" | "start handling" | "book movement" | "commit feed"
            )
        })
        .collect();
    assert_eq!(writes, vec![]);
    shop.assert_right();
}

#[test]
fn each_stage_run_twice_does_its_work_once() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(1, 1);
    for stage in ["poll", "reserve", "move", "push-stock", "notify"] {
        shop.run(&[stage]);
        shop.run(&[stage]);
    }
    assert_eq!(shop.movements(&order), (1, 0));
    assert_eq!(
        shop.sandbox.vtex.with(|store| store.handling_calls[&order]),
        1
    );
    assert_eq!(shop.mails().len(), 1);
    shop.cycles(2);
    shop.assert_right();
}

#[test]
fn v19_canceled_before_booking_nothing_is_booked() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(0, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| store.cancel(&order, now));
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (0, 0));
    shop.assert_right();
    assert!(
        shop.mails()
            .iter()
            .any(|mail| mail.contains("remito-withdrawn")),
        "the remito is withdrawn"
    );
}

#[test]
fn v19_canceled_after_handling_its_movement_is_reversed_once() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell_all(&[(0, 2), (1, 1)]);
    shop.cycles(2);
    assert_eq!(shop.movements(&order), (1, 0));
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| store.cancel(&order, now));
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 1));
    shop.assert_right();
}

#[test]
fn v20_a_changed_order_is_booked_by_its_difference() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell_all(&[(0, 3), (1, 1)]);
    shop.cycles(2);
    let (sku, _) = shop.goods(0);
    let now = shop.sandbox.clock.now();
    shop.sandbox
        .vtex
        .with(|store| store.change(&order, &sku, 1, now));
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 1), "two units come back");
    let now = shop.sandbox.clock.now();
    shop.sandbox
        .vtex
        .with(|store| store.change(&order, &sku, 4, now));
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (2, 1), "three more go out");
    assert!(
        shop.mails()
            .iter()
            .any(|mail| mail.contains("remito-changed"))
    );
}

#[test]
fn a_change_after_its_order_was_read_is_not_lost_with_its_event() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(0, 5);
    shop.cycles(3);
    let (sku, _) = shop.goods(0);
    let change = |units| {
        let now = shop.sandbox.clock.now();
        let vtex = &shop.sandbox.vtex;
        vtex.with(|store| store.change(&order, &sku, units, now));
    };
    shop.sandbox.faults.clear();
    // An event that needs no movement: nothing else reads the order again.
    change(5);
    // The feed's configuration, the events, the order: the next call takes the events off the feed.
    let held = shop.sandbox.faults.hold_at(4, When::After);
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| shop.run(&["poll"]));
        held.recv().unwrap();
        change(2);
        assert_eq!(poll.join().unwrap(), Exit::Done);
    });
    let calls = shop.sandbox.faults.calls();
    assert_eq!(calls[3].operation, "commit feed", "{calls:?}");
    shop.cycles(3);
    shop.assert_right();
}

#[test]
fn handling_started_by_a_person_is_not_started_again() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(2, 1);
    let now = shop.sandbox.clock.now();
    shop.sandbox
        .vtex
        .with(|store| store.start_handling(&order, now))
        .unwrap();
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 0));
    assert_eq!(
        shop.sandbox.vtex.with(|store| store.handling_calls.len()),
        0
    );
    shop.assert_right();
}

#[test]
fn sales_in_the_shops_show_up_with_the_full_pass() {
    let shop = Shop::open(4);
    shop.cycles(2);
    let (_, variant) = shop.goods(0);
    shop.sandbox
        .dragonfish
        .with(|erp| erp.shop_sale(&base("CENTRO"), &variant, 1));
    assert_eq!(shop.wrong_numbers().len(), 1);
    shop.run(&["push-stock", "--all"]);
    shop.assert_right();
}

#[test]
fn an_order_the_feed_lost_is_found_by_the_sweep() {
    let shop = Shop::with(3, "[poll]\nsweep_every = \"0s\"");
    shop.cycles(2);
    shop.sandbox.vtex.with(|store| store.habits.lose_every = 1);
    let order = shop.sell(0, 1);
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

#[test]
fn the_list_alone_finds_orders_too() {
    let shop = Shop::with(3, "[poll]\nmode = \"list\"");
    let order = shop.sell(0, 1);
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

#[test]
fn orders_from_before_the_cutover_are_never_moved() {
    let shop = Shop::with(3, "[poll]\ncutover = \"2090-01-01T00:00:00Z\"");
    let order = shop.sell(0, 1);
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (0, 0));
    assert_eq!(
        shop.sandbox.vtex.with(|store| store.orders[&order].status),
        "ready-for-handling"
    );
}

#[test]
fn e14_a_base_that_is_offline_never_raises_or_lowers_a_number() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let (sku, variant) = shop.goods(0);
    let before = shop
        .sandbox
        .vtex
        .with(|store| store.available(&sku, &warehouse()));
    shop.sandbox.dragonfish.with(|erp| {
        erp.offline.insert(base("NORTE"));
        erp.stock
            .get_mut(&base("CENTRO"))
            .unwrap()
            .insert(variant.clone(), Decimal::from(99));
    });
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Partial);
    assert_eq!(
        shop.sandbox
            .vtex
            .with(|store| store.available(&sku, &warehouse())),
        before
    );
    shop.sandbox.dragonfish.with(|erp| erp.offline.clear());
    shop.run(&["push-stock", "--all"]);
    shop.assert_right();
}

#[test]
fn the_reading_without_the_depot_waits_for_the_remito() {
    let shop = Shop::with(3, "[erp]\nvirtual_depot = \"excluded\"");
    shop.cycles(2);
    let (sku, variant) = shop.goods(0);
    let offered = |shop: &Shop| {
        shop.sandbox
            .vtex
            .with(|store| store.available(&sku, &warehouse()))
    };
    let before = offered(&shop);
    let order = shop.sell(0, 1);
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 0));
    assert_eq!(
        offered(&shop),
        before - 1,
        "sold and booked, the goods still lie in the shop"
    );
    let now = shop.sandbox.clock.now();
    shop.sandbox
        .dragonfish
        .with(|erp| erp.make_remito(&base("CENTRO"), &variant, 1, order.as_str(), now));
    shop.cycles(2);
    shop.run(&["push-stock", "--all"]);
    assert_eq!(
        offered(&shop),
        before - 1,
        "the remito took them out of the shop"
    );
}

#[test]
fn a_remito_can_be_confirmed_by_hand() {
    let shop = Shop::with(3, "[erp]\nvirtual_depot = \"excluded\"");
    let order = shop.sell(0, 1);
    assert_eq!(
        shop.run(&["remito", order.as_str(), "--done"]),
        Exit::Data,
        "nothing is booked yet"
    );
    shop.cycles(3);
    assert_eq!(shop.run(&["remito", order.as_str(), "--done"]), Exit::Done);
    assert_eq!(
        shop.run(&["remito", order.as_str(), "--done"]),
        Exit::Data,
        "it was confirmed already"
    );
}

#[test]
fn all_three_ways_to_write_stock_end_at_the_same_numbers() {
    for call in ["patch", "put", "fulfillment"] {
        let shop = Shop::with(3, &format!("[vtex]\nstock_call = \"{call}\""));
        shop.sell(0, 1);
        shop.cycles(3);
        shop.assert_right();
        let lead_times = shop
            .sandbox
            .vtex
            .with(|store| store.shelves.values().all(|s| s.lead_time == "01.00:00:00"));
        assert!(lead_times, "{call} kept the lead time");
    }
}

#[test]
fn v36_a_locked_sku_is_written_again() {
    let shop = Shop::open(2);
    shop.sandbox
        .faults
        .on("set stock", 1, When::Before, Fault::Locked);
    shop.cycles(2);
    shop.assert_right();
}

#[test]
fn v28_a_write_that_answered_500_and_was_applied_is_read_back() {
    let shop = Shop::open(2);
    shop.sandbox
        .faults
        .on("set stock", 2, When::After, Fault::Status(500));
    shop.cycles(2);
    shop.assert_right();
}

#[test]
fn v26_denied_access_stops_the_stage_with_77() {
    let shop = Shop::open(2);
    std::fs::write(shop.path("token"), "ANOTHERTOKENANOTHERTOKEN").unwrap();
    assert_eq!(shop.run(&["poll"]), Exit::Denied);
}

#[test]
fn the_brake_stops_a_run_that_would_empty_the_store() {
    let shop = Shop::with(40, "[push]\nmax_drop_percent = 30");
    shop.cycles(2);
    shop.assert_right();
    let before: i64 = shop
        .sandbox
        .vtex
        .with(|store| store.shelves.values().map(|shelf| shelf.total).sum());
    shop.sandbox.dragonfish.with(|erp| {
        for stock in erp.stock.values_mut() {
            stock.values_mut().for_each(|units| *units = Decimal::ZERO);
        }
    });
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Person);
    let after: i64 = shop
        .sandbox
        .vtex
        .with(|store| store.shelves.values().map(|shelf| shelf.total).sum());
    assert_eq!(after, before, "nothing was published");
    assert_eq!(shop.run(&["push-stock", "--all", "--force"]), Exit::Done);
    shop.assert_right();
}

#[test]
fn a_sku_the_erp_forgot_goes_to_zero_after_two_readings() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let (sku, variant) = shop.goods(0);
    shop.sandbox.dragonfish.with(|erp| {
        erp.stock.values_mut().for_each(|stock| {
            stock.remove(&variant);
        })
    });
    let total = |shop: &Shop| {
        shop.sandbox
            .vtex
            .with(|store| store.available(&sku, &warehouse()))
    };
    let before = total(&shop);
    shop.run(&["push-stock", "--sku", sku.as_str()]);
    assert_eq!(total(&shop), before, "one reading is not enough");
    shop.run(&["push-stock", "--sku", sku.as_str(), "--force"]);
    assert_eq!(total(&shop), 0);
}

#[test]
fn an_oversold_sku_is_shown_to_a_person() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let (sku, variant) = shop.goods(0);
    let available = shop
        .sandbox
        .vtex
        .with(|store| store.available(&sku, &warehouse()));
    let now = shop.sandbox.clock.now();
    let units = u32::try_from(available).unwrap();
    shop.sandbox
        .vtex
        .with(|store| store.place(&[(sku.clone(), warehouse(), units)], now));
    shop.sandbox
        .dragonfish
        .with(|erp| erp.shop_sale(&base("CENTRO"), &variant, 1));
    assert_eq!(shop.run(&["push-stock", "--all"]), Exit::Person);
    assert_eq!(shop.run(&["status"]), Exit::Person);
    shop.run(&["notify"]);
    assert!(shop.mails().iter().any(|mail| mail.contains("oversold")));
}

#[test]
fn a_dry_run_changes_nothing_anywhere() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(0, 1);
    assert_eq!(shop.run(&["run", "--dry-run"]), Exit::Done);
    assert_eq!(shop.movements(&order), (0, 0));
    assert_eq!(
        shop.run(&["show", order.as_str()]),
        Exit::Data,
        "the memory does not know it"
    );
    let left: Vec<_> = std::fs::read_dir(shop.folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_str().unwrap().contains("dry")),
        "{left:?}"
    );
    shop.sandbox.clock.advance(31_000);
    shop.cycles(3);
    shop.assert_right();
}

/// VTEX's published worked example, step by step: what the store must show as total, reserved and available.
#[test]
fn the_worked_example_runs_through_the_whole_program() {
    let shop = Shop::with(
        1,
        "[vtex]\nstart_handling = \"never\"\n[push]\nmax_drop_percent = 100",
    );
    let (sku, variant) = shop.goods(0);
    shop.sandbox.dragonfish.with(|erp| {
        for stock in erp.stock.values_mut() {
            stock.insert(variant.clone(), Decimal::ZERO);
        }
        erp.stock
            .get_mut(&base("CENTRO"))
            .unwrap()
            .insert(variant.clone(), Decimal::from(10));
    });
    let numbers = || {
        shop.sandbox.vtex.with(|store| {
            let total = store.shelves[&(sku.clone(), warehouse())].total;
            (
                total,
                store.reserved(&sku, &warehouse()),
                store.available(&sku, &warehouse()),
            )
        })
    };
    let push = || {
        shop.sandbox.clock.advance(31_000);
        shop.run(&["poll"]);
        shop.sandbox.clock.advance(5_000);
        shop.run(&["push-stock", "--sku", sku.as_str()]);
    };
    push();
    assert_eq!(numbers(), (10, 0, 10), "start");
    let (a, b) = (shop.sell(0, 2), shop.sell(0, 3));
    push();
    assert_eq!(
        numbers(),
        (10, 5, 5),
        "a and b paid: the store subtracts them itself"
    );
    let handle = |order| {
        let now = shop.sandbox.clock.now();
        shop.sandbox
            .vtex
            .with(|store| store.start_handling(order, now))
            .unwrap();
    };
    handle(&a);
    push();
    assert_eq!(numbers(), (8, 3, 5), "a in handling");
    shop.run(&["reserve"]);
    shop.run(&["move", "--order", a.as_str()]);
    push();
    assert_eq!(numbers(), (8, 3, 5), "the ERP books a");
    shop.run(&["move", "--order", b.as_str()]);
    push();
    assert_eq!(numbers(), (8, 3, 5), "the ERP books b early");
    handle(&b);
    push();
    assert_eq!(numbers(), (5, 0, 5), "b in handling");
    let now = shop.sandbox.clock.now();
    shop.sandbox.vtex.with(|store| store.cancel(&b, now));
    push();
    shop.run(&["reserve"]);
    shop.run(&["move"]);
    push();
    assert_eq!(
        numbers(),
        (8, 0, 8),
        "b canceled after handling, its movement reversed"
    );
}

#[test]
fn a_pick_up_in_a_shop_is_booked_there_and_needs_no_remito() {
    let shop = Shop::open(3);
    let text = std::fs::read_to_string(shop.path("stockbridge.toml")).unwrap();
    let text = text.replace(
        "[push]",
        "[[warehouse]]\nid = \"1_2\"\nbases = [\"SUR\"]\nmovement_base = \"SUR\"\n[push]",
    );
    let text = text.replace("\"CENTRO\", \"NORTE\", \"SUR\"", "\"CENTRO\", \"NORTE\"");
    std::fs::write(shop.path("stockbridge.toml"), text).unwrap();
    shop.cycles(2);
    let place = stockbridge::domain::ids::WarehouseId::parse("1_2").unwrap();
    let now = shop.sandbox.clock.now();
    let order = shop
        .sandbox
        .vtex
        .with(|store| store.sell(&[(shop.goods(1).0, place, 1)], now));
    shop.cycles(2);
    let bases: Vec<_> = shop
        .sandbox
        .dragonfish
        .with(|erp| erp.movements.iter().map(|m| m.base.to_string()).collect());
    assert_eq!(bases, ["SUR"]);
    assert_eq!(shop.movements(&order), (1, 0));
    assert_eq!(shop.mails().len(), 0, "nobody has to move anything");
}

#[test]
fn orders_an_older_program_processed_are_never_moved() {
    let shop = Shop::open(2);
    let order = shop.sell(0, 1);
    std::fs::write(shop.path("orders_processed.json"), format!("[\"{order}\"]")).unwrap();
    let file = shop.path("orders_processed.json");
    assert_eq!(
        shop.run(&["poll", "--import-processed", file.to_str().unwrap()]),
        Exit::Done
    );
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (0, 0));
    std::fs::write(&file, "{\"not\": \"a list\"}").unwrap();
    assert_eq!(
        shop.run(&["poll", "--import-processed", file.to_str().unwrap()]),
        Exit::Data
    );
}

#[test]
fn a_backfill_takes_in_a_window_or_single_orders() {
    let shop = Shop::with(
        2,
        "[vtex]\nmanage_feed = false\n[poll]\nsweep_window = \"1h\"",
    );
    let order = shop.sell(0, 1);
    assert_eq!(shop.run(&["poll", "--order", order.as_str()]), Exit::Done);
    assert_eq!(shop.run(&["show", order.as_str()]), Exit::Done);
    let other = shop.sell(0, 1);
    assert_eq!(shop.run(&["poll", "--since", "2020-01-01"]), Exit::Done);
    assert_eq!(shop.run(&["show", other.as_str()]), Exit::Done);
    assert_eq!(
        shop.run(&["poll", "--order", "9999999999999-01"]),
        Exit::Person
    );
}

#[test]
fn v22_a_feed_that_is_gone_is_told_and_the_sweep_still_runs() {
    let shop = Shop::with(2, "[vtex]\nmanage_feed = false");
    let order = shop.sell(0, 1);
    assert_eq!(shop.run(&["poll"]), Exit::Person);
    assert_eq!(
        shop.run(&["show", order.as_str()]),
        Exit::Done,
        "the sweep found it"
    );
    shop.run(&["notify"]);
    assert!(
        shop.mails()
            .iter()
            .any(|mail| mail.contains("feed-missing"))
    );
}

#[test]
fn v15_an_order_whose_sku_is_not_in_the_erp_parks_and_goes_on_when_mapped() {
    let shop = Shop::open(2);
    let (sku, variant) = shop.goods(0);
    let reference = variant.reference();
    shop.sandbox
        .vtex
        .with(|store| store.products[0].variant.size = String::new());
    let order = shop.sell(0, 1);
    assert_eq!(shop.cycles(1), Exit::Person);
    assert_eq!(shop.movements(&order), (0, 0));
    let map = shop.path("map.csv");
    std::fs::write(&map, format!("sku,reference\n{sku},{reference}\n")).unwrap();
    assert_eq!(
        shop.run(&["sku", "import", map.to_str().unwrap()]),
        Exit::Done
    );
    shop.cycles(2);
    assert_eq!(shop.movements(&order), (1, 0));
    std::fs::write(&map, format!("{sku},nothing\n")).unwrap();
    assert_eq!(
        shop.run(&["sku", "import", map.to_str().unwrap()]),
        Exit::Data
    );
}

#[test]
fn v34_an_order_of_an_unknown_warehouse_parks() {
    let shop = Shop::open(2);
    let place = stockbridge::domain::ids::WarehouseId::parse("1_2").unwrap();
    let now = shop.sandbox.clock.now();
    let order = shop
        .sandbox
        .vtex
        .with(|store| store.sell(&[(shop.goods(1).0, place, 1)], now));
    assert_eq!(shop.cycles(1), Exit::Person);
    assert_eq!(shop.movements(&order), (0, 0));
}

#[test]
fn a_sku_sold_without_limit_is_left_alone() {
    let shop = Shop::open(2);
    let (sku, _) = shop.goods(0);
    shop.sandbox.vtex.with(|store| {
        store
            .shelves
            .get_mut(&(sku.clone(), warehouse()))
            .unwrap()
            .unlimited = true
    });
    shop.cycles(2);
    let writes = shop
        .sandbox
        .vtex
        .with(|store| store.shelves[&(sku, warehouse())].writes);
    assert_eq!(writes, 0);
}

#[test]
fn e21_after_a_restart_of_the_service_the_program_logs_in_again() {
    let shop = Shop::open(2);
    shop.cycles(1);
    shop.sandbox.dragonfish.with(|erp| erp.restart());
    let order = shop.sell(0, 1);
    shop.cycles(2);
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

#[test]
fn a_blind_erp_gets_each_movement_once_and_every_doubt_goes_to_a_person() {
    let shop = Shop::with(3, "[erp.dragonfish]\nsearch = \"blind\"");
    let order = shop.sell(0, 1);
    shop.cycles(2);
    assert_eq!(shop.movements(&order), (1, 0));
    shop.sandbox
        .faults
        .on("book movement", 1, When::After, Fault::Reset);
    let doubtful = shop.sell(1, 1);
    assert_eq!(shop.cycles(3), Exit::Person);
    assert_eq!(shop.movements(&doubtful), (1, 0), "never sent again");
}

#[test]
fn v38_canceled_again_and_again_releases_and_reverses_once() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(0, 1);
    shop.cycles(2);
    for _ in 0..3 {
        let now = shop.sandbox.clock.now();
        shop.sandbox.vtex.with(|store| store.cancel(&order, now));
        shop.cycles(2);
    }
    assert_eq!(shop.movements(&order), (1, 1));
    shop.assert_right();
}

#[test]
fn goods_that_are_not_there_are_a_shortage() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let (_, variant) = shop.goods(0);
    shop.sandbox.dragonfish.with(|erp| {
        for stock in erp.stock.values_mut() {
            stock.insert(variant.clone(), Decimal::ZERO);
        }
    });
    let order = shop.sell(0, 1);
    shop.cycles(1);
    assert!(
        shop.mails()
            .iter()
            .any(|mail| mail.contains("shortage") && mail.contains(order.as_str()))
    );
}

#[test]
fn a_parked_order_is_told_of_again_once_a_period() {
    let shop = Shop::with(2, "[notify]\ndigest_every = \"0s\"");
    shop.sandbox
        .vtex
        .with(|store| store.products[0].variant.size = String::new());
    shop.sell(0, 1);
    shop.cycles(3);
    assert!(
        shop.mails()
            .iter()
            .filter(|mail| mail.contains("<parked."))
            .count()
            > 1
    );
}

#[test]
fn v17_a_kit_is_reserved_and_booked_by_its_part() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let ((kit, _), (part, variant)) = (shop.goods(0), shop.goods(1));
    shop.sandbox
        .vtex
        .with(|store| store.kits.insert(kit, (part, 2)));
    let order = shop.sell(0, 1);
    shop.cycles(2);
    assert_eq!(shop.movements(&order), (1, 0));
    let lines = shop
        .sandbox
        .dragonfish
        .with(|erp| erp.movements[0].lines.clone());
    assert_eq!(lines, [(variant, Decimal::from(2))]);
}

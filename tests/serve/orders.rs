//! From the hook to the published number, with everything that can be lost on the way.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use stockbridge::exit::Exit;
use stockbridge::sandbox::faults::{Fault, When};

use crate::door::{Door, configure, free_port, inbox, wait_for};
use crate::parts::variable;
use crate::shop::Shop;

const PATIENCE: Duration = Duration::from_secs(60);

/// A shop whose stages are woken by the hook, which is installed; nothing else runs them.
fn woken() -> (Shop, Door) {
    let shop = Shop::open(4);
    shop.cycles(2);
    let door = Door::open(&shop, "run_stages = true\nwake_every = \"100ms\"");
    assert_eq!(shop.run(&["hook", "install"]), Exit::Done);
    (shop, door)
}

#[test]
fn an_order_that_the_hook_tells_of_is_published_without_cron() {
    let (shop, door) = woken();
    // The feed tells nothing: what happens, happens by the hook.
    shop.sandbox.vtex.with(|store| store.habits.lose_every = 1);
    let order = shop.sell(0, 2);
    let done = wait_for(PATIENCE, || shop.published(&order));
    assert!(done, "{}", door.log());
    assert_eq!(shop.movements(&order), (1, 0));
    // The reservation is cleared by a number that was read after it, in a run that nobody asks for.
    let right = || inbox(&shop).is_empty() && shop.wrong_numbers().is_empty();
    assert!(wait_for(PATIENCE, right), "{}", door.log());
    shop.assert_right();
    let page = door.get("/metrics").1;
    assert!(!page.contains("stockbridge_woken_runs_total 0\n"), "{page}");
    assert!(
        page.contains("stockbridge_woken_run_exit_code 0\n"),
        "{page}"
    );
}

#[test]
fn a_hint_that_comes_while_stages_run_is_not_forgotten() {
    let (shop, door) = woken();
    shop.sandbox.vtex.with(|store| store.habits.lose_every = 1);
    let orders: Vec<_> = (0..12)
        .map(|n| {
            std::thread::sleep(Duration::from_millis(70));
            shop.sell(n % 4, 1)
        })
        .collect();
    let done = wait_for(PATIENCE, || {
        orders.iter().all(|order| shop.published(order))
    });
    assert!(done, "{}", door.log());
    let right = || shop.wrong_numbers().is_empty();
    assert!(wait_for(PATIENCE, right), "{}", door.log());
    shop.assert_right();
}

#[test]
fn what_was_told_while_nobody_ran_the_stages_is_done_at_the_next_start() {
    let (shop, door) = woken();
    shop.sandbox.vtex.with(|store| store.habits.lose_every = 1);
    drop(door);
    let port = free_port();
    configure(&shop, port, "run_stages = false", "");
    let door = Door::start(&shop, port);
    assert_eq!(shop.run(&["hook", "install"]), Exit::Done);
    let order = shop.sell(0, 1);
    assert!(wait_for(PATIENCE, || inbox(&shop) == [order.as_str()]));
    drop(door);
    configure(&shop, port, "run_stages = true\nwake_every = \"100ms\"", "");
    let door = Door::start(&shop, port);
    assert!(
        wait_for(PATIENCE, || shop.published(&order)),
        "{}",
        door.log()
    );
}

#[test]
fn a_run_that_hangs_is_killed_and_the_door_stays_open() {
    let shop = Shop::with(
        2,
        "[vtex]\ntotal_timeout = \"20s\"\n[protocol]\nhandling_limit = \"20s\"\nstock_limit = \"20s\"",
    );
    shop.cycles(1);
    let serve = "run_stages = true\nwake_every = \"100ms\"\nrun_limit = \"1s\"";
    let door = Door::open(&shop, serve);
    assert_eq!(shop.run(&["hook", "install"]), Exit::Done);
    shop.sandbox
        .faults
        .on("get order", 1, When::Before, Fault::Hang(15_000));
    let order = shop.sell(0, 1);
    let killed = wait_for(PATIENCE, || door.log().contains("were killed"));
    assert!(killed, "{}", door.log());
    assert_eq!(door.tell(order.as_str()), 200);
    let done = wait_for(PATIENCE, || shop.published(&order));
    assert!(done, "{}", door.log());
    shop.finish();
    shop.assert_right();
}

#[test]
fn a_run_under_way_is_let_finish_when_the_door_closes() {
    let (shop, mut door) = woken();
    let told = shop.sandbox.faults.hold_at(1, When::Before);
    shop.sell(0, 1);
    told.recv_timeout(PATIENCE).unwrap();
    door.signal(Signal::TERM);
    assert!(door.ended(PATIENCE).unwrap().success(), "{}", door.log());
    assert!(!door.log().contains("killed"), "{}", door.log());
    shop.finish();
    shop.assert_right();
}

#[test]
fn the_hook_is_installed_shown_and_removed() {
    let shop = Shop::open(1);
    let port = free_port();
    configure(&shop, port, "", "");
    assert_eq!(shop.run(&["hook", "show"]), Exit::Person);
    // Nobody answers at the address, so the store does not save it.
    assert_eq!(shop.run(&["hook", "install"]), Exit::Person);
    let door = Door::start(&shop, port);
    assert_eq!(
        shop.run(&["hook", "install", "--dry-run"]),
        Exit::Unreachable
    );
    assert_eq!(shop.run(&["hook", "show"]), Exit::Person);
    assert_eq!(shop.run(&["hook", "install"]), Exit::Done);
    assert_eq!(shop.run(&["hook", "show"]), Exit::Done);
    let config = shop
        .sandbox
        .vtex
        .with(|store| store.hook_config.clone())
        .unwrap();
    assert_eq!(config["filter"]["type"], "FromWorkflow");
    let other = free_port();
    configure(&shop, other, "", "");
    assert_eq!(shop.run(&["hook", "show"]), Exit::Person);
    assert_eq!(shop.run(&["hook", "remove"]), Exit::Done);
    assert_eq!(shop.run(&["hook", "remove"]), Exit::Done);
    assert!(shop.sandbox.vtex.with(|store| store.hook_config.is_none()));
    drop(door);
}

#[test]
fn poll_tells_of_a_hook_that_vanished_and_mends_it_when_allowed() {
    let shop = Shop::open(1);
    let port = free_port();
    configure(&shop, port, "", "");
    let _door = Door::start(&shop, port);
    assert_eq!(shop.run(&["hook", "install"]), Exit::Done);
    assert_eq!(shop.run(&["poll"]), Exit::Done);
    shop.sandbox.clock.advance(3 * 86_400_000 + 1);
    assert_eq!(shop.run(&["poll"]), Exit::Person);
    assert_eq!(shop.run(&["doctor"]), Exit::Done, "only a warning");
    configure(&shop, port, "", "manage = true");
    assert_eq!(shop.run(&["poll"]), Exit::Done);
    assert_eq!(shop.run(&["hook", "show"]), Exit::Done);
}

#[test]
fn an_order_that_cannot_be_read_stays_in_the_inbox_and_is_set_aside_in_the_end() {
    let shop = Shop::with(1, "[poll]\nunreadable_tries = 3");
    shop.cycles(1);
    let door = Door::open(&shop, "");
    shop.sandbox.vtex.with(|store| store.habits.lose_every = 1);
    let order = shop.sell(0, 1);
    assert_eq!(door.tell(order.as_str()), 200);
    for tries in 1..=3 {
        // All reads of one run, repeated ones included.
        shop.sandbox
            .faults
            .on("get order", 3, When::Before, Fault::Status(500));
        shop.run(&["poll"]);
        shop.sandbox.faults.clear();
        assert_eq!(inbox(&shop).is_empty(), tries == 3, "try {tries}");
    }
    // Told again it is read at once.
    assert_eq!(door.tell(order.as_str()), 200);
    shop.run(&["poll"]);
    assert!(inbox(&shop).is_empty());
    shop.finish();
    shop.assert_right();
}

/// Hook, feed and sweep together; each loses, the hook doubles, the door is away for a while.
#[test]
fn no_order_is_missed_or_doubled_whatever_the_hook_and_the_feed_lose() {
    let wanted: usize = variable("STOCKBRIDGE_HOOK_ORDERS").map_or(60, |n| n.parse().unwrap());
    let shop = Shop::with(8, "[poll]\nsweep_every = \"1s\"\nsweep_window = \"48h\"");
    shop.sandbox.vtex.with(|store| {
        store.habits.hook_lose_every = 20;
        store.habits.hook_double_every = 20;
        store.habits.lose_every = 20;
        store.habits.hook_pause_ms = 50;
    });
    shop.cycles(2);
    let port = free_port();
    let serve = "run_stages = true\nwake_every = \"100ms\"\nrequests_a_second = 0";
    configure(&shop, port, serve, "");
    let mut door = Some(Door::start(&shop, port));
    assert_eq!(shop.run(&["hook", "install"]), Exit::Done);
    let mut orders = Vec::new();
    for n in 0..wanted {
        orders.push(shop.sell(n % 8, 1));
        if n == wanted / 3 {
            door.take().unwrap().kill();
        }
        if n == wanted / 2 {
            door = Some(Door::start(&shop, port));
        }
        // Cron goes on beside it.
        if n % 25 == 24 {
            shop.run(&["run"]);
        }
    }
    let door = door.unwrap();
    let quiet =
        || shop.sandbox.vtex.with(|store| store.hooks.is_empty()) && inbox(&shop).is_empty();
    assert!(wait_for(PATIENCE * 10, quiet), "{}", door.log());
    let (told, answered, vain) = shop
        .sandbox
        .vtex
        .with(|store| (store.hook_events, store.hook_answers, store.hook_failures));
    let patience = PATIENCE + Duration::from_millis(100) * u32::try_from(wanted).unwrap();
    wait_for(patience, || {
        shop.run(&["run"]);
        orders.iter().all(|order| shop.published(order))
    });
    shop.finish();
    let missing = orders.iter().filter(|order| !shop.published(order)).count();
    let doubled = orders
        .iter()
        .filter(|order| shop.movements(order).0 > 1)
        .count();
    println!(
        "{wanted} orders: {missing} missing, {doubled} doubled; the hook had {told} events, {answered} posts were taken, \
         {vain} were in vain"
    );
    assert_eq!((missing, doubled), (0, 0));
    shop.assert_right();
    assert!(vain > 0, "the door was away");
    drop(door);
    assert!(fs::metadata(shop.path("state.sqlite")).unwrap().len() > 0);
}

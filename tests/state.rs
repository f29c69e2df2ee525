//! The state file, damaged, shared, or held by somebody else: nothing is sent from what cannot be trusted.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there; a lock is held for real time"
)]

#[path = "support/shop.rs"]
mod shop;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use shop::Shop;
use stockbridge::exit::Exit;
use stockbridge::sandbox::faults::{Fault, When};

fn open(shop: &Shop) -> Connection {
    Connection::open(shop.path("state.sqlite")).unwrap()
}

#[test]
fn the_file_and_its_companions_are_private() {
    let shop = Shop::open(2);
    shop.cycles(1);
    for entry in fs::read_dir(shop.folder.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("state.sqlite") {
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o077,
                0,
                "{name}"
            );
        }
    }
}

#[test]
fn s6_a_damaged_effect_is_never_sent() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(0, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    let changed = open(&shop)
        .execute(
            "UPDATE attempts SET payload = replace(payload, ':1}', ':9}') WHERE kind = 'movement'",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    assert_eq!(shop.run(&["move"]), Exit::Person);
    assert_eq!(shop.movements(&order), (0, 0));
}

#[test]
fn s5_a_cut_file_is_refused() {
    let shop = Shop::open(2);
    shop.cycles(1);
    open(&shop)
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(shop.path("state.sqlite"))
        .unwrap();
    file.set_len(8192).unwrap();
    assert_eq!(shop.run(&["run"]), Exit::Broken);
}

/// Runs the program and returns its exit code and what it said.
fn told(shop: &Shop, command: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stockbridge"))
        .args([command, "--config"])
        .arg(shop.path("stockbridge.toml"))
        .env_clear()
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code(), text)
}

#[test]
fn s5_flipped_bits_are_refused_and_the_way_out_is_told() {
    let shop = Shop::open(2);
    shop.cycles(2);
    open(&shop)
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let number = |sql: &str| -> usize {
        let found: u32 = open(&shop).query_row(sql, [], |row| row.get(0)).unwrap();
        found.try_into().unwrap()
    };
    let page = number("PRAGMA page_size");
    let root = |table: &str| {
        let page_of = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'");
        (number(&page_of) - 1) * page
    };
    let restore = "backup restore FILE";
    let places = [
        ("magic", 0, "run", restore),
        ("page size", 16, "run", restore),
        ("schema format", 47, "run", "unsupported file format"),
        ("application", 68, "run", "left untouched"),
        ("schema page", 100, "run", restore),
        ("instance", root("instance"), "run", restore),
        ("counter", root("counter"), "run", restore),
        // A run reads this page through its indexes only while an effect is open.
        ("attempts", root("attempts"), "doctor", restore),
    ];
    let state = shop.path("state.sqlite");
    let sound = fs::read(&state).unwrap();
    for (what, at, command, way_out) in places {
        let mut bad = sound.clone();
        bad[at] ^= 0x40;
        fs::write(&state, &bad).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", state.display()));
        }
        let (code, said) = told(&shop, command);
        assert_eq!(code, Some(70), "{what}: {said}");
        assert!(said.contains(way_out), "{what}: {said}");
        assert!(
            fs::read(&state).unwrap() == bad,
            "{what}: it was left as it is"
        );
    }
}

#[test]
fn s9_a_file_that_others_can_write_is_refused() {
    let shop = Shop::open(2);
    shop.cycles(1);
    fs::set_permissions(shop.path("state.sqlite"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(shop.run(&["run"]), Exit::Broken);
}

#[test]
fn s11_a_held_write_lock_costs_one_run_and_nothing_else() {
    let shop = Shop::open(2);
    shop.cycles(2);
    let order = shop.sell(0, 1);
    let other = open(&shop);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(shop.run(&["poll"]), Exit::Partial);
    other.execute_batch("ROLLBACK").unwrap();
    shop.cycles(3);
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

#[test]
fn s13_states_that_do_not_exist_are_refused_by_the_file_itself() {
    let shop = Shop::open(2);
    shop.cycles(1);
    let file = open(&shop);
    for sql in [
        "INSERT INTO attempts (kind, order_id, operation, base, key, hash, state, created_at, changed_at)
         VALUES ('movement', 'x', 'S1', 'WOO', 'k', 'h', 'LOST', 0, 0)",
        "INSERT INTO attempts (kind, order_id, operation, base, key, hash, state, attempt, created_at, changed_at)
         VALUES ('movement', 'x', 'S1', 'WOO', 'k', 'h', 'PLANNED', -1, 0, 0)",
        "INSERT INTO lines (order_id, sku, warehouse, units) VALUES ('nobody', '1', '1_1', 1)",
    ] {
        file.pragma_update(None, "foreign_keys", true).unwrap();
        assert!(file.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn s13_what_came_in_around_the_checks_is_found_by_doctor() {
    let shop = Shop::open(2);
    shop.cycles(2);
    assert_eq!(told(&shop, "doctor").0, Some(0));
    let file = open(&shop);
    file.pragma_update(None, "foreign_keys", false).unwrap();
    file.pragma_update(None, "ignore_check_constraints", true)
        .unwrap();
    for (bad, found) in [
        (
            "INSERT INTO lines (order_id, sku, warehouse, units) VALUES ('nobody', '1', '1_1', 1)",
            "a row of lines points to nothing",
        ),
        (
            "INSERT INTO attempts (kind, order_id, operation, base, key, hash, state, attempt, created_at, changed_at)
             VALUES ('movement', 'x', 'S1', 'WOO', 'k', 'h', 'PLANNED', -1, 0, 0)",
            "CHECK constraint failed in attempts",
        ),
    ] {
        assert_eq!(file.execute(bad, []).unwrap(), 1);
        let (code, said) = told(&shop, "doctor");
        assert_eq!(code, Some(70), "{said}");
        assert!(said.contains(found), "{said}");
    }
}

#[test]
fn c17_asked_to_stop_it_ends_cleanly_and_the_next_run_goes_on() {
    let shop = Shop::open(4);
    let order = shop.sell(0, 1);
    for wait in [5, 20, 40, 60, 90] {
        let child = Command::new(env!("CARGO_BIN_EXE_stockbridge"))
            .args(["run", "--config"])
            .arg(shop.path("stockbridge.toml"))
            .env_clear()
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        let pid = child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let status = child.wait_with_output().unwrap().status;
        assert!(matches!(status.code(), Some(0 | 3) | None), "{status}");
        shop.sandbox.clock.advance(31_000);
    }
    shop.finish();
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

/// Starts `move` with the answer to its first booking held back, and asks it to stop so many times meanwhile.
fn stopped_while_booking(shop: &Shop, held_ms: u64, signals: usize) -> Option<i32> {
    let faults = &shop.sandbox.faults;
    faults.clear();
    faults.on("book movement", 1, When::After, Fault::Hang(held_ms));
    let mut child = Command::new(env!("CARGO_BIN_EXE_stockbridge"))
        .args(["move", "--config"])
        .arg(shop.path("stockbridge.toml"))
        .env_clear()
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let booking = || {
        let calls = faults.calls();
        calls.iter().any(|call| call.operation == "book movement")
    };
    while !booking() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended without booking");
        std::thread::sleep(Duration::from_millis(2));
    }
    for _ in 0..signals {
        let pid = child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        // Two signals at once would be one.
        std::thread::sleep(Duration::from_millis(100));
    }
    child.wait().unwrap().code()
}

#[test]
fn c17_a_booking_under_way_is_finished_unless_asked_twice() {
    for (held_ms, signals, wanted) in [(600, 1, Some(3)), (20_000, 2, Some(128 + 15))] {
        let shop = Shop::open(4);
        shop.cycles(2);
        let orders = [0, 1].map(|at| shop.sell(at, 1));
        shop.run(&["poll"]);
        shop.run(&["reserve"]);
        assert_eq!(stopped_while_booking(&shop, held_ms, signals), wanted);
        let calls = shop.sandbox.faults.calls();
        let started = calls.iter().filter(|c| c.operation == "book movement");
        assert_eq!(started.count(), 1, "no more work is started");
        shop.finish();
        for order in &orders {
            assert_eq!(shop.movements(order), (1, 0));
        }
        shop.assert_right();
    }
}

#[test]
fn s8_a_full_disk_is_74_and_nothing_is_sent() {
    let shop = Shop::open(3);
    shop.cycles(2);
    let order = shop.sell(0, 1);
    shop.run(&["poll"]);
    shop.run(&["reserve"]);
    // Files may not grow, and the signal that would end the process is ignored, as on a full disk.
    let line = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let status = Command::new("sh")
        .args([
            "-c",
            line,
            env!("CARGO_BIN_EXE_stockbridge"),
            "move",
            "--config",
        ])
        .arg(shop.path("stockbridge.toml"))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(74));
    assert_eq!(shop.movements(&order), (0, 0));
    shop.cycles(2);
    assert_eq!(shop.movements(&order), (1, 0));
    shop.assert_right();
}

#[test]
fn s12_a_clock_gone_astray_empties_nothing() {
    let shop = Shop::open(2);
    shop.cycles(1);
    let file = open(&shop);
    let old = "INSERT INTO rejects (at, source, subject, reason) VALUES (1, 'feed', 'x', 'old')";
    file.execute(old, []).unwrap();
    let left = || {
        file.query_row("SELECT count(*) FROM rejects", [], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap()
    };
    for mark in [i64::MAX / 2, 1] {
        file.execute("UPDATE marks SET value = ?1 WHERE name = 'gc'", [mark])
            .unwrap();
        assert_eq!(shop.run(&["gc"]), Exit::Done);
        assert_eq!(left(), 1, "the time was noted, nothing was removed");
    }
    assert_eq!(shop.run(&["gc"]), Exit::Done);
    assert_eq!(left(), 0);
}

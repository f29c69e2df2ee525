//! Planted secrets and people, looked for in all that the program writes: whatever fails, whoever repeats them.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there; a process is ended after real time"
)]

#[path = "support/shop.rs"]
mod shop;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mail_parser::MessageParser;
use shop::Shop;
use stockbridge::sandbox::faults::{Fault, When};
use stockbridge::sandbox::vtex::documents::PERSONAL;
use stockbridge::sandbox::{APP_KEY, APP_TOKEN, JWT};

/// What the store may send back where it is asked about stock or its own set-up: what it was sent. Its sentence is shown.
const STORE_SAYS: &str = "vtexappkey-tienda-SANDBOX SANDBOXTOKENSANDBOXTOKEN";
/// What it may send back where it is asked about an order: what it knows of the customer too.
const STORE_SAYS_OF_ORDERS: &str = "Zulema Canaria zulema.canaria@example.com Calle Canario 1234 20-33444555-9 +5491155667788 \
                          vtexappkey-tienda-SANDBOX SANDBOXTOKENSANDBOXTOKEN";

fn program(shop: &Shop, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockbridge"));
    command
        .args(args)
        .arg("--config")
        .arg(shop.path("stockbridge.toml"))
        .current_dir(shop.folder.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("RUST_BACKTRACE", "full")
        .stdin(Stdio::null());
    command
}

fn canaries() -> Vec<&'static str> {
    let secrets = [APP_KEY, APP_TOKEN, JWT];
    PERSONAL.into_iter().chain(secrets).collect()
}

/// Fails when a canary stands in a text, as it is or as a JSON text or an address would write it.
fn look(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for canary in canaries() {
        let forms = [
            canary.to_owned(),
            canary.replace(' ', "%20"),
            canary.replace(' ', "+"),
            canary.replace('@', "%40"),
        ];
        for form in forms {
            assert!(!text.contains(&form), "{form} stands in {what}: {text}");
        }
    }
}

/// Looks through every file below a folder but the three secrets; returns how many there were.
fn look_at_files(folder: &Path) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            seen += look_at_files(&path);
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if ["key", "token", "jwt"].contains(&name.as_str()) {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        look(&name, &bytes);
        if name.ends_with(".eml") {
            let mail = MessageParser::default().parse(&bytes).unwrap();
            look(&name, mail.body_text(0).unwrap().as_bytes());
            look(&name, mail.body_html(0).unwrap().as_bytes());
        }
        seen += 1;
    }
    seen
}

/// Runs every command that speaks of an order, at every level and in both forms, and looks through all of it.
fn play(shop: &Shop, what: &str) {
    let order = shop.sell(0, 1).to_string();
    for args in [
        &["run", "-vvv"][..],
        &["run", "-vvv", "--log-format", "json", "--json"],
        &["poll", "--order", &order, "-vvv"],
        &["reconcile", "-vvv"],
        &["status", "--json"],
        &["show", &order],
        &["show", &order, "--json"],
        &["explain", &order, "--json"],
        &["doctor", "-vvv", "--json"],
        &["backup", "save.sqlite"],
        &["notify", "--force", "-vvv"],
        &["run", "--dry-run", "-vvv"],
    ] {
        let out = program(shop, args).output().unwrap();
        look(
            &format!("{what} {args:?}"),
            &[out.stdout, out.stderr].concat(),
        );
        shop.sandbox.clock.advance(61_000);
    }
    assert!(
        shop.path("save.sqlite").exists(),
        "{what}: no copy was made"
    );
    fs::remove_file(shop.path("save.sqlite")).unwrap_or_default();
}

#[test]
fn i13_no_secret_and_no_person_stands_in_anything_written() {
    let shop = Shop::open(2);
    play(&shop, "clean");
    assert!(!shop.mails().is_empty());
    assert!(look_at_files(shop.folder.path()) > 5);
}

#[test]
fn i13_errors_that_repeat_what_the_other_side_knows_are_not_passed_on() {
    let clean = Shop::open(2);
    play(&clean, "clean");
    let calls = clean.sandbox.faults.calls();
    let operations: BTreeSet<_> = calls
        .iter()
        .map(|call| (call.system, call.operation))
        .collect();
    assert!(operations.len() > 10, "{operations:?}");
    for word in ["order", "handling"] {
        let named = operations
            .iter()
            .any(|(_, operation)| operation.contains(word));
        assert!(named, "{word}: {operations:?}");
    }
    let faults = |words| {
        [
            Fault::Says(400, words),
            Fault::Says(500, words),
            Fault::Says(403, words),
        ]
    };
    for nth in 0..3 {
        let shop = Shop::open(2);
        for (system, operation) in &operations {
            let of_order = ["order", "handling", "reservation"]
                .iter()
                .any(|word| operation.contains(word));
            let words = match *system {
                "vtex" if of_order => STORE_SAYS_OF_ORDERS,
                "vtex" => STORE_SAYS,
                _ => JWT,
            };
            shop.sandbox
                .faults
                .on(operation, 2, When::Before, faults(words)[nth]);
        }
        play(&shop, &format!("{:?}", faults("…")[nth]));
        assert!(shop.sandbox.faults.fired() > 3);
        look_at_files(shop.folder.path());
    }
    // A document that ends in its middle, where a parser likes to quote.
    let shop = Shop::open(2);
    for (_, operation) in &operations {
        shop.sandbox
            .faults
            .on(operation, 2, When::Before, Fault::Cut);
    }
    play(&shop, "cut");
    look_at_files(shop.folder.path());
}

#[test]
fn a_crash_leaves_no_core_and_says_nothing() {
    let shop = Shop::open(2);
    shop.sell(0, 1);
    // Killed with the order's document read, and a call under way.
    let calls = {
        let clean = Shop::open(2);
        clean.sell(0, 1);
        clean.run(&["run"]);
        clean.sandbox.faults.calls()
    };
    let read = calls.iter().find(|call| call.operation == "book movement");
    let told = shop
        .sandbox
        .faults
        .hold_at(read.unwrap().number, When::Before);
    let child = program(&shop, &["run", "-vvv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    told.recv_timeout(Duration::from_secs(20)).unwrap();
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-ABRT", &pid]).status().unwrap();
    assert!(sent.success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.signal(), Some(6), "{:?}", out.status);
    assert!(!out.status.core_dumped(), "{:?}", out.status);
    look("an aborted run", &[out.stdout, out.stderr].concat());
    let cores = fs::read_dir(shop.folder.path()).unwrap();
    let cores = cores.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("core")
    });
    assert_eq!(cores.count(), 0);
    look_at_files(shop.folder.path());
}

/// Set for the process that panics.
const PANICS: &str = "STOCKBRIDGE_TEST_PANICS";

#[test]
fn a_panic_tells_its_place_and_no_value() {
    if std::env::var_os(PANICS).is_some() {
        stockbridge::logging::report_panics();
        let _ = std::panic::catch_unwind(|| panic!("a sentence of the source"));
        let value = PERSONAL[0];
        panic!("the order of {value} is odd");
    }
    let out = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_panic_tells_its_place_and_no_value",
            "--nocapture",
        ])
        .env(PANICS, "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    assert!(!out.status.success());
    let all = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    look("a panic", all.as_bytes());
    assert!(all.contains("a bug at tests/leaks.rs:"), "{all}");
    assert!(all.contains("its message is withheld"), "{all}");
    assert!(all.contains("a sentence of the source"), "{all}");
}

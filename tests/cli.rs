//! The binary itself, as a process with the environment that cron gives it: next to none.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there; a process is killed after real time"
)]

#[path = "support/shop.rs"]
mod shop;

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use shop::Shop;
use stockbridge::sandbox::vtex::documents::PERSONAL;
use stockbridge::sandbox::{APP_TOKEN, JWT};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockbridge"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null());
    command
}

fn in_shop(shop: &Shop, args: &[&str]) -> Command {
    let mut command = program();
    command
        .args(args)
        .arg("--config")
        .arg(shop.path("stockbridge.toml"));
    command
}

fn run(mut command: Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[test]
fn help_and_version_say_what_they_should() {
    let mut help = program();
    help.arg("--help");
    let (code, out, err) = run(help);
    assert_eq!((code, err.as_str()), (0, ""));
    for word in ["poll", "push-stock", "explain", "Exit codes"] {
        assert!(out.contains(word), "{word}");
    }
    let mut version = program();
    version.arg("--version");
    assert_eq!(
        run(version).1,
        format!("stockbridge {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_lines_and_files_end_with_their_codes() {
    let mut wrong = program();
    wrong.args(["show", "../../etc/passwd"]);
    let (code, out, err) = run(wrong);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("order id"), "{err}");
    let mut missing = program();
    missing.args(["run", "--config", "/nowhere/stockbridge.toml"]);
    let (code, _, err) = run(missing);
    assert_eq!(code, 78);
    assert!(err.contains("/nowhere/stockbridge.toml"), "{err}");
}

#[test]
fn under_cron_a_good_run_is_silent() {
    let shop = Shop::open(3);
    let (code, out, err) = run(in_shop(&shop, &["run"]));
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    let (code, out, err) = run(in_shop(&shop, &["run", "--json"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!(document["exit_code"], 0);
    assert_eq!(document["stages"].as_array().unwrap().len(), 6);
}

#[test]
fn a_held_lock_is_no_failure_unless_asked() {
    let shop = Shop::open(2);
    assert_eq!(run(in_shop(&shop, &["run"])).0, 0);
    let lock = fs::File::open(shop.path("state.sqlite.poll.lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(
        run(in_shop(&shop, &["poll", "--wait", "0s"])),
        (0, String::new(), String::new())
    );
    assert_eq!(
        run(in_shop(
            &shop,
            &["poll", "--wait", "0s", "--fail-if-locked"]
        ))
        .0,
        75
    );
    lock.unlock().unwrap();
    assert_eq!(
        run(in_shop(
            &shop,
            &["poll", "--wait", "0s", "--fail-if-locked"]
        ))
        .0,
        0
    );
}

#[test]
fn nobody_there_is_69_and_a_foreign_state_file_70() {
    let shop = Shop::open(2);
    let text = fs::read_to_string(shop.path("stockbridge.toml")).unwrap();
    let gone = text.replace(&shop.sandbox.vtex.url(), "http://127.0.0.1:9");
    fs::write(shop.path("stockbridge.toml"), gone).unwrap();
    assert_eq!(run(in_shop(&shop, &["poll"])).0, 69);
    fs::write(shop.path("stockbridge.toml"), text).unwrap();
    for name in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        let _ = fs::remove_file(shop.path(name));
    }
    fs::write(
        shop.path("state.sqlite"),
        "somebody else's file, which must not be touched",
    )
    .unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(shop.path("state.sqlite"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(in_shop(&shop, &["run"])).0, 70);
    assert!(
        fs::read_to_string(shop.path("state.sqlite"))
            .unwrap()
            .starts_with("somebody")
    );
}

#[test]
fn c16_a_reader_that_goes_away_breaks_nothing() {
    let shop = Shop::open(3);
    let mut child = in_shop(&shop, &["run", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    shop.assert_right();
}

#[test]
fn c16_narrow_or_colourless_terminals_change_no_text() {
    let shop = Shop::open(3);
    let order = shop.sell(0, 1);
    shop.cycles(2);
    for args in [
        vec!["show", order.as_str()],
        vec!["sku", "list"],
        vec!["--help"],
    ] {
        let plain = run(in_shop(&shop, &args));
        assert_eq!(plain.0, 0, "{args:?}: {}", plain.2);
        assert!(!plain.1.contains('\x1b'), "{args:?}");
        for (name, value) in [("NO_COLOR", "1"), ("COLUMNS", "40"), ("TERM", "dumb")] {
            let mut command = in_shop(&shop, &args);
            command.env(name, value);
            let (code, out, err) = run(command);
            // The help is wrapped to the terminal's width; the words stay.
            let words = |text: &str| {
                text.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            assert_eq!((code, &err), (0, &plain.2), "{args:?} with {name}={value}");
            assert_eq!(words(&out), words(&plain.1), "{args:?} with {name}={value}");
        }
    }
}

#[test]
fn i13_no_secret_and_no_person_leaves_the_documents() {
    let shop = Shop::open(4);
    let order = shop.sell(0, 2);
    let mut seen = String::new();
    for args in [
        vec!["run", "-vvv"],
        vec!["run", "-vvv", "--log-format", "json"],
        vec!["status"],
        vec!["show", order.as_str()],
        vec!["explain", order.as_str()],
        vec!["doctor", "-vvv"],
        vec!["config", "show"],
        vec!["stock", "REM1-N01-S"],
    ] {
        let (_, out, err) = run(in_shop(&shop, &args));
        seen.push_str(&out);
        seen.push_str(&err);
        shop.sandbox.clock.advance(61_000);
    }
    seen.push_str(&shop.mails().join("\n"));
    for name in ["state.sqlite", "state.sqlite-wal"] {
        seen.push_str(&String::from_utf8_lossy(
            &fs::read(shop.path(name)).unwrap_or_default(),
        ));
    }
    assert!(seen.contains(order.as_str()), "something was seen at all");
    for hidden in PERSONAL.iter().chain(&[APP_TOKEN, JWT]) {
        assert!(!seen.contains(hidden), "{hidden} leaked");
    }
}

#[test]
fn doctor_finds_a_sound_shop_sound_and_names_what_is_missing() {
    let shop = Shop::open(2);
    run(in_shop(&shop, &["poll"]));
    let (code, out, _) = run(in_shop(&shop, &["doctor"]));
    assert_eq!(code, 0, "{out}");
    shop.sandbox.dragonfish.with(|erp| erp.motives.clear());
    let (code, out, _) = run(in_shop(&shop, &["doctor"]));
    assert_eq!(code, 5, "{out}");
    assert!(
        out.lines()
            .any(|line| line.starts_with("FAIL") && line.contains("erp.motive")),
        "{out}"
    );
}

#[test]
fn s4_killed_at_any_instant_nothing_is_lost_or_doubled() {
    let shop = Shop::open(4);
    shop.cycles(2);
    let mut chance = fastrand::Rng::with_seed(11);
    for round in 0..40_usize {
        if round % 4 == 0 {
            shop.sell(round / 4 % 4, 1);
        }
        let mut child = in_shop(&shop, &["run", "--wait", "0s"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(chance.u64(1..120)));
        let _ = child.kill();
        child.wait().unwrap();
        shop.sandbox.clock.advance(31_000);
    }
    shop.finish();
    let wrong = shop.wrong_numbers();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(
        stockbridge::sandbox::oracle::bookkeeping(&shop.sandbox),
        Vec::<String>::new()
    );
}

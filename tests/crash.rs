//! The real binary as processes, a little of each: the thousands are done by `examples/crash.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that meets an unexpected error should stop there; deaths need real time"
)]

#[path = "support/blackbox/mod.rs"]
mod blackbox;
#[path = "support/shop.rs"]
mod shop;

use std::path::Path;
use std::time::Duration;

use blackbox::{Findings, damage, full, kill, overlap};

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_stockbridge"))
}

fn holds(found: &Findings) {
    assert!(found.struck > 0);
    assert_eq!(found.wrong, Vec::<String>::new(), "{}", found.told);
}

#[test]
fn killed_at_any_instant_it_loses_and_doubles_nothing() {
    holds(&kill::kill(program(), 40, 7));
}

#[test]
fn eight_processes_at_once_do_no_harm() {
    for unlocked in [false, true] {
        let time = Duration::from_secs(3);
        holds(&overlap::overlap(program(), time, unlocked, 7));
    }
}

#[test]
fn a_damaged_state_file_books_nothing_wrong() {
    holds(&damage::damage(program(), 130, 7));
}

#[test]
fn no_room_and_other_writers_lose_nothing() {
    holds(&full::full(program(), 7));
}

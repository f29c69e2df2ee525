//! The demo as a program: the day ends well, and each seeded fault makes it end badly.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

#[path = "support/parts.rs"]
mod parts;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use parts::part;

fn demo(args: &[&str]) -> Output {
    let tests = std::env::current_exe().unwrap();
    let program: PathBuf = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/demo");
    let folder = tempfile::tempdir().unwrap();
    Command::new(program)
        .args(args)
        .arg("--folder")
        .arg(folder.path().join("day"))
        .output()
        .unwrap()
}

#[test]
fn the_day_ends_with_every_number_right() {
    let output = demo(&[]);
    let story = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{story}");
    assert!(story.contains("320 of 320 numbers are right"), "{story}");
    assert!(story.contains("status --config"), "{story}");
}

#[test]
fn the_day_is_the_same_by_sql_and_by_the_service_while_the_server_is_away() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/py/bin/python3");
    if !part("the TDS rig", python.exists() && cfg!(feature = "odbc")) {
        return;
    }
    let output = demo(&["--stock-source", "sql-then-api"]);
    let story = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{story}");
    assert!(story.contains("320 of 320 numbers are right"), "{story}");
    let road = "was last read by api bulk (the first road failed)";
    assert!(story.contains(road), "{story}");
}

#[test]
fn the_day_with_winthor_ends_with_every_number_right() {
    let output = demo(&["--erp", "winthor"]);
    let story = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{story}");
    assert!(story.contains("260 of 260 numbers are right"), "{story}");
    assert!(story.contains("Every number is right."), "{story}");
}

#[test]
fn each_seeded_fault_is_noticed() {
    // Days know nothing of each other, and most of their time is waiting.
    std::thread::scope(|scope| {
        for fault in [
            "subtract-twice",
            "post-twice",
            "forget-cancellation",
            "ignore-base",
            "count-blocked-base",
        ] {
            scope.spawn(move || {
                let output = demo(&["--break", fault]);
                let story = String::from_utf8(output.stdout).unwrap();
                assert_eq!(output.status.code(), Some(1), "{fault}: {story}");
                assert!(story.contains("WRONG"), "{fault}: {story}");
            });
        }
    });
}

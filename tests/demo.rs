//! The demo as a program: the day ends well, and each seeded fault makes it end badly.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::path::PathBuf;
use std::process::{Command, Output};

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
fn each_seeded_fault_is_noticed() {
    for fault in [
        "subtract-twice",
        "post-twice",
        "forget-cancellation",
        "ignore-base",
        "count-blocked-base",
    ] {
        let output = demo(&["--break", fault]);
        let story = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{fault}: {story}");
        assert!(story.contains("WRONG"), "{fault}: {story}");
    }
}

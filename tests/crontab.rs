//! Every line of `crontab.example`, the commented ones included, is a schedule and a command line that is accepted.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::ffi::OsString;

use stockbridge::cli::{self, Cli, Command};
use stockbridge::config::span::Span;

const CRONTAB: &str = include_str!("../crontab.example");

/// One line that runs something.
struct Entry {
    active: bool,
    schedule: Vec<&'static str>,
    cli: Cli,
}

/// Tells whether a word can be one of the five fields of a schedule.
fn is_field(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit() || c == '*')
        && word
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '*' | '/' | '-' | ','))
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

/// Returns the lines that start with a schedule, switched off or not.
fn entries() -> Vec<Entry> {
    CRONTAB.lines().filter_map(entry).collect()
}

fn entry(line: &'static str) -> Option<Entry> {
    let mut words = line.trim_start_matches('#').split_whitespace();
    let schedule: Vec<&str> = words.by_ref().take(5).collect();
    if schedule.len() < 5 || !schedule.iter().all(|word| is_field(word)) {
        return None;
    }
    let mut command = words.skip_while(|word| is_assignment(word)).peekable();
    let program = command.peek().copied().unwrap_or_default();
    let name = program.rsplit('/').next();
    assert_eq!(name, Some("stockbridge"), "{line}");
    let cli = cli::parse(command.map(OsString::from))
        .unwrap_or_else(|end| panic!("{line}\n{}", end.text));
    Some(Entry {
        active: !line.starts_with('#'),
        schedule,
        cli,
    })
}

#[test]
fn every_line_is_a_comment_an_assignment_or_an_accepted_command() {
    for line in CRONTAB.lines() {
        let known = line.is_empty()
            || line.starts_with('#')
            || is_assignment(line)
            || entry(line).is_some();
        assert!(known, "{line}");
        let bare_percent = line.replace("\\%", "").contains('%');
        assert!(
            line.starts_with('#') || !bare_percent,
            "cron ends a command at a percent sign: {line}"
        );
        let names_program = line.contains(" stockbridge ") && line.contains("--config");
        assert_eq!(
            names_program,
            entry(line).is_some(),
            "a command that the test does not see: {line}"
        );
    }
    assert!(CRONTAB.ends_with('\n'), "cron ignores an unfinished line");
}

#[test]
fn both_forms_run_every_stage() {
    let all = entries();
    let has = |wanted: fn(&Command) -> bool| all.iter().any(|entry| wanted(&entry.cli.command));
    assert!(has(|command| matches!(command, Command::Run)));
    assert!(has(|command| matches!(command, Command::Poll(_))));
    assert!(has(|command| matches!(command, Command::Reserve(_))));
    assert!(has(|command| matches!(command, Command::Move(_))));
    assert!(has(|command| matches!(command, Command::PushStock(_))));
    assert!(has(|command| matches!(command, Command::Notify(_))));
    assert!(has(|command| matches!(command, Command::Gc)));
}

#[test]
fn as_it_stands_the_pipeline_runs_each_minute_and_gc_each_night() {
    let active: Vec<Entry> = entries().into_iter().filter(|entry| entry.active).collect();
    let [run, gc] = active.as_slice() else {
        panic!("{} active lines", active.len())
    };
    assert!(matches!(run.cli.command, Command::Run));
    assert_eq!(run.schedule, ["*"; 5]);
    assert!(matches!(gc.cli.command, Command::Gc));
    assert_eq!(gc.schedule[2..], ["*"; 3]);
}

#[test]
fn what_runs_each_minute_ends_within_it() {
    for entry in entries().iter().filter(|entry| entry.schedule == ["*"; 5]) {
        let common = &entry.cli.global;
        let total = common.deadline.duration() + common.wait.duration();
        assert!(total < Span::secs(60).duration());
        assert!(!common.json && !common.force && !common.dry_run && !common.fail_if_locked);
    }
}

//! The arrows between the rooms, read from the sources: a room that names what it must not fails here.

#![allow(
    clippy::unwrap_used,
    reason = "a test that meets an unexpected error should stop there"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the words that must not stand in its sources.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "crate::store",
            "crate::stages",
            "crate::desk",
            "crate::config",
            "crate::adapters",
            "crate::cli",
            "crate::app",
            "crate::sandbox",
            "crate::exit",
            "crate::logging",
            "rusqlite",
            "reqwest",
            "lettre",
            "SystemTime",
            "std::env",
            "std::fs",
            "std::net",
            "Instant::now",
        ],
    ),
    (
        "store",
        &[
            "crate::stages",
            "crate::desk",
            "crate::config",
            "crate::adapters",
            "crate::cli",
            "crate::app",
            "crate::sandbox",
            "reqwest",
            "lettre",
            "SystemTime",
            "std::env",
        ],
    ),
    (
        "stages",
        &[
            "crate::desk",
            "crate::config",
            "crate::adapters",
            "crate::cli",
            "crate::app",
            "crate::sandbox",
            "rusqlite",
            "reqwest",
            "lettre",
            "SystemTime",
            "std::env",
            "ready-for-handling",
            "Movimientodestock",
        ],
    ),
    (
        "desk",
        &[
            "crate::stages",
            "crate::config",
            "crate::adapters",
            "crate::cli",
            "crate::app",
            "crate::sandbox",
            "rusqlite",
            "reqwest",
            "lettre",
            "SystemTime",
            "std::env",
        ],
    ),
    (
        "serve",
        &[
            "crate::stages",
            "crate::desk",
            "crate::config",
            "crate::adapters",
            "crate::cli",
            "crate::app",
            "crate::sandbox",
            "rusqlite",
            "reqwest",
            "lettre",
            "SystemTime",
            "std::env",
            "std::process",
        ],
    ),
    (
        "config",
        &[
            "crate::store",
            "crate::stages",
            "crate::desk",
            "crate::adapters",
            "crate::app",
            "crate::sandbox",
        ],
    ),
    (
        "adapters",
        &[
            "crate::store",
            "crate::stages",
            "crate::desk",
            "crate::cli",
            "crate::app",
            "crate::sandbox",
            "rusqlite",
        ],
    ),
    ("adapters/vtex", &["adapters::dragonfish", "adapters::mail"]),
    ("adapters/dragonfish", &["adapters::vtex", "adapters::mail"]),
    (
        "adapters/mail",
        &[
            "adapters::vtex",
            "adapters::dragonfish",
            "adapters::whatsapp",
            "adapters::webhook",
            "adapters::command",
        ],
    ),
    (
        "adapters/whatsapp",
        &[
            "adapters::vtex",
            "adapters::dragonfish",
            "adapters::webhook",
        ],
    ),
    (
        "adapters/webhook",
        &[
            "adapters::vtex",
            "adapters::dragonfish",
            "adapters::whatsapp",
        ],
    ),
    (
        "adapters/command",
        &["adapters::vtex", "adapters::dragonfish", "adapters::http"],
    ),
    (
        "adapters/odbc",
        &[
            "adapters::vtex",
            "adapters::dragonfish",
            "adapters::mail",
            "crate::config",
        ],
    ),
    (
        "sandbox",
        &[
            "crate::store",
            "crate::stages",
            "crate::desk",
            "crate::config",
            "crate::adapters",
            "crate::cli",
            "crate::app",
            "domain::ports",
            "domain::stock",
            "reqwest",
            "rusqlite",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn rust_files(room: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room),
        &mut found,
    );
    assert!(!found.is_empty(), "room {room} has no sources");
    found
}

/// Code without comments and without the tests at the end of a file.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn no_room_names_what_it_must_not() {
    let mut broken = Vec::new();
    for (room, words) in FORBIDDEN {
        for path in rust_files(room) {
            let text = code(&fs::read_to_string(&path).unwrap());
            for word in *words {
                if text.contains(word) {
                    broken.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "forbidden arrows:\n{}",
        broken.join("\n")
    );
}

#[test]
fn only_the_door_is_asynchronous() {
    for room in [
        "domain", "store", "stages", "desk", "config", "adapters", "app",
    ] {
        for path in rust_files(room) {
            let text = code(&fs::read_to_string(&path).unwrap());
            for word in ["tokio", "axum", "async fn", ".await"] {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn stages_do_not_call_stages() {
    for stage in [
        "poll",
        "reserve",
        "move_stock",
        "push_stock",
        "notify",
        "gc",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/stages/{stage}.rs"));
        let text = code(&fs::read_to_string(path).unwrap());
        for other in [
            "poll",
            "reserve",
            "move_stock",
            "push_stock",
            "notify",
            "gc",
        ] {
            assert!(
                stage == other || !text.contains(&format!("stages::{other}")),
                "{stage} names {other}"
            );
        }
    }
}

#[test]
fn sql_is_never_put_together_by_format() {
    let words = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "];
    for path in rust_files("") {
        let text = code(&fs::read_to_string(&path).unwrap());
        for line in text.lines().filter(|line| line.contains("format!")) {
            assert!(
                !words.iter().any(|word| line.contains(word)),
                "{}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn files_stay_small() {
    for path in rust_files("") {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 800, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_statement_of_the_store_is_used() {
    every_statement_is_used("store", "store");
}

#[test]
fn every_statement_for_dragonfish_is_used() {
    every_statement_is_used("adapters/dragonfish", "dragonfish");
}

#[test]
fn every_statement_for_winthor_is_used() {
    every_statement_is_used("adapters/winthor", "winthor");
}

fn every_statement_is_used(room: &str, folder: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code: String = rust_files(room)
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for entry in fs::read_dir(root.join("sql").join(folder)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            code.contains(&format!("sql/{folder}/{name}")),
            "{name} is not used"
        );
    }
}

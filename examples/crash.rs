//! Kills, starves, overlaps and damages the real binary, and judges by the other side's own log.
//!
//! ```text
//! cargo build --release && cargo run --release --example crash -- kill [--count 500] [--seed 1]
//! … crash -- calls [--stage move] [--every 1]    system calls that fail, N = 1, 2, 3 … (needs strace)
//! … crash -- overlap [--seconds 20]              eight processes at once, with and without lock files
//! … crash -- damage [--count 300]                damaged state files
//! … crash -- full                                no room, or another writer
//! … crash -- power [--count 2000] disks as a loss of power leaves them (needs strace)
//! … crash -- cut [--count 5]                     the power of a real file system is cut (needs root)
//! … crash -- upgrade [--count 50]                upgrades killed half-way, old copies put back
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test program: it prints, and stops at what it does not expect"
)]

#[path = "../tests/support/blackbox/mod.rs"]
mod blackbox;
#[path = "../tests/support/shop.rs"]
mod shop;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use blackbox::power::{Promise, power};
use blackbox::{Findings, calls, cut, damage, full, kill, overlap, upgrade};

const STAGES: [&str; 6] = ["poll", "reserve", "move", "push-stock", "notify", "gc"];

struct Asked {
    layer: String,
    count: Option<u64>,
    seed: u64,
    every: u64,
    seconds: u64,
    stage: Option<String>,
}

fn asked() -> Result<Asked, String> {
    let mut args = std::env::args().skip(1);
    let mut asked = Asked {
        layer: args
            .next()
            .ok_or("which layer? see the head of examples/crash.rs")?,
        count: None,
        seed: 1,
        every: 1,
        seconds: 20,
        stage: None,
    };
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--count" => asked.count = Some(number()?),
            "--seed" => asked.seed = number()?,
            "--every" => asked.every = number()?.max(1),
            "--seconds" => asked.seconds = number()?,
            "--stage" => asked.stage = Some(value),
            other => {
                return Err(format!(
                    "{other} is not known; see the head of examples/crash.rs"
                ));
            }
        }
    }
    Ok(asked)
}

/// The binary beside this program.
fn program() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let path = here.parent()?.parent()?.join("stockbridge");
    path.exists().then_some(path)
}

/// Half of the disks for each journal; then as many as show that settings which promise less are caught.
fn images(program: &Path, count: u64, seed: u64) -> Vec<Findings> {
    let mut all = vec![
        power(program, count / 2, "wal", Promise::Kept, seed),
        power(program, count / 2, "delete", Promise::Kept, seed),
    ];
    for (journal, promise) in [
        ("wal", Promise::Normal),
        ("wal", Promise::Off),
        ("delete", Promise::NoFolders),
    ] {
        let caught = power(program, count.min(2000) / 4, journal, promise, seed);
        all.push(Findings {
            told: format!("{}, {} of them caught", caught.told, caught.wrong.len()),
            struck: caught.struck,
            wrong: if caught.wrong.is_empty() {
                vec!["the judge is blind".into()]
            } else {
                vec![]
            },
        });
    }
    all
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(reason) => {
            println!("{reason}");
            return ExitCode::from(64);
        }
    };
    let Some(program) = program() else {
        println!("the binary is not there; hint: cargo build --release");
        return ExitCode::from(64);
    };
    let seed = asked.seed;
    let all: Vec<Findings> = match asked.layer.as_str() {
        "kill" => vec![kill::kill(&program, asked.count.unwrap_or(500), seed)],
        "calls" => STAGES
            .iter()
            .filter(|stage| asked.stage.as_ref().is_none_or(|s| s == *stage))
            .map(|stage| calls::calls(&program, stage, asked.every, seed))
            .collect(),
        "overlap" => [false, true]
            .map(|unlocked| {
                overlap::overlap(&program, Duration::from_secs(asked.seconds), unlocked, seed)
            })
            .into(),
        "damage" => vec![damage::damage(&program, asked.count.unwrap_or(300), seed)],
        "full" => vec![full::full(&program, seed)],
        "power" => images(&program, asked.count.unwrap_or(2000), seed),
        "cut" => vec![cut::cut(&program, asked.count.unwrap_or(5), seed)],
        "upgrade" => vec![upgrade::upgrade(&program, asked.count.unwrap_or(50), seed)],
        other => {
            println!("{other} is no layer; see the head of examples/crash.rs");
            return ExitCode::from(64);
        }
    };
    let mut held = true;
    for found in all {
        println!("{}; {} wrong", found.told, found.wrong.len());
        for wrong in found.wrong.iter().take(20) {
            println!("  WRONG {wrong}");
        }
        held &= found.wrong.is_empty();
    }
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

//! A trading day on the sandbox: a store and an ERP on loopback, every stage as a process of its own, as cron would run
//! it, and at the end a verdict by the sandbox's own log.
//!
//! `cargo run --release --example demo [-- --erp dragonfish|winthor] [--break NAME] [--folder DIR]
//! [--stock-source ROAD]`
//!
//! Any road but `api` reads stock through an ODBC driver from the TDS server of the tests, which `tests/all` installs.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "telling the story is what this program is for"
)]

#[path = "demo/broken.rs"]
mod broken;
#[path = "demo/day.rs"]
mod day;
#[path = "demo/shop.rs"]
mod shop;
#[path = "demo/tables.rs"]
mod tables;
#[path = "demo/winthor.rs"]
mod winthor;

use std::path::PathBuf;
use std::process::ExitCode;

use broken::Break;
use shop::Play;

/// Set in a process that is to be the program itself.
const AS_PROGRAM: &str = "STOCKBRIDGE_DEMO_BREAK";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(AS_PROGRAM) {
        let wrap = Break::parse(&name).map(Break::wrap).unwrap_or_default();
        return stockbridge::app::run_with(std::env::args_os(), &wrap);
    }
    let play = match arguments() {
        Ok(arguments) => arguments,
        Err(reason) => {
            println!(
                "{reason}\nusage: demo [--erp dragonfish|winthor] [--break {}] [--folder DIR] [--stock-source {}]",
                Break::names().join("|"),
                tables::ROADS.join("|")
            );
            return ExitCode::from(64);
        }
    };
    let played = if play.winthor {
        winthor::play(&play.folder)
    } else {
        day::play(&play)
    };
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            println!("the demo itself failed: {err}");
            ExitCode::from(70)
        }
    }
}

fn arguments() -> Result<Play, String> {
    let mut winthor = false;
    let mut seeded = None;
    let mut folder = PathBuf::from("target/demo");
    let mut road = "api".to_owned();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--erp" => match value.as_str() {
                "dragonfish" => winthor = false,
                "winthor" => winthor = true,
                _ => return Err(format!("{value}: no such ERP")),
            },
            "--break" => {
                seeded =
                    Some(Break::parse(&value).ok_or_else(|| format!("{value}: no such fault"))?)
            }
            "--folder" => folder = PathBuf::from(value),
            "--stock-source" if tables::ROADS.contains(&value.as_str()) => road = value,
            "--stock-source" => return Err(format!("{value}: no such road")),
            _ => return Err(format!("{arg}: no such flag")),
        }
    }
    if winthor && (seeded.is_some() || road != "api") {
        return Err("faults and other roads belong to the day of Dragonfish".into());
    }
    Ok(Play {
        winthor,
        seeded,
        folder,
        road,
    })
}

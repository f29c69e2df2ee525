//! A trading day on the sandbox: a store and an ERP on loopback, every stage as a process of its own, as cron would run
//! it, and at the end a verdict by the sandbox's own log.
//!
//! `cargo run --release --example demo [-- --erp dragonfish|winthor] [--break NAME] [--folder DIR]`

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
#[path = "demo/winthor.rs"]
mod winthor;

use std::path::PathBuf;
use std::process::ExitCode;

use broken::Break;

/// Set in a process that is to be the program itself.
const AS_PROGRAM: &str = "STOCKBRIDGE_DEMO_BREAK";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(AS_PROGRAM) {
        let wrap = Break::parse(&name).map(Break::wrap).unwrap_or_default();
        return stockbridge::app::run_with(std::env::args_os(), &wrap);
    }
    let Asked {
        winthor,
        seeded,
        folder,
    } = match arguments() {
        Ok(arguments) => arguments,
        Err(reason) => {
            println!(
                "{reason}\nusage: demo [--erp dragonfish|winthor] [--break {}] [--folder DIR]",
                Break::names().join("|")
            );
            return ExitCode::from(64);
        }
    };
    let played = if winthor {
        winthor::play(&folder)
    } else {
        day::play(seeded, &folder)
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

/// What the command line asks for.
struct Asked {
    winthor: bool,
    seeded: Option<Break>,
    folder: PathBuf,
}

fn arguments() -> Result<Asked, String> {
    let mut asked = Asked {
        winthor: false,
        seeded: None,
        folder: PathBuf::from("target/demo"),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match (arg.as_str(), value.as_str()) {
            ("--erp", "dragonfish") => asked.winthor = false,
            ("--erp", "winthor") => asked.winthor = true,
            ("--break", name) => {
                let fault = Break::parse(name);
                asked.seeded = Some(fault.ok_or_else(|| format!("{name}: no such fault"))?);
            }
            ("--folder", folder) => asked.folder = PathBuf::from(folder),
            _ => return Err(format!("{arg} {value}: no such flag")),
        }
    }
    if asked.winthor && asked.seeded.is_some() {
        return Err("faults are seeded in the day of Dragonfish only".into());
    }
    Ok(asked)
}

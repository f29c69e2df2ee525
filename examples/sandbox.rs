//! The sandbox by itself, for running the real binary against it: serves a store and an ERP, places orders now and
//! then, and judges when its input is closed.
//!
//! `cargo run --example sandbox FOLDER`: writes FOLDER/stockbridge.toml, says "ready", exits 0 only if all is right.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that talks to the person who started it; the shop is shared with the demo"
)]

#[path = "demo/broken.rs"]
mod broken;
#[path = "demo/shop.rs"]
mod shop;
#[path = "demo/tables.rs"]
mod tables;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shop::{Play, Shop, counted, warehouse};
use stockbridge::sandbox::oracle::{bookkeeping, numbers};

/// Never set here: the program is a process of its own.
const AS_PROGRAM: &str = "STOCKBRIDGE_DEMO_BREAK";
/// Orders end after a minute: two more runs of cron book the last of them and publish what follows.
const ORDER_EVERY: Duration = Duration::from_secs(4);
const QUIET_AFTER: u32 = 15;

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1).map(PathBuf::from) else {
        println!("usage: sandbox FOLDER");
        return ExitCode::from(64);
    };
    match serve(&folder.join("shop")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            println!("{err}");
            ExitCode::from(70)
        }
    }
}

fn serve(folder: &std::path::Path) -> std::io::Result<bool> {
    let play = Play {
        winthor: false,
        seeded: None,
        folder: folder.to_owned(),
        road: "api".to_owned(),
    };
    let shop = Shop::open(&play, 320)?;
    let link = folder
        .parent()
        .map(|parent| parent.join("stockbridge.toml"));
    if let Some(link) = link {
        let text = std::fs::read_to_string(folder.join("stockbridge.toml"))?;
        let absolute = |text: String, name: &str| {
            text.replace(
                &format!("\"{name}\""),
                &format!("\"{}\"", folder.join(name).display()),
            )
        };
        let names = [
            "state.sqlite",
            "locks",
            "vtex-key",
            "vtex-token",
            "erp-token",
            "mail",
        ];
        std::fs::write(link, names.into_iter().fold(text, absolute))?;
    }
    println!("ready");
    let closed = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&closed);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        watched.store(true, Ordering::Relaxed);
    });
    let mut orders = 0;
    while !closed.load(Ordering::Relaxed) {
        if orders < QUIET_AFTER {
            let at = usize::try_from(orders).unwrap_or(0) * 13 % 300;
            let order = shop.sell(&[(at, 1)]);
            orders += 1;
            println!("order {order}");
        }
        for _ in 0..ORDER_EVERY.as_secs() {
            if closed.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let rows = numbers(&shop.sandbox, &warehouse(), &counted());
    let right = rows.iter().filter(|row| row.right()).count();
    let problems = [bookkeeping(&shop.sandbox), shop.sandbox.violations()].concat();
    println!("{orders} orders, {right} of {} numbers right", rows.len());
    for problem in &problems {
        println!("WRONG: {problem}");
    }
    Ok(right == rows.len() && problems.is_empty())
}

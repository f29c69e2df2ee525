//! How long it takes from an order in the store to its number published again: a sandbox store whose hook posts to the real
//! program, which runs its stages when told. No cron.
//!
//! `cargo build --release && cargo run --release --example hook_latency [-- ORDERS]`

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test program: it prints, waits in real time, and stops at what it does not expect"
)]

#[path = "../tests/support/door.rs"]
mod door;
#[path = "../tests/support/shop.rs"]
mod shop;

use std::thread::sleep;
use std::time::{Duration, Instant};

use stockbridge::domain::ids::OrderId;
use stockbridge::exit::Exit;

use door::{BINARY, Door, configure, free_port, wait_for};
use shop::Shop;

const SKUS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let orders = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let orders: usize = orders.unwrap_or(100);
    println!("{orders} orders each, from the order to its number; {BINARY}");
    println!(
        "{:<44}{:>10}{:>10}{:>10}",
        "", "median ms", "p95 ms", "most ms"
    );
    let row = |name: &str, mut times: Vec<Duration>| {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_millis();
        println!("{name:<44}{:>10}{:>10}{:>10}", at(50), at(95), at(100));
    };
    for every in ["1s", "3s"] {
        row(
            &format!("one at a time, wake_every {every}"),
            alone(orders, every),
        );
        row(
            &format!("one every 200 ms, wake_every {every}"),
            stream(orders, every),
        );
    }
}

/// A shop with its hook installed, and its door.
fn open(every: &str) -> (Shop, Door) {
    // A claim may wait for a slow disk: what is measured is the way, not the guard.
    let shop = Shop::with(SKUS, "[protocol]\ngap = \"5s\"");
    shop.cycles(2);
    let port = free_port();
    let serve = format!("run_stages = true\nwake_every = \"{every}\"");
    configure(&shop, port, &serve, "");
    let door = Door::start(&shop, port);
    assert_eq!(shop.run(&["hook", "install", "-q"]), Exit::Done);
    // The first run after a start has more to do.
    let first = shop.sell(0, 1);
    assert!(
        wait_for(PATIENCE, || shop.published(&first)),
        "{}",
        tail(&door)
    );
    (shop, door)
}

/// The end of the door's log.
fn tail(door: &Door) -> String {
    let log = door.log();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Orders that come when the one before is done and all is quiet, at any moment.
fn alone(orders: usize, every: &str) -> Vec<Duration> {
    let (shop, door) = open(every);
    let times = (0..orders).map(|n| {
        sleep(Duration::from_millis(fastrand::u64(0..4_000)));
        let began = Instant::now();
        let order = shop.sell(n % SKUS, 1);
        assert!(
            wait_for(PATIENCE, || shop.published(&order)),
            "{}",
            tail(&door)
        );
        began.elapsed()
    });
    times.collect()
}

/// Orders that come whatever became of those before.
fn stream(orders: usize, every: &str) -> Vec<Duration> {
    let (shop, door) = open(every);
    let mut waiting: Vec<(OrderId, Instant)> = Vec::new();
    let mut times = Vec::new();
    let mut placed = 0;
    let began = Instant::now();
    while times.len() < orders {
        assert!(began.elapsed() < PATIENCE * 10, "{}", tail(&door));
        let due = began + Duration::from_millis(200) * u32::try_from(placed).unwrap();
        if placed < orders && Instant::now() >= due {
            waiting.push((shop.sell(placed % SKUS, 1), Instant::now()));
            placed += 1;
        }
        waiting.retain(|(order, since)| {
            let done = shop.published(order);
            if done {
                times.push(since.elapsed());
            }
            !done
        });
        sleep(Duration::from_millis(5));
    }
    times
}

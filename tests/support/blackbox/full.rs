//! No room to write: files that may not grow, and another connection that holds the write lock.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::{Field, Findings};

const STAGES: [&str; 6] = ["poll", "reserve", "move", "push-stock", "notify", "gc"];
/// Files may not grow beyond so many KiB: less than the state has, about as much, a little more.
const LIMITS_KIB: [u64; 6] = [0, 16, 64, 256, 1024, 4096];

/// Runs every stage without room, then with the state locked for a while.
pub fn full(program: &Path, seed: u64) -> Findings {
    let mut field = Field::open(program, seed);
    let mut found = Findings::default();
    for limit in LIMITS_KIB {
        field.trade();
        for stage in STAGES {
            found.struck += 1;
            // The signal that would end the program is ignored, so that it meets the error itself.
            let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", limit * 2);
            let wrapper = ["sh", "-c", &script].map(ToOwned::to_owned);
            let end = field
                .command_under(&wrapper, &[stage, "--wait", "0s"])
                .status()
                .unwrap();
            if !matches!(end.code(), Some(0 | 3 | 5 | 69 | 70 | 74)) {
                found
                    .wrong
                    .push(format!("{stage} with {limit} KiB ended with {end}"));
            }
            field.shop.sandbox.clock.advance(31_000);
        }
    }
    for held in [50, 500, 6_000] {
        field.trade();
        for stage in &STAGES[..3] {
            found.struck += 1;
            let other = Connection::open(field.shop.path("state.sqlite")).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut child = field.start(&[stage, "--wait", "0s"]);
            std::thread::sleep(Duration::from_millis(held));
            other.execute_batch("ROLLBACK").unwrap();
            drop(other);
            let end = child.wait().unwrap();
            if !matches!(end.code(), Some(0 | 3 | 5 | 69 | 70 | 74 | 75)) {
                found
                    .wrong
                    .push(format!("{stage} beside a writer ended with {end}"));
            }
            field.shop.sandbox.clock.advance(31_000);
        }
    }
    found.wrong.extend(field.judge());
    found.told = format!("{} runs without room or beside a writer", found.struck);
    found
}

//! Eight processes of equal and different stages at once, also with the lock files deleted under them.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Field, Findings};

const AT_ONCE: usize = 8;
const STAGES: [&str; 8] = [
    "poll",
    "reserve",
    "move",
    "move",
    "push-stock",
    "push-stock",
    "notify",
    "run",
];

/// Runs processes for so long; `unlocked`: their lock files are deleted now and then.
pub fn overlap(program: &Path, time: Duration, unlocked: bool, seed: u64) -> Findings {
    let mut field = Field::open(program, seed);
    field.crowded = unlocked;
    let mut found = Findings::default();
    let until = Instant::now() + time;
    let mut running = vec![];
    while Instant::now() < until {
        while running.len() < AT_ONCE {
            let stage = STAGES[field.chance.usize(0..STAGES.len())];
            running.push(field.start(&[stage, "--wait", "0s"]));
            found.struck += 1;
        }
        running.retain_mut(|child| match child.try_wait().unwrap() {
            Some(end) => {
                if end
                    .code()
                    .is_none_or(|code| !matches!(code, 0 | 3 | 5 | 69 | 75))
                {
                    found.wrong.push(format!("a process ended with {end}"));
                }
                false
            }
            None => true,
        });
        if found.struck.is_multiple_of(16) && field.orders.len() < 60 {
            field.trade();
        }
        if unlocked && field.chance.u32(0..20) == 0 {
            delete_locks(&field);
        }
        field.shop.sandbox.clock.advance(500);
        std::thread::sleep(Duration::from_millis(5));
    }
    for mut child in running {
        let _ = child.wait();
    }
    found.wrong.extend(field.judge());
    found.told = format!(
        "{} processes, {AT_ONCE} at once, {} orders, {} movements{}",
        found.struck,
        field.orders.len(),
        field.effects(),
        if unlocked { ", lock files deleted" } else { "" }
    );
    found
}

fn delete_locks(field: &Field) {
    let of = |folder: std::path::PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in of(field.shop.folder.path().to_owned()).chain(of(field.shop.path("locks"))) {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "lock") {
            let _ = std::fs::remove_file(path);
        }
    }
}

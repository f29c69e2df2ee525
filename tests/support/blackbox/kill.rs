//! `kill -9` at any instant, most often while a request is under way.

use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use stockbridge::sandbox::faults::When;

use super::{Field, Findings};

/// After so many kills everything must come to rest and is judged.
const JUDGED_EVERY: u64 = 100;
const STAGES: [&str; 6] = ["poll", "reserve", "move", "push-stock", "notify", "gc"];

/// Kills the program so many times.
pub fn kill(program: &Path, count: u64, seed: u64) -> Findings {
    let began = Instant::now();
    let open = |seed| {
        let mut field = Field::open(program, seed);
        field.crowded = true;
        field
    };
    let mut field = open(seed);
    let mut found = Findings::default();
    let (mut in_flight, mut effects) = (0, 0);
    while found.struck < count && found.wrong.is_empty() {
        field.trade();
        let stage = STAGES[field.chance.usize(0..STAGES.len())];
        let args = if field.chance.u32(0..10) < 7 {
            ["run", "--wait", "0s"]
        } else {
            [stage, "--wait", "0s"]
        };
        let beside = (field.chance.u32(0..10) == 0).then(|| field.start(&args));
        let (killed, flying) = one(&mut field, &args);
        found.struck += u64::from(killed);
        in_flight += u64::from(flying);
        if let Some(mut other) = beside {
            let _ = other.wait();
        }
        field.shop.sandbox.clock.advance(31_000);
        if killed && found.struck.is_multiple_of(JUDGED_EVERY) || found.struck == count {
            found.wrong.extend(field.judge());
            effects += field.effects();
            field = open(seed + found.struck);
        }
    }
    let share = 100 * in_flight / found.struck.max(1);
    let rate = found.struck * 1000 / u64::try_from(began.elapsed().as_millis()).unwrap().max(1);
    found.told = format!(
        "{} kills, {share} % with a request under way, {effects} movements, {rate} kills a second",
        found.struck
    );
    if share < 30 {
        found
            .wrong
            .push(format!("only {share} % of the kills hit a request"));
    }
    found
}

/// One run that is killed: whether it was still alive, and whether a request was under way.
fn one(field: &mut Field, args: &[&str]) -> (bool, bool) {
    let faults = field.shop.sandbox.faults.clone();
    faults.clear();
    let told = field.chance.u32(0..10).lt(&6).then(|| {
        let when = if field.chance.bool() {
            When::Before
        } else {
            When::After
        };
        faults.hold_at(field.chance.u64(1..25), when)
    });
    let mut child = field.start(args);
    let mut flying = false;
    if let Some(told) = told {
        let until = Instant::now() + Duration::from_secs(5);
        // It may need fewer calls than that; then it ends by itself.
        while !flying && Instant::now() < until && child.try_wait().unwrap().is_none() {
            flying = match told.recv_timeout(Duration::from_millis(5)) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => break,
            };
        }
    } else {
        std::thread::sleep(Duration::from_micros(field.chance.u64(500..80_000)));
    }
    let alive = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    (alive, alive && flying)
}

//! Plays seeded histories against the protocol: real stages, real SQLite, the sandbox's models, several processes, deaths
//! and faults, judged by the peers' own logs.
//!
//! ```text
//! cargo run --release --example simulate -- --seeds 0..1000 [--mutant NAME] [--guards off] [--jobs N]
//! cargo run --release --example simulate -- --seed 17 --trace       one history, told in full
//! cargo run --release --example simulate -- --mutants 0..2000       how soon each broken guard is caught
//! cargo run --release --example simulate -- --twice 0..200          the same seed gives the same history
//! cargo run --release --example simulate -- --singles               one scripted life, every fault at every step
//! cargo run --release --example simulate -- --pairs 0..100          the same, two faults: the first of these, any second
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test program: it prints, reads the clock to tell its speed, and stops at what it does not expect"
)]

#[path = "../tests/support/sim/mod.rs"]
mod sim;

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sim::history::{Outcome, play};
use sim::life::{live, singles};
use sim::mutants::Mutant;
use sim::world::Fault;

/// Every row of the transition tables; each must be taken somewhere.
const ROWS: [&str; 25] = [
    "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9", "T10", "T11", "T12", "T13", "T14", "T15",
    "H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10",
];

#[derive(Clone)]
struct Asked {
    seeds: Range<u64>,
    mutant: Mutant,
    guards: bool,
    trace: bool,
    jobs: usize,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Histories,
    Mutants,
    Twice,
    Singles,
    Pairs,
}

fn range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        seeds: 0..100,
        mutant: Mutant::None,
        guards: true,
        trace: false,
        jobs: std::thread::available_parallelism().map_or(1, Into::into),
        mode: Mode::Histories,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let seeds =
            |text: String| range(&text).ok_or(format!("{text:?} is not written like 0..100"));
        match arg.as_str() {
            "--seeds" => asked.seeds = seeds(value()?)?,
            "--seed" => {
                let seed = value()?.parse::<u64>().map_err(|err| err.to_string())?;
                asked.seeds = seed..seed + 1;
            }
            "--mutants" => (asked.mode, asked.seeds) = (Mode::Mutants, seeds(value()?)?),
            "--twice" => (asked.mode, asked.seeds) = (Mode::Twice, seeds(value()?)?),
            "--pairs" => (asked.mode, asked.seeds) = (Mode::Pairs, seeds(value()?)?),
            "--singles" => asked.mode = Mode::Singles,
            "--mutant" => {
                let name = value()?;
                asked.mutant = Mutant::parse(&name).ok_or(format!("there is no mutant {name}"))?;
            }
            "--guards" => asked.guards = value()? != "off",
            "--jobs" => asked.jobs = value()?.parse().map_err(|_| "--jobs needs a number")?,
            "--trace" => asked.trace = true,
            other => {
                return Err(format!(
                    "{other} is not known; see the head of examples/simulate.rs"
                ));
            }
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    // A death is an unwinding, not a failure to be shown.
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().is::<sim::world::Death>() {
            return;
        }
        shown(info);
    }));
    let asked = match asked() {
        Ok(asked) => asked,
        Err(reason) => {
            println!("{reason}");
            return ExitCode::from(64);
        }
    };
    let held = match asked.mode {
        Mode::Histories => histories(&asked),
        Mode::Mutants => mutants(&asked),
        Mode::Twice => twice(&asked),
        Mode::Singles => faults(&asked, false),
        Mode::Pairs => faults(&asked, true),
    };
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Plays every seed on some threads; stops at what `each` calls the end.
fn all(asked: &Asked, each: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(asked.seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..asked.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= asked.seeds.end || !each(seed) {
                        next.store(asked.seeds.end, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}

#[derive(Default)]
struct Sums {
    histories: u64,
    deaths: u64,
    faults: u64,
    orders: u64,
    simulated: i64,
    fired: BTreeMap<String, u64>,
    failed: Vec<(u64, Outcome)>,
}

fn histories(asked: &Asked) -> bool {
    let began = Instant::now();
    let sums = Mutex::new(Sums::default());
    all(asked, |seed| {
        let outcome = play(seed, asked.mutant, asked.guards, asked.trace);
        let mut sums = sums.lock().unwrap();
        sums.histories += 1;
        sums.deaths += outcome.deaths;
        sums.faults += outcome.faults;
        sums.orders += outcome.orders as u64;
        sums.simulated += outcome.simulated;
        for (row, times) in &outcome.fired {
            *sums.fired.entry(row.clone()).or_insert(0) += times;
        }
        if asked.trace {
            for line in &outcome.trace {
                println!("{line}");
            }
        }
        if !outcome.violations.is_empty() {
            sums.failed.push((seed, outcome));
        }
        sums.failed.len() < 5
    });
    let sums = sums.into_inner().unwrap();
    let seconds = began.elapsed().as_secs().max(1);
    for (seed, outcome) in &sums.failed {
        let name = asked.mutant.name();
        println!(
            "seed {seed} failed on {}: {}",
            commit(),
            outcome.violations.join("; ")
        );
        println!("  {:?}", outcome.rates);
        let guards = if asked.guards { "" } else { " --guards off" };
        println!(
            "  cargo run --release --example simulate -- --seed {seed} --mutant {name}{guards} --trace"
        );
    }
    let mean = |n: u64| n / sums.histories.max(1);
    println!(
        "{} histories, {} failed; {} orders, {} deaths ({} a history), {} faults ({} a history), {} simulated hours; {} s, {} a second",
        sums.histories,
        sums.failed.len(),
        sums.orders,
        sums.deaths,
        mean(sums.deaths),
        sums.faults,
        mean(sums.faults),
        sums.simulated / 3_600_000,
        began.elapsed().as_secs(),
        sums.histories / seconds,
    );
    let counted = |row: &&str| format!("{row} {}", sums.fired.get(*row).unwrap_or(&0));
    println!(
        "transitions: {}",
        ROWS.iter().map(counted).collect::<Vec<_>>().join(", ")
    );
    let never: Vec<_> = ROWS
        .iter()
        .filter(|row| !sums.fired.contains_key(**row))
        .collect();
    if sums.histories >= 1000 && !never.is_empty() {
        println!("never taken: {never:?}");
        return false;
    }
    sums.failed.is_empty()
}

fn commit() -> String {
    let head = std::process::Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output();
    let head = head.ok().and_then(|out| String::from_utf8(out.stdout).ok());
    head.map_or_else(|| "an unknown commit".into(), |text| text.trim().to_owned())
}

/// How many histories each mutant survives, with the other guards on and off.
fn mutants(asked: &Asked) -> bool {
    let mut held = true;
    println!(
        "{:<20} {:>10} {:>10}  what is broken",
        "mutant", "guards on", "off"
    );
    for mutant in Mutant::ALL.iter().copied().filter(|m| *m != Mutant::None) {
        let replaced = AtomicU64::new(0);
        let first = |guards: bool| {
            let killed = Mutex::new(None);
            all(asked, |seed| {
                let outcome = play(seed, mutant, guards, false);
                replaced.fetch_add(outcome.replaced, Ordering::Relaxed);
                if !outcome.caught() {
                    return true;
                }
                let mut killed = killed.lock().unwrap();
                *killed = Some(killed.unwrap_or(seed).min(seed));
                false
            });
            killed.into_inner().unwrap()
        };
        let (on, off) = (first(true), first(false));
        let show = |seed: Option<u64>| {
            seed.map_or_else(|| "survives".into(), |seed| format!("seed {seed}"))
        };
        println!(
            "{:<20} {:>10} {:>10}  {}",
            mutant.name(),
            show(on),
            show(off),
            mutant.what()
        );
        if mutant.replaces() && replaced.into_inner() == 0 {
            println!(
                "{} replaces no statement: nothing was broken",
                mutant.name()
            );
            held = false;
        }
        if let Some(why) = mutant.covered().filter(|_| on.is_none() && off.is_none()) {
            println!("{:20} covered: {why}", "");
        } else {
            held &= on.is_some() || off.is_some();
        }
    }
    held
}

/// One scripted life with every fault at every step, or with every pair of faults whose first is one of those asked for.
fn faults(asked: &Asked, pairs: bool) -> bool {
    let began = Instant::now();
    let mut plans: Vec<(Vec<(usize, Fault)>, bool)> = vec![];
    for again in [false, true] {
        let (sound, steps) = live(Mutant::None, &[], again, false);
        assert!(sound.violations.is_empty(), "{:?}", sound.violations);
        let all = singles(&steps);
        println!(
            "a life of {} steps, {} faults, each run of the stages {}",
            steps.len(),
            all.len(),
            if again { "twice" } else { "once" }
        );
        if !pairs {
            plans.extend(all.into_iter().map(|fault| (vec![fault], again)));
        } else if !again {
            let firsts = all
                .iter()
                .enumerate()
                .filter(|(n, _)| asked.seeds.contains(&(*n as u64)));
            for (_, first) in firsts {
                // What the first fault changes, changes the steps after it: a second one strikes where it falls.
                let later = all.iter().filter(|(at, _)| *at > first.0);
                plans.extend(later.map(|second| (vec![*first, *second], again)));
            }
        }
    }
    let failed = Mutex::new(0);
    let run = Asked {
        seeds: 0..plans.len() as u64,
        ..*asked
    };
    all(&run, |n| {
        let (plan, again) = &plans[usize::try_from(n).unwrap()];
        let (outcome, _) = live(asked.mutant, plan, *again, asked.trace);
        if !outcome.violations.is_empty() {
            for line in &outcome.trace {
                println!("{line}");
            }
            println!("{plan:?}, twice {again}: {}", outcome.violations.join("; "));
            *failed.lock().unwrap() += 1;
        }
        *failed.lock().unwrap() < 5
    });
    let failed = failed.into_inner().unwrap();
    println!(
        "{} lives, {failed} failed; {} s",
        plans.len(),
        began.elapsed().as_secs()
    );
    failed == 0
}

fn twice(asked: &Asked) -> bool {
    let differing = Mutex::new(vec![]);
    all(asked, |seed| {
        let hash = || play(seed, asked.mutant, asked.guards, false).hash;
        if hash() != hash() {
            differing.lock().unwrap().push(seed);
        }
        true
    });
    let differing = differing.into_inner().unwrap();
    let seeds = asked.seeds.end - asked.seeds.start;
    println!(
        "{seeds} seeds played twice, {} differed {differing:?}",
        differing.len()
    );
    differing.is_empty()
}

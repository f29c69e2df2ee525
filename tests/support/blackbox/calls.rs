//! System calls that fail, or during which the process dies: the N-th of each kind, N = 1, 2, 3 … until there is none.

use std::path::Path;
use std::time::Instant;

use super::{Field, Findings};

/// What the state, the locks and the connections are made of.
const CALLS: [&str; 8] = [
    "pwrite64",
    "fdatasync",
    "ftruncate",
    "unlink",
    "openat",
    "connect",
    "sendto",
    "write",
];
const FAULTS: [&str; 3] = ["signal=KILL", "error=ENOSPC", "error=EIO"];
/// No run makes so many calls of one kind.
const MOST: u64 = 2_000;
/// The documented ends; 101 and 134 would be a panic or an abort.
const ENDS: [i32; 11] = [0, 3, 4, 5, 65, 69, 70, 74, 75, 77, 78];

/// Injects every fault into every call of a stage, each `every`-th N.
pub fn calls(program: &Path, stage: &str, every: u64, seed: u64) -> Findings {
    let began = Instant::now();
    let mut found = Findings::default();
    let mut runs = 0_u64;
    for call in CALLS {
        for fault in FAULTS {
            let mut field = Field::open(program, seed);
            field.killed = true;
            let mut n = 1;
            while n < MOST {
                runs += 1;
                let (struck, end) = one(&mut field, stage, call, fault, n);
                if let Some(code) = end.filter(|code| !ENDS.contains(code)) {
                    found
                        .wrong
                        .push(format!("{stage}: {call} {n} {fault} ends with {code}"));
                }
                found.struck += u64::from(struck);
                if !struck {
                    break;
                }
                n += every;
            }
            let wrong = field.judge();
            found.wrong.extend(
                wrong
                    .into_iter()
                    .map(|w| format!("{stage}: {call} {fault}: {w}")),
            );
        }
    }
    let seconds = began.elapsed().as_secs().max(1);
    found.told = format!(
        "{} faults in {runs} runs of {stage}, {} a second",
        found.struck,
        runs / seconds
    );
    found
}

/// One run with the fault at the N-th call: whether it struck, and the exit code where there is one.
fn one(field: &mut Field, stage: &str, call: &str, fault: &str, n: u64) -> (bool, Option<i32>) {
    field.trade();
    // What comes before the stage is there.
    for before in ["poll", "reserve", "move", "push-stock", "notify", "gc"] {
        if before == stage {
            break;
        }
        field.shop.run(&[before]);
    }
    let log = field.shop.path("strace.log");
    let wrapper: Vec<String> = [
        "strace",
        "-f",
        "-qq",
        "-o",
        log.to_str().unwrap(),
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={call}:{fault}:when={n}"),
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    let status = field
        .command_under(&wrapper, &[stage, "--wait", "0s"])
        .status()
        .unwrap();
    let told = std::fs::read_to_string(&log).unwrap_or_default();
    let struck = told.contains("INJECTED") || told.contains("killed by SIGKILL");
    field.shop.sandbox.clock.advance(31_000);
    (struck, status.code())
}

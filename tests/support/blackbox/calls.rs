//! System calls that fail, or during which the process dies: the N-th of each kind, N = 1, 2, 3 … until there is none.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{Field, Findings, Moment};

/// What the state, the mark, the locks and the connections are made of, and how each fails. A `write` is only killed:
/// among them are the wake-ups of threads, and their failure is not that of a disk (`full` has those).
const FAULTS: [(&str, &[&str]); 10] = [
    ("pwrite64", &["signal=KILL", "error=ENOSPC", "error=EIO"]),
    ("fdatasync", &["signal=KILL", "error=EIO"]),
    ("fsync", &["signal=KILL", "error=EIO"]),
    ("ftruncate", &["signal=KILL", "error=EIO"]),
    ("rename", &["signal=KILL", "error=EIO"]),
    ("unlink", &["signal=KILL", "error=EIO"]),
    ("openat", &["signal=KILL", "error=EMFILE"]),
    ("write", &["signal=KILL"]),
    ("connect", &["signal=KILL", "error=ECONNREFUSED"]),
    ("sendto", &["signal=KILL", "error=ECONNRESET"]),
];
/// No run makes so many calls of one kind.
const MOST: u64 = 2_000;
/// The documented ends; 101 and 134 would be a panic or an abort.
const ENDS: [i32; 11] = [0, 3, 4, 5, 65, 69, 70, 74, 75, 77, 78];

/// Injects every fault into every call of a stage, each `every`-th N. Every run begins at the same moment, has work of
/// every kind the stage knows, and is judged.
pub fn calls(program: &Path, stage: &str, every: u64, seed: u64) -> Findings {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let all: Vec<(&str, &str)> = FAULTS
        .iter()
        .flat_map(|(call, faults)| faults.iter().map(|fault| (*call, *fault)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Findings::default();
        let mut field = Field::open(program, seed);
        field.crowded = true;
        let begin = prepare(&mut field, stage);
        while let Some((call, fault)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            each(&field, &begin, (stage, call, fault), every, &mut found);
        }
        found
    };
    let parts: Vec<Findings> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let mut found = Findings::default();
    for part in parts {
        found.struck += part.struck;
        found.wrong.extend(part.wrong);
    }
    found.told = format!(
        "{} faults in {stage}, {} s",
        found.struck,
        began.elapsed().as_secs()
    );
    if found.struck == 0 {
        found.wrong.push("nothing was struck".into());
    }
    found
}

/// One fault at N = 1, 2, 3 … until it no longer strikes.
fn each(
    field: &Field,
    begin: &Moment,
    (stage, call, fault): (&str, &str, &str),
    every: u64,
    found: &mut Findings,
) {
    for n in (1..MOST).step_by(usize::try_from(every).unwrap()) {
        field.go_back(begin);
        let (struck, end) = one(field, stage, call, fault, n);
        let mut wrong = field.judge();
        if let Some(code) = end.filter(|code| !ENDS.contains(code)) {
            wrong.push(format!("it ended with {code}"));
        }
        let place = format!("{stage}: {call} {n} {fault}");
        found
            .wrong
            .extend(wrong.into_iter().map(|w| format!("{place}: {w}")));
        if !struck {
            break;
        }
        found.struck += 1;
    }
}

/// An order is sold, another canceled and a third changed after they were booked; what comes before the stage is done.
fn prepare(field: &mut Field, stage: &str) -> Moment {
    field.orders = vec![field.shop.sell(0, 2), field.shop.sell(1, 2)];
    field.shop.cycles(2);
    let now = field.shop.sandbox.clock.now();
    let changed = field.orders[0].clone();
    let canceled = field.orders[1].clone();
    field.shop.sandbox.vtex.with(|store| {
        let sku = store.orders[&changed].lines[0].sku.clone();
        store.change(&changed, &sku, 1, now);
        store.cancel(&canceled, now);
    });
    field.orders.push(field.shop.sell_all(&[(2, 1), (3, 2)]));
    for before in ["poll", "reserve", "move", "push-stock", "notify", "gc"] {
        if before == stage {
            break;
        }
        field.shop.run(&[before]);
    }
    field.moment()
}

/// One run with the fault at the N-th call: whether it struck, and the exit code where there is one.
fn one(field: &Field, stage: &str, call: &str, fault: &str, n: u64) -> (bool, Option<i32>) {
    let log = field.shop.path("strace.log");
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:{fault}:when={n}");
    let wrapper = [
        "strace",
        "--seccomp-bpf",
        "-f",
        "-qq",
        "-o",
        log.to_str().unwrap(),
        "-e",
        &trace,
        "-e",
        &inject,
    ];
    let wrapper = wrapper.map(ToOwned::to_owned);
    let status = field
        .command_under(&wrapper, &[stage, "--wait", "0s"])
        .status()
        .unwrap();
    let told = std::fs::read_to_string(&log).unwrap_or_default();
    let struck = told.contains("INJECTED") || told.contains("killed by SIGKILL");
    field.shop.sandbox.clock.advance(31_000);
    (struck, status.code())
}

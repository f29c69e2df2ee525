//! Wakes the stages when the hook has told of an order: one run at a time, and not more often than asked.
//!
//! The run itself is a function that the door is handed. What it leaves behind is looked after: orders that could not be
//! read are tried again, later each time; for what else waits (numbers that must be sent once more, since the storefront
//! clears a reservation only by a number that was read after it) a few runs follow, until cron would be as quick.
//! Otherwise it sleeps.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::domain::time::Moment;
use crate::serve::desk::Desk;

/// The longest wait after runs that left something in the inbox.
const LONGEST: Duration = Duration::from_secs(60);

/// The shortest wait after such runs.
const LEAST: Duration = Duration::from_millis(500);
/// So many runs follow one after which something waits.
const MOST_FOLLOWING: u32 = 4;

/// Runs the stages once; must end soon after the flag was set.
pub type Run = Box<dyn Fn(&AtomicBool) -> Ran + Send>;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub exit: i64,
    /// Whether it said that something will be tried again.
    pub waits: bool,
}

/// The bell; cheap to copy.
#[derive(Clone)]
pub struct Bell {
    rope: SyncSender<()>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    runs: AtomicU64,
    last_exit: AtomicI64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Bell {
    /// Starts the thread that answers the bell.
    pub fn hang(run: Run, desk: Desk, every: Duration) -> std::io::Result<Self> {
        let (rope, rung) = sync_channel(1);
        let state = Arc::new(State::default());
        let of_thread = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("stages".into())
            .spawn(move || answer(&run, &desk, every, &rung, &of_thread))?;
        if let Ok(mut held) = state.thread.lock() {
            *held = Some(thread);
        }
        Ok(Self { rope, state })
    }

    /// Asks for a run; one that is asked for already serves this too.
    pub fn ring(&self) {
        let _ = self.rope.try_send(());
    }

    /// Returns how many runs were made, and the exit code of the last.
    pub fn runs(&self) -> (u64, i64) {
        let runs = self.state.runs.load(Ordering::Relaxed);
        (runs, self.state.last_exit.load(Ordering::Relaxed))
    }

    /// Ends a run under way, and the thread.
    pub fn take_down(self) {
        self.state.stop.store(true, Ordering::Relaxed);
        self.ring();
        let thread = self.state.thread.lock().ok().and_then(|mut t| t.take());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that wakes the stages broke");
        }
    }
}

fn answer(run: &Run, desk: &Desk, every: Duration, rung: &Receiver<()>, state: &State) {
    // What was told while nobody listened is looked after at once.
    let mut wait = left_over(desk, None, every);
    let mut in_vain = 0;
    loop {
        match wait {
            Some(wait) => match rung.recv_timeout(wait) {
                Ok(()) => in_vain = 0,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            },
            None => match rung.recv() {
                Ok(()) => in_vain = 0,
                Err(_) => return,
            },
        }
        if state.stop.load(Ordering::Relaxed) {
            return;
        }
        let began = Instant::now();
        let ran = run(&state.stop);
        state.runs.fetch_add(1, Ordering::Relaxed);
        state.last_exit.store(ran.exit, Ordering::Relaxed);
        match rest(began + every, rung, state) {
            Rested::Closing => return,
            // What was told while it ran may have come too late for it.
            Rested::Rung => in_vain = 0,
            Rested::Quiet => {}
        }
        wait = left_over(desk, Some((ran, in_vain)), every);
        in_vain += 1;
    }
}

/// What happened while a run and the time after it went by.
enum Rested {
    Quiet,
    Rung,
    Closing,
}

/// Waits until an instant, whoever rings.
fn rest(until: Instant, rung: &Receiver<()>, state: &State) -> Rested {
    let mut rested = Rested::Quiet;
    loop {
        if state.stop.load(Ordering::Relaxed) {
            return Rested::Closing;
        }
        // Asked also when no time is left: the bell may have been rung during a long run.
        let left = until.saturating_duration_since(Instant::now());
        match rung.recv_timeout(left) {
            Ok(()) => rested = Rested::Rung,
            Err(RecvTimeoutError::Timeout) => return rested,
            Err(RecvTimeoutError::Disconnected) => return Rested::Closing,
        }
    }
}

/// Returns how long to wait for what is still to be done after a run, and so many in vain before it; `None` when nothing
/// is.
fn left_over(desk: &Desk, last: Option<(Ran, u32)>, every: Duration) -> Option<Duration> {
    let Some((ran, in_vain)) = last else {
        let told = desk.read_blocking(|store| Ok(store.inbox_depth()?.orders));
        return (told != Ok(0)).then_some(Duration::ZERO);
    };
    let longer = every.saturating_mul(1 << in_vain.min(16)).min(LONGEST);
    match desk.read_blocking(|store| Ok((store.inbox_depth()?, store.pushes_due_count()?))) {
        Ok((inbox, _)) if inbox.orders > 0 => {
            // An order that was told of during the run was not tried yet.
            let untried = in_vain == 0 && inbox.next == Some(Moment(0));
            Some(if untried {
                Duration::ZERO
            } else {
                longer.max(LEAST)
            })
        }
        Ok((_, due)) => {
            let waits = due > 0 || ran.waits;
            (waits && in_vain < MOST_FOLLOWING).then_some(longer.max(LEAST))
        }
        Err(err) => {
            log::warn!("what is left to do cannot be looked at: {err}");
            Some(LONGEST)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::domain::ids::OrderId;
    use crate::domain::ports::Clock;
    use crate::domain::time::{BootId, BootTime};
    use crate::store::{Due, Identity, OpenOptions, Store};

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Moment {
            Moment(1)
        }
        fn boot(&self) -> BootTime {
            BootTime(1)
        }
        fn boot_id(&self) -> BootId {
            BootId("boot".into())
        }
        fn sleep(&self, _: Duration) {}
    }

    fn open(folder: &tempfile::TempDir) -> Store {
        Store::open(&OpenOptions {
            path: folder.path().join("state.sqlite"),
            wal: true,
            identity: Identity {
                account: "tienda".into(),
                erp: "dragonfish WOO".into(),
            },
            instance_id: "i".into(),
            machine: None,
            now: Moment(1),
        })
        .unwrap()
    }

    fn tell(folder: &tempfile::TempDir, order: &str) {
        let id = OrderId::parse(order).unwrap();
        open(folder).write(|tx| tx.hint(&id, Moment(1))).unwrap();
    }

    #[test]
    fn what_is_told_during_each_run_is_taken_by_the_next_without_a_longer_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.sqlite");
        let desk = Desk::open(open(&folder), path, Arc::new(Still), 8).unwrap();
        let (begun, begins) = channel();
        let (go_on, goes_on) = channel();
        let at = folder.path().join("state.sqlite");
        let run: Run = Box::new(move |_| {
            // As poll does: takes what is there when it begins.
            let store = rusqlite::Connection::open(&at).unwrap();
            store.execute("DELETE FROM inbox", []).unwrap();
            begun.send(Instant::now()).unwrap();
            goes_on.recv().unwrap();
            Ran {
                exit: 0,
                waits: false,
            }
        });
        let every = Duration::from_millis(40);
        let bell = Bell::hang(run, desk.clone(), every).unwrap();
        tell(&folder, "0-01");
        bell.ring();
        let mut last = begins.recv().unwrap();
        for n in 1..8 {
            tell(&folder, &format!("{n}-01"));
            bell.ring();
            go_on.send(()).unwrap();
            let next = begins.recv_timeout(Duration::from_secs(5)).unwrap();
            assert!(next - last < every * 20, "run {n}: {:?}", next - last);
            last = next;
        }
        go_on.send(()).unwrap();
        assert!(begins.recv_timeout(Duration::from_millis(300)).is_err());
        let due = Due {
            by: Moment(1),
            absurd: Moment(9),
        };
        assert!(open(&folder).hints_due(due, 9).unwrap().is_empty());
        bell.take_down();
        desk.close().unwrap();
    }
}

//! Wakes the stages when the hook has told of an order: one run at a time, and not more often than asked.
//!
//! The run itself is a function that the door is handed. What it leaves behind is looked after: orders that could not be
//! read are tried again, later each time, and numbers that must be sent once more (the storefront clears a reservation
//! only by a number that was read after it) a few times, until cron would be as quick. Otherwise it sleeps.

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
/// So many runs follow one that left numbers to look at.
const MOST_FOR_NUMBERS: u32 = 4;

/// Runs the stages once and returns their exit code; must end soon after the flag was set.
pub type Run = Box<dyn Fn(&AtomicBool) -> i64 + Send>;

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
        let exit = run(&state.stop);
        state.runs.fetch_add(1, Ordering::Relaxed);
        state.last_exit.store(exit, Ordering::Relaxed);
        if !rest(began + every, rung, state) {
            return;
        }
        // Rung while it ran or rested: what was told then may have come too late for that run.
        wait = left_over(desk, Some(in_vain), every);
        in_vain += 1;
    }
}

/// Waits until an instant, whoever rings; false when the door closes.
fn rest(until: Instant, rung: &Receiver<()>, state: &State) -> bool {
    loop {
        if state.stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if rung.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
            return false;
        }
    }
}

/// Returns how long to wait for what is still to be done after so many runs in vain; `None` when nothing is.
fn left_over(desk: &Desk, in_vain: Option<u32>, every: Duration) -> Option<Duration> {
    let Some(in_vain) = in_vain else {
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
        Ok((_, due)) => (due > 0 && in_vain < MOST_FOR_NUMBERS).then_some(longer.max(LEAST)),
        Err(err) => {
            log::warn!("what is left to do cannot be looked at: {err}");
            Some(LONGEST)
        }
    }
}

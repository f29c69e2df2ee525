//! Wakes the stages when the hook has told of an order: one run at a time, and not more often than asked.
//!
//! The run itself is a function that the door is handed. It sleeps while the inbox is empty; orders that could not be read
//! are tried again when their time has come, later each time.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::domain::time::Moment;
use crate::serve::desk::Desk;

/// The longest wait after runs that left something in the inbox.
const LONGEST: Duration = Duration::from_secs(60);

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
    let mut wait = left_over(desk, 0, every);
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
        wait = left_over(desk, in_vain, every);
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

/// Returns how long to wait for what is still in the inbox; `None` when it is empty.
fn left_over(desk: &Desk, in_vain: u32, every: Duration) -> Option<Duration> {
    let longer = every.saturating_mul(1 << in_vain.min(16)).min(LONGEST);
    match desk.read_blocking(|store| store.inbox_depth()) {
        Ok(depth) if depth.orders == 0 => None,
        // An order that was not tried yet is due at once.
        Ok(depth) if in_vain == 0 && depth.next == Some(Moment(0)) => Some(Duration::ZERO),
        Ok(_) => Some(longer.max(Duration::from_millis(100))),
        Err(err) => {
            log::warn!("the inbox cannot be looked at: {err}");
            Some(LONGEST)
        }
    }
}

//! The one thread that touches the state file: hints are committed together, answers wait for their commit.
//!
//! A durable commit costs some milliseconds whatever it holds, so the thread takes all hints that wait into one. Its
//! transactions are of a few rows, so that stages never wait for it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::domain::ids::OrderId;
use crate::domain::ports::Clock;
use crate::store::{Store, StoreError, StoreResult};

/// Hints in one transaction.
const MOST_TOGETHER: usize = 512;
/// Orders in the inbox; beyond it hints are refused, and VTEX repeats.
const MOST_ORDERS: u64 = 200_000;
/// After so many hints the inbox is counted again.
const COUNT_EVERY: u64 = 1_000;
/// How long a transaction waits for another process's: VTEX wants its answer within 5 seconds.
const BUSY: Duration = Duration::from_millis(1_500);

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// Too many wait already, or the door closes.
    #[error("too many requests wait for the state file")]
    Full,
    /// The inbox holds as much as it may.
    #[error("the inbox holds {MOST_ORDERS} orders; hint: see why poll does not take them")]
    InboxFull,
    /// It took too long.
    #[error("the state file did not answer in time")]
    Late,
    /// The state file refused.
    #[error("{0}")]
    Store(String),
}

type Reply = oneshot::Sender<Result<(), DeskError>>;
type Question = Box<dyn FnOnce(&Store) + Send>;

enum Ask {
    Hint(OrderId, Reply),
    Other(Job),
}

enum Job {
    Read(Question),
    /// Input that no order can be made of: text, reason.
    Reject(String, String, Reply),
    Close,
}

/// The way to the thread; cheap to copy.
#[derive(Clone)]
pub struct Desk {
    asks: SyncSender<Ask>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The file is another one now: nothing more is done.
    lost: AtomicBool,
    /// Tells the network that the file was lost.
    told: Notify,
    thread: Mutex<Option<JoinHandle<StoreResult<()>>>>,
}

impl Desk {
    /// Hands the open state file, which lies at `path`, to a thread of its own.
    pub fn open(
        store: Store,
        path: PathBuf,
        clock: Arc<dyn Clock + Send>,
        queue: usize,
    ) -> StoreResult<Self> {
        let mut file = File::take(store, path)?;
        let (asks, taken) = sync_channel(queue);
        let state = Arc::new(State::default());
        let of_thread = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("state-file".into())
            .spawn(move || {
                let done = work(&mut file, &taken, clock.as_ref());
                if done.is_err() {
                    of_thread.lost.store(true, Ordering::Relaxed);
                    of_thread.told.notify_one();
                    // Closing the last handle of a file that was moved would remove the log of the file in its place.
                    std::mem::forget(file);
                }
                done
            })
            .map_err(|err| StoreError::Io(format!("no thread for the state file: {err}")))?;
        if let Ok(mut held) = state.thread.lock() {
            *held = Some(thread);
        }
        Ok(Self { asks, state })
    }

    /// Puts an order into the inbox; durable when this returns.
    pub async fn hint(&self, order: OrderId, patience: Duration) -> Result<(), DeskError> {
        let (reply, answer) = oneshot::channel();
        self.put(Ask::Hint(order, reply))?;
        answered(answer, patience).await
    }

    /// Notes input that no order can be made of.
    pub async fn reject(
        &self,
        text: &str,
        reason: &str,
        patience: Duration,
    ) -> Result<(), DeskError> {
        let (reply, answer) = oneshot::channel();
        let text = text.chars().take(100).collect();
        self.put(Ask::Other(Job::Reject(text, reason.to_owned(), reply)))?;
        answered(answer, patience).await
    }

    /// Asks the state file something.
    pub async fn read<T: Send + 'static>(
        &self,
        patience: Duration,
        question: impl FnOnce(&Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, DeskError> {
        let (reply, answer) = oneshot::channel();
        self.put(Ask::Other(Job::Read(Box::new(move |store| {
            // Whoever asked may have gone.
            let _ = reply.send(question(store).map_err(failed));
        }))))?;
        answered(answer, patience).await
    }

    /// Asks the state file something, from a thread that may wait.
    pub fn read_blocking<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Store) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, DeskError> {
        let (reply, answer) = sync_channel(1);
        self.put(Ask::Other(Job::Read(Box::new(move |store| {
            let _ = reply.send(question(store).map_err(failed));
        }))))?;
        answer.recv().unwrap_or(Err(DeskError::Full))
    }

    /// Returns when the state file was replaced by another.
    pub async fn lost(&self) {
        self.state.told.notified().await;
    }

    /// Closes the state file after what waits is done, and says how that ended.
    pub fn close(self) -> StoreResult<()> {
        // The thread takes what waits, so there is room sooner or later; it may also have ended by itself.
        let _ = self.asks.send(Ask::Other(Job::Close));
        let thread = self.state.thread.lock().ok().and_then(|mut t| t.take());
        let ended = thread.map_or(Ok(Ok(())), JoinHandle::join);
        ended.unwrap_or_else(|_| Err(StoreError::Bug("the state file's thread broke".into())))
    }

    fn put(&self, ask: Ask) -> Result<(), DeskError> {
        if self.state.lost.load(Ordering::Relaxed) {
            return Err(DeskError::Store("the state file was replaced".into()));
        }
        self.asks.try_send(ask).map_err(|err| match err {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => DeskError::Full,
        })
    }
}

/// Waits for an answer of the thread.
async fn answered<T>(
    answer: oneshot::Receiver<Result<T, DeskError>>,
    patience: Duration,
) -> Result<T, DeskError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(DeskError::Full),
        Err(_) => Err(DeskError::Late),
    }
}

fn failed(err: StoreError) -> DeskError {
    DeskError::Store(err.to_string())
}

/// The open state file, and which file that is.
struct File {
    store: Store,
    path: PathBuf,
    id: (u64, u64),
    /// Orders in the inbox when they were last counted, and hints since.
    orders: u64,
    since: u64,
}

impl File {
    fn take(store: Store, path: PathBuf) -> StoreResult<Self> {
        store.wait_at_most(BUSY)?;
        let orders = store.inbox_depth()?.orders;
        Ok(Self {
            store,
            id: id(&path)?,
            path,
            orders,
            since: 0,
        })
    }

    /// Makes sure that the file at the path is still the one that is open: what is written into another is lost.
    fn same(&self) -> StoreResult<()> {
        if id(&self.path).is_ok_and(|id| id == self.id) {
            return Ok(());
        }
        Err(StoreError::Broken(format!(
            "{} was replaced while serve had it open; hint: start serve again, and stop it before such acts",
            self.path.display()
        )))
    }

    /// Commits hints together.
    fn commit(&mut self, orders: &[OrderId], clock: &dyn Clock) -> Result<(), DeskError> {
        if self.since >= COUNT_EVERY {
            self.orders = self.store.inbox_depth().map_err(failed)?.orders;
            self.since = 0;
        }
        if self.orders + self.since >= MOST_ORDERS {
            self.since = COUNT_EVERY;
            return Err(DeskError::InboxFull);
        }
        let now = clock.now();
        let written = self
            .store
            .write(|tx| orders.iter().try_for_each(|order| tx.hint(order, now)));
        written.map_err(failed)?;
        self.since += u64::try_from(orders.len()).unwrap_or(0);
        Ok(())
    }
}

/// Which file lies at a path.
fn id(path: &Path) -> StoreResult<(u64, u64)> {
    let meta = fs::metadata(path);
    let meta = meta.map_err(|err| StoreError::Io(format!("{}: {err}", path.display())))?;
    Ok((meta.dev(), meta.ino()))
}

/// Does what is asked until it is closed.
fn work(file: &mut File, asks: &Receiver<Ask>, clock: &dyn Clock) -> StoreResult<()> {
    let (mut orders, mut replies, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        // Nobody is left to ask.
        let Ok(first) = asks.recv() else {
            return Ok(());
        };
        let mut next = Some(first);
        while let Some(ask) = next {
            match ask {
                Ask::Hint(order, reply) => {
                    orders.push(order);
                    replies.push(reply);
                }
                Ask::Other(job) => jobs.push(job),
            }
            let full = replies.len() + jobs.len() >= MOST_TOGETHER;
            next = if full { None } else { asks.try_recv().ok() };
        }
        if !replies.is_empty() {
            file.same()?;
            let done = file.commit(&orders, clock);
            file.same()?;
            orders.clear();
            for reply in replies.drain(..) {
                // Whoever asked may have gone.
                let _ = reply.send(done.clone());
            }
        }
        for job in jobs.drain(..) {
            match job {
                Job::Read(question) => question(&file.store),
                Job::Reject(text, reason, reply) => {
                    file.same()?;
                    let now = clock.now();
                    let written = file
                        .store
                        .write(|tx| tx.reject("hook", &text, &reason, now));
                    let _ = reply.send(written.map_err(failed));
                }
                Job::Close => return Ok(()),
            }
        }
    }
}

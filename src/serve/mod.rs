//! The long-running door: VTEX's hook, health, readiness and metrics over HTTP. The only room with `async`.
//!
//! It runs no stage and asks no outside system. What the hook says is put into the store's inbox as a hint, durable before
//! the answer; `poll` reads the order itself. It may wake the stages through a function that it is handed.
//!
//! # Threads
//!
//! One for the network (a current-thread runtime), one for the state file ([`desk`]), and one that wakes the stages
//! ([`bell`]). Each sleeps until it has work: an idle door wakes up only for systemd's watchdog.
//!
//! # Bounds
//!
//! Connections, heads, bodies, the time for each, requests a second from one source, requests that wait for the state
//! file, and orders in the inbox are all bounded; beyond a bound the answer is an error and VTEX repeats.

pub mod bell;
pub mod desk;
pub mod event;
pub mod stock;
pub mod systemd;
pub mod tls;

mod health;
mod hook;
mod limits;
mod listen;
mod metrics;
mod router;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::ports::Clock;
use crate::serve::bell::{Bell, Run};
use crate::serve::desk::Desk;
use crate::serve::metrics::Counts;
use crate::serve::systemd::Supervisor;
use crate::serve::tls::TlsFiles;
use crate::store::{Store, StoreError};

/// What the configuration says.
#[derive(Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Certificate and key, where no proxy ends TLS.
    pub tls: Option<TlsFiles>,
    /// Connections at a time.
    pub connections: usize,
    /// Requests that wait for the state file at a time.
    pub queue: usize,
    /// Time for a request's head, and again for its body.
    pub read_timeout: Duration,
    /// Time to answer once a request was read.
    pub answer_timeout: Duration,
    /// Requests a second from one source; 0 for no limit.
    pub requests_a_second: u32,
    /// Whether the last address of `X-Forwarded-For` is the source.
    pub behind_proxy: bool,
    /// Whether readiness and metrics are for everyone.
    pub open_metrics: bool,
    /// The hook, where one is configured.
    pub hook: Option<HookOptions>,
    /// The available-stock interface, where it is served.
    pub stock: Option<stock::StockApi>,
    /// The stages whose last run must not be old, and how old is too old in milliseconds.
    pub stages: Vec<&'static str>,
    /// See there.
    pub stale_after_ms: i64,
    /// The least time from one woken run to the next.
    pub wake_every: Duration,
}

/// What proves that a request is the hook's.
#[derive(Debug)]
pub struct HookOptions {
    /// The account whose events are taken.
    pub account: String,
    /// The header's name.
    pub header: String,
    /// The values that are accepted.
    pub tokens: Vec<SecretString>,
}

/// What the door is handed of the world.
pub struct World {
    /// The clocks.
    pub clock: Arc<dyn Clock + Send>,
    /// The open state file.
    pub store: Store,
    /// Where it lies.
    pub state: PathBuf,
    /// What runs the stages, where they are to be woken.
    pub run: Option<Run>,
    /// Whom to tell that the door is open and alive.
    pub supervisor: Option<Supervisor>,
}

/// Why the door closed.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had, or the network failed.
    #[error("{0}")]
    Net(String),
    /// The certificate or its key cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The state file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What every request may look at.
struct Shared {
    options: Options,
    clock: Arc<dyn Clock + Send>,
    desk: Desk,
    bell: Option<Bell>,
    counts: Counts,
}

/// Opens the door and returns when it was asked to close.
///
/// # Errors
///
/// [`ServeError`] when it cannot be opened, or when the state file was replaced under it.
pub fn run(mut options: Options, world: World) -> Result<(), ServeError> {
    let tls = options.tls.take().map(|files| files.load()).transpose();
    let tls = tls.map_err(ServeError::Tls)?;
    let net = |err: std::io::Error| ServeError::Net(err.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // What asks for stock may wait; nothing else does.
        .max_blocking_threads(4)
        .build()
        .map_err(net)?;
    let desk = Desk::open(
        world.store,
        world.state,
        Arc::clone(&world.clock),
        options.queue,
    )?;
    let bell = match world.run {
        Some(run) => Some(Bell::hang(run, desk.clone(), options.wake_every).map_err(net)?),
        None => None,
    };
    let shared = Arc::new(Shared {
        options,
        clock: world.clock,
        desk: desk.clone(),
        bell: bell.clone(),
        counts: Counts::default(),
    });
    let ended = runtime.block_on(listen::serve(shared, tls, world.supervisor));
    // Requests that are still open lose their connection here; what was answered is durable.
    drop(runtime);
    if let Some(bell) = bell {
        bell.take_down();
    }
    let closed = desk.close();
    ended?;
    Ok(closed?)
}

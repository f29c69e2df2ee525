//! The network: takes connections, bounds each, and lets them end when the door closes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::serve::limits::Source;
use crate::serve::router::router;
use crate::serve::systemd::Supervisor;
use crate::serve::{ServeError, Shared};
use crate::store::Store;

/// The largest head of a request, and the most headers in it.
const MOST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
/// How long open requests may go on when the door closes.
const LAST_CALL: Duration = Duration::from_secs(5);
/// The pause after a connection could not be taken (no more file handles).
const PAUSE: Duration = Duration::from_millis(100);

/// Listens until a signal comes, or the state file is lost.
pub(super) async fn serve(
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    supervisor: Option<Supervisor>,
) -> Result<(), ServeError> {
    let wanted = shared.options.listen;
    let failed = |err: std::io::Error| ServeError::Net(format!("serve.listen {wanted}: {err}"));
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    let (mut term, mut int) = (
        signal(SignalKind::terminate()).map_err(failed)?,
        signal(SignalKind::interrupt()).map_err(failed)?,
    );
    log::info!(address:% = at; "listening at {at}");
    let supervisor = supervisor.map(Arc::new);
    if let Some(supervisor) = &supervisor {
        supervisor.tell("READY=1");
        if let Some(every) = supervisor.watchdog() {
            tokio::spawn(live(Arc::clone(&shared), Arc::clone(supervisor), every));
        }
    }
    let door = Door {
        read_timeout: shared.options.read_timeout,
        router: router(Arc::clone(&shared)),
        tls,
        graceful: GracefulShutdown::new(),
    };
    let slots = Arc::new(Semaphore::new(shared.options.connections));
    let why = tokio::select! {
        () = door.accept(&listener, &slots) => "the network ended",
        _ = term.recv() => "a signal",
        _ = int.recv() => "a signal",
        () = shared.desk.lost() => "the state file was replaced",
    };
    log::info!("closing: {why}");
    if let Some(supervisor) = &supervisor {
        supervisor.tell("STOPPING=1");
    }
    drop(listener);
    if tokio::time::timeout(LAST_CALL, door.graceful.shutdown())
        .await
        .is_err()
    {
        log::warn!("some requests were still open and are cut off");
    }
    Ok(())
}

/// Gives signs of life, as long as the state file answers.
async fn live(shared: Arc<Shared>, supervisor: Arc<Supervisor>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        match shared.desk.read(every, Store::seq).await {
            Ok(_) => supervisor.tell("WATCHDOG=1"),
            Err(err) => log::warn!("no sign of life is given: {err}"),
        }
    }
}

struct Door {
    read_timeout: Duration,
    router: Router,
    tls: Option<TlsAcceptor>,
    graceful: GracefulShutdown,
}

impl Door {
    async fn accept(&self, listener: &TcpListener, slots: &Arc<Semaphore>) {
        loop {
            // Never closed while the door is open.
            let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, peer)) => self.take(stream, peer.ip(), slot),
                Err(err) => {
                    log::warn!("a connection was not taken: {err}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: IpAddr, slot: OwnedSemaphorePermit) {
        // Answers are one small packet: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        let (router, watcher) = (self.router.clone(), self.graceful.watcher());
        let patience = self.read_timeout;
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let Some(tls) = tls else {
                let connection = connection(stream, peer, router, patience);
                let _ = watcher.watch(connection).await;
                return;
            };
            if let Ok(Ok(stream)) = tokio::time::timeout(patience, tls.accept(stream)).await {
                let connection = connection(stream, peer, router, patience);
                let _ = watcher.watch(connection).await;
            }
        });
    }
}

/// Prepares one connection; how it ends is the other side's business.
fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: IpAddr,
    router: Router,
    patience: Duration,
) -> http1::Connection<
    TokioIo<S>,
    impl Service<
        Request<Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send,
    >,
> {
    let routed = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Source(peer));
        routed.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(MOST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
}

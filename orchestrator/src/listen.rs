//! Sockets, TLS and HTTP/1.1, with a limit on everything. Refuses to know what is served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Engine;

/// Most connections at once, if so many files may be open.
const MAX_CONNECTIONS: usize = 20_000;
/// Of the files that may be open, one in so many is kept for the journal and for starting members.
const KEPT_FILES: u64 = 8;
/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's header, and between two requests of one connection.
const HEADER: Duration = Duration::from_secs(60);
/// What is sent must be acknowledged by the other side's kernel within this, milliseconds.
const USER_TIMEOUT_MS: libc::c_int = 10_000;
/// For connections to finish when we stop.
const FINISH: Duration = Duration::from_secs(3);

/// Serves `router` until `stop`, then lets what runs finish.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    engine: Engine,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    let room = Arc::new(Semaphore::new(room()));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let one = One {
            acceptor: acceptor.clone(),
            router: router.clone(),
            engine: engine.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(async move {
            one.engine.shared.stats.connections.fetch_add(1, Relaxed);
            one.serve(stream, peer).await;
            one.engine.shared.stats.connections.fetch_sub(1, Relaxed);
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    if timeout(FINISH, tasks.wait()).await.is_err() {
        tracing::warn!(
            open = tasks.len(),
            "connections did not finish in time and are cut"
        );
    }
}

/// Raises the limit of open files as far as allowed, and takes no more connections than it leaves room for: whoever
/// only connects must not keep us from writing and starting.
fn room() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return MAX_CONNECTIONS;
    };
    let files = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(e) => {
            tracing::warn!("the limit of open files stays at {soft}: {e}");
            soft
        }
    };
    let room = usize::try_from(files - files / KEPT_FILES).unwrap_or(MAX_CONNECTIONS);
    if room < MAX_CONNECTIONS {
        tracing::info!(
            files,
            connections = room,
            "the limit of open files limits connections"
        );
    }
    room.clamp(1, MAX_CONNECTIONS)
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(e) => {
            tracing::warn!("a connection could not be accepted: {e}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

struct One {
    acceptor: TlsAcceptor,
    router: Router,
    engine: Engine,
    stop: CancellationToken,
}

impl One {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true);
        user_timeout(&stream);
        let Ok(Ok(stream)) = timeout(HANDSHAKE, self.acceptor.accept(stream)).await else {
            tracing::debug!(%peer, "TLS handshake failed");
            return;
        };
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let mut router = router.clone();
            async move {
                let request: Request = request.map(axum::body::Body::new);
                tower_call(&mut router, request).await
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(e) = ended {
            tracing::debug!(%peer, "connection: {e}");
        }
    }
}

async fn tower_call(
    router: &mut Router,
    request: Request,
) -> Result<axum::response::Response, std::convert::Infallible> {
    use hyper_util::service::TowerToHyperService;
    hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request).await
}

/// A peer that vanished without a word is noticed when it does not acknowledge; best effort.
fn user_timeout(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let size = libc::socklen_t::try_from(size_of_val(&USER_TIMEOUT_MS)).expect("the size of an int fits");
    // SAFETY: the descriptor is open while the stream is borrowed; the kernel reads one int.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            std::ptr::from_ref(&USER_TIMEOUT_MS).cast(),
            size,
        );
    }
}

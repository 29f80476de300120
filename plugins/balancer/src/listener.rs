//! Sockets that clients connect to: accept, serve, close in order.
//!
//! This file refuses to know where requests go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::forward::{Entrance, forward};
use crate::limits::Limits;
use crate::table::TableInForce;

/// Pause after an accept that failed, such as for want of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: TableInForce,
    pub(crate) limits: Limits,
    /// Client connections and tunnels.
    pub(crate) tasks: TaskTracker,
    connections: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            table: TableInForce::default(),
            connections: Arc::new(Semaphore::new(limits.connections)),
            tasks: TaskTracker::new(),
            limits,
        })
    }
}

/// One socket that is being served.
#[derive(Debug)]
pub(crate) struct OpenListener {
    closing: CancellationToken,
    accepting: JoinHandle<()>,
}

impl OpenListener {
    /// Begins to serve a socket.
    pub(crate) fn serve(socket: TcpListener, port: u16, shared: &Arc<Shared>) -> Self {
        let closing = CancellationToken::new();
        let accepting = tokio::spawn(accept(socket, port, shared.clone(), closing.clone()));
        Self { closing, accepting }
    }

    /// Closes the socket. Connections finish the request they have, within [`Limits::listener_drain`].
    pub(crate) async fn close(self) {
        self.closing.cancel();
        // The socket is free again once this task has ended; a panic in it frees the socket, too.
        let _ = self.accepting.await;
    }
}

async fn accept(socket: TcpListener, port: u16, shared: Arc<Shared>, closing: CancellationToken) {
    loop {
        let next = tokio::select! {
            next = next_connection(&socket, &shared) => next,
            () = closing.cancelled() => return,
        };
        let (stream, peer, permit) = match next {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, port, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let entrance = Entrance {
            client: peer.ip(),
            port,
            closing: closing.clone(),
            room: Arc::new(permit),
        };
        shared.tasks.spawn(serve(stream, entrance, shared.clone()));
    }
}

/// Room is made sure of first: what does not fit waits in the kernel's queue, not in our memory.
async fn next_connection(
    socket: &TcpListener,
    shared: &Shared,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = shared
        .connections
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let (stream, peer) = socket.accept().await?;
    // Only a matter of speed.
    let _ = stream.set_nodelay(true);
    watch(&stream, shared.limits.client_stall);
    Ok((stream, peer, permit))
}

/// Has the kernel give up on a client that takes nothing for so long, or vanished in an idle tunnel. Best effort.
fn watch(stream: &TcpStream, stall: Duration) {
    let stall = u32::try_from(stall.as_millis()).unwrap_or(u32::MAX);
    let watched = setsockopt(stream, sockopt::TcpUserTimeout, &stall)
        .and_then(|()| setsockopt(stream, sockopt::TcpKeepIdle, &stall.div_ceil(1000).max(1)))
        .and_then(|()| setsockopt(stream, sockopt::KeepAlive, &true));
    if let Err(error) = watched {
        tracing::debug!(%error, "a client that stalls will not be noticed");
    }
}

async fn serve(stream: TcpStream, entrance: Entrance, shared: Arc<Shared>) {
    let closing = entrance.closing.clone();
    let limits = shared.limits.clone();
    let service = service_fn(move |request| {
        let (shared, entrance) = (shared.clone(), entrance.clone());
        Box::pin(async move { Ok::<_, std::convert::Infallible>(forward(&shared, &entrance, request).await) })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_head)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = Box::pin(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.listener_drain, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection of a client ended");
    }
}

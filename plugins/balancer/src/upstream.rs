//! One member's port: how to connect to it, its idle connections, and whether it lately could be reached.
//!
//! This file refuses to know which requests come here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cartridge_protocol::{ClusterId, MemberId};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::body::Outgoing;
use crate::limits::Limits;

/// How long a connection may take to become free after its answer was read.
const SETTLE: Duration = Duration::from_secs(1);

/// What makes two endpoints of two topologies the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UpstreamKey {
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
    pub(crate) incarnation: u64,
    pub(crate) address: SocketAddr,
}

/// One member's port.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) member: Arc<MemberId>,
    pub(crate) address: SocketAddr,
    /// Cancelled when the member left the topology.
    pub(crate) left: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last one in is the first one out: the freshest.
    idle: Vec<Idle>,
    keeps_idle: bool,
    ejected_until: Option<Instant>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Outgoing>,
    since: Instant,
}

/// Why there is no connection to a member.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect: {0}")]
    Refused(#[from] std::io::Error),
    #[error("no connection within {0:?}")]
    Slow(Duration),
    #[error("cannot speak HTTP: {0}")]
    Handshake(#[from] hyper::Error),
}

impl Upstream {
    pub(crate) fn new(key: &UpstreamKey) -> Self {
        Self {
            member: Arc::new(key.member.clone()),
            address: key.address,
            left: CancellationToken::new(),
            state: Mutex::new(State {
                idle: Vec::new(),
                keeps_idle: true,
                ejected_until: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection. A member that cannot be reached is ejected for a while, one that can no longer is.
    pub(crate) async fn connect(&self, limits: &Limits) -> Result<SendRequest<Outgoing>, ConnectError> {
        let connected = self.open(limits).await;
        self.state().ejected_until = match &connected {
            Ok(_) => None,
            Err(_) => Some(Instant::now() + limits.ejection),
        };
        connected
    }

    async fn open(&self, limits: &Limits) -> Result<SendRequest<Outgoing>, ConnectError> {
        let stream = timeout(limits.connect, TcpStream::connect(self.address))
            .await
            .map_err(|_| ConnectError::Slow(limits.connect))??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with its sender and its last body, or with the runtime.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to a member broke");
            }
        });
        Ok(sender)
    }

    /// An idle connection that seems to be alive; its peer may be closing it right now.
    pub(crate) fn take_idle(&self, limits: &Limits) -> Option<SendRequest<Outgoing>> {
        let mut state = self.state();
        while let Some(idle) = state.idle.pop() {
            if idle.sender.is_ready() && idle.since.elapsed() < limits.pool_idle {
                return Some(idle.sender);
            }
        }
        None
    }

    /// Takes a connection back whose answer was read to the end.
    pub(crate) fn give_back(self: &Arc<Self>, mut sender: SendRequest<Outgoing>, pool_size: usize) {
        if sender.is_closed() {
            return;
        }
        if sender.is_ready() {
            return self.park(sender, pool_size);
        }
        let upstream = self.clone();
        // No runtime: the plugin is ending, and so may the connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Ok(Ok(())) = timeout(SETTLE, sender.ready()).await {
                    upstream.park(sender, pool_size);
                }
            });
        }
    }

    fn park(&self, sender: SendRequest<Outgoing>, pool_size: usize) {
        let mut state = self.state();
        if state.keeps_idle && state.idle.len() < pool_size {
            state.idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    /// Closes idle connections that are closed already or were idle for too long.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let keep = |idle: &Idle| idle.sender.is_ready() && idle.since.elapsed() < limits.pool_idle;
        self.state().idle.retain(keep);
    }

    /// Whether connections may wait here for the next request.
    pub(crate) fn keep_idle_connections(&self, keep: bool) {
        let mut state = self.state();
        state.keeps_idle = keep;
        if !keep {
            state.idle.clear();
        }
    }

    /// The member left the topology: what is in flight may finish, nothing stays open after that.
    pub(crate) fn leave(&self) {
        self.keep_idle_connections(false);
        self.left.cancel();
    }

    /// Whether it is skipped for now.
    pub(crate) fn is_ejected(&self, now: Instant) -> bool {
        self.state().ejected_until.is_some_and(|until| now < until)
    }

    #[cfg(test)]
    pub(crate) fn eject_until(&self, until: Instant) {
        self.state().ejected_until = Some(until);
    }
}

//! A connection that changed its protocol, such as to WebSocket: bytes are copied both ways.
//!
//! This file refuses to know what the bytes mean.

use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::load::Flight;

/// Both sides must have changed the protocol within this time.
const CHANGE: Duration = Duration::from_secs(10);

/// What ends a tunnel, some time after it happened, and what is free again then.
pub(crate) struct Ends {
    pub(crate) listener: CancellationToken,
    pub(crate) member: CancellationToken,
    pub(crate) drain: Duration,
    /// Held to the end: a tunnel is a connection, too.
    pub(crate) room: Arc<OwnedSemaphorePermit>,
}

impl Ends {
    async fn come(&self) {
        tokio::select! {
            () = self.listener.cancelled() => {}
            () = self.member.cancelled() => {}
        }
        tokio::time::sleep(self.drain).await;
    }
}

/// Copies until one side ends, or the listener or the member is gone. The request is in flight so long.
pub(crate) async fn copy(client: OnUpgrade, member: OnUpgrade, ends: Ends, flight: Flight) {
    let changed = tokio::time::timeout(CHANGE, async { tokio::try_join!(client, member) }).await;
    if let Ok(Ok((client, member))) = changed {
        let (mut client, mut member) = (TokioIo::new(client), TokioIo::new(member));
        tokio::select! {
            copied = tokio::io::copy_bidirectional(&mut client, &mut member) => {
                if let Err(error) = copied {
                    tracing::debug!(%error, "tunnel broke");
                }
            }
            () = ends.come() => {}
        }
    }
    drop((flight, ends.room));
}

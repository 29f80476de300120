//! What waits for the writer, and what is answered. Refuses to know what becomes of it.

use cartridge_orchestrator_plan::answer::{JoinRefused, Joining, StepEnded};
use cartridge_orchestrator_plan::order::Order;
use cartridge_protocol::tenant::TenantId;
use tokio::sync::oneshot;

use super::SubmitError;

/// One thing that waits for the writer.
pub(crate) enum Input {
    /// An order of somebody of this tenant.
    Order(TenantId, Box<Order>, oneshot::Sender<Result<u64, SubmitError>>),
    /// A member introduces itself; its token was found right.
    Join(Joining, oneshot::Sender<Result<(), JoinRefused>>),
    /// A provisioner answered.
    StepEnded(StepEnded),
}

/// An answer that is sent once everything before it is durable.
pub(crate) enum Reply {
    Order(
        oneshot::Sender<Result<u64, SubmitError>>,
        Result<u64, SubmitError>,
    ),
    Join(oneshot::Sender<Result<(), JoinRefused>>, Result<(), JoinRefused>),
}

impl Reply {
    /// Sends it; nobody may be waiting any more.
    pub(crate) fn send(self) {
        match self {
            Self::Order(reply, result) => _ = reply.send(result),
            Self::Join(reply, result) => _ = reply.send(result),
        }
    }
}

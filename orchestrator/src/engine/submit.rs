//! Orders go to the writer, and its answer comes back, or a deadline passes. Refuses to know what is ordered.

use std::time::Duration;

use cartridge_orchestrator_plan::order::Order;
use cartridge_protocol::tenant::TenantId;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::input::Input;
use super::{Engine, SubmitError};

/// For an order to become durable.
const DURABLE: Duration = Duration::from_secs(10);

impl Engine {
    /// Gives an order. Answers with the journal position of its last record once that is durable and applied (the
    /// position of the world where the order needed no record); [`SubmitError::Unavailable`] after ten seconds without
    /// an answer.
    pub async fn submit(&self, order: Order) -> Result<u64, SubmitError> {
        self.submit_as(TenantId::SUPER, order).await
    }

    /// The same for somebody of this tenant: what belongs to others is refused as if it did not exist.
    pub async fn submit_as(&self, tenant: TenantId, order: Order) -> Result<u64, SubmitError> {
        self.submit_within(DURABLE, tenant, order).await
    }

    async fn submit_within(
        &self,
        limit: Duration,
        tenant: TenantId,
        order: Order,
    ) -> Result<u64, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || SubmitError::Unavailable("the orchestrator is stopping".to_owned());
        let answered = async {
            let input = Input::Order(tenant, Box::new(order), reply);
            self.shared.inputs.send(input).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())?
        };
        timeout(limit, answered).await.unwrap_or_else(|_| {
            Err(SubmitError::Unavailable(format!(
                "the journal did not take the order within {} s; it may still be carried out: look before you repeat it",
                limit.as_secs()
            )))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::Clock;
    use crate::engine::{Intervals, Parts, State};
    use crate::identity::Identity;
    use crate::journal::{Journal, Keep};

    #[tokio::test]
    async fn an_order_that_nobody_answers_ends_with_words_that_promise_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, world) = Journal::open(&folder.path().join("journal.redb"), Keep::default()).unwrap();
        // The writer never runs: that is how one looks that hangs in the journal.
        let (engine, _waiting) = Engine::new(Parts {
            state: State {
                world,
                ..State::default()
            },
            journal,
            identity: Arc::new(Identity::from_key(&[7; 32]).unwrap()),
            clock: Clock::start(),
            lines: crate::lines::Lines::nowhere(),
            intervals: Intervals::default(),
            stopping: CancellationToken::new(),
        });
        let order = Order::Resume {
            by: "test".to_owned(),
        };
        let submitted = engine.submit_within(Duration::from_millis(20), TenantId::SUPER, order);
        let answer = timeout(Duration::from_secs(10), submitted)
            .await
            .expect("it ends");
        let said = answer.unwrap_err().to_string();
        assert!(said.contains("may still be carried out"), "{said}");
    }
}

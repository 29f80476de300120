//! How a blocking piece of work is told to give up. It refuses to know what the work is.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Longest that a stop without a time of its own lets work run.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Raised by whoever wants blocking work to end; it also has a deadline, so that all work ends.
#[derive(Clone, Debug)]
pub struct Stop {
    token: CancellationToken,
    deadline: Instant,
}

impl Stop {
    /// Not raised; ends work after half an hour.
    pub fn new() -> Self {
        Self::within(LONGEST)
    }

    /// Not raised; ends work after `time`.
    pub fn within(time: Duration) -> Self {
        Self {
            token: CancellationToken::new(),
            deadline: Instant::now() + time,
        }
    }

    /// The same, with no more than so much time from now.
    pub(super) fn at_most(&self, time: Duration) -> Self {
        Self {
            token: self.token.clone(),
            deadline: self.deadline.min(Instant::now() + time),
        }
    }

    /// Asks the work to end, from any thread.
    pub fn raise(&self) {
        self.token.cancel();
    }

    /// Whether the work has to end.
    pub fn is_raised(&self) -> bool {
        self.token.is_cancelled() || Instant::now() >= self.deadline
    }

    /// Returns when the work has to end.
    pub(super) async fn raised(&self) {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        tokio::select! {
            () = self.token.cancelled() => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

//! The orchestrator's one monotonic clock, and the wall clock for people's eyes. Nothing else reads either.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cartridge_protocol::Millis;

/// Milliseconds since this orchestrator began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// Begins at zero.
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Now. What is replayed from the journal counts as having happened at zero.
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Wall clock, milliseconds since 1970: for people only, no decision reads it (S24).
    pub fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Microseconds since the beginning, for measuring durations.
    pub fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

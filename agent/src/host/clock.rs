//! Time and chance. Refuses to know what they are used for.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cartridge_protocol::Millis;
use ring::rand::SecureRandom;

/// The agent's monotonic clock; wall time decides nothing.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// What it showed then.
    at: Millis,
}

impl Clock {
    /// Begins at zero.
    pub fn start() -> Self {
        Self::resume(Millis::ZERO)
    }

    /// Goes on where the clock of the agent before has stopped.
    pub fn resume(at: Millis) -> Self {
        Self {
            start: Instant::now(),
            at,
        }
    }

    /// Now.
    pub fn now(&self) -> Millis {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.plus(Millis(passed))
    }

    /// The instant to sleep until for `at`, never past it by rounding.
    pub fn instant(&self, at: Millis) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_millis(at.since(self.at).0))
    }
}

/// Wall time, for those who read a commit's date.
pub fn seconds_since_1970() -> u64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH);
    age.map_or(0, |age| age.as_secs())
}

/// A number in 0..1.
pub fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the waits only lose their jitter.
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

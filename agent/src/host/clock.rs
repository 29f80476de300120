//! Time and chance. Refuses to know what they are used for.

use std::time::{Duration, Instant};

use cartridge_protocol::Millis;
use ring::rand::SecureRandom;

/// The agent's monotonic clock; wall time is used nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Begins at zero.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Now.
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The instant to sleep until for `at`, never past it by rounding.
    pub fn instant(&self, at: Millis) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0 + Duration::from_millis(at.0))
    }
}

/// A number in 0..1.
pub fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the waits only lose their jitter.
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

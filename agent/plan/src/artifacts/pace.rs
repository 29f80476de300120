//! Whether bytes come in fast enough to be waited for. Refuses to know clocks.

use cartridge_protocol::Millis;

/// Least bytes in the time that patience lasts.
pub const LEAST: u64 = 1 << 10;

/// Counts what comes in.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    patience: Millis,
    since: Millis,
    bytes: u64,
}

impl Pace {
    /// Begins to wait, for `patience` seconds at a time.
    pub fn begin(patience: u64, now: Millis) -> Self {
        Self {
            patience: Millis::from_secs(patience),
            since: now,
            bytes: 0,
        }
    }

    /// So many bytes came. False: it is too slow.
    pub fn came(&mut self, bytes: u64, now: Millis) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if now.since(self.since) < self.patience {
            return true;
        }
        let enough = self.bytes >= LEAST;
        (self.since, self.bytes) = (now, 0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_is_too_slow_and_a_trickle_is_not() {
        let slow_after = |every: u64, bytes: u64| {
            let mut pace = Pace::begin(60, Millis::ZERO);
            (1..10_000)
                .map(|n| Millis(n * every))
                .find(|now| !pace.came(bytes, *now))
        };
        assert_eq!(
            slow_after(1_000, 1),
            Some(Millis::from_secs(60)),
            "a byte a second"
        );
        assert_eq!(slow_after(1_000, 18), None, "1080 bytes a minute");
        assert_eq!(slow_after(50_000, 700), None);
        assert_eq!(
            slow_after(59_000, 100),
            Some(Millis(118_000)),
            "seen when something comes at last"
        );
    }
}

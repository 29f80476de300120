//! What one stream may bring: lines and bytes a second, with a reserve for bursts. Refuses to know what happens to the rest.

use cartridge_protocol::Millis;
use serde::{Deserialize, Serialize};

/// The reserve holds what comes in so many seconds.
const BURST_SECONDS: i64 = 4;

/// What one stream may bring in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Lines.
    pub lines: u32,
    /// Bytes.
    pub bytes: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            lines: 500,
            bytes: 256 << 10,
        }
    }
}

/// A token bucket for lines and one for bytes, in thousandths; bytes may be owed, so that any line passes once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    rate: Rate,
    lines: i64,
    bytes: i64,
    at: Millis,
}

impl Bucket {
    /// Full.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            lines: i64::from(rate.lines) * 1000 * BURST_SECONDS,
            bytes: i64::from(rate.bytes) * 1000 * BURST_SECONDS,
            at: Millis::ZERO,
        }
    }

    /// Time has passed.
    pub fn fill(&mut self, now: Millis) {
        let most = 1000 * BURST_SECONDS;
        let passed = i64::try_from(now.since(self.at).0).unwrap_or(most).min(1 << 30);
        self.at = self.at.max(now);
        let (lines, bytes) = (i64::from(self.rate.lines), i64::from(self.rate.bytes));
        self.lines = (self.lines + lines * passed).min(lines * most);
        self.bytes = (self.bytes + bytes * passed).min(bytes * most);
    }

    /// Whether a line may pass now.
    pub fn admits(&self) -> bool {
        self.lines >= 1000 && self.bytes > 0
    }

    /// A line of so many bytes passed.
    pub fn spend(&mut self, bytes: u64) {
        self.lines -= 1000;
        // Nobody owes more than a minute, however long a line was.
        let cost = i64::try_from(bytes).unwrap_or(i64::MAX / 2).saturating_mul(1000);
        let most_owed = i64::from(self.rate.bytes) * 60_000;
        self.bytes = self.bytes.saturating_sub(cost).max(-most_owed);
    }

    /// When a line may pass.
    pub fn ready(&self) -> Millis {
        let wait = |lacks: i64, rate: u32| {
            let rate = i64::from(rate.max(1));
            u64::try_from((lacks.max(0) + rate - 1) / rate).unwrap_or(0)
        };
        let lines = wait(1000 - self.lines, self.rate.lines);
        let bytes = wait(1 - self.bytes, self.rate.bytes);
        self.at.plus(Millis(lines.max(bytes)))
    }

    /// The rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_of_time_sees_more_than_the_reserve_and_the_rate(
            lines in 1u32..50, bytes in 100u32..5000,
            writes in proptest::collection::vec((0u64..400, 1u64..300), 1..300),
        ) {
            let mut bucket = Bucket::new(Rate { lines, bytes });
            let mut now = Millis::ZERO;
            let mut passed: Vec<(u64, u64)> = Vec::new();
            for (pause, size) in writes {
                now = now.plus(Millis(pause));
                bucket.fill(now);
                if bucket.admits() {
                    prop_assert!(bucket.ready() <= now);
                    bucket.spend(size);
                    passed.push((now.0, size));
                } else {
                    prop_assert!(bucket.ready() > now);
                    let mut later = bucket.clone();
                    later.fill(bucket.ready());
                    prop_assert!(later.admits(), "it is ready when it says");
                    let mut early = bucket.clone();
                    early.fill(Millis(bucket.ready().0 - 1));
                    prop_assert!(!early.admits(), "and not before");
                }
            }
            for (i, (from, _)) in passed.iter().enumerate() {
                for (j, (to, _)) in passed.iter().enumerate().skip(i) {
                    let span = to - from + 4000;
                    let count = (j - i + 1) as u64;
                    prop_assert!(count * 1000 <= u64::from(lines) * span);
                    let sum: u64 = passed[i..j].iter().map(|(_, size)| size).sum();
                    prop_assert!(sum * 1000 <= u64::from(bytes) * span + 300_000);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_stands_or_a_monstrous_line_breaks_nothing() {
        let mut bucket = Bucket::new(Rate { lines: 1, bytes: 1 });
        bucket.fill(Millis(u64::MAX / 2));
        bucket.spend(u64::MAX);
        assert!(!bucket.admits());
        bucket.fill(Millis(5));
        assert!(bucket.ready() > Millis(u64::MAX / 2));
    }
}

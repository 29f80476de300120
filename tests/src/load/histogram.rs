//! Latencies in buckets that are at most three percent wide: percentiles without keeping every value.
//!
//! It refuses to know what was measured.

use std::time::Duration;

const PER_DOUBLING: u64 = 32;
const BUCKETS: usize = 60 * 32;

/// Counts by microseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    most: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            most: 0,
        }
    }
}

fn bucket(micros: u64) -> usize {
    let doublings = u64::from(micros.max(1).ilog2()).saturating_sub(5);
    let within = (micros >> doublings) % PER_DOUBLING;
    let index = if micros < PER_DOUBLING {
        micros
    } else {
        (doublings + 1) * PER_DOUBLING + within
    };
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The largest value that falls into a bucket.
fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < PER_DOUBLING {
        return index;
    }
    let doublings = index / PER_DOUBLING - 1;
    ((PER_DOUBLING + index % PER_DOUBLING + 1) << doublings) - 1
}

impl Histogram {
    /// Counts one value.
    pub fn add(&mut self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.most = self.most.max(micros);
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The value that `percent` of all values do not exceed, to three percent; zero when nothing was counted.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank"
    )]
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = ((self.total as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper(index).min(self.most));
            }
        }
        Duration::from_micros(self.most)
    }

    /// The largest value.
    pub fn most(&self) -> Duration {
        Duration::from_micros(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_is_at_most_three_percent_wide() {
        for micros in (0..5000).chain([10_000, 123_456, 9_999_999, 3_600_000_000]) {
            let upper = upper(bucket(micros));
            assert!(upper >= micros, "{micros} is above its bucket's end {upper}");
            assert!(
                upper - micros <= micros / 31,
                "{micros} is in a bucket that ends at {upper}"
            );
        }
    }

    #[test]
    fn percentiles_are_ranks() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(99.0), Duration::ZERO);
        for millis in 1..=100 {
            histogram.add(Duration::from_millis(millis));
        }
        let p50 = histogram.percentile(50.0).as_millis();
        let p99 = histogram.percentile(99.0).as_millis();
        assert!(
            (50..=51).contains(&p50) && (99..=102).contains(&p99),
            "{p50} {p99}"
        );
        assert_eq!(histogram.percentile(100.0), Duration::from_millis(100));
    }
}

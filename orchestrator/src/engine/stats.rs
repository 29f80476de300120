//! Figures about the engine itself. Refuses to know how they are shown.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets per doubling: a figure read from a [`Histogram`] is at most an eighth too high.
const STEPS: u64 = 8;
/// Durations from 2^26 µs (67 s) on share the last bucket.
const BUCKETS: usize = 24 * STEPS as usize;

/// How long something took, over the life of the process; bounded.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

/// A [`Histogram`] at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramReading {
    /// How many.
    pub count: u64,
    /// All durations together, microseconds.
    pub sum_us: u64,
    /// Half of them took no longer, microseconds.
    pub p50_us: u64,
    /// 99 of 100 took no longer, microseconds.
    pub p99_us: u64,
    /// The longest, microseconds.
    pub max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_us: AtomicU64::new(0),
            max_us: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub(crate) fn record(&self, micros: u64) {
        self.buckets[bucket(micros)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(micros, Relaxed);
        self.max_us.fetch_max(micros, Relaxed);
    }

    fn read(&self) -> HistogramReading {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let max_us = self.max_us.load(Relaxed);
        let share = |hundredths: u64| {
            let wanted = (count * hundredths).div_ceil(100);
            let mut so_far = 0;
            let reached = counts.iter().position(|here| {
                so_far += here;
                so_far >= wanted
            });
            reached.map_or(0, |at| highest(at).min(max_us))
        };
        HistogramReading {
            count,
            sum_us: self.sum_us.load(Relaxed),
            p50_us: share(50),
            p99_us: share(99),
            max_us,
        }
    }
}

/// Exact below [`STEPS`], then so many per doubling.
fn bucket(micros: u64) -> usize {
    let at = if micros < STEPS {
        micros
    } else {
        let doublings = u64::from(micros.ilog2() - STEPS.ilog2());
        doublings * STEPS + (micros >> doublings)
    };
    usize::try_from(at).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The highest duration of a bucket.
fn highest(bucket: usize) -> u64 {
    let at = bucket as u64;
    let doublings = (at / STEPS).saturating_sub(1);
    let base = at - doublings * STEPS;
    ((base + 1) << doublings) - 1
}

/// Counted by the engine and the link.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) passes: Histogram,
    pub(crate) appends: Histogram,
    pub(crate) entries: AtomicU64,
    pub(crate) broken_plans: AtomicU64,
    pub(crate) dropped_records: AtomicU64,
    pub(crate) steps_running: AtomicU64,
    pub(crate) steps_failed: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) batches_refused: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) streams_ever: AtomicU64,
    pub(crate) connections: AtomicU64,
}

/// [`Stats`] at one instant.
#[derive(Clone, Debug, Default)]
pub struct StatsReading {
    /// Duration of planning passes.
    pub passes: HistogramReading,
    /// Duration of durable appends to the journal.
    pub appends: HistogramReading,
    /// Entries written since the start.
    pub entries: u64,
    /// Plans that the second reader refused.
    pub broken_plans: u64,
    /// Records that did not fit the world and were not written.
    pub dropped_records: u64,
    /// Steps that provisioners work on now.
    pub steps_running: u64,
    /// Steps that failed since the start.
    pub steps_failed: u64,
    /// Batches taken in.
    pub batches: u64,
    /// Batches refused.
    pub batches_refused: u64,
    /// Members that listen now.
    pub streams: u64,
    /// Open connections now.
    pub connections: u64,
    /// Inputs that wait for the writer now.
    pub waiting_inputs: u64,
    /// Lines of applications that were not kept on disk since the start.
    pub lines_lost: u64,
}

impl Stats {
    pub(crate) fn read(&self, waiting: usize, lines_lost: u64) -> StatsReading {
        StatsReading {
            passes: self.passes.read(),
            appends: self.appends.read(),
            entries: self.entries.load(Relaxed),
            broken_plans: self.broken_plans.load(Relaxed),
            dropped_records: self.dropped_records.load(Relaxed),
            steps_running: self.steps_running.load(Relaxed),
            steps_failed: self.steps_failed.load(Relaxed),
            batches: self.batches.load(Relaxed),
            batches_refused: self.batches_refused.load(Relaxed),
            streams: self.streams.load(Relaxed),
            connections: self.connections.load(Relaxed),
            waiting_inputs: waiting as u64,
            lines_lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_that_ends_closest_above_it() {
        for micros in (0..5_000).chain([65_535, 65_536, 1_000_000, 33_554_431]) {
            let at = bucket(micros);
            assert!(highest(at) >= micros, "{micros}");
            assert!(at == 0 || highest(at - 1) < micros, "{micros}");
            assert!(highest(at) - micros <= micros / 8 + 1, "{micros}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn one_slow_in_a_hundred_is_the_longest_and_not_the_p99() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read(), HistogramReading::default());
        (0..99).for_each(|_| histogram.record(1_000));
        histogram.record(500_000);
        let read = histogram.read();
        assert_eq!((read.count, read.max_us), (100, 500_000));
        assert!((1_000..=1_125).contains(&read.p99_us), "{read:?}");
        assert!((1_000..=1_125).contains(&read.p50_us), "{read:?}");
        histogram.record(500_000);
        histogram.record(500_000);
        assert_eq!(histogram.read().p99_us, 500_000);
    }
}

//! Figures about the engine itself. Refuses to know how they are shown.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets of [`Histogram`], microseconds; the last bucket has none.
pub const BUCKETS_US: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_000_000,
];

/// How long something took, over the life of the process.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

/// A [`Histogram`] at one instant.
#[derive(Clone, Debug, Default)]
pub struct HistogramReading {
    /// Count per bucket, not cumulated; one more than [`BUCKETS_US`].
    pub buckets: [u64; BUCKETS_US.len() + 1],
    /// All durations together, microseconds.
    pub sum_us: u64,
}

impl Histogram {
    pub(crate) fn record(&self, micros: u64) {
        let bucket = BUCKETS_US.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(micros, Relaxed);
    }

    fn read(&self) -> HistogramReading {
        HistogramReading {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            sum_us: self.sum_us.load(Relaxed),
        }
    }
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
}

impl Stats {
    pub(crate) fn read(&self, waiting: usize) -> StatsReading {
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
        }
    }
}

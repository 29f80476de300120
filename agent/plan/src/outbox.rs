//! What waits to be sent up: one slot for the newest measurement, one short lane of notices, one ring of lines.
//!
//! Refuses to know how it is sent. Notices stay until acknowledged; log lines until a batch with them was taken;
//! a newer measurement replaces the older.

use std::collections::VecDeque;

use cartridge_protocol::Millis;
use cartridge_protocol::link::{Batch, MAX_NOTICES, Notice, Status};
use cartridge_protocol::sample::{BalancerReading, Sample};

use crate::logs::ring::LogRing;
use crate::text::one_line;

/// Longest notice, bytes: 64 of them fit into a batch beside everything else.
const NOTICE_BYTES: usize = 1024;

/// Points of a percentage by which load or memory must have moved since it was told, to be told before its time.
const MOVED: f64 = 2.0;
/// The same for CPU, which jumps more and decides nothing.
const CPU_MOVED: f64 = 20.0;

/// What the orchestrator concludes from, of one sample: percentages.
#[derive(Clone, Copy, Debug)]
struct Figures {
    load: Option<f64>,
    memory: Option<f64>,
    cpu: Option<f64>,
}

impl Figures {
    fn of(sample: &Sample) -> Self {
        Self {
            load: sample.load_percent(),
            memory: sample.memory_percent(),
            cpu: sample.cpu_percent,
        }
    }

    /// So far that somebody may conclude something else. A figure that appears or vanishes has moved.
    fn moved(&self, now: &Self) -> bool {
        let far = |then: Option<f64>, now: Option<f64>, by: f64| match (then, now) {
            (Some(then), Some(now)) => (then - now).abs() >= by,
            (None, None) => false,
            _ => true,
        };
        far(self.load, now.load, MOVED)
            || far(self.memory, now.memory, MOVED)
            || far(self.cpu, now.cpu, CPU_MOVED)
    }
}

/// Everything that waits, but for the lines.
#[derive(Debug, Default)]
pub struct Outbox {
    sample: Option<Sample>,
    /// The figures that were sent last.
    told: Option<Figures>,
    balancer: Option<(BalancerReading, Millis)>,
    notices: VecDeque<Notice>,
    last_notice: u64,
    last_batch: u64,
    notices_dropped: u64,
}

/// What a batch carried, to be struck off once it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Last notice.
    pub notice: Option<u64>,
    /// Last line.
    pub line: Option<u64>,
    /// More lines wait.
    pub more: bool,
}

impl Outbox {
    /// Numbers begin after `base`.
    pub fn new(base: u64) -> Self {
        Self {
            last_notice: base,
            last_batch: base,
            ..Self::default()
        }
    }

    /// Replaces the measurement that waits. True: it differs so much from what was told last that it should not wait.
    pub fn measured(&mut self, sample: Sample) -> bool {
        let now = Figures::of(&sample);
        self.sample = Some(sample);
        self.told.is_none_or(|told| told.moved(&now))
    }

    /// Notices that nobody has heard of wait.
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// Replaces the balancer's reading that waits; `lasted` is the time that it is about. Averages then are about
    /// the time of both.
    pub fn read(&mut self, mut reading: BalancerReading, mut lasted: Millis) {
        if let Some((before, time)) = self.balancer.take() {
            let both = lasted.plus(time);
            for row in &mut reading.clusters {
                if let Some(old) = before.clusters.iter().find(|old| old.cluster == row.cluster)
                    && both > Millis::ZERO
                {
                    let area = row.in_flight_average * lasted.as_secs_f64()
                        + old.in_flight_average * time.as_secs_f64();
                    row.in_flight_average = area / both.as_secs_f64();
                }
            }
            lasted = both;
        }
        self.balancer = Some((reading, lasted));
    }

    /// Adds a notice; the oldest is dropped when the lane is full.
    pub fn notice(&mut self, kind: &str, text: &str) {
        if self.notices.len() == MAX_NOTICES {
            self.notices.pop_front();
            self.notices_dropped += 1;
        }
        self.last_notice += 1;
        self.notices.push_back(Notice {
            number: self.last_notice,
            kind: kind.to_owned(),
            text: one_line(text, NOTICE_BYTES),
        });
    }

    /// Kind and text of the notices that wait, oldest first, for another agent.
    pub fn handed(&self) -> Vec<(String, String)> {
        let notices = self.notices.iter();
        notices.map(|n| (n.kind.clone(), n.text.clone())).collect()
    }

    /// How many notices wait, and how many were dropped.
    pub fn waiting(&self) -> (usize, u64) {
        (self.notices.len(), self.notices_dropped)
    }

    /// How many notices nobody took in time.
    pub fn notices_dropped(&self) -> u64 {
        self.notices_dropped
    }

    /// The next batch, and what it carries. The measurement leaves its slot: an older one is never sent again.
    pub fn batch(&mut self, status: Status, ring: &mut LogRing) -> (Batch, Carried) {
        self.last_batch += 1;
        let logs = ring.begin();
        self.told = self.sample.as_ref().map(Figures::of).or(self.told);
        let carried = Carried {
            notice: self.notices.back().map(|n| n.number),
            line: logs.last().map(|l| l.number),
            more: logs.len() < ring.len(),
        };
        let batch = Batch {
            sequence: self.last_batch,
            status,
            sample: self.sample.take(),
            balancer: self.balancer.take().map(|(reading, _)| reading),
            notices: self.notices.iter().cloned().collect(),
            logs,
            logs_dropped: ring.dropped(),
        };
        (batch, carried)
    }

    /// A batch was taken: its notices up to `acknowledged` and its lines need not be sent again.
    pub fn taken(&mut self, ring: &mut LogRing, carried: Carried, acknowledged: u64) {
        let up_to = acknowledged.min(carried.notice.unwrap_or(0));
        while self.notices.front().is_some_and(|n| n.number <= up_to) {
            self.notices.pop_front();
        }
        ring.forget(carried.line.unwrap_or(0));
    }

    /// A batch was called impossible: sending the same again would only block what comes after.
    pub fn refused(&mut self, ring: &mut LogRing, carried: Carried) {
        let (before, lines) = (self.notices.len(), carried.line.unwrap_or(0));
        ring.refuse(lines);
        self.taken(ring, carried, u64::MAX);
        self.notices_dropped += (before - self.notices.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(batch: &Batch) -> Vec<u64> {
        batch.notices.iter().map(|n| n.number).collect()
    }

    #[test]
    fn notices_are_sent_until_acknowledged_and_never_before() {
        let (mut out, mut ring) = (Outbox::new(100), LogRing::new(100));
        out.notice("hook", "a");
        out.notice("hook", "b");
        let (first, carried) = out.batch(Status::starting(), &mut ring);
        assert_eq!(numbers(&first), [101, 102]);
        let (again, _) = out.batch(Status::starting(), &mut ring);
        assert_eq!(numbers(&again), [101, 102]);
        assert!(again.sequence > first.sequence);
        out.taken(&mut ring, carried, 101);
        assert_eq!(numbers(&out.batch(Status::starting(), &mut ring).0), [102]);
    }

    #[test]
    fn an_acknowledgement_of_the_future_drops_nothing_that_was_not_sent() {
        let (mut out, mut ring) = (Outbox::new(0), LogRing::new(0));
        out.notice("hook", "a");
        let (_, carried) = out.batch(Status::starting(), &mut ring);
        out.notice("hook", "b");
        out.taken(&mut ring, carried, u64::MAX);
        assert_eq!(numbers(&out.batch(Status::starting(), &mut ring).0), [2]);
    }

    #[test]
    fn hostile_output_is_bounded_and_every_batch_is_acceptable() {
        let (mut out, mut ring) = (Outbox::new(0), LogRing::new(0));
        for _ in 0..5000 {
            ring.push("out", &"\u{1}".repeat(10_000));
            out.notice("hook", &"\"".repeat(10_000));
        }
        assert!(ring.len() < 1000 && ring.dropped() >= 4000);
        assert_eq!(out.notices_dropped(), 5000 - 64);
        let (batch, carried) = out.batch(Status::starting(), &mut ring);
        batch.check().unwrap();
        assert!(carried.more && !batch.logs.is_empty());
        assert!(serde_json::to_vec(&batch).unwrap().len() < cartridge_protocol::link::MAX_BODY_BYTES);
    }

    #[test]
    fn readings_between_two_batches_are_averaged_over_their_time() {
        let reading = |average: f64, now: u64| BalancerReading {
            revision: 1,
            clusters: vec![cartridge_protocol::sample::ClusterReading {
                cluster: cartridge_protocol::ClusterId::new("a").unwrap(),
                in_flight_average: average,
                arrived: None,
                in_flight: now,
                served: 0,
                failed: 0,
                members: Vec::new(),
            }],
        };
        let (mut out, mut ring) = (Outbox::new(0), LogRing::new(0));
        out.read(reading(10.0, 9), Millis(900));
        out.read(reading(0.0, 1), Millis(100));
        let row = |batch: Batch| batch.balancer.unwrap().clusters.remove(0);
        let sent = row(out.batch(Status::starting(), &mut ring).0);
        assert!((sent.in_flight_average - 9.0).abs() < 1e-9 && sent.in_flight == 1);
        out.read(reading(4.0, 2), Millis(1_000));
        let sent = row(out.batch(Status::starting(), &mut ring).0);
        assert!(
            (sent.in_flight_average - 4.0).abs() < 1e-9,
            "a batch that was sent counts no more"
        );
    }

    #[test]
    fn figures_that_moved_are_told_at_once_and_steady_ones_in_time() {
        let (mut out, mut ring) = (Outbox::new(0), LogRing::new(0));
        let sample = |load: f64, used: Option<u64>| Sample {
            sequence: 1,
            scope: cartridge_protocol::sample::Scope::Machine,
            load: Some([load, 0.0, 0.0]),
            cores: 2.0,
            memory_used: used,
            memory_limit: Some(1000),
            cpu_percent: Some(1.0),
            throttled: None,
            pressure: None,
            readers: Vec::new(),
        };
        assert!(out.measured(sample(1.0, Some(100))), "nothing was told yet");
        assert!(out.measured(sample(1.0, Some(100))), "it still waits");
        out.batch(Status::starting(), &mut ring);
        assert!(!out.measured(sample(1.03, Some(119))), "1.5 and 1.9 points");
        assert!(
            out.measured(sample(1.04, Some(100))),
            "2 points of load since it was told"
        );
        assert!(out.measured(sample(1.0, Some(80))), "2 points of memory less");
        assert!(out.measured(sample(1.0, None)), "memory is not known any more");
        out.measured(sample(1.03, Some(119)));
        out.batch(Status::starting(), &mut ring);
        assert!(
            !out.measured(sample(1.06, Some(119))),
            "small steps count from what was told"
        );
        assert!(out.measured(sample(1.08, Some(119))));
    }

    #[test]
    fn lines_leave_the_ring_only_after_they_were_taken() {
        let (mut out, mut ring) = (Outbox::new(0), LogRing::new(0));
        (0..300).for_each(|n| ring.push("out", &n.to_string()));
        let (first, carried) = out.batch(Status::starting(), &mut ring);
        assert_eq!((first.logs.len(), carried.more), (256, true));
        out.taken(&mut ring, carried, 0);
        let (second, carried) = out.batch(Status::starting(), &mut ring);
        assert_eq!(second.logs.first().map(|l| l.number), Some(257));
        assert!(!carried.more);
    }
}

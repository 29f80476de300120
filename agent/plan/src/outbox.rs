//! What waits to be sent up: one slot for the newest measurement, one short lane of notices, one ring of lines.
//!
//! Refuses to know how it is sent. Notices stay until acknowledged; log lines until a batch with them was taken;
//! a newer measurement replaces the older.

use std::collections::VecDeque;

use cartridge_protocol::Millis;
use cartridge_protocol::link::{Batch, LogLine, MAX_LOG_LINES, MAX_NOTICES, MAX_TEXT_BYTES, Notice, Status};
use cartridge_protocol::sample::{BalancerReading, Sample};

use crate::text::{cut, json_cost, one_line};

/// Most lines kept.
pub const MOST_LINES: usize = 1000;
/// Longest notice, bytes: 64 of them fit into a batch beside everything else.
const NOTICE_BYTES: usize = 1024;
/// Most bytes of lines in one batch, as JSON.
const LINES_BYTES: usize = 384 << 10;

/// The newest lines of the application; the oldest is dropped for a new one.
#[derive(Debug, Default)]
pub struct LogRing {
    lines: VecDeque<LogLine>,
    last: u64,
    dropped: u64,
}

impl LogRing {
    /// Numbers begin after `base`.
    pub fn new(base: u64) -> Self {
        Self {
            last: base,
            ..Self::default()
        }
    }

    /// Keeps a line, cut to what the link accepts.
    pub fn push(&mut self, stream: &str, text: &str) {
        if self.lines.len() == MOST_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.last += 1;
        self.lines.push_back(LogLine {
            number: self.last,
            stream: stream.to_owned(),
            text: cut(text, MAX_TEXT_BYTES).to_owned(),
        });
    }

    /// The oldest lines that fit into a batch.
    fn oldest(&self) -> Vec<LogLine> {
        let mut room = LINES_BYTES;
        self.lines
            .iter()
            .take(MAX_LOG_LINES)
            .take_while(|line| match room.checked_sub(json_cost(&line.text) + 64) {
                Some(left) => {
                    room = left;
                    true
                }
                None => false,
            })
            .cloned()
            .collect()
    }

    fn forget(&mut self, up_to: u64) {
        while self.lines.front().is_some_and(|line| line.number <= up_to) {
            self.lines.pop_front();
        }
    }
}

/// Everything that waits, but for the lines.
#[derive(Debug, Default)]
pub struct Outbox {
    sample: Option<Sample>,
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

    /// Replaces the measurement that waits.
    pub fn measured(&mut self, sample: Sample) {
        self.sample = Some(sample);
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

    /// How many notices nobody took in time.
    pub fn notices_dropped(&self) -> u64 {
        self.notices_dropped
    }

    /// The next batch, and what it carries. The measurement leaves its slot: an older one is never sent again.
    pub fn batch(&mut self, status: Status, ring: &LogRing) -> (Batch, Carried) {
        self.last_batch += 1;
        let logs = ring.oldest();
        let carried = Carried {
            notice: self.notices.back().map(|n| n.number),
            line: logs.last().map(|l| l.number),
            more: logs.len() < ring.lines.len(),
        };
        let batch = Batch {
            sequence: self.last_batch,
            status,
            sample: self.sample.take(),
            balancer: self.balancer.take().map(|(reading, _)| reading),
            notices: self.notices.iter().cloned().collect(),
            logs,
            logs_dropped: ring.dropped,
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
        let before = (self.notices.len(), ring.lines.len());
        self.taken(ring, carried, u64::MAX);
        self.notices_dropped += (before.0 - self.notices.len()) as u64;
        ring.dropped += (before.1 - ring.lines.len()) as u64;
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
        let (first, carried) = out.batch(Status::starting(), &ring);
        assert_eq!(numbers(&first), [101, 102]);
        let (again, _) = out.batch(Status::starting(), &ring);
        assert_eq!(numbers(&again), [101, 102]);
        assert!(again.sequence > first.sequence);
        out.taken(&mut ring, carried, 101);
        assert_eq!(numbers(&out.batch(Status::starting(), &ring).0), [102]);
    }

    #[test]
    fn an_acknowledgement_of_the_future_drops_nothing_that_was_not_sent() {
        let (mut out, mut ring) = (Outbox::new(0), LogRing::new(0));
        out.notice("hook", "a");
        let (_, carried) = out.batch(Status::starting(), &ring);
        out.notice("hook", "b");
        out.taken(&mut ring, carried, u64::MAX);
        assert_eq!(numbers(&out.batch(Status::starting(), &ring).0), [2]);
    }

    #[test]
    fn hostile_output_is_bounded_and_every_batch_is_acceptable() {
        let (mut out, mut ring) = (Outbox::new(0), LogRing::new(0));
        for _ in 0..5000 {
            ring.push("out", &"\u{1}".repeat(10_000));
            out.notice("hook", &"\"".repeat(10_000));
        }
        assert_eq!(ring.lines.len(), MOST_LINES);
        assert_eq!(ring.dropped, 4000);
        assert_eq!(out.notices_dropped(), 5000 - 64);
        let (batch, carried) = out.batch(Status::starting(), &ring);
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
                in_flight: now,
                served: 0,
                failed: 0,
                members: Vec::new(),
            }],
        };
        let (mut out, ring) = (Outbox::new(0), LogRing::new(0));
        out.read(reading(10.0, 9), Millis(900));
        out.read(reading(0.0, 1), Millis(100));
        let row = |batch: Batch| batch.balancer.unwrap().clusters.remove(0);
        let sent = row(out.batch(Status::starting(), &ring).0);
        assert!((sent.in_flight_average - 9.0).abs() < 1e-9 && sent.in_flight == 1);
        out.read(reading(4.0, 2), Millis(1_000));
        let sent = row(out.batch(Status::starting(), &ring).0);
        assert!(
            (sent.in_flight_average - 4.0).abs() < 1e-9,
            "a batch that was sent counts no more"
        );
    }

    #[test]
    fn lines_leave_the_ring_only_after_they_were_taken() {
        let (mut out, mut ring) = (Outbox::new(0), LogRing::new(0));
        (0..300).for_each(|n| ring.push("out", &n.to_string()));
        let (first, carried) = out.batch(Status::starting(), &ring);
        assert_eq!((first.logs.len(), carried.more), (256, true));
        out.taken(&mut ring, carried, 0);
        let (second, carried) = out.batch(Status::starting(), &ring);
        assert_eq!(second.logs.first().map(|l| l.number), Some(257));
        assert!(!carried.more);
    }
}

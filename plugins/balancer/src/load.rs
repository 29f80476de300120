//! Requests in flight of one cluster: how many, where, and how many on average since the last reading.
//!
//! The average is over time: the integral of the count divided by the time passed, so that a burst between two
//! readings is not missed. This file refuses to know what a request is; the caller says what time it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cartridge_protocol::MemberId;

/// What one cluster is doing. It outlives every table that the cluster is in.
#[derive(Debug)]
pub(crate) struct ClusterLoad {
    gauge: Mutex<Gauge>,
    arrived: AtomicU64,
    served: AtomicU64,
    failed: AtomicU64,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Gauge {
    count: u64,
    /// Requests times seconds since `since`.
    area: f64,
    since: Instant,
    changed: Instant,
    members: BTreeMap<Arc<MemberId>, u64>,
}

/// What a reading says.
#[derive(Debug, PartialEq)]
pub(crate) struct LoadReading {
    pub average: f64,
    pub in_flight: u64,
    pub arrived: u64,
    pub served: u64,
    pub failed: u64,
    pub members: BTreeMap<Arc<MemberId>, u64>,
}

impl Gauge {
    #[allow(clippy::cast_precision_loss, reason = "2^53 requests in flight do not happen")]
    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.changed).as_secs_f64();
        self.area += self.count as f64 * passed;
        self.changed = self.changed.max(now);
    }

    #[allow(clippy::cast_precision_loss, reason = "2^53 requests in flight do not happen")]
    fn average(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        let average = if passed > 0.0 {
            self.area / passed
        } else {
            self.count as f64
        };
        self.area = 0.0;
        self.since = now;
        average
    }
}

impl ClusterLoad {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            gauge: Mutex::new(Gauge {
                count: 0,
                area: 0.0,
                since: now,
                changed: now,
                members: BTreeMap::new(),
            }),
            arrived: AtomicU64::new(0),
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
        }
    }

    /// Whose turn it is, among `among` members.
    pub(crate) fn turn(&self, among: usize) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % among.max(1)
    }

    /// What happened since the last reading.
    pub(crate) fn read(&self, now: Instant) -> LoadReading {
        let mut gauge = self.gauge();
        LoadReading {
            average: gauge.average(now),
            in_flight: gauge.count,
            arrived: self.arrived.load(Ordering::Relaxed),
            served: self.served.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            members: gauge.members.clone(),
        }
    }

    fn gauge(&self) -> MutexGuard<'_, Gauge> {
        self.gauge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    /// The client left before there was an answer.
    Abandoned,
    Served,
    Failed,
}

/// One request in flight; it has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    load: Arc<ClusterLoad>,
    member: Option<Arc<MemberId>>,
    ending: Ending,
}

impl Flight {
    pub(crate) fn begin(load: &Arc<ClusterLoad>, now: Instant) -> Self {
        let mut gauge = load.gauge();
        gauge.advance(now);
        gauge.count += 1;
        drop(gauge);
        load.arrived.fetch_add(1, Ordering::Relaxed);
        Self {
            load: load.clone(),
            member: None,
            ending: Ending::Abandoned,
        }
    }

    /// The request is with this member now, and no longer with the one before.
    pub(crate) fn goes_to(&mut self, member: &Arc<MemberId>) {
        let mut gauge = self.load.gauge();
        leave(&mut gauge, self.member.take());
        *gauge.members.entry(member.clone()).or_default() += 1;
        drop(gauge);
        self.member = Some(member.clone());
    }

    /// The member answered.
    pub(crate) fn answered(&mut self) {
        self.ending = Ending::Served;
    }

    /// The client does not get what it asked for.
    pub(crate) fn failed(&mut self) {
        self.ending = Ending::Failed;
    }
}

fn leave(gauge: &mut Gauge, member: Option<Arc<MemberId>>) {
    let Some(member) = member else { return };
    if let Some(count) = gauge.members.get_mut(&member) {
        *count -= 1;
        if *count == 0 {
            gauge.members.remove(&member);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut gauge = self.load.gauge();
        gauge.advance(Instant::now());
        gauge.count -= 1;
        leave(&mut gauge, self.member.take());
        drop(gauge);
        match self.ending {
            Ending::Abandoned => {}
            Ending::Served => drop(self.load.served.fetch_add(1, Ordering::Relaxed)),
            Ending::Failed => drop(self.load.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn member(name: &str) -> Arc<MemberId> {
        Arc::new(name.parse().unwrap())
    }

    #[test]
    fn the_average_is_weighted_by_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let load = Arc::new(ClusterLoad::new(start));
        let _one = Flight::begin(&load, at(2));
        let _two = Flight::begin(&load, at(6));
        // 0 for 2 s, 1 for 4 s, 2 for 4 s: 12 request-seconds in 10 s.
        let reading = load.read(at(10));
        assert!((reading.average - 1.2).abs() < 1e-9, "{reading:?}");
        assert_eq!(reading.in_flight, 2);
        let next = load.read(at(20));
        assert!((next.average - 2.0).abs() < 1e-9, "{next:?}");
    }

    #[test]
    fn a_request_counts_at_one_member_at_a_time_and_nowhere_after_its_end() {
        let load = Arc::new(ClusterLoad::new(Instant::now()));
        let (a, b) = (member("a"), member("b"));
        let mut flight = Flight::begin(&load, Instant::now());
        flight.goes_to(&a);
        flight.goes_to(&b);
        let reading = load.read(Instant::now());
        assert_eq!(reading.members, BTreeMap::from([(b, 1)]));
        drop(flight);
        let reading = load.read(Instant::now());
        assert_eq!((reading.in_flight, reading.members.len()), (0, 0));
    }

    #[test]
    fn an_abandoned_request_is_neither_served_nor_failed() {
        let load = Arc::new(ClusterLoad::new(Instant::now()));
        drop(Flight::begin(&load, Instant::now()));
        let mut served = Flight::begin(&load, Instant::now());
        served.answered();
        drop(served);
        let mut failed = Flight::begin(&load, Instant::now());
        failed.failed();
        drop(failed);
        let reading = load.read(Instant::now());
        assert_eq!((reading.served, reading.failed), (1, 1));
        assert_eq!(reading.arrived, 3, "all of them came");
    }
}

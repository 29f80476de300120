//! The count: what was sent, what came of it, and which failures had a killed process as their cause.
//!
//! It refuses to send anything and to read a clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Outcome;
use super::histogram::Histogram;

/// Requests whose records are kept; later ones are counted only.
pub const MAX_RECORDS: usize = 2_000_000;
/// Failures that are kept in words; later ones are counted only.
pub const MAX_FAILURES: usize = 10_000;

/// One request. Times are since the generator began.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it was sent.
    pub began: Duration,
    /// When its answer was complete, or its fault known.
    pub ended: Duration,
    /// The answer's status.
    pub status: Option<u16>,
    /// Whether it failed.
    pub failed: bool,
    /// Who answered.
    pub member: Option<Arc<str>>,
    /// Out of which release.
    pub release: Option<Arc<str>>,
}

/// One request that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it was sent, since the generator began.
    pub began: Duration,
    /// When it had failed.
    pub ended: Duration,
    /// The balancer it went to.
    pub peer: SocketAddr,
    /// The member that answered, where one did.
    pub member: Option<Arc<str>>,
    /// Why, for people.
    pub reason: String,
    /// It was in flight when a process was killed.
    pub in_flight_on_killed: bool,
}

/// A process was killed.
#[derive(Clone, Debug)]
pub struct Kill {
    /// When.
    pub at: Instant,
    /// How much later a request may have begun and still have met the dying process.
    pub window: Duration,
    /// Which member's it was, if known; answers of other members are then not excused.
    pub member: Option<String>,
}

impl Kill {
    /// A kill at this moment with a tenth of a second for the kernel to close sockets.
    pub fn now(member: Option<String>) -> Self {
        Self {
            at: Instant::now(),
            window: Duration::from_millis(100),
            member,
        }
    }
}

/// One second of the run, by the time at which requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Answered well.
    pub ok: u64,
    /// Failed, for whatever reason.
    pub failed: u64,
    /// Sum of the times of those answered well, seconds.
    pub busy_seconds: f64,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests begun.
    pub sent: u64,
    /// Answered with a status below 400, completely.
    pub ok: u64,
    /// Failed though nobody killed anything: what the platform answers for.
    pub failed: u64,
    /// Failed while in flight on a process that was killed.
    pub failed_on_killed: u64,
    /// Half of the good answers took at most so long.
    pub p50: Duration,
    /// 99 of 100 good answers took at most so long.
    pub p99: Duration,
    /// The longest good answer.
    pub longest: Duration,
    /// Good answers per member.
    pub members: BTreeMap<Arc<str>, u64>,
    /// Good answers per release.
    pub releases: BTreeMap<Arc<str>, u64>,
    /// Good answers per balancer.
    pub balancers: BTreeMap<SocketAddr, u64>,
    /// Failures in words, oldest first.
    pub failures: Vec<Failure>,
    /// The run, second by second.
    pub seconds: Vec<Second>,
}

impl Report {
    /// Requests still under way.
    pub fn in_flight(&self) -> u64 {
        self.sent
            .saturating_sub(self.ok + self.failed + self.failed_on_killed)
    }
}

pub(super) struct Tally {
    began: Instant,
    counted: Report,
    latencies: Histogram,
    records: Vec<Record>,
    kills: Vec<Kill>,
    names: BTreeMap<String, Arc<str>>,
}

impl Tally {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            counted: Report::default(),
            latencies: Histogram::default(),
            records: Vec::new(),
            kills: Vec::new(),
            names: BTreeMap::new(),
        }
    }

    pub(super) fn sent(&mut self) {
        self.counted.sent += 1;
    }

    pub(super) fn ended(&mut self, began: Instant, ended: Instant, peer: SocketAddr, outcome: Outcome) {
        let record = Record {
            began: began.saturating_duration_since(self.began),
            ended: ended.saturating_duration_since(self.began),
            status: outcome.status,
            failed: outcome.fault.is_some(),
            member: outcome.member.map(|name| self.name(name)),
            release: outcome.release.map(|name| self.name(name)),
        };
        match outcome.fault {
            Some(reason) => self.count_failure(&record, peer, reason),
            None => self.count_success(&record, peer),
        }
        if self.records.len() < MAX_RECORDS {
            self.records.push(record);
        }
    }

    /// A kill may be noted after its first victims were counted: they are looked at again.
    pub(super) fn note_kill(&mut self, kill: Kill) {
        for failure in &mut self.counted.failures {
            if !failure.in_flight_on_killed && excuses(&kill, self.began, failure) {
                failure.in_flight_on_killed = true;
                self.counted.failed -= 1;
                self.counted.failed_on_killed += 1;
            }
        }
        self.kills.push(kill);
    }

    pub(super) fn report(&self) -> Report {
        let mut report = self.counted.clone();
        report.p50 = self.latencies.percentile(50.0);
        report.p99 = self.latencies.percentile(99.0);
        report.longest = self.latencies.most();
        report
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.records.clone()
    }

    fn name(&mut self, name: String) -> Arc<str> {
        let shared: Arc<str> = name.as_str().into();
        Arc::clone(self.names.entry(name).or_insert(shared))
    }

    fn second(&mut self, ended: Duration) -> &mut Second {
        let index = usize::try_from(ended.as_secs())
            .unwrap_or(usize::MAX)
            .min(1 << 20);
        if self.counted.seconds.len() <= index {
            self.counted.seconds.resize(index + 1, Second::default());
        }
        &mut self.counted.seconds[index]
    }

    fn count_success(&mut self, record: &Record, peer: SocketAddr) {
        let took = record.ended.saturating_sub(record.began);
        self.latencies.add(took);
        let second = self.second(record.ended);
        second.ok += 1;
        second.busy_seconds += took.as_secs_f64();
        self.counted.ok += 1;
        *self.counted.balancers.entry(peer).or_default() += 1;
        if let Some(member) = &record.member {
            *self.counted.members.entry(Arc::clone(member)).or_default() += 1;
        }
        if let Some(release) = &record.release {
            *self.counted.releases.entry(Arc::clone(release)).or_default() += 1;
        }
    }

    fn count_failure(&mut self, record: &Record, peer: SocketAddr, reason: String) {
        self.second(record.ended).failed += 1;
        let mut failure = Failure {
            began: record.began,
            ended: record.ended,
            peer,
            member: record.member.clone(),
            reason,
            in_flight_on_killed: false,
        };
        failure.in_flight_on_killed = self.kills.iter().any(|kill| excuses(kill, self.began, &failure));
        if failure.in_flight_on_killed {
            self.counted.failed_on_killed += 1;
        } else {
            self.counted.failed += 1;
        }
        if self.counted.failures.len() < MAX_FAILURES {
            self.counted.failures.push(failure);
        }
    }
}

/// Whether the failed request was in flight when the process died, and not known to be another member's.
fn excuses(kill: &Kill, began: Instant, failure: &Failure) -> bool {
    let at = kill.at.saturating_duration_since(began);
    let other = match (&kill.member, &failure.member) {
        (Some(killed), Some(answered)) => killed.as_str() != &**answered,
        _ => false,
    };
    !other && failure.began <= at + kill.window && failure.ended >= at
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80);

    fn fail(tally: &mut Tally, zero: Instant, from: u64, to: u64, member: Option<&str>) {
        let outcome = Outcome {
            member: member.map(str::to_owned),
            fault: Some("status 502".into()),
            ..Outcome::default()
        };
        let at = |millis| zero + Duration::from_millis(millis);
        tally.sent();
        tally.ended(at(from), at(to), PEER, outcome);
    }

    #[test]
    fn only_requests_in_flight_at_the_kill_are_excused_before_and_after_it_is_noted() {
        let zero = Instant::now();
        let mut tally = Tally::new(zero);
        fail(&mut tally, zero, 100, 990, None);
        fail(&mut tally, zero, 900, 1010, None);
        let kill = Kill {
            at: zero + Duration::from_secs(1),
            window: Duration::from_millis(100),
            member: Some("a-1".into()),
        };
        tally.note_kill(kill);
        fail(&mut tally, zero, 1050, 1060, None);
        fail(&mut tally, zero, 1050, 1060, Some("a-2"));
        fail(&mut tally, zero, 1200, 1210, Some("a-1"));
        let report = tally.report();
        assert_eq!((report.sent, report.failed, report.failed_on_killed), (5, 3, 2));
        assert_eq!(report.seconds[1].failed, 4);
        let excused: Vec<_> = report.failures.iter().map(|f| f.in_flight_on_killed).collect();
        assert_eq!(excused, [false, true, true, false, false]);
    }
}

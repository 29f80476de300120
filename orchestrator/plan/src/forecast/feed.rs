//! From balancers' counters to steps of a few seconds.
//!
//! It refuses to know what a step is for. Each balancer counts the requests that came since it started; readings come
//! when they come. The feed adds the differences up until a step is full. A counter that went back belongs to a
//! balancer that started anew: it counts from there. A hole of more than [`HOLE`] is not averaged over: what came in
//! it is not known to have come evenly.

use std::collections::BTreeMap;

use cartridge_protocol::{Millis, NetworkPartitionId};

use super::watch::Counted;

/// More time than this between two readings is a hole.
const HOLE: Millis = Millis::from_secs(15);
/// A step that took so many times longer than it should is a hole too.
const LATE: f64 = 3.0;

/// Collects one cluster's readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feed {
    balancers: BTreeMap<NetworkPartitionId, Counter>,
    since: Option<Millis>,
    arrived: f64,
    failed: f64,
    served: f64,
    /// Requests times seconds.
    in_flight: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Counter {
    at: Millis,
    arrived: u64,
    failed: u64,
    served: u64,
}

/// A step that is full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Arrivals per second.
    pub rate: f64,
    /// Requests per second that were not answered as they should be.
    pub failed: f64,
    /// Answers per second.
    pub served: f64,
    /// Requests in flight, mean.
    pub in_flight: f64,
    /// How long it was.
    pub seconds: f64,
    /// There was a hole before it.
    pub after_hole: bool,
}

impl Feed {
    /// Takes in one balancer's reading; answers with a step of so many seconds if one is full now.
    pub fn take_in(&mut self, counted: &Counted<'_>, step: f64) -> Option<Step> {
        let now = counted.at;
        let counter = Counter {
            at: now,
            arrived: counted.arrived,
            failed: counted.failed,
            served: counted.served,
        };
        let last = self.balancers.insert(counted.balancer.clone(), counter);
        self.balancers.retain(|_, known| now.since(known.at) <= HOLE);
        let last = last.filter(|last| now.since(last.at) <= HOLE && last.at < now)?;
        let since = *self.since.get_or_insert(last.at);
        let seconds = now.since(last.at).as_secs_f64();
        #[allow(
            clippy::cast_precision_loss,
            reason = "2^53 requests do not come between two readings"
        )]
        let more = |now: u64, before: u64| now.saturating_sub(before) as f64;
        self.arrived += more(counted.arrived, last.arrived);
        self.failed += more(counted.failed, last.failed);
        self.served += more(counted.served, last.served);
        self.in_flight += counted.in_flight.max(0.0) * seconds;
        let lasted = now.since(since).as_secs_f64();
        if lasted + 1e-3 < step {
            return None;
        }
        let full = Step {
            rate: self.arrived / lasted,
            failed: self.failed / lasted,
            served: self.served / lasted,
            in_flight: self.in_flight / lasted,
            seconds: lasted,
            after_hole: lasted > LATE * step,
        };
        (self.arrived, self.failed, self.served) = (0.0, 0.0, 0.0);
        (self.in_flight, self.since) = (0.0, Some(now));
        Some(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(feed: &mut Feed, balancer: &str, at: u64, arrived: u64, in_flight: f64) -> Option<Step> {
        let counted = Counted {
            balancer: &balancer.parse().unwrap(),
            at: Millis(at),
            arrived,
            failed: 0,
            served: arrived,
            in_flight,
        };
        feed.take_in(&counted, 5.0)
    }

    #[test]
    fn differences_of_counters_become_rates() {
        let mut feed = Feed::default();
        let steps: Vec<Step> = (0..=20)
            .filter_map(|s| take(&mut feed, "np", s * 1_000, s * 30, 4.0))
            .collect();
        assert_eq!(steps.len(), 4);
        for step in steps {
            assert_eq!((step.rate, step.in_flight, step.after_hole), (30.0, 4.0, false));
        }
    }

    #[test]
    fn several_balancers_add_up() {
        let mut feed = Feed::default();
        let mut steps = Vec::new();
        for s in 0..=40 {
            steps.extend(take(&mut feed, "a", s * 1_000, s * 10, 1.0));
            steps.extend(take(&mut feed, "b", s * 1_000 + 500, s * 20, 2.0));
        }
        let last = steps.last().unwrap();
        assert!(
            (last.rate - 30.0).abs() < 4.0 && (last.in_flight - 3.0).abs() < 0.5,
            "{last:?}"
        );
    }

    #[test]
    fn a_counter_that_went_back_is_no_burst_and_no_negative_rate() {
        let mut feed = Feed::default();
        for (s, arrived) in [(0, 1_000_000), (1, 1_000_010), (2, 3), (3, 13), (4, 23)] {
            assert_eq!(take(&mut feed, "np", s * 1_000, arrived, 0.0), None);
        }
        let step = take(&mut feed, "np", 5_000, 33, 0.0).unwrap();
        assert_eq!(step.rate, 8.0);
    }

    #[test]
    fn after_silence_the_step_says_that_there_was_a_hole() {
        let mut feed = Feed::default();
        take(&mut feed, "np", 0, 0, 0.0);
        take(&mut feed, "np", 1_000, 10, 0.0);
        assert_eq!(take(&mut feed, "np", 61_000, 900, 0.0), None);
        let step = take(&mut feed, "np", 62_000, 910, 0.0).unwrap();
        assert!(step.after_hole, "{step:?}");
    }
}

//! One cluster's arrivals from readings to a size: the feed, the service time and the forecaster together.
//!
//! It refuses to know which cluster it is.

use cartridge_protocol::{Millis, NetworkPartitionId};

use super::queue::Server;
use super::{Feed, Forecaster, Outlook, ServiceTime, Terms};
use crate::blueprint::ArrivalPolicy;

/// An outlook that is older than so many steps says nothing about now.
const OLD: f64 = 4.0;
/// Where more than this share of the requests fails, nothing is learned about the service time.
const FAILED: f64 = 0.01;

/// What is known of the cluster when a reading comes.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// What is promised.
    pub policy: &'a ArrivalPolicy,
    /// From asking for a member until it serves, seconds.
    pub start_delay: f64,
    /// Members that serve.
    pub active: u32,
    /// Most members that can be had.
    pub most: u32,
}

/// See above.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    feed: Feed,
    service: ServiceTime,
    forecaster: Option<Box<Forecaster>>,
    /// When the last step ended, and how long it was.
    last: Option<(Millis, f64)>,
}

/// One balancer's reading of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// Whose.
    pub balancer: &'a NetworkPartitionId,
    /// When it came.
    pub at: Millis,
    /// Requests that came since the balancer started.
    pub arrived: u64,
    /// Requests that were not answered as they should be, since the balancer started.
    pub failed: u64,
    /// Requests that were answered since the balancer started.
    pub served: u64,
    /// Requests in flight, mean since the reading before.
    pub in_flight: f64,
}

impl Watch {
    /// Takes in a reading, and forecasts when a step is full.
    pub fn take_in(&mut self, counted: &Counted<'_>, now: &Circumstances<'_>) {
        let step = Terms::step_for(now.start_delay);
        let Some(full) = self.feed.take_in(counted, step) else {
            return;
        };
        // What nobody serves takes no time: that is not how fast members are.
        if now.active > 0 && full.failed <= FAILED * full.rate {
            let workers = f64::from(now.policy.workers) * f64::from(now.active);
            self.service
                .observe(full.served, full.in_flight, full.seconds, workers);
        }
        let Some(server) = self.server(now.policy) else {
            return;
        };
        let terms = Terms {
            server,
            price: now.policy.violation_price,
            start_delay: now.start_delay,
            step: full.seconds.min(2.0 * step),
            most: now.most,
        };
        let forecaster = self
            .forecaster
            .get_or_insert_with(|| Box::new(Forecaster::new(full.rate, &terms)));
        if full.after_hole {
            forecaster.missed(full.rate);
        }
        forecaster.observe(full.rate, &terms);
        self.last = Some((counted.at, step));
    }

    /// The last outlook, if it is of now.
    pub fn outlook(&self, now: Millis) -> Option<&Outlook> {
        let (at, step) = self.last?;
        let young = now.since(at).as_secs_f64() <= OLD * step;
        self.forecaster
            .as_ref()
            .filter(|_| young)
            .map(|known| known.outlook())
    }

    /// Mean time in service, as the policy says or as it was learned.
    pub fn service_seconds(&self, policy: &ArrivalPolicy) -> Option<f64> {
        policy.service_seconds.or_else(|| self.service.seconds())
    }

    fn server(&self, policy: &ArrivalPolicy) -> Option<Server> {
        Some(Server {
            workers: policy.workers,
            service_seconds: self.service_seconds(policy)?,
            wait_seconds: policy.wait_seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ArrivalPolicy = ArrivalPolicy {
        workers: 5,
        wait_seconds: 0.1,
        service_seconds: None,
        violation_price: 130.0,
    };

    #[test]
    fn readings_become_a_size_and_silence_takes_it_back() {
        let mut watch = Watch::default();
        let np: NetworkPartitionId = "np".parse().unwrap();
        let now = Circumstances {
            policy: &POLICY,
            start_delay: 10.0,
            active: 10,
            most: 100,
        };
        assert_eq!(watch.outlook(Millis(0)), None);
        for second in 0..600_u64 {
            let counted = Counted {
                balancer: &np,
                at: Millis(second * 1_000),
                arrived: second * 200,
                failed: 0,
                served: second * 200,
                in_flight: 20.0,
            };
            watch.take_in(&counted, &now);
        }
        let service = watch.service_seconds(&POLICY).unwrap();
        assert!((service - 0.1).abs() < 1e-6, "learned: {service}");
        let outlook = watch.outlook(Millis(600_000)).unwrap();
        assert!(
            (5..=7).contains(&outlook.wanted),
            "200/s at 50/s each: {outlook:?}"
        );
        assert_eq!(
            watch.outlook(Millis(640_000)),
            None,
            "it is too old to say anything"
        );
    }

    #[test]
    fn as_long_as_the_service_time_is_unknown_nothing_is_said() {
        let mut watch = Watch::default();
        let np: NetworkPartitionId = "np".parse().unwrap();
        let now = Circumstances {
            policy: &POLICY,
            start_delay: 10.0,
            active: 1,
            most: 100,
        };
        for second in 0..60_u64 {
            let counted = Counted {
                balancer: &np,
                at: Millis(second * 1_000),
                arrived: 0,
                failed: 0,
                served: 0,
                in_flight: 0.0,
            };
            watch.take_in(&counted, &now);
        }
        assert_eq!(watch.outlook(Millis(60_000)), None);
    }

    #[test]
    fn nothing_is_learned_from_what_nobody_serves() {
        let np: NetworkPartitionId = "np".parse().unwrap();
        for (active, failed) in [(0, 0), (3, 200)] {
            let mut watch = Watch::default();
            for second in 0..60_u64 {
                let counted = Counted {
                    balancer: &np,
                    at: Millis(second * 1_000),
                    arrived: second * 200,
                    failed: second * failed,
                    served: second * (200 - failed),
                    in_flight: 0.01,
                };
                let now = Circumstances {
                    policy: &POLICY,
                    start_delay: 10.0,
                    active,
                    most: 100,
                };
                watch.take_in(&counted, &now);
            }
            assert_eq!(watch.service_seconds(&POLICY), None, "{active} {failed}");
        }
    }
}

//! The product's own decision, in virtual time: readings in, a size out, through the same functions of
//! `cartridge_orchestrator_plan` that the server asks (`forecast::Watch`, `scale::scale`).
//!
//! This file refuses to know whether the readings come from a model or from a judge.

use cartridge_orchestrator_plan::blueprint::AutoscalingPolicy;
use cartridge_orchestrator_plan::forecast::{Circumstances, Counted, Watch};
use cartridge_orchestrator_plan::observe::Window;
use cartridge_orchestrator_plan::scale::{self, Arrivals, Input, MemberLoad, SPAN, Scaling};
use cartridge_protocol::{Millis, NetworkPartitionId};

/// Balancers report at least so often, seconds.
const READING: f64 = 5.0;

/// What was measured since the last decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Seconds since the beginning.
    pub at: f64,
    /// Members that serve.
    pub ready: u32,
    /// Members under way.
    pub starting: u32,
    /// Arrivals per second.
    pub rate: f64,
    /// Requests in flight.
    pub in_flight: f64,
    /// Percent, mean over members.
    pub load_average: f64,
    /// Percent, mean over members.
    pub memory: f64,
}

/// One cluster's scaler and what it remembers.
#[derive(Debug)]
pub struct Pilot {
    policy: AutoscalingPolicy,
    start_delay: f64,
    bounds: (u32, u32),
    balancer: NetworkPartitionId,
    watch: Watch,
    arrived: f64,
    last: f64,
    in_flight: Window,
    load: Window,
    memory: Window,
    recommended: Window,
}

impl Pilot {
    /// Begins at zero seconds, with a counter at zero.
    pub fn new(policy: AutoscalingPolicy, start_delay: f64, bounds: (u32, u32)) -> Self {
        let balancer = NetworkPartitionId::new("simulated").expect("it is a name");
        let mut pilot = Self {
            policy,
            start_delay,
            bounds,
            balancer,
            watch: Watch::default(),
            arrived: 0.0,
            last: 0.0,
            in_flight: Window::default(),
            load: Window::default(),
            memory: Window::default(),
            recommended: Window::default(),
        };
        pilot.count(0.0, 0.0, 1);
        pilot
    }

    /// The size to want from now on, and why.
    pub fn decide(&mut self, seen: &Seen) -> Scaling {
        let now = millis(seen.at);
        self.read(seen);
        self.in_flight.push(now, seen.in_flight);
        self.load.push_within(now, seen.load_average, SPAN);
        self.memory.push_within(now, seen.memory, SPAN);
        let member = MemberLoad {
            load: &self.load,
            memory: &self.memory,
            heard: now,
        };
        let arrivals = self.policy.arrivals.as_ref().and_then(|asked| {
            Some(Arrivals {
                outlook: self.watch.outlook(now)?,
                service_seconds: self.watch.service_seconds(asked)?,
                wait_seconds: asked.wait_seconds,
            })
        });
        let scaling = scale::scale(&Input {
            policy: &self.policy,
            now,
            active: seen.ready,
            members: vec![member; seen.ready as usize],
            in_flight: vec![&self.in_flight],
            arrivals,
            balancers_fresh: true,
            current: seen.ready + seen.starting,
            floor: self.bounds.0,
            ceiling: self.bounds.1,
            recommended: &self.recommended,
            began: Millis::ZERO,
        });
        scale::remember(&mut self.recommended, now, scaling.remembered, &self.policy);
        scaling
    }

    /// The balancer's readings since the last decision: counters, as often as a balancer reports.
    fn read(&mut self, seen: &Seen) {
        let span = (seen.at - self.last).clamp(0.0, 3_600.0);
        let parts = (span / READING).ceil().max(1.0);
        for _ in 0..parts as u32 {
            self.arrived += seen.rate.max(0.0) * span / parts;
            self.last += span / parts;
            self.count(self.last, seen.in_flight, seen.ready);
        }
        self.last = seen.at;
    }

    fn count(&mut self, at: f64, in_flight: f64, active: u32) {
        let Some(policy) = &self.policy.arrivals else {
            return;
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a sum of what is not negative"
        )]
        let arrived = self.arrived.round() as u64;
        let counted = Counted {
            balancer: &self.balancer,
            at: millis(at),
            arrived,
            failed: 0,
            served: arrived,
            in_flight,
        };
        let now = Circumstances {
            policy,
            start_delay: self.start_delay,
            active,
            most: self.bounds.1,
        };
        self.watch.take_in(&counted, &now);
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "years at most, and not negative"
)]
fn millis(seconds: f64) -> Millis {
    Millis((seconds.max(0.0) * 1_000.0).round() as u64)
}

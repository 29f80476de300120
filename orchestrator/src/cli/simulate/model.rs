//! The cluster of the simulation: members that start late, requests that queue.
//!
//! This file refuses to know who decides. Time goes in ticks of [`TICK`] seconds. A member serves `workers / service`
//! requests per second; arrivals beyond the capacity of all queue in one fluid backlog, and who would wait longer than
//! [`PATIENCE`] is lost. To the fluid wait comes the steady-state wait of the M/M/c queue
//! (`cartridge_orchestrator_plan::forecast::queue`). A tick is a violation if more arrives than is served, or the wait
//! is longer than promised. A member costs from its launch and serves after the start delay; one that goes stops at
//! once, those still starting first.

use std::collections::VecDeque;

use cartridge_orchestrator_plan::forecast::queue::Server;

/// Seconds per tick.
pub const TICK: f64 = 5.0;
/// Longer than this, in seconds, nobody waits.
const PATIENCE: f64 = 5.0;
/// Age of the load average, seconds.
const LOAD_AGE: f64 = 60.0;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// One member, and the promise.
    pub server: Server,
    /// From launch to service, seconds.
    pub start_delay: f64,
    /// Fewest members.
    pub min: u32,
    /// Most members.
    pub max: u32,
}

/// What one tick was like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tick {
    /// Arrivals per second.
    pub rate: f64,
    /// Members that serve.
    pub ready: u32,
    /// Members under way.
    pub starting: u32,
    /// Requests in service and waiting.
    pub in_flight: f64,
    /// Percent of the workers, damped over a minute.
    pub load_average: f64,
    /// Percent.
    pub memory: f64,
    /// Share of the ready capacity in use.
    pub utilisation: f64,
    /// The promise was broken.
    pub violated: bool,
    /// Requests lost.
    pub lost: f64,
}

/// The cluster.
#[derive(Clone, Debug)]
pub struct Model {
    setting: Setting,
    ready: u32,
    /// Members under way: the tick in which they are ready, and how many.
    coming: VecDeque<(u64, u32)>,
    backlog: f64,
    load_average: Option<f64>,
    tick: u64,
}

impl Model {
    /// A cluster of so many members, all ready.
    pub fn new(setting: Setting, members: u32) -> Self {
        Self {
            setting,
            ready: members.clamp(setting.min.max(1), setting.max.max(1)),
            coming: VecDeque::new(),
            backlog: 0.0,
            load_average: None,
            tick: 0,
        }
    }

    /// Members under way.
    pub fn starting(&self) -> u32 {
        self.coming.iter().map(|(_, count)| count).sum()
    }

    /// Members that serve.
    pub fn ready(&self) -> u32 {
        self.ready
    }

    /// Members that serve or are under way.
    pub fn current(&self) -> u32 {
        self.ready + self.starting()
    }

    /// One tick with so many arrivals per second.
    pub fn tick(&mut self, rate: f64) -> Tick {
        while let Some((at, count)) = self.coming.front().copied()
            && at <= self.tick
        {
            self.coming.pop_front();
            self.ready += count;
        }
        self.tick += 1;
        let server = self.setting.server;
        let able = f64::from(self.ready) * server.capacity();
        let work = self.backlog + rate * TICK;
        let served = work.min(able * TICK);
        let room = able.max(server.capacity()) * PATIENCE;
        let lost = (work - served - room).max(0.0);
        self.backlog = (work - served).min(room);
        let queueing = if rate < able {
            server.wait(rate, self.ready)
        } else {
            0.0
        };
        let wait = queueing + self.backlog / able.max(1e-9);
        let busy = served / TICK * server.service_seconds;
        let in_flight = busy + self.backlog + rate.min(able) * queueing;
        let share = 100.0 * in_flight / (f64::from(self.ready) * f64::from(server.workers)).max(1.0);
        let kept = (-TICK / LOAD_AGE).exp();
        let load = self
            .load_average
            .map_or(share, |known| known * kept + share.min(400.0) * (1.0 - kept));
        self.load_average = Some(load);
        Tick {
            rate,
            ready: self.ready,
            starting: self.starting(),
            in_flight,
            load_average: load,
            memory: (30.0 + share / 10.0).min(100.0),
            utilisation: served / (able * TICK).max(1e-9),
            violated: rate > able || wait > server.wait_seconds,
            lost,
        }
    }

    /// From now on so many members are wanted; of those that serve, at most `may_go` go now.
    pub fn want(&mut self, members: u32, may_go: u32) -> u32 {
        let wanted = members.clamp(self.setting.min.max(1), self.setting.max.max(1));
        let current = self.current();
        if wanted > current {
            let ready_at = self.tick + ticks(self.setting.start_delay);
            self.coming.push_back((ready_at, wanted - current));
            return 0;
        }
        let mut too_many = current - wanted;
        while too_many > 0
            && let Some((_, count)) = self.coming.back_mut()
        {
            let cancelled = too_many.min(*count);
            (*count, too_many) = (*count - cancelled, too_many - cancelled);
            if *count == 0 {
                self.coming.pop_back();
            }
        }
        let gone = too_many.min(may_go).min(self.ready.saturating_sub(1));
        self.ready -= gone;
        gone
    }
}

/// Whole ticks.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an hour at most"
)]
pub fn ticks(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 3_600.0) / TICK).floor() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Setting = Setting {
        server: Server {
            workers: 5,
            service_seconds: 0.1,
            wait_seconds: 0.1,
        },
        start_delay: 10.0,
        min: 1,
        max: 50,
    };

    #[test]
    fn a_member_costs_at_once_and_serves_after_its_start() {
        let mut model = Model::new(SETTING, 1);
        model.tick(10.0);
        model.want(3, 0);
        let seen: Vec<(u32, u32)> = (0..4)
            .map(|_| model.tick(10.0))
            .map(|t| (t.ready, t.starting))
            .collect();
        assert_eq!(seen, [(1, 2), (1, 2), (3, 0), (3, 0)]);
    }

    #[test]
    fn those_that_start_go_first_and_the_brake_holds_the_others() {
        let mut model = Model::new(SETTING, 10);
        model.want(14, 0);
        assert_eq!(model.want(5, 1), 1);
        assert_eq!((model.ready(), model.starting()), (9, 0));
    }

    #[test]
    fn within_its_limit_nothing_is_violated_and_beyond_everything_queues_and_is_lost() {
        let mut model = Model::new(SETTING, 4);
        let limit = SETTING.server.limit(4);
        assert!(!model.tick(limit - 0.1).violated);
        assert!(model.tick(limit + 3.0).violated);
        let over: Vec<Tick> = (0..10).map(|_| model.tick(400.0)).collect();
        assert!(over.iter().all(|tick| tick.violated));
        assert!(over[9].lost > 0.0 && over[9].in_flight > 900.0, "{:?}", over[9]);
        let after = (0..10).map(|_| model.tick(10.0)).last().unwrap();
        assert!(!after.violated && after.lost == 0.0);
    }
}

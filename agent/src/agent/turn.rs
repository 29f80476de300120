//! One turn of the loop: what is due is begun, and when the next turn is due.
//!
//! Refuses to know what came in.

use cartridge_agent_plan::beat;
use cartridge_agent_plan::lifecycle::{self, Stage};
use cartridge_agent_plan::probe::Outcome;
use cartridge_protocol::Millis;
use cartridge_protocol::link::{Desired, MAX_TEXT_BYTES, Phase, Status};

use super::Agent;
use crate::host::thrift;

/// Longest wait for the acknowledgement that the member has stopped.
const FAREWELL: Millis = Millis(5_000);
/// Shortest such wait, however hurried.
const LEAST_FAREWELL: Millis = Millis(500);
/// Until the orchestrator says otherwise.
const DEFAULT_INTERVAL: Millis = Millis(1_000);
/// Shortest interval taken from the orchestrator.
const LEAST_INTERVAL: u64 = 50;

impl Agent {
    /// Everything that is due.
    pub(super) fn pass(&mut self) {
        let now = self.clock.now();
        if self.life.due().is_some_and(|at| at <= now) {
            self.step(lifecycle::Event::Tick);
        }
        self.overdue(now);
        if self.sample_at <= now {
            self.sample_at = beat::next(now, self.interval(|d| d.sample_interval_ms));
            let sample = self.plugins.readings.merge(self.sampler.sample(), now);
            self.desk.ledger.sampled(&sample, now);
            self.uplink.beat(sample);
            self.ask_readers(now);
            self.ask_for_reading(now, true);
        } else {
            self.ask_for_reading(now, false);
        }
        self.look_around();
        self.tell_tenants();
        let holds = self.upgrading.holds();
        if self.life.may_fetch() && self.desired.is_some() && !holds {
            self.files
                .advance(now, self.life.may_switch(), self.life.serves());
            self.tenants.advance(now);
        }
        self.conclude_syncs(now);
        if matches!(self.life.stage, Stage::Stopped) && self.stopped_at.is_none() {
            self.stopped_at = Some(now);
            self.following.read_to_end();
        }
        if self.desired.is_some() && !self.fenced && !holds {
            let status = self.status();
            self.desk.ledger.phase(&status.phase, now);
            let interval = self.interval(|d| d.publish_interval_ms);
            self.uplink.advance(&status, now, interval);
        }
        let resting = self.life.is_steady();
        if resting && !self.resting {
            thrift::give_back();
        }
        self.resting = resting;
        self.upgrade_turned();
        self.manager.turned(now, || self.life.phase());
    }

    pub(super) fn wake(&self) -> Millis {
        let may_fetch = self.desired.is_some() && self.life.may_fetch();
        let files = self.files.due().filter(|_| may_fetch);
        let tenants = self.tenants.due().filter(|_| may_fetch);
        let farewell = self.stopped_at.map(|at| self.gone_by(at));
        [
            self.life.due(),
            files,
            tenants,
            farewell,
            self.balancing.due(),
            self.manager.due(),
            self.orders.floor.due(),
            self.upgrading.due(),
            self.uplink.due().filter(|_| self.desired.is_some()),
        ]
        .into_iter()
        .flatten()
        .fold(self.sample_at, Millis::min)
    }

    pub(super) fn interval(&self, which: impl Fn(&Desired) -> u64) -> Millis {
        self.desired
            .as_ref()
            .map_or(DEFAULT_INTERVAL, |d| Millis(which(d).max(LEAST_INTERVAL)))
    }

    pub(super) fn step(&mut self, event: lifecycle::Event) {
        let life = std::mem::take(&mut self.life);
        let (life, actions) = lifecycle::step(life, event, self.clock.now(), &self.settings.rules);
        self.life = life;
        for action in actions {
            self.begin(action);
        }
    }

    pub(super) fn begin(&mut self, action: lifecycle::Action) {
        match action {
            lifecycle::Action::Tell(kind, text) => self.tell(kind, &text),
            lifecycle::Action::Refuse { commit, reason, back } => self.files.refuse(commit, &reason, back),
            lifecycle::Action::Probe(number)
                if self.settings.balancer.is_some() && self.balancing.revision.is_none() =>
            {
                let outcome = Outcome::Silent(self.balancing.missing());
                self.effects.answer_probe(number, outcome);
            }
            lifecycle::Action::RunHook(hook) => self.run_hook(hook),
            other => self.effects.begin(other, self.files.in_use()),
        }
    }

    pub(super) fn status(&self) -> Status {
        let mut phase = self.life.phase();
        if let Phase::Suspended { reason } | Phase::Failed { reason } = &mut phase {
            *reason = cartridge_agent_plan::text::one_line(reason, MAX_TEXT_BYTES);
        }
        Status {
            phase,
            revision: self.desired.as_ref().map_or(0, |d| d.revision),
            release: self.life.release.clone(),
            head: self.files.head().cloned(),
            staged: self.files.staged(),
            refused: self.files.refused(),
            topology: self.balancing.revision,
            restarts: self.life.restarts,
            wants_surroundings: self.hooking.wants_surroundings,
            plugins: self.plugins.status(),
            tenants: self.tenants.status(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        let Some(stopped_at) = self.stopped_at else {
            return false;
        };
        let heard = self.fenced || self.desired.is_none() || self.uplink.has_said_stopped();
        heard && self.has_sent_logs() || self.clock.now() >= self.gone_by(stopped_at)
    }

    /// When nobody is waited for any more; whoever has sent a signal waits no longer than they said.
    pub(super) fn gone_by(&self, stopped_at: Millis) -> Millis {
        let patient = stopped_at.plus(FAREWELL);
        let hurried = self.ending.by().map(|by| by.max(stopped_at.plus(LEAST_FAREWELL)));
        hurried.map_or(patient, |by| by.min(patient))
    }
}

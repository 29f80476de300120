//! Orders from the orchestrator: the newest is remembered, then carried out. Refuses to know what follows for the
//! member's life.

use std::path::PathBuf;

use cartridge_agent_plan::lifecycle;
use cartridge_agent_plan::seen::{Floor, Seen, Verdict};
use cartridge_protocol::Millis;
use cartridge_protocol::link::{Desired, Run};

use super::{Agent, Event};
use crate::host::state::{self, State};

/// What was seen, and where it is written down.
pub(super) struct Orders {
    pub(super) floor: Floor<Desired>,
    path: PathBuf,
    /// Told already: the newest that was ignored, and whether the disk fails.
    ignored: Seen,
    failing: bool,
}

impl Orders {
    pub(super) fn new(state: &State) -> Self {
        Self {
            floor: Floor::new(state.seen),
            path: state.seen_file.clone(),
            ignored: Seen::default(),
            failing: false,
        }
    }
}

impl Agent {
    /// A smaller epoch or revision than seen before comes from somebody who no longer counts (S10, S11).
    pub(super) fn wanted(&mut self, desired: Desired) {
        let seen = Seen {
            epoch: desired.epoch,
            revision: desired.revision,
        };
        match self.orders.floor.offer(seen, desired, self.clock.now()) {
            Verdict::Act(desired) => self.carry_out(desired),
            Verdict::Wait => self.remember(),
            Verdict::Older if self.orders.ignored == seen => {}
            Verdict::Older => {
                self.orders.ignored = seen;
                let newest = self.orders.floor.seen();
                let text = format!(
                    "ignored an order of epoch {}, revision {}: epoch {}, revision {} was seen before",
                    seen.epoch, seen.revision, newest.epoch, newest.revision
                );
                self.tell("link", &text);
            }
        }
    }

    fn remember(&mut self) {
        let Some(seen) = self.orders.floor.to_write() else {
            return;
        };
        let (path, events) = (self.orders.path.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let written = state::write(&path, &seen.text()).map_err(|error| error.to_string());
            let _ = events.blocking_send(Event::Remembered(written));
        });
    }

    pub(super) fn remembered(&mut self, written: Result<(), String>) {
        let failing = written.is_err();
        if let Err(error) = &written
            && !self.orders.failing
        {
            let text = format!(
                "cannot remember orders in {}: {error}",
                self.orders.path.display()
            );
            self.tell("agent", &text);
        }
        self.orders.failing = failing;
        if let Some(desired) = self.orders.floor.written(!failing) {
            self.carry_out(desired);
        }
        self.remember();
    }

    /// An order that the disk has held up for too long.
    pub(super) fn overdue(&mut self, now: Millis) {
        if let Some(desired) = self.orders.floor.overdue(now) {
            self.carry_out(desired);
        }
    }

    /// What the agent before was told, and has done.
    pub(super) fn resume_desired(&mut self, desired: Desired) {
        self.blot(&desired);
        if let Some(artifacts) = &desired.artifacts {
            self.files.want(artifacts, desired.revision);
        }
        self.tenants_wanted(&desired);
        if let Some(around) = desired.surroundings.clone() {
            self.hooking.resume(around);
        }
        self.values_told(desired.values.clone().unwrap_or_default());
        self.desired = Some(desired);
    }

    fn carry_out(&mut self, desired: Desired) {
        self.blot(&desired);
        if let Some(artifacts) = &desired.artifacts {
            self.files.want(artifacts, desired.revision);
        }
        self.tenants_wanted(&desired);
        if let Some(topology) = &desired.topology {
            self.topology_wanted(topology);
        }
        // Before the life begins: its first hook is told them.
        self.values_told(desired.values.clone().unwrap_or_default());
        let event = match desired.run {
            Run::Serve => lifecycle::Event::Serve {
                files: desired.artifacts.is_some(),
            },
            Run::Stop { within_ms } => lifecycle::Event::Stop {
                within: Millis(within_ms),
            },
        };
        let newer_orchestrator = self
            .desired
            .as_ref()
            .is_some_and(|before| before.epoch < desired.epoch);
        let around = desired.surroundings.clone();
        self.desired = Some(desired);
        self.step(event);
        if let Some(around) = around {
            self.surroundings_told(around, newer_orchestrator);
        }
    }
}

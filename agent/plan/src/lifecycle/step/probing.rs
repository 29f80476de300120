//! Probes: when the next one begins, and what its answer means.

use cartridge_protocol::Millis;

use super::super::{
    Action, Hook, PROBE_EVERY, PROBE_TRIES, REFUSAL_SPACING, STEADY_AFTER, STEADY_PROBE_EVERY, Stage, Trial,
};
use super::Turn;
use crate::backoff;
use crate::beat;
use crate::probe::Outcome;

impl Turn<'_> {
    pub(super) fn probe_start(&mut self, trial: Option<Trial>) {
        let within = if trial.as_ref().is_some_and(|t| t.back.is_some()) {
            self.rules.trial_within
        } else {
            self.rules.start_within
        };
        let until = self.now.plus(within);
        self.life.stage = Stage::Probing {
            trial,
            until,
            unwell: 0,
            tries: 0,
        };
        self.probe();
    }

    pub(super) fn probe(&mut self) {
        self.life.probe += 1;
        self.life.probing = true;
        self.life.probe_at = None;
        self.act(Action::Probe(self.life.probe));
    }

    pub(super) fn probe_after(&mut self, wait: Millis) {
        self.life.probe_at = Some(self.now.plus(wait));
    }

    /// Together with whatever else is done once per [`PROBE_EVERY`], or more seldom where all is well for long.
    pub(super) fn probe_on_beat(&mut self) {
        let every = if self.life.steady < STEADY_AFTER {
            PROBE_EVERY
        } else {
            STEADY_PROBE_EVERY
        };
        self.life.probe_at = Some(beat::next(self.now, every));
    }

    pub(super) fn probed(&mut self, number: u64, outcome: Outcome) {
        if number != self.life.probe || !self.life.probing {
            return;
        }
        self.life.probing = false;
        let fault = match outcome {
            Outcome::Healthy => return self.answered(),
            other => other,
        };
        self.life.steady = 0;
        match self.life.stage.clone() {
            Stage::Probing {
                trial,
                until,
                unwell,
                tries,
            } => self.not_yet(trial, until, unwell, tries + 1, &fault),
            Stage::Active { failures } if failures + 1 < PROBE_TRIES => {
                self.life.stage = Stage::Active {
                    failures: failures + 1,
                };
                self.probe_on_beat();
            }
            Stage::Active { .. } => {
                let reason = format!("the application {}", words(&fault));
                self.suspend(reason);
                self.probe_on_beat();
            }
            Stage::Suspended { reason, tries } => {
                // Quickly at first, for an application that was just restarted.
                self.probe_after(if tries < 100 { eager(tries) } else { PROBE_EVERY });
                self.life.stage = Stage::Suspended {
                    reason,
                    tries: tries.saturating_add(1),
                };
            }
            _ => {}
        }
    }

    pub(super) fn not_yet(
        &mut self,
        trial: Option<Trial>,
        until: Millis,
        unwell: u32,
        tries: u32,
        fault: &Outcome,
    ) {
        let unwell = if matches!(fault, Outcome::Unwell(_)) {
            unwell + 1
        } else {
            0
        };
        let way_back = trial.as_ref().is_some_and(|t| t.back.is_some());
        if way_back && unwell >= PROBE_TRIES || self.now >= until {
            return self.not_started(trial, format!("the application {}", words(fault)));
        }
        self.probe_after(if unwell > 0 { REFUSAL_SPACING } else { eager(tries) });
        self.life.stage = Stage::Probing {
            trial,
            until,
            unwell,
            tries,
        };
    }

    pub(super) fn not_started(&mut self, trial: Option<Trial>, reason: String) {
        match trial {
            Some(trial) => self.refuse(trial, reason),
            None => self.fail(reason),
        }
    }

    pub(super) fn answered(&mut self) {
        match self.life.stage.clone() {
            Stage::Probing { trial, .. } => {
                if let Some(trial) = trial {
                    self.tell("release", format!("{} is current and answers", trial.to.short()));
                    self.life.release = Some(trial.to);
                }
                self.activate();
            }
            Stage::Suspended { .. } => {
                self.tell("application", "it answers again");
                self.activate();
            }
            Stage::Active { .. } => {
                self.life.stage = Stage::Active { failures: 0 };
                self.life.steady = self.life.steady.saturating_add(1);
                self.probe_on_beat();
            }
            _ => {}
        }
    }

    pub(super) fn activate(&mut self) {
        self.life.stage = Stage::Active { failures: 0 };
        self.life.steady = 0;
        self.probe_on_beat();
        if !self.life.activated {
            self.life.activated = true;
            self.act(Action::RunHook(Hook::InstanceActivated));
        }
    }

    pub(super) fn suspend(&mut self, reason: String) {
        self.tell("application", reason.clone());
        self.life.stage = Stage::Suspended { reason, tries: 0 };
    }
}

/// The wait before try number `tries` of an application that is coming up: 5 ms at first, 100 ms at last.
fn eager(tries: u32) -> Millis {
    backoff::doubled(Millis(5), Millis(100), tries / 4)
}

fn words(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Healthy => "answers",
        Outcome::Silent(how) | Outcome::Unwell(how) => how,
    }
}

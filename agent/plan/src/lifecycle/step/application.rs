//! The application as a process: started, ended, started again, given up.

use cartridge_protocol::Millis;

use super::super::{Action, App, Stage};
use super::Turn;
use crate::backoff;
use crate::ends::{End, How, Verdict};

impl Turn<'_> {
    pub(super) fn end_app(&mut self, kill_at: Millis) {
        if self.life.app == App::Running {
            self.life.stage = Stage::Ending { kill_at };
            self.act(Action::TermApp);
        } else {
            self.life.stage = Stage::Stopped;
        }
    }

    pub(super) fn start_app(&mut self) {
        if self.rules.command && self.life.app != App::Running {
            self.life.app = App::Running;
            self.life.started = self.now;
            self.act(Action::StartApp);
        }
    }

    pub(super) fn fail(&mut self, reason: String) {
        self.quieten();
        self.tell("application", format!("given up: {reason}"));
        self.life.stage = Stage::Failed { reason };
        // What does not work must not hold ports and files either.
        if self.life.app == App::Running {
            self.act(Action::KillApp);
        }
    }

    pub(super) fn app_ended(&mut self, how: How, words: &[String]) {
        self.life.app = App::Absent;
        let end = End::new(self.now, how, self.now.since(self.life.started), words);
        match self.life.stage.clone() {
            Stage::Ending { .. } => self.life.stage = Stage::Stopped,
            Stage::Cycling { trial, .. } => {
                self.start_app();
                self.probe_start(Some(trial));
            }
            Stage::Probing {
                trial: Some(trial), ..
            } if trial.back.is_some() => {
                self.refuse(trial, format!("the application ended: {end}"));
            }
            Stage::Returning { .. } => {}
            Stage::Updating { .. } | Stage::Probing { .. } => self.restart(end),
            Stage::Active { .. } | Stage::Suspended { .. } => {
                self.suspend(format!("the application ended: {end}"));
                self.restart(end);
            }
            Stage::Joining
            | Stage::Preparing { .. }
            | Stage::Fetching
            | Stage::Greeting { .. }
            | Stage::Serving { .. }
            | Stage::Cleaning { .. }
            | Stage::Stopped
            | Stage::Failed { .. } => {}
        }
    }

    fn restart(&mut self, end: End) {
        match self.life.ends.take(end, &self.rules.restart) {
            Verdict::Over(reason) => {
                self.life.exit = self.life.ends.last().map_or(0, |end| end.how.exit_code());
                self.give_up(reason);
            }
            Verdict::Again(count) => {
                let wait = backoff::restart(count);
                self.life.app = App::Due(self.now.plus(wait));
                if wait == Millis::ZERO {
                    self.start_again();
                }
            }
        }
    }

    fn give_up(&mut self, reason: String) {
        if let Stage::Updating { trial }
        | Stage::Probing {
            trial: Some(trial), ..
        } = self.life.stage.clone()
            && self.life.release.as_ref() != Some(&trial.to)
        {
            self.act(Action::Refuse {
                commit: trial.to,
                reason: reason.clone(),
                back: None,
            });
        }
        self.fail(reason);
    }

    pub(super) fn start_again(&mut self) {
        self.life.restarts = self.life.restarts.saturating_add(1);
        self.life.app = App::Absent;
        self.start_app();
        if let Stage::Suspended { tries, .. } | Stage::Probing { tries, .. } = &mut self.life.stage {
            *tries = 0;
            self.probe();
        }
    }
}

//! The application as a process: started, ended, started again, given up.

use cartridge_protocol::Millis;

use super::super::{Action, App, EXIT_WINDOW, MOST_EXITS, Stage};
use super::Turn;
use crate::backoff;

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

    pub(super) fn app_ended(&mut self, how: String) {
        self.life.app = App::Absent;
        match self.life.stage.clone() {
            Stage::Ending { .. } => self.life.stage = Stage::Stopped,
            Stage::Cycling { trial, .. } => {
                self.start_app();
                self.probe_start(Some(trial));
            }
            Stage::Probing {
                trial: Some(trial), ..
            } if trial.back.is_some() => {
                self.refuse(trial, format!("the application ended: {how}"));
            }
            Stage::Returning { .. } => {}
            Stage::Updating { .. } | Stage::Probing { .. } => self.restart(how),
            Stage::Active { .. } | Stage::Suspended { .. } => {
                self.suspend(format!("the application ended: {how}"));
                self.restart(how);
            }
            Stage::Joining
            | Stage::Fetching
            | Stage::Greeting { .. }
            | Stage::Serving { .. }
            | Stage::Cleaning { .. }
            | Stage::Stopped
            | Stage::Failed { .. } => {}
        }
    }

    pub(super) fn restart(&mut self, how: String) {
        let exits = &mut self.life.exits;
        exits.push_back((self.now, how));
        while exits.len() > MOST_EXITS + 1
            || exits
                .front()
                .is_some_and(|(at, _)| self.now.since(*at) > EXIT_WINDOW)
        {
            exits.pop_front();
        }
        if exits.len() > MOST_EXITS {
            let history: Vec<String> = exits
                .iter()
                .map(|(at, how)| format!("{} ago: {how}", self.now.since(*at)))
                .collect();
            return self.give_up(format!(
                "the application ended {} times within {EXIT_WINDOW}: {}",
                history.len(),
                history.join("; ")
            ));
        }
        let wait = backoff::restart(exits.len());
        self.life.app = App::Due(self.now.plus(wait));
        if wait == Millis::ZERO {
            self.start_again();
        }
    }

    pub(super) fn give_up(&mut self, reason: String) {
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

//! What comes before files and servers: a virtual address, volumes, and the first look at the application around.
//!
//! Refuses to know what these hooks do.

use super::super::{Action, Hook, Known, Stage, TOPOLOGY_WITHIN};
use super::Turn;

impl Turn<'_> {
    /// Goes on with the first preparation after `done`, or with files and servers where there is none.
    pub(super) fn prepare(&mut self, files: bool, done: Option<Hook>) {
        let after =
            |prepare: &[Hook], done: Hook| prepare.iter().position(|h| *h == done).map_or(0, |p| p + 1);
        let from = done.map_or(0, |done| after(&self.rules.prepare, done));
        let Some(hook) = self.rules.prepare.get(from).copied() else {
            return self.begin(files);
        };
        // An orchestrator that does not tell must not keep the member from serving.
        let until = (hook == Hook::CompleteTopology && self.life.topology == Known::Unknown)
            .then(|| self.now.plus(TOPOLOGY_WITHIN));
        self.life.stage = Stage::Preparing { files, hook, until };
        if until.is_none() {
            self.run_preparation(hook);
        }
    }

    fn begin(&mut self, files: bool) {
        // The hook was not there when the preparations were chosen.
        if self.life.topology == Known::Told {
            self.run_preparation(Hook::CompleteTopology);
        }
        if files {
            self.life.stage = Stage::Fetching;
        } else {
            self.greet(None);
        }
    }

    fn run_preparation(&mut self, hook: Hook) {
        if hook == Hook::CompleteTopology {
            self.life.topology = Known::Introduced;
        }
        self.act(Action::RunHook(hook));
    }

    pub(super) fn prepared(&mut self, files: bool, hook: Hook, fault: Option<String>) {
        match fault {
            // What is written beside a volume that is not there is lost with the instance.
            Some(fault) if hook == Hook::VolumeMount => self.fail(format!("its volumes: {fault}")),
            _ => self.prepare(files, Some(hook)),
        }
    }

    pub(super) fn topology_known(&mut self) {
        if self.life.topology == Known::Unknown {
            self.life.topology = Known::Told;
        }
        if self.life.topology == Known::Introduced || self.life.ends() {
            return;
        }
        match &mut self.life.stage {
            Stage::Preparing { until, .. } if until.is_some() => {
                *until = None;
                self.run_preparation(Hook::CompleteTopology);
            }
            // Their turn comes.
            Stage::Joining | Stage::Preparing { .. } | Stage::Failed { .. } => {}
            _ => self.run_preparation(Hook::CompleteTopology),
        }
    }
}

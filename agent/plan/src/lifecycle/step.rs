//! The one total function over stages and events.

mod application;
mod preparing;
mod probing;

use cartridge_protocol::{CommitId, Millis};

use super::{Action, App, Event, Hook, Life, Rules, Stage, Trial};

/// What becomes of `life` when `event` happens at `now`, and what is to be done about it.
pub fn step(life: Life, event: Event, now: Millis, rules: &Rules) -> (Life, Vec<Action>) {
    let mut turn = Turn {
        life,
        now,
        rules,
        actions: Vec::new(),
    };
    match event {
        Event::Serve { files } => turn.serve(files),
        Event::Stop { within } => turn.stop(within),
        Event::Fenced => turn.fenced(),
        Event::Topology => turn.topology_known(),
        Event::Switched { to, back } => turn.switched(to, back),
        Event::Adopted { to } => turn.adopted(to),
        Event::HookEnded { hook, fault } => turn.hook_ended(hook, fault),
        Event::AppEnded { how, words } => turn.app_ended(how, &words),
        Event::Probed { number, outcome } => turn.probed(number, outcome),
        Event::Tick => turn.tick(),
    }
    (turn.life, turn.actions)
}

struct Turn<'a> {
    life: Life,
    now: Millis,
    rules: &'a Rules,
    actions: Vec<Action>,
}

impl Turn<'_> {
    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn tell(&mut self, kind: &'static str, text: impl Into<String>) {
        self.actions.push(Action::Tell(kind, text.into()));
    }

    fn serve(&mut self, files: bool) {
        match (&mut self.life.stage, files) {
            (Stage::Joining, _) => self.prepare(files, None),
            // Files that are no longer wanted are not waited for.
            (Stage::Fetching, false) => self.greet(None),
            (Stage::Preparing { files: wanted, .. }, _) => *wanted = files,
            _ => {}
        }
    }

    fn greet(&mut self, trial: Option<Trial>) {
        self.life.stage = Stage::Greeting { trial };
        self.act(Action::RunHook(Hook::InstanceStarted));
    }

    fn stop(&mut self, within: Millis) {
        let kill_at = self.now.plus(within);
        match &mut self.life.stage {
            Stage::Stopped => {}
            // Asked again: the nearer deadline holds.
            Stage::Ending { kill_at: at } => *at = (*at).min(kill_at),
            Stage::Cleaning { term_at, kill_at: at } => {
                *at = (*at).min(kill_at);
                *term_at = (*term_at).min(*at);
            }
            Stage::Joining => self.life.stage = Stage::Stopped,
            _ => {
                self.quieten();
                // Half of the time is the hook's, so that the application has some, too.
                let term_at = self.now.plus(Millis(within.0 / 2));
                self.life.stage = Stage::Cleaning { term_at, kill_at };
                self.act(Action::CancelHooks);
                self.act(Action::RunHook(Hook::Clean));
            }
        }
    }

    fn fenced(&mut self) {
        if matches!(self.life.stage, Stage::Stopped) {
            return;
        }
        self.tell(
            "link",
            "this life of the member is over: the orchestrator has fenced it",
        );
        self.quieten();
        self.act(Action::CancelHooks);
        self.end_app(self.now.plus(self.rules.end_within));
    }

    /// No more probes and restarts.
    fn quieten(&mut self) {
        self.life.probe_at = None;
        self.life.probing = false;
        if let App::Due(_) = self.life.app {
            self.life.app = App::Absent;
        }
    }

    fn switched(&mut self, to: CommitId, back: Option<CommitId>) {
        let back = back.filter(|b| *b != to);
        match &self.life.stage {
            Stage::Fetching => self.greet(Some(Trial { to, back })),
            // Where the way back has been gone, there is none left.
            Stage::Returning { back: good, .. } => {
                let back = Some(good.clone()).filter(|good| *good != to);
                self.update(Trial { to, back });
            }
            Stage::Active { .. } | Stage::Suspended { .. } => self.update(Trial { to, back }),
            _ => {}
        }
    }

    /// What has proved itself stays proved.
    fn adopted(&mut self, to: CommitId) {
        if self.life.release.is_some() {
            self.life.release = Some(to);
        }
    }

    fn update(&mut self, trial: Trial) {
        self.quieten();
        self.life.stage = Stage::Updating { trial };
        self.act(Action::RunHook(Hook::ArtifactUpdated));
    }

    fn hook_ended(&mut self, hook: Hook, fault: Option<String>) {
        if let Some(fault) = &fault {
            self.tell("hook", format!("{}: {fault}", hook.name()));
        }
        match (self.life.stage.clone(), hook) {
            (Stage::Greeting { trial }, Hook::InstanceStarted) => {
                self.life.stage = Stage::Serving { trial };
                self.act(Action::RunHook(Hook::StartServers));
            }
            (Stage::Serving { trial }, Hook::StartServers) => {
                self.start_app();
                match trial {
                    Some(trial) => self.update(trial),
                    None => self.probe_start(None),
                }
            }
            (Stage::Updating { trial }, Hook::ArtifactUpdated) => match fault {
                Some(fault) if trial.back.is_some() => self.refuse(trial, format!("hook: {fault}")),
                _ => self.after_update(trial),
            },
            (Stage::Cleaning { kill_at, .. }, Hook::Clean) => self.end_app(kill_at),
            (Stage::Preparing { files, hook: due, .. }, _) if due == hook => {
                self.prepared(files, hook, fault);
            }
            _ => {}
        }
    }

    fn after_update(&mut self, trial: Trial) {
        match self.life.app {
            App::Running if self.life.activated && self.rules.restart_on_release => {
                let kill_at = self.now.plus(self.rules.end_within);
                self.life.stage = Stage::Cycling { trial, kill_at };
                self.act(Action::TermApp);
            }
            App::Running => self.probe_start(Some(trial)),
            App::Absent | App::Due(_) => {
                self.start_app();
                self.probe_start(Some(trial));
            }
        }
    }

    fn refuse(&mut self, trial: Trial, reason: String) {
        self.quieten();
        let Trial { to, back } = trial;
        self.tell("release", format!("{} was refused: {reason}", to.short()));
        let way_back = self.life.release.as_ref() != Some(&to);
        if way_back {
            self.act(Action::Refuse {
                commit: to,
                reason: reason.clone(),
                back: back.clone(),
            });
        }
        match back {
            Some(back) => self.life.stage = Stage::Returning { back, reason },
            // The release that worked before does not work either: the member lives on and is watched.
            None if self.life.activated => {
                self.suspend(reason);
                self.probe_on_beat();
            }
            None => self.fail(reason),
        }
    }

    fn tick(&mut self) {
        if let App::Due(at) = self.life.app
            && at <= self.now
        {
            self.start_again();
        }
        match self.life.stage.clone() {
            Stage::Cycling { trial, kill_at } if kill_at <= self.now => {
                self.act(Action::KillApp);
                let kill_at = self.now.plus(self.rules.end_within);
                self.life.stage = Stage::Cycling { trial, kill_at };
            }
            Stage::Cleaning { term_at, kill_at } if term_at <= self.now => {
                self.act(Action::CancelHooks);
                self.end_app(kill_at);
            }
            Stage::Ending { kill_at } if kill_at <= self.now => {
                self.act(Action::KillApp);
                // Asked again should the first have been lost.
                self.life.stage = Stage::Ending {
                    kill_at: self.now.plus(Millis(1000)),
                };
            }
            Stage::Preparing {
                files,
                hook,
                until: Some(until),
            } if until <= self.now => self.prepare(files, Some(hook)),
            Stage::Probing { trial, until, .. } if until <= self.now => {
                self.not_started(trial, "the application does not answer in time".to_owned());
            }
            _ => {}
        }
        if !self.life.probing && self.life.probe_at.is_some_and(|at| at <= self.now) {
            self.probe();
        }
    }
}

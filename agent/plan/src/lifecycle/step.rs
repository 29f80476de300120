//! The one total function over stages and events.

use cartridge_protocol::{CommitId, Millis};

use super::{
    Action, App, EXIT_WINDOW, Event, Hook, Life, MOST_EXITS, PROBE_EVERY, PROBE_TRIES, REFUSAL_SPACING,
    Rules, Stage, Trial,
};
use crate::backoff;
use crate::probe::Outcome;

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
        Event::Switched { to, back } => turn.switched(to, back),
        Event::HookEnded { hook, fault } => turn.hook_ended(hook, fault),
        Event::AppEnded { how } => turn.app_ended(how),
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
        match (&self.life.stage, files) {
            (Stage::Joining, true) => self.life.stage = Stage::Fetching,
            // Files that are no longer wanted are not waited for.
            (Stage::Joining | Stage::Fetching, false) => self.greet(None),
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

    fn end_app(&mut self, kill_at: Millis) {
        if self.life.app == App::Running {
            self.life.stage = Stage::Ending { kill_at };
            self.act(Action::TermApp);
        } else {
            self.life.stage = Stage::Stopped;
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

    fn start_app(&mut self) {
        if self.rules.command && self.life.app != App::Running {
            self.life.app = App::Running;
            self.act(Action::StartApp);
        }
    }

    fn probe_start(&mut self, trial: Option<Trial>) {
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

    fn probe(&mut self) {
        self.life.probe += 1;
        self.life.probing = true;
        self.life.probe_at = None;
        self.act(Action::Probe(self.life.probe));
    }

    fn probe_after(&mut self, wait: Millis) {
        self.life.probe_at = Some(self.now.plus(wait));
    }

    fn probed(&mut self, number: u64, outcome: Outcome) {
        if number != self.life.probe || !self.life.probing {
            return;
        }
        self.life.probing = false;
        let fault = match outcome {
            Outcome::Healthy => return self.answered(),
            other => other,
        };
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
                self.probe_after(PROBE_EVERY);
            }
            Stage::Active { .. } => {
                let reason = format!("the application {}", words(&fault));
                self.suspend(reason);
                self.probe_after(PROBE_EVERY);
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

    fn not_yet(&mut self, trial: Option<Trial>, until: Millis, unwell: u32, tries: u32, fault: &Outcome) {
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

    fn not_started(&mut self, trial: Option<Trial>, reason: String) {
        match trial {
            Some(trial) => self.refuse(trial, reason),
            None => self.fail(reason),
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
                self.probe_after(PROBE_EVERY);
            }
            None => self.fail(reason),
        }
    }

    fn answered(&mut self) {
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
                self.probe_after(PROBE_EVERY);
            }
            _ => {}
        }
    }

    fn activate(&mut self) {
        self.life.stage = Stage::Active { failures: 0 };
        self.probe_after(PROBE_EVERY);
        if !self.life.activated {
            self.life.activated = true;
            self.act(Action::RunHook(Hook::InstanceActivated));
        }
    }

    fn suspend(&mut self, reason: String) {
        self.tell("application", reason.clone());
        self.life.stage = Stage::Suspended { reason, tries: 0 };
    }

    fn fail(&mut self, reason: String) {
        self.quieten();
        self.tell("application", format!("given up: {reason}"));
        self.life.stage = Stage::Failed { reason };
        // What does not work must not hold ports and files either.
        if self.life.app == App::Running {
            self.act(Action::KillApp);
        }
    }

    fn app_ended(&mut self, how: String) {
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

    fn restart(&mut self, how: String) {
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

    fn start_again(&mut self) {
        self.life.restarts = self.life.restarts.saturating_add(1);
        self.life.app = App::Absent;
        self.start_app();
        if let Stage::Suspended { tries, .. } | Stage::Probing { tries, .. } = &mut self.life.stage {
            *tries = 0;
            self.probe();
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

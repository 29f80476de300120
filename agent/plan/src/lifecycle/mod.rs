//! The life of a member: where it stands, what may happen to it, what is to be done.
//!
//! One enum with data ([`Stage`]) and one total function ([`step`]). Refuses to know how hooks, applications and
//! releases are carried out; results come back as events.

mod resume;
#[cfg(test)]
mod seeds;
mod step;
#[cfg(test)]
mod tests;

use cartridge_protocol::link::Phase;
use cartridge_protocol::{CommitId, Millis};

pub use resume::Handed;
pub use step::step;

use crate::ends::{Ends, How, RestartRules};
pub use crate::hook::Hook;
use crate::probe::Outcome;

/// Time between probes of an application that answered before.
pub const PROBE_EVERY: Millis = Millis(1_000);
/// The same once it has answered [`STEADY_AFTER`] times in a row. Its end is noticed at once all the same; only one that
/// hangs is noticed later.
pub const STEADY_PROBE_EVERY: Millis = Millis(5_000);
/// See there.
pub const STEADY_AFTER: u32 = 10;
/// Failed probes in a row that suspend a member, or refuse a release.
pub const PROBE_TRIES: u32 = 3;
/// Longest wait for the first topology, where a hook wants it before the member begins.
pub const TOPOLOGY_WITHIN: Millis = Millis(5_000);
/// Time between probes once a new release has answered badly.
pub const REFUSAL_SPACING: Millis = Millis(100);

/// What is fixed for a whole life.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The agent starts the application; otherwise hooks do.
    pub command: bool,
    /// Hooks that come before files and servers, in their order.
    pub prepare: Vec<Hook>,
    /// A new release restarts it.
    pub restart_on_release: bool,
    /// What follows when it ends by itself.
    pub restart: RestartRules,
    /// Time that the application has to answer for the first time.
    pub start_within: Millis,
    /// Time that it has to answer after a switch to another release.
    pub trial_within: Millis,
    /// Time that it has to end before it is killed for a restart.
    pub end_within: Millis,
}

/// A release that has just become current and has to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What is current now.
    pub to: CommitId,
    /// What was current before, unless this is already the way back or there was nothing.
    pub back: Option<CommitId>,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The orchestrator has not said yet what it wants.
    Joining,
    /// The first hooks run, one after the other.
    Preparing {
        /// Files are wanted after them.
        files: bool,
        /// The one that runs, or that waits for its occasion.
        hook: Hook,
        /// It waits for the topology, until then.
        until: Option<Millis>,
    },
    /// Files are wanted and not there yet.
    Fetching,
    /// The hook InstanceStartedEvent runs.
    Greeting {
        /// The release it will start with.
        trial: Option<Trial>,
    },
    /// The hook StartServers runs.
    Serving {
        /// The release it will start with.
        trial: Option<Trial>,
    },
    /// The hook ArtifactUpdatedEvent runs.
    Updating {
        /// The release on trial.
        trial: Trial,
    },
    /// The application is being ended, to be started from another release.
    Cycling {
        /// The release on trial.
        trial: Trial,
        /// When it is killed.
        kill_at: Millis,
    },
    /// The application has to answer.
    Probing {
        /// The release on trial, if any.
        trial: Option<Trial>,
        /// When patience ends.
        until: Millis,
        /// Bad answers in a row.
        unwell: u32,
        /// Probes without success so far.
        tries: u32,
    },
    /// A release was refused; the one before is about to be made current again.
    Returning {
        /// The release to return to.
        back: CommitId,
        /// Why, for people.
        reason: String,
    },
    /// It answers.
    Active {
        /// Failed probes in a row.
        failures: u32,
    },
    /// It answered before and does not now.
    Suspended {
        /// Why, for people.
        reason: String,
        /// Probes without success so far.
        tries: u32,
    },
    /// The clean-up hook runs.
    Cleaning {
        /// When the application is asked to end, whether the hook has ended or not.
        term_at: Millis,
        /// When the application is killed.
        kill_at: Millis,
    },
    /// The application was asked to end.
    Ending {
        /// When it is killed.
        kill_at: Millis,
    },
    /// Everything has ended.
    Stopped,
    /// Given up.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

/// The application, as far as the agent starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Not started, or ended for good.
    Absent,
    /// It runs.
    Running,
    /// It ended and is started again at this time.
    Due(Millis),
}

/// How far a member knows the application around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Not at all.
    Unknown,
    /// It was told; its hook has not begun.
    Told,
    /// Its hook has begun, once in a life of the agent.
    Introduced,
}

/// A member's life so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Where it stands.
    pub stage: Stage,
    /// The application.
    pub app: App,
    /// It took traffic before.
    pub activated: bool,
    /// What is known of the application around the member.
    pub topology: Known,
    /// How often the application was restarted because it had ended.
    pub restarts: u32,
    /// The release that is current and has proved itself.
    pub release: Option<CommitId>,
    /// How the application ended lately by itself.
    pub ends: Ends,
    /// When it was started last.
    started: Millis,
    /// What the agent's own exit code will be: the application's where that is why the member was given up.
    pub exit: u8,
    /// When the next probe begins; none is wanted where this is absent.
    probe_at: Option<Millis>,
    /// Probes answered well in a row since it became Active.
    steady: u32,
    /// The number of the probe under way; an answer to another one is too old.
    probe: u64,
    /// That probe has not answered yet.
    probing: bool,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The orchestrator wants this member to serve.
    Serve {
        /// With files.
        files: bool,
    },
    /// The member has to end.
    Stop {
        /// Within this time.
        within: Millis,
    },
    /// This life of the member is over; nobody waits for its clean-up.
    Fenced,
    /// What runs around the member is known.
    Topology,
    /// Another release became current.
    Switched {
        /// Which.
        to: CommitId,
        /// The one before, if there was one.
        back: Option<CommitId>,
    },
    /// The current release is another commit's now, and its files are the same.
    Adopted {
        /// Which.
        to: CommitId,
    },
    /// A hook has ended.
    HookEnded {
        /// Which.
        hook: Hook,
        /// What went wrong.
        fault: Option<String>,
    },
    /// The application has ended, or could not be started.
    AppEnded {
        /// How.
        how: How,
        /// The last lines that it wrote to its standard error.
        words: Vec<String>,
    },
    /// A probe has answered.
    Probed {
        /// Which.
        number: u64,
        /// What it said.
        outcome: Outcome,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done. Everything is begun, nothing waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run a hook after those that wait; answered by [`Event::HookEnded`].
    RunHook(Hook),
    /// End the hook that runs, and forget those that wait.
    CancelHooks,
    /// Start the application; answered by [`Event::AppEnded`] when it ends.
    StartApp,
    /// Ask it to end.
    TermApp,
    /// End it.
    KillApp,
    /// Probe; answered by [`Event::Probed`].
    Probe(u64),
    /// Make this release current, answered by [`Event::Switched`]; and never that refused commit again.
    Refuse {
        /// The commit that did not make it.
        commit: CommitId,
        /// Why, for people.
        reason: String,
        /// The release to return to.
        back: Option<CommitId>,
    },
    /// Tell the timeline.
    Tell(&'static str, String),
}

impl Life {
    /// A member that has just begun.
    pub fn new() -> Self {
        Self {
            stage: Stage::Joining,
            app: App::Absent,
            activated: false,
            topology: Known::Unknown,
            restarts: 0,
            release: None,
            ends: Ends::default(),
            started: Millis::ZERO,
            exit: 0,
            probe_at: None,
            steady: 0,
            probe: 0,
            probing: false,
        }
    }

    /// It has been Active for a while, and answered well all the time.
    pub fn is_steady(&self) -> bool {
        matches!(self.stage, Stage::Active { .. }) && self.steady >= STEADY_AFTER
    }

    /// What the orchestrator is told.
    pub fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Updating { trial } | Stage::Cycling { trial, .. } => self.on_trial(Some(trial)),
            Stage::Probing { trial, .. } => self.on_trial(trial.as_ref()),
            Stage::Joining
            | Stage::Preparing { .. }
            | Stage::Fetching
            | Stage::Greeting { .. }
            | Stage::Serving { .. } => Phase::Starting,
            Stage::Active { .. } => Phase::Active,
            Stage::Returning { reason, .. } | Stage::Suspended { reason, .. } => Phase::Suspended {
                reason: reason.clone(),
            },
            Stage::Cleaning { .. } | Stage::Ending { .. } => Phase::Stopping,
            Stage::Stopped => Phase::Stopped,
            Stage::Failed { reason } => Phase::Failed {
                reason: reason.clone(),
            },
        }
    }

    fn on_trial(&self, trial: Option<&Trial>) -> Phase {
        match trial {
            Some(trial) if self.activated => Phase::Suspended {
                reason: format!("changes to release {}", trial.to.short()),
            },
            _ => Phase::Starting,
        }
    }

    /// Whether another release may become current now.
    pub fn may_switch(&self) -> bool {
        matches!(
            self.stage,
            Stage::Fetching | Stage::Returning { .. } | Stage::Active { .. } | Stage::Suspended { .. }
        )
    }

    /// Whether it serves, or would if it could.
    pub fn serves(&self) -> bool {
        matches!(self.stage, Stage::Active { .. } | Stage::Suspended { .. })
    }

    /// Whether files may be brought here: not onto the place where a volume is about to be mounted.
    pub fn may_fetch(&self) -> bool {
        let mounting = |hook: &Hook| *hook != Hook::CompleteTopology;
        match &self.stage {
            Stage::Joining => false,
            Stage::Preparing { hook, .. } => !mounting(hook),
            _ => !self.ends(),
        }
    }

    /// Whether hooks about the application around the member may run now.
    pub fn may_look_around(&self) -> bool {
        self.may_hear_changes() && self.topology == Known::Introduced
    }

    /// Whether a hook about what is shared may run: not before the life has begun, and not in its end.
    pub fn may_hear_changes(&self) -> bool {
        let settled = !matches!(
            self.stage,
            Stage::Joining | Stage::Preparing { .. } | Stage::Failed { .. }
        );
        settled && !self.ends()
    }

    /// The release to return to, if one was refused and the return is not done.
    pub fn returning(&self) -> Option<&CommitId> {
        match &self.stage {
            Stage::Returning { back, .. } => Some(back),
            _ => None,
        }
    }

    /// Nothing will be started any more.
    pub fn ends(&self) -> bool {
        matches!(
            self.stage,
            Stage::Cleaning { .. } | Stage::Ending { .. } | Stage::Stopped
        )
    }

    /// When [`Event::Tick`] is due next.
    pub fn due(&self) -> Option<Millis> {
        let own = match &self.stage {
            Stage::Cycling { kill_at, .. } | Stage::Ending { kill_at } => Some(*kill_at),
            Stage::Cleaning { term_at, .. } => Some(*term_at),
            Stage::Probing { until, .. } => Some(*until),
            Stage::Preparing { until, .. } => *until,
            _ => None,
        };
        let restart = match self.app {
            App::Due(at) => Some(at),
            App::Absent | App::Running => None,
        };
        let probe = self.probe_at.filter(|_| !self.probing);
        [own, restart, probe].into_iter().flatten().min()
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::new()
    }
}

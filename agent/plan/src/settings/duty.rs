//! What the agent is told about its duty as a process, and how it reads that.
//!
//! Refuses to know what a process is.

use std::path::PathBuf;

use cartridge_protocol::Millis;
use cartridge_protocol::launch::key;

use super::resolve::Reader;
use super::values::{absolute, boolean, number, seconds};
use super::{
    OOM_SCORE_ADJ, RESTART, RESTART_LIMIT, RESTART_SECONDS, SIDECAR, STOP_SECONDS, UPGRADE_KEYS,
    UPGRADE_SECONDS,
};
use crate::ends::{Restart, RestartRules};

/// What would be started.
const STARTS: [&str; 3] = [key::COMMAND, key::HOOKS, key::BALANCER];

/// How the agent is a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    /// Time for everything to end when a signal asks for it.
    pub stop_within: Millis,
    /// Least `oom_score_adj` of what the agent starts. None: what the agent was started with.
    pub oom_score_adj: Option<i32>,
    /// Who may sign a new agent. None: nobody.
    pub upgrade_keys: Option<PathBuf>,
    /// How long a new agent has to prove itself.
    pub upgrade_within: Millis,
    /// The agent starts nothing, and what runs is none of its business: said so, or because there is nothing to start.
    pub sidecar: bool,
}

impl Reader<'_> {
    pub(super) fn duty(&mut self) -> Option<Duty> {
        let given = STARTS.into_iter().find(|name| self.is_set(name));
        let sidecar = self.get(SIDECAR, |v| match (boolean(v)?, given) {
            (true, Some(given)) => Err(format!("a sidecar starts nothing, and {given} is set")),
            (said, _) => Ok(said || given.is_none()),
        });
        let stop_within = self.get(STOP_SECONDS, seconds);
        let upgrade_within = self.get(UPGRADE_SECONDS, |v| number(v, 2, 3600).map(Millis::from_secs));
        let oom_score_adj = self.get(OOM_SCORE_ADJ, oom_score_adj);
        Some(Duty {
            stop_within: stop_within?,
            oom_score_adj: oom_score_adj?,
            upgrade_keys: self.get(UPGRADE_KEYS, absolute),
            upgrade_within: upgrade_within?,
            sidecar: sidecar?,
        })
    }

    pub(super) fn restart(&mut self) -> Option<RestartRules> {
        let restart = self.get(RESTART, |v| match v {
            "always" => Ok(Restart::Always),
            "on-failure" => Ok(Restart::OnFailure),
            "never" => Ok(Restart::Never),
            _ => Err("none of them".to_owned()),
        });
        let limit = self.get(RESTART_LIMIT, |v| number(v, 0, 100));
        let window = self.get(RESTART_SECONDS, seconds);
        Some(RestartRules {
            restart: restart?,
            limit: u32::try_from(limit?).unwrap_or(u32::MAX),
            window: window?,
        })
    }
}

/// `None`: as inherited.
fn oom_score_adj(value: &str) -> Result<Option<i32>, String> {
    if value == "inherit" {
        return Ok(None);
    }
    match value.parse() {
        Ok(number @ 0..=1000) => Ok(Some(number)),
        _ => Err("neither".to_owned()),
    }
}

//! A life that another agent goes on with. Refuses to know how it gets there.

use cartridge_protocol::{CommitId, Millis};
use serde::{Deserialize, Serialize};

use super::{App, Known, Life, Stage};
use crate::ends::Ends;

/// What is handed over of a life that stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// Why it is suspended; none: it is active.
    pub suspended: Option<String>,
    /// The application runs as the agent's child.
    pub runs: bool,
    /// The hook that introduces the application around it has run.
    pub introduced: bool,
    /// How often the application was restarted.
    pub restarts: u32,
    /// The release that has proved itself.
    pub release: Option<CommitId>,
    /// How the application ended lately.
    pub ends: Ends,
    /// When it was started last.
    pub started: Millis,
}

impl Life {
    /// Whether another agent can go on with it: nothing has been begun that only this one knows the end of.
    pub fn stands_still(&self) -> bool {
        let still = matches!(self.stage, Stage::Active { .. } | Stage::Suspended { .. });
        still && !matches!(self.app, App::Due(_)) && self.topology != Known::Told
    }

    /// The application answers.
    pub fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Active { .. })
    }

    /// What is handed over of it.
    pub fn handed(&self) -> Handed {
        Handed {
            suspended: match &self.stage {
                Stage::Suspended { reason, .. } => Some(reason.clone()),
                _ => None,
            },
            runs: self.app == App::Running,
            introduced: self.topology == Known::Introduced,
            restarts: self.restarts,
            release: self.release.clone(),
            ends: self.ends.clone(),
            started: self.started,
        }
    }

    /// Goes on with it; the application is asked at once how it is.
    pub fn resumed(handed: Handed, now: Millis) -> Self {
        Self {
            stage: match handed.suspended {
                Some(reason) => Stage::Suspended { reason, tries: 0 },
                None => Stage::Active { failures: 0 },
            },
            app: if handed.runs { App::Running } else { App::Absent },
            activated: true,
            topology: if handed.introduced {
                Known::Introduced
            } else {
                Known::Unknown
            },
            restarts: handed.restarts,
            release: handed.release,
            ends: handed.ends,
            started: handed.started,
            probe_at: Some(now),
            ..Self::new()
        }
    }
}

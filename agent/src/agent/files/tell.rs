//! What others ask of one repository's files, and what an agent that follows must know of them.
//!
//! Refuses to change anything but what a person's wish for a look resets.

use std::path::{Path, PathBuf};

use cartridge_agent_plan::handover::Files as Handed;
use cartridge_protocol::link::{DesiredArtifacts, MAX_REFUSED, Refused};
use cartridge_protocol::{CommitId, Millis};

use super::{Files, InUse};

/// Most releases told.
const MOST_STAGED: usize = 8;

impl Files {
    /// Somebody waits for a look at the repository, and for what follows from it.
    pub(in crate::agent) fn look_now(&mut self) {
        self.denied = None;
        self.look_at = Millis::ZERO;
        self.move_at = Millis::ZERO;
        self.tries = 0;
        self.asked_fault = None;
        self.restless = true;
    }

    /// Nothing is to be done before the next look, or before another try of what failed.
    pub(in crate::agent) fn has_settled(&self, now: Millis) -> bool {
        let waits = !self.restless || self.asked_fault.is_some() && self.move_at > now;
        self.look_at > now && !self.busy && waits
    }

    /// What went wrong since somebody asked for a look.
    pub(in crate::agent) fn fault(&self) -> Option<&str> {
        self.asked_fault.as_deref()
    }

    /// The release to go back to.
    pub(in crate::agent) fn previous(&self) -> Option<&CommitId> {
        self.previous.as_ref()
    }

    /// A piece of work is under way.
    pub(in crate::agent) fn is_busy(&self) -> bool {
        self.busy
    }

    /// What another agent needs to know.
    pub(in crate::agent) fn handed(&self) -> Handed {
        Handed {
            head: self.head.clone(),
            current: self.state.current.clone(),
            previous: self.previous.clone(),
            refused: self.refused.clone(),
        }
    }

    pub(in crate::agent) fn resume(&mut self, handed: Handed) {
        self.head = handed.head;
        self.state.current = handed.current;
        self.previous = handed.previous;
        self.refused = handed.refused;
        self.refused.truncate(MAX_REFUSED);
    }

    pub(in crate::agent) fn stop(&self) {
        self.stop.raise();
    }

    pub(in crate::agent) fn head(&self) -> Option<&CommitId> {
        self.head.as_ref()
    }

    pub(in crate::agent) fn staged(&self) -> Vec<CommitId> {
        let from = self.state.whole.len().saturating_sub(MOST_STAGED);
        self.state.whole[from..].to_vec()
    }

    pub(in crate::agent) fn refused(&self) -> Vec<Refused> {
        self.refused.clone()
    }

    /// The commit that is current.
    pub(in crate::agent) fn current(&self) -> Option<&CommitId> {
        self.state.current.as_ref()
    }

    /// What is wanted.
    pub(in crate::agent) fn wanted(&self) -> Option<&DesiredArtifacts> {
        self.wanted.as_ref()
    }

    /// The link to the current release.
    pub(in crate::agent) fn link(&self) -> PathBuf {
        self.root.join("current")
    }

    /// Where the files appear, if it is elsewhere than at the link.
    pub(in crate::agent) fn place(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| place.path.as_path())
    }

    pub(in crate::agent) fn in_use(&self) -> InUse {
        InUse {
            any: self.state.current.is_some(),
        }
    }
}

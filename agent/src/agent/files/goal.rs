//! What is wanted of one repository's files, and how it is put to shelf and source.
//!
//! Refuses to know what is under way.

use std::sync::Arc;

use cartridge_agent_plan::artifacts::{Rules, sharing};
use cartridge_agent_plan::release::{DEFAULT_KEEP, Wanted};
use cartridge_protocol::link::DesiredArtifacts;
use cartridge_protocol::{CommitId, Millis};

use super::Files;
use crate::host::clock::chance;
use crate::host::git::Remote;
use crate::host::source::Source;

impl Files {
    pub(in crate::agent) fn want(&mut self, wanted: &DesiredArtifacts, revision: u64) {
        self.leaves = false;
        let before = self.wanted.replace(wanted.clone());
        let same_place = before
            .as_ref()
            .is_some_and(|b| b.url == wanted.url && b.branch == wanted.branch);
        if !same_place {
            self.head = None;
        }
        if before
            .as_ref()
            .is_none_or(|b| !same_place || b.look != wanted.look)
        {
            // Counted from the loop's last pass, which was a moment ago.
            let called = sharing::called(wanted.sharing, chance());
            self.look_at = self.begun.plus(called).min(self.look_at);
        } else {
            // With fewer who share, its turn comes sooner.
            let poll = sharing::poll(Millis(wanted.poll_interval_ms), wanted.sharing, chance());
            self.look_at = self.looked_at.plus(poll).min(self.look_at);
        }
        let anew = before
            .as_ref()
            .is_some_and(|b| !same_place || b.commit != wanted.commit);
        if let Some(push) = &mut self.push {
            push.heard(revision, anew, self.shelf.as_ref());
        }
        // A person insists: what was refused is tried again.
        if wanted.ordered
            && before
                .as_ref()
                .is_none_or(|b| !b.ordered || b.commit != wanted.commit)
        {
            self.refused.retain(|r| Some(&r.commit) != wanted.commit.as_ref());
        }
        if before.as_ref() != Some(wanted) {
            self.denied = None;
            self.restless = true;
            self.move_at = Millis::ZERO;
            self.tries = 0;
        }
    }

    /// Nobody wants them any more: releases and links go.
    pub(in crate::agent) fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaves, true) {
            self.wanted = None;
            self.move_at = Millis::ZERO;
            self.tries = 0;
            self.stop.raise();
        }
    }

    /// Nothing of it is there any more.
    pub(in crate::agent) fn is_gone(&self) -> bool {
        self.leaves && self.gone
    }

    /// Other rules count from now on.
    pub(in crate::agent) fn follow_rules(&mut self, rules: &Rules) {
        self.rules = Arc::new(rules.clone());
        self.shelf = self.shelf.take().map(|shelf| shelf.limited(rules.limits));
        self.restless = true;
    }

    /// What is to be current: what is ordered, or what became of it here.
    pub(super) fn target(&self) -> Option<&CommitId> {
        let ordered = self.wanted.as_ref()?.commit.as_ref()?;
        let push = self.push.as_ref();
        Some(push.and_then(|push| push.instead_of(ordered)).unwrap_or(ordered))
    }

    pub(super) fn source(&self, wanted: &DesiredArtifacts) -> Source {
        match &self.plugin {
            Some(plugin) => Source::Plugin(plugin.brings(wanted)),
            None => Source::Git(self.remote(wanted)),
        }
    }

    pub(in crate::agent) fn remote(&self, wanted: &DesiredArtifacts) -> Remote {
        Remote {
            url: wanted.url.clone(),
            branch: wanted.branch.clone(),
            username: wanted.username.clone(),
            password: wanted.password.clone(),
            ordered: wanted.commit.clone().filter(|_| wanted.ordered),
            rules: self.rules.clone(),
        }
    }

    pub(super) fn goal(&self) -> Wanted {
        Wanted {
            commit: self.target().cloned(),
            head: self.head.clone(),
            refused: self.refused.iter().map(|r| r.commit.clone()).collect(),
            keep: DEFAULT_KEEP,
            previous: self.previous.clone(),
        }
    }
}

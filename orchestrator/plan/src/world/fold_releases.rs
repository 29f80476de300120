//! How records move a cluster from one commit to the next.
//!
//! This file refuses to know why.

use cartridge_protocol::CommitId;

use super::{MAX_COMMITS, Rejected, ReleaseState, World};
use crate::record::Record;

impl World {
    pub(super) fn change_release(&mut self, record: &Record) {
        let revision = self.seq;
        let (Record::ReleaseProposed { cluster, .. }
        | Record::ReleaseAccepted { cluster, .. }
        | Record::ReleaseRejected { cluster, .. }
        | Record::ReleaseUnpinned { cluster, .. }) = record
        else {
            unreachable!("no release record: {record:?}")
        };
        let Some(cluster) = self.clusters.get_mut(cluster) else {
            return;
        };
        cluster.told = revision;
        cluster.release.apply(record);
    }
}

impl ReleaseState {
    fn apply(&mut self, record: &Record) {
        match record {
            Record::ReleaseProposed { commit, pinned, .. } => {
                if let Some(before) = self
                    .proposed
                    .replace(commit.clone())
                    .filter(|before| before != commit)
                {
                    self.pass(before);
                }
                self.pinned = *pinned;
                self.rejected.retain(|rejected| rejected.commit != *commit);
            }
            Record::ReleaseAccepted { commit, .. } => {
                self.proposed = None;
                if let Some(before) = self
                    .accepted
                    .replace(commit.clone())
                    .filter(|before| before != commit)
                {
                    self.pass(before.clone());
                    self.previous = Some(before);
                }
            }
            Record::ReleaseRejected { commit, reason, .. } => {
                self.proposed = None;
                self.reject(Rejected {
                    commit: commit.clone(),
                    reason: reason.clone(),
                });
            }
            _ => self.pinned = false,
        }
    }

    /// Accepted as soon as it is ordered.
    pub(super) fn order(&mut self, commit: &CommitId) {
        let before = self.accepted.replace(commit.clone());
        if let Some(before) = before.filter(|before| before != commit) {
            self.pass(before.clone());
            self.previous = Some(before);
        }
    }

    /// What was accepted is rejected after all: back to what was accepted before.
    pub(super) fn go_back(&mut self, rejected: Rejected) {
        self.accepted = self.previous.take();
        self.reject(rejected);
    }

    fn reject(&mut self, rejected: Rejected) {
        self.rejected.push(rejected);
        let surplus = self.rejected.len().saturating_sub(MAX_COMMITS);
        self.rejected.drain(..surplus);
    }

    fn pass(&mut self, commit: CommitId) {
        self.passed.retain(|passed| *passed != commit);
        self.passed.push(commit);
        let surplus = self.passed.len().saturating_sub(MAX_COMMITS);
        self.passed.drain(..surplus);
    }
}

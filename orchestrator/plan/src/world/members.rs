//! All members, with what is asked about them so often that it is counted along: who takes up a place where, and who
//! still needs a provisioner.
//!
//! This file refuses to know what follows from that.

use std::collections::BTreeMap;
use std::ops::Deref;

use cartridge_protocol::{ClusterId, MemberId, Millis, NetworkPartitionId, PartitionId};
use serde::{Deserialize, Serialize};

use super::shared::Shared;
use super::{Member, MemberPhase};

type Place = (NetworkPartitionId, PartitionId);

/// By id. Reads as the map that it is; changes go through here, so that the counts follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Shared<MemberId, Member>", into = "Shared<MemberId, Member>")]
pub struct Members {
    all: Shared<MemberId, Member>,
    /// How many of each cluster take up a place.
    standing: Shared<Place, BTreeMap<ClusterId, u32>>,
    /// Those for whom a provisioner has something to do, now or after a wait.
    unfinished: Shared<MemberId, ()>,
}

impl Members {
    /// Adds or replaces.
    pub fn insert(&mut self, id: MemberId, member: Member) {
        self.forget(&id);
        self.count(&member);
        self.all.insert(id, member);
    }

    /// Removes.
    pub fn remove(&mut self, id: &MemberId) {
        self.forget(id);
        self.all.remove(id);
    }

    /// Keeps those of which this holds.
    pub(super) fn kept(&self, keep: impl Fn(&Member) -> bool) -> Self {
        let mut all = self.all.clone();
        all.retain(|_, member| keep(member));
        all.into()
    }

    /// Changes one; None: there is no such member.
    pub fn change<T>(&mut self, id: &MemberId, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        self.forget(id);
        let member = self.all.get_mut(id)?;
        let changed = change(member);
        let member = member.clone();
        self.count(&member);
        Some(changed)
    }

    /// Makes every wait begin now.
    pub(super) fn resume_at(&mut self, now: Millis) {
        let resume = |member: &mut Member| {
            member.since = now;
            member.activated = member.activated.map(|_| now);
            member.changes.iter_mut().for_each(|at| *at = now);
        };
        self.all.change(|_| true, resume);
    }

    /// Members that take up a place there, by cluster.
    pub fn standing(
        &self,
        network_partition: &NetworkPartitionId,
        partition: &PartitionId,
    ) -> impl Iterator<Item = (&ClusterId, u32)> {
        let place = (network_partition.clone(), partition.clone());
        let counts = self.standing.get(&place);
        counts
            .into_iter()
            .flatten()
            .map(|(cluster, count)| (cluster, *count))
    }

    /// Those for whom a provisioner has something to do, now or after a wait; in the order of their ids.
    pub fn unfinished(&self) -> impl Iterator<Item = &Member> {
        self.unfinished.keys().filter_map(|id| self.all.get(id))
    }

    fn count(&mut self, member: &Member) {
        if needs_provisioner(member) {
            self.unfinished.insert(member.id.clone(), ());
        }
        if takes_place(member) {
            let counts = self.standing.get_or_insert_with(place(member), BTreeMap::new);
            *counts.entry(member.cluster.clone()).or_default() += 1;
        }
    }

    fn forget(&mut self, id: &MemberId) {
        let Some(member) = self.all.get(id) else {
            return;
        };
        if needs_provisioner(member) {
            self.unfinished.remove(id);
        }
        if takes_place(member) {
            let place = place(member);
            let left = self.standing.get_mut(&place).is_some_and(|counts| {
                if let Some(count) = counts.get_mut(&member.cluster) {
                    *count -= 1;
                }
                counts.retain(|_, count| *count > 0);
                !counts.is_empty()
            });
            if !left {
                self.standing.remove(&place);
            }
        }
    }
}

fn place(member: &Member) -> Place {
    (member.network_partition.clone(), member.partition.clone())
}

/// All but the ended do.
const fn takes_place(member: &Member) -> bool {
    !matches!(member.phase, MemberPhase::Ended { .. })
}

const fn needs_provisioner(member: &Member) -> bool {
    member.lacks_instance() || matches!(member.phase, MemberPhase::Ended { .. })
}

impl Deref for Members {
    type Target = Shared<MemberId, Member>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl std::ops::Index<&MemberId> for Members {
    type Output = Member;

    fn index(&self, id: &MemberId) -> &Member {
        &self.all[id]
    }
}

impl From<Shared<MemberId, Member>> for Members {
    fn from(all: Shared<MemberId, Member>) -> Self {
        let mut members = Self::default();
        for member in all.values() {
            members.count(member);
        }
        members.all = all;
        members
    }
}

impl From<Members> for Shared<MemberId, Member> {
    fn from(members: Members) -> Self {
        members.all
    }
}

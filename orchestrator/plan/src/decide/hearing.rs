//! Who is heard, who is not, and whether silence is theirs or ours.
//!
//! This file refuses to know what a silent member did before.

use std::collections::BTreeMap;

use cartridge_protocol::{Millis, NetworkPartitionId};

use super::View;
use super::limits::FRESH;
use crate::observe::{InstanceObservation, MemberObservation, Observations};
use crate::world::{Cluster, Member, World};

/// How many of some members serve, and how many of those were not heard lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub serving: usize,
    pub stale: usize,
}

impl Tally {
    pub const fn plus(self, other: Self) -> Self {
        Self {
            serving: self.serving + other.serving,
            stale: self.stale + other.stale,
        }
    }

    /// So many are silent that it is likelier that we do not hear (S9).
    pub const fn brakes(self) -> bool {
        self.stale > 2 && self.stale * 10 > self.serving * 3
    }

    /// Fewer than 80 % are heard: nothing is taken away (S8).
    pub fn freezes(self) -> bool {
        planted!(ScaleInOnSilence => return false);
        (self.serving - self.stale) * 5 < self.serving * 4
    }

    fn of<'a>(members: impl Iterator<Item = &'a Member>, seen: &Observations, now: Millis) -> Self {
        members
            .filter(|member| member.phase.serves())
            .fold(Self::default(), |sum, member| {
                sum.plus(Self {
                    serving: 1,
                    stale: usize::from(silence(seen, now, member) > FRESH),
                })
            })
    }
}

/// What this life of the member said last.
pub(super) fn said<'a>(seen: &'a Observations, member: &Member) -> Option<&'a MemberObservation> {
    seen.members
        .get(&member.id)
        .filter(|said| said.incarnation == member.incarnation)
}

/// What it said, if that was lately.
pub(super) fn said_lately<'a>(
    seen: &'a Observations,
    now: Millis,
    member: &Member,
) -> Option<&'a MemberObservation> {
    said(seen, member).filter(|said| now.since(said.heard) <= FRESH)
}

/// How its instance ended, if the provisioner says so: it noticed the end, or its lists lack it and it is silent too.
pub(super) fn ended<'a>(seen: &'a Observations, now: Millis, member: &Member) -> Option<&'a str> {
    let (life, reason) = match seen.instances.get(&member.id)? {
        InstanceObservation::Running { .. } => return None,
        InstanceObservation::Gone {
            incarnation, reason, ..
        } => (incarnation, reason),
        InstanceObservation::Missing {
            incarnation, reason, ..
        } => {
            if said_lately(seen, now, member).is_some() {
                return None;
            }
            (incarnation, reason)
        }
    };
    (*life == member.incarnation).then_some(reason)
}

/// How long it has been silent while we listened.
pub(super) fn silence(seen: &Observations, now: Millis, member: &Member) -> Millis {
    now.since(last_heard(seen, member))
}

/// When it was heard last, or when we began to listen.
pub(super) fn last_heard(seen: &Observations, member: &Member) -> Millis {
    said(seen, member).map_or(seen.began, |said| said.heard.max(seen.began))
}

/// The tally of one cluster.
pub(super) fn tally(world: &World, seen: &Observations, now: Millis, cluster: &Cluster) -> Tally {
    Tally::of(world.members_of(cluster), seen, now)
}

/// There are serving members, and not one of them is heard. One voice ends the search.
pub(super) fn is_blind(view: &View<'_>) -> bool {
    let mut serving = view
        .world
        .members
        .values()
        .filter(|member| member.phase.serves())
        .peekable();
    serving.peek().is_some() && serving.all(|member| silence(view.seen, view.now, member) > FRESH)
}

/// The tallies of the whole fleet.
pub(super) fn tally_by_network_partition(view: &View<'_>) -> BTreeMap<NetworkPartitionId, Tally> {
    let mut tallies: BTreeMap<NetworkPartitionId, Tally> = BTreeMap::new();
    for member in view.world.members.values().filter(|member| member.phase.serves()) {
        let one = Tally::of(std::iter::once(member), view.seen, view.now);
        if let Some(tally) = tallies.get_mut(&member.network_partition) {
            *tally = tally.plus(one);
        } else {
            tallies.insert(member.network_partition.clone(), one);
        }
    }
    tallies
}

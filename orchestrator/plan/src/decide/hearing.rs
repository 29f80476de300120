//! Who is heard, who is not, and whether silence is theirs or ours.
//!
//! This file refuses to know what a silent member did before.

use std::collections::BTreeMap;

use cartridge_protocol::{MemberId, Millis, NetworkPartitionId};

use super::View;
use super::limits::FRESH;
use crate::observe::{InstanceObservation, MemberObservation, Observations};
use crate::world::{Cluster, Finger, Member, World};

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

    fn of<'a>(members: impl Iterator<Item = &'a Member>, walk: &mut Walk<'_>) -> Self {
        members
            .filter(|member| member.phase.serves())
            .fold(Self::default(), |sum, member| {
                sum.plus(Self {
                    serving: 1,
                    stale: usize::from(walk.silence(member) > FRESH),
                })
            })
    }
}

/// What is known of members that are asked about in the order of their ids.
pub(super) struct Walk<'a> {
    began: Millis,
    now: Millis,
    said: Finger<'a, MemberId, MemberObservation>,
    instances: Finger<'a, MemberId, InstanceObservation>,
}

impl<'a> Walk<'a> {
    pub fn new(seen: &'a Observations, now: Millis) -> Self {
        Self {
            began: seen.began,
            now,
            said: seen.members.finger(),
            instances: seen.instances.finger(),
        }
    }

    /// What this life of the member said last.
    pub fn said(&mut self, member: &Member) -> Option<&'a MemberObservation> {
        let said = self.said.get(&member.id);
        said.filter(|said| said.incarnation == member.incarnation)
    }

    /// What it said, if that was lately.
    pub fn said_lately(&mut self, member: &Member) -> Option<&'a MemberObservation> {
        let now = self.now;
        self.said(member).filter(|said| now.since(said.heard) <= FRESH)
    }

    /// How its instance ended, if the provisioner says so: it noticed the end, or its lists lack it and it is silent
    /// too.
    pub fn ended(&mut self, member: &Member) -> Option<&'a str> {
        let (life, reason) = match self.instances.get(&member.id)? {
            InstanceObservation::Running { .. } => return None,
            InstanceObservation::Gone {
                incarnation, reason, ..
            } => (incarnation, reason),
            InstanceObservation::Missing {
                incarnation, reason, ..
            } => {
                if self.said_lately(member).is_some() {
                    return None;
                }
                (incarnation, reason)
            }
        };
        (*life == member.incarnation).then_some(reason)
    }

    /// When it was heard last, or when we began to listen.
    pub fn last_heard(&mut self, member: &Member) -> Millis {
        let began = self.began;
        self.said(member).map_or(began, |said| said.heard.max(began))
    }

    /// How long it has been silent while we listened.
    pub fn silence(&mut self, member: &Member) -> Millis {
        self.now.since(self.last_heard(member))
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

/// The tally of one cluster.
pub(super) fn tally(world: &World, seen: &Observations, now: Millis, cluster: &Cluster) -> Tally {
    Tally::of(world.members_of(cluster), &mut Walk::new(seen, now))
}

/// There are serving members, and not one of them is heard. One voice ends the search.
pub(super) fn is_blind(view: &View<'_>) -> bool {
    let mut serving = view
        .world
        .members
        .values()
        .filter(|member| member.phase.serves())
        .peekable();
    let mut walk = Walk::new(view.seen, view.now);
    serving.peek().is_some() && serving.all(|member| walk.silence(member) > FRESH)
}

/// The tallies of the whole fleet.
pub(super) fn tally_by_network_partition(view: &View<'_>) -> BTreeMap<NetworkPartitionId, Tally> {
    let mut tallies: BTreeMap<NetworkPartitionId, Tally> = BTreeMap::new();
    let mut walk = Walk::new(view.seen, view.now);
    for member in view.world.members.values().filter(|member| member.phase.serves()) {
        let one = Tally::of(std::iter::once(member), &mut walk);
        if let Some(tally) = tallies.get_mut(&member.network_partition) {
            *tally = tally.plus(one);
        } else {
            tallies.insert(member.network_partition.clone(), one);
        }
    }
    tallies
}

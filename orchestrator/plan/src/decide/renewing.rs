//! How members that were started with what does not hold any more make way: as many new ones as the budget of
//! destruction allows get ready beside them, then as many of them go (S7, S13). Where there is no room beside, one goes
//! first, if others serve.
//!
//! This file refuses to know what changed.

use cartridge_protocol::{ApplicationId, ClusterId, NetworkPartitionId};

use super::draft::Draft;
use super::limits::budget;
use super::parts::{self, Share};
use super::{hearing, shrinking};
use crate::placement;
use crate::record::Record;
use crate::world::{Cluster, Member, MemberPhase, Role, World};

/// Members of a cluster there that are to be replaced.
pub(super) fn outdated<'a>(
    world: &'a World,
    cluster: &'a Cluster,
    np: &'a NetworkPartitionId,
) -> impl Iterator<Item = &'a Member> {
    let any = cluster.renewed > 0 && cluster.is_wanted();
    let here = any.then(|| world.members_in(cluster, np));
    here.into_iter()
        .flatten()
        .filter(|member| cluster.is_outdated(member) && !member.phase.is_leaving())
}

/// How many members more than wanted may stand there meanwhile.
pub(super) fn surge(world: &World, cluster: &Cluster, np: &NetworkPartitionId) -> u32 {
    let desired = cluster.instances.get(np).map_or(0, |instance| instance.desired);
    let most = outdated(world, cluster, np).count().min(budget(desired as usize));
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    if draft.world().is_undeploying(application) {
        return;
    }
    for id in draft.cluster_ids(application) {
        let Some(cluster) = draft.world().clusters.get(&id).filter(|one| one.renewed > 0) else {
            continue;
        };
        if cluster.role != Role::Application || cluster.leaving.is_some() {
            continue;
        }
        let stand = cluster
            .instances
            .iter()
            .filter(|(_, instance)| instance.ending.is_none());
        let places: Vec<NetworkPartitionId> = stand.map(|(np, _)| np.clone()).collect();
        for np in places {
            for part in parts::shares(draft.world(), &id, &np) {
                while let Some(member) = next(draft, &id, &np, &part) {
                    draft.push(Record::MemberDraining {
                        member: member.id,
                        incarnation: member.incarnation,
                        reason: "it is replaced: what it was started with changed".into(),
                    });
                }
            }
        }
    }
}

/// The member that goes next; None: none may at present.
fn next(draft: &mut Draft<'_>, id: &ClusterId, np: &NetworkPartitionId, part: &Share) -> Option<Member> {
    let world = draft.world();
    let cluster = world.clusters.get(id)?;
    let own = |member: &&Member| member.group_instance == part.number;
    let candidates: Vec<&Member> = outdated(world, cluster, np).filter(own).collect();
    // Who does not serve yet never will have to.
    if let Some(coming) = candidates.iter().find(|member| member.phase.is_coming()) {
        return Some((*coming).clone());
    }
    if candidates.is_empty() {
        return None;
    }
    let tally = hearing::tally(world, draft.seen, draft.now, cluster);
    if draft.blind() || tally.freezes() {
        let text = format!("{} of {} members are not heard", tally.stale, tally.serving);
        draft.note(id, format!("nobody is replaced in {np}: {text}"));
        return None;
    }
    let ready = |which: &dyn Fn(&&Member) -> bool| {
        let active = |member: &&Member| member.phase == MemberPhase::Active;
        world.members_in(cluster, np).filter(active).filter(which).count()
    };
    let desired = cluster.instances.get(np)?.desired as usize;
    let (all, here) = (ready(&|_| true), ready(&own));
    let suspended = candidates
        .iter()
        .find(|member| matches!(member.phase, MemberPhase::Suspended { .. }));
    if let Some(suspended) = suspended.filter(|_| all > 0) {
        return Some((*suspended).clone());
    }
    let active = candidates
        .iter()
        .find(|member| member.phase == MemberPhase::Active);
    let goes = active.map(|member| (*member).clone())?;
    if all > desired && here > part.desired as usize {
        return Some(goes);
    }
    without_room(draft, id, np, goes, all)
}

/// Nobody more fits there: one goes first, and its place is taken.
fn without_room(
    draft: &mut Draft<'_>,
    id: &ClusterId,
    np: &NetworkPartitionId,
    goes: Member,
    ready: usize,
) -> Option<Member> {
    let world = draft.world();
    let cluster = world.clusters.get(id)?;
    // All that fit are all that there can be.
    let desired = cluster.instances.get(np)?.desired;
    let desired = desired.min(placement::room(world, cluster, np)) as usize;
    let moving = world
        .members_in(cluster, np)
        .any(|member| member.phase.is_coming() || member.phase.is_leaving());
    if moving || placement::place(world, cluster, np).is_some() {
        return None;
    }
    if ready < desired || ready < 2 {
        let text = format!(
            "{} cannot be replaced in {np}: there is no room for another one",
            goes.id
        );
        draft.note(id, text);
        return None;
    }
    match shrinking::may_take(draft, id, &goes) {
        Ok(()) => Some(goes),
        Err(hindrance) => {
            draft.note(id, format!("{} is replaced later: {hindrance}", goes.id));
            None
        }
    }
}

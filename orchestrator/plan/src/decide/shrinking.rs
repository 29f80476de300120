//! Takes out members where there are more than there should be, within the budget of destruction (S7), never
//! while we do not hear well (S8), never the last endpoint (S13).
//!
//! This file refuses to know how many there should be.

use cartridge_protocol::{ApplicationId, ClusterId, Millis, NetworkPartitionId};

use super::draft::Draft;
use super::hearing;
use super::limits::{BUDGET_SPAN, budget};
use super::parts::{self, Share};
use super::renewing;
use crate::placement;
use crate::record::Record;
use crate::world::{Cluster, Member, MemberPhase, World};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    if draft.world().is_undeploying(application) {
        return;
    }
    for id in draft.cluster_ids(application) {
        let Some(cluster) = draft.world().clusters.get(&id) else {
            continue;
        };
        if !cluster.is_wanted() {
            continue;
        }
        let stand = cluster
            .instances
            .iter()
            .filter(|(_, instance)| instance.ending.is_none());
        let places: Vec<NetworkPartitionId> = stand.map(|(np, _)| np.clone()).collect();
        for np in places {
            for part in parts::shares(draft.world(), &id, &np) {
                trim(draft, &id, &np, &part);
            }
        }
    }
}

fn trim(draft: &mut Draft<'_>, id: &ClusterId, np: &NetworkPartitionId, part: &Share) {
    let world = draft.world();
    let cluster = world.clusters.get(id);
    let own = |member: &Member| member.group_instance == part.number;
    if cluster.is_some_and(|cluster| renewing::outdated(world, cluster, np).any(own)) {
        return; // those go first, and not before others stand
    }
    while let Some(member) = surplus(draft, id, np, part) {
        if member.phase.serves()
            && let Err(hindrance) = may_take(draft, id, &member)
        {
            draft.note(id, format!("one member too many in {np}: {hindrance}"));
            return;
        }
        draft.push(Record::MemberDraining {
            member: member.id,
            incarnation: member.incarnation,
            reason: "there are more members than needed".into(),
        });
    }
}

/// The member that goes first, if there is one too many.
fn surplus(draft: &Draft<'_>, id: &ClusterId, np: &NetworkPartitionId, part: &Share) -> Option<Member> {
    let world = draft.world();
    let cluster = world.clusters.get(id)?;
    let here = |member: &Member| member.group_instance == part.number;
    let stay = || {
        world
            .members_in(cluster, np)
            .filter(|member| !member.phase.is_leaving())
    };
    let desired = cluster.instances.get(np)?.desired as usize;
    let (own, all) = stay().fold((0, 0), |(own, all), member| {
        (own + usize::from(here(member)), all + 1)
    });
    if own <= part.desired as usize {
        return None;
    }
    // Parts may differ, as long as each has its minimum: nobody is stopped only to be started elsewhere.
    let short = |number: u32| {
        let there = stay().filter(|member| member.group_instance == number).count();
        there < cluster.min as usize
    };
    let needed_elsewhere = all == desired && world.parts(cluster, np).into_iter().any(short);
    if all <= desired && !needed_elsewhere {
        return None;
    }
    let victim = placement::victim_of(world, draft.seen, cluster, np, here)?;
    world.members.get(&victim).cloned()
}

pub(super) fn may_take(draft: &mut Draft<'_>, id: &ClusterId, member: &Member) -> Result<(), String> {
    let world = draft.world();
    let Some(cluster) = world.clusters.get(id) else {
        return Err("its cluster is gone".into());
    };
    let desired = cluster
        .instances
        .get(&member.network_partition)
        .map_or(0, |instance| instance.desired);
    let tally = hearing::tally(world, draft.seen, draft.now, cluster);
    let last = is_last_endpoint(world, cluster, member);
    if desired > 0 && last {
        return Err("it is the only one that is ready".into());
    }
    if cluster.ordered_size.is_some() {
        return Ok(());
    }
    if draft.blind() || tally.freezes() {
        return Err(format!(
            "{} of {} members are not heard",
            tally.stale, tally.serving
        ));
    }
    match budget_free_at(cluster, tally.serving, draft.now) {
        None => Ok(()),
        Some(free) => {
            draft.wake_at(free);
            Err("the budget for taking members out is spent".into())
        }
    }
}

pub(super) fn is_last_endpoint(world: &World, cluster: &Cluster, member: &Member) -> bool {
    planted!(EmptyBalancerSet => return false);
    let other = |m: &Member| m.id != member.id && m.phase == MemberPhase::Active;
    !world.members_in(cluster, &member.network_partition).any(other)
}

/// None: there is budget left. Otherwise when there will be.
fn budget_free_at(cluster: &Cluster, serving: usize, now: Millis) -> Option<Millis> {
    planted!(BudgetIgnored => return None);
    let spent: Vec<Millis> = cluster
        .drains
        .iter()
        .copied()
        .filter(|at| now.since(*at) < BUDGET_SPAN)
        .collect();
    if spent.len() < budget(serving) {
        return None;
    }
    spent.first().map(|first| first.plus(BUDGET_SPAN))
}

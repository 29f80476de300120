//! Updates of running applications: who takes the place of another one is ready before that one goes (S13), and
//! replacing takes nothing away (S7).

use cartridge_protocol::NetworkPartitionId;

use super::{Broken, Moment, broken};
use crate::record::Record;
use crate::world::{Cluster, Member, MemberPhase, Role, World};

fn active<'a>(
    world: &'a World,
    cluster: &'a Cluster,
    np: &'a NetworkPartitionId,
) -> impl Iterator<Item = &'a Member> {
    let members = cluster.members.iter().filter_map(|id| world.members.get(id));
    members.filter(move |m| m.network_partition == *np && m.phase == MemberPhase::Active)
}

/// A member that is to be replaced while as many others as are wanted are ready.
pub(super) fn is_surplus(moment: &Moment<'_>, cluster: &Cluster, member: &Member) -> bool {
    let np = &member.network_partition;
    let wanted = cluster.instances.get(np).map_or(0, |instance| instance.desired);
    let others = active(moment.world, cluster, np)
        .filter(|other| other.id != member.id)
        .count();
    let suspended = matches!(member.phase, MemberPhase::Suspended { .. });
    member.planned < cluster.renewed && (others >= wanted as usize || (suspended && others > 0))
}

/// How many may stand beside those that are to be replaced.
pub(super) fn beside(world: &World, cluster: &Cluster, np: &NetworkPartitionId, desired: u32) -> usize {
    let old = cluster.members.iter().filter_map(|id| world.members.get(id));
    let old = old.filter(|m| m.network_partition == *np && m.planned < cluster.renewed);
    old.count().min((desired as usize / 10).max(1))
}

/// The last one of a cluster that leaves goes only when its successor serves.
pub(super) fn handed_over(moment: &Moment<'_>) -> Result<(), Broken> {
    let Record::MemberDraining { member, .. } = moment.record else {
        return Ok(());
    };
    let world = moment.world;
    let Some(member) = world
        .members
        .get(member)
        .filter(|one| one.phase == MemberPhase::Active)
    else {
        return Ok(());
    };
    let Some(cluster) = world
        .clusters
        .get(&member.cluster)
        .filter(|one| one.leaving.is_some())
    else {
        return Ok(());
    };
    let np = &member.network_partition;
    let mut others = world.clusters.values().filter(|other| {
        other.application == cluster.application
            && other.alias == cluster.alias
            && other.role == Role::Application
            && other.leaving.is_none()
    });
    let in_use = |other: &Cluster| other.instances.get(np).is_some_and(|one| one.ending.is_none());
    let left = active(world, cluster, np).any(|other| other.id != member.id);
    let undeploying = world.is_undeploying(&cluster.application);
    match others.next().filter(|other| in_use(other)) {
        Some(successor) if !undeploying && !left && active(world, successor, np).next().is_none() => {
            let problem = format!("{} would go before {} serves", member.id, successor.id);
            Err(broken("S13 non-empty endpoints", problem))
        }
        _ => Ok(()),
    }
}

//! Plans the members that are missing, whatever the reason: first start, growth, a death.
//!
//! This file refuses to know how many there should be.

use cartridge_protocol::{ApplicationId, ClusterId, NetworkPartitionId};

use super::draft::Draft;
use super::parts::{self, Share};
use super::{limits, renewing};
use crate::placement;
use crate::record::Record;
use crate::world::{Cluster, Member, Role, World};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    if draft.world().is_undeploying(application) {
        return;
    }
    for id in draft.cluster_ids(application) {
        let stays = |cluster: &&Cluster| cluster.leaving.is_none();
        let Some(cluster) = draft.world().clusters.get(&id).filter(stays) else {
            continue;
        };
        let stand = cluster
            .instances
            .iter()
            .filter(|(_, instance)| instance.ending.is_none());
        let places: Vec<NetworkPartitionId> = stand.map(|(np, _)| np.clone()).collect();
        for np in places {
            for part in parts::shares(draft.world(), &id, &np) {
                fill(draft, &id, &np, &part);
            }
        }
    }
}

/// Plans members there until none is missing or there is no room.
fn fill(draft: &mut Draft<'_>, id: &ClusterId, np: &NetworkPartitionId, part: &Share) {
    let Some((have, missing)) = standing(draft.world(), id, np, part) else {
        return;
    };
    let world = draft.world();
    let beside = world.clusters.get(id).map_or(0, |cluster| {
        let here = |member: &&Member| member.group_instance == part.number;
        let own = renewing::outdated(world, cluster, np).filter(here).count();
        renewing::surge(world, cluster, np).min(u32::try_from(own).unwrap_or(u32::MAX))
    });
    let desired = (part.desired + beside).min(have.saturating_add(missing));
    if have >= desired || waits(draft, id, np) {
        return;
    }
    if let Some(reason) = &part.held {
        draft.note(
            id,
            format!("{} members are missing in {np}: {reason}", desired - have),
        );
        return;
    }
    for number in have..desired {
        let world = draft.world();
        let Some(cluster) = world.clusters.get(id) else {
            return;
        };
        let place = placement::place(world, cluster, np);
        let member = cluster.id.member(cluster.next_member);
        let (Some(partition), Ok(member)) = (place, member) else {
            let missing = desired - number;
            draft.note(
                id,
                format!("{missing} members are missing in {np}: there is no room"),
            );
            return;
        };
        draft.push(Record::MemberPlanned {
            member,
            incarnation: 1,
            cluster: id.clone(),
            network_partition: np.clone(),
            partition,
            group_instance: part.number,
            reason: format!("{number} of {desired} members stand in {np}{}", part.of_group),
        });
    }
}

/// Members of a part that are to stay, and how many the cluster lacks there in all.
fn standing(world: &World, id: &ClusterId, np: &NetworkPartitionId, part: &Share) -> Option<(u32, u32)> {
    let cluster = world.clusters.get(id)?;
    let desired = cluster.instances.get(np)?.desired + renewing::surge(world, cluster, np);
    // A balancer's ports are free only when nothing is left of the one before.
    let counts = |leaving: bool| !leaving || matches!(cluster.role, Role::Balancer { .. });
    let stay = world
        .members_in(cluster, np)
        .filter(|member| counts(member.phase.is_leaving()));
    let (own, all) = stay.fold((0, 0_u32), |(own, all), member| {
        (own + u32::from(member.group_instance == part.number), all + 1)
    });
    Some((own, desired.saturating_sub(all)))
}

/// Starts that failed in a row make the next one wait.
fn waits(draft: &mut Draft<'_>, id: &ClusterId, np: &NetworkPartitionId) -> bool {
    let instance = draft
        .world()
        .clusters
        .get(id)
        .and_then(|cluster| cluster.instances.get(np));
    let Some((failures, failed)) = instance.map(|instance| (instance.failures, instance.failed)) else {
        return false;
    };
    let wait = limits::wait_after(failures);
    let due = failed.plus(wait);
    if draft.now >= due {
        return false;
    }
    draft.note(
        id,
        format!(
            "{failures} members in a row never became ready in {np}, or not for long: the next waits {wait}"
        ),
    );
    draft.wake_at(due);
    true
}

//! Plans the members that are missing, whatever the reason: first start, growth, a death.
//!
//! This file refuses to know how many there should be.

use cartridge_protocol::{ApplicationId, ClusterId, NetworkPartitionId};

use super::draft::Draft;
use super::limits;
use crate::placement;
use crate::record::Record;
use crate::world::{Role, World};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    if draft.world().is_undeploying(application) {
        return;
    }
    for id in draft.cluster_ids(application) {
        let Some(cluster) = draft.world().clusters.get(&id) else {
            continue;
        };
        let stand = cluster
            .instances
            .iter()
            .filter(|(_, instance)| instance.ending.is_none());
        let places: Vec<NetworkPartitionId> = stand.map(|(np, _)| np.clone()).collect();
        for np in places {
            fill(draft, &id, &np);
        }
    }
}

/// Plans members there until none is missing or there is no room.
fn fill(draft: &mut Draft<'_>, id: &ClusterId, np: &NetworkPartitionId) {
    let Some((have, desired)) = standing(draft.world(), id, np) else {
        return;
    };
    if have >= desired || waits(draft, id, np) {
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
            reason: format!("{number} of {desired} members stand in {np}"),
        });
    }
}

/// Members there that are to stay, and how many there should be.
fn standing(world: &World, id: &ClusterId, np: &NetworkPartitionId) -> Option<(u32, u32)> {
    let cluster = world.clusters.get(id)?;
    let desired = cluster.instances.get(np)?.desired;
    // A balancer's ports are free only when nothing is left of the one before.
    let counts = |leaving: bool| !leaving || matches!(cluster.role, Role::Balancer { .. });
    let have = world
        .members_in(cluster, np)
        .filter(|member| counts(member.phase.is_leaving()))
        .count();
    Some((u32::try_from(have).unwrap_or(u32::MAX), desired))
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

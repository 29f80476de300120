//! Where a cluster's next member goes, how many fit, and which member goes first.
//!
//! This file refuses to know how many members there should be. Partitions are taken in the order given (Stratos took
//! them from a hash map), their ids count within their network partition only, and a full partition never hides
//! another that has room.

use std::cmp::Reverse;

use cartridge_protocol::{ClusterId, MemberId, NetworkPartitionId, PartitionId};

use crate::blueprint::{DeploymentNetworkPartition, NetworkPartition, Partition, PartitionAlgorithm};
use crate::observe::Observations;
use crate::world::{Cluster, Member, MemberPhase, Role, World};

/// The partition that the next member of `cluster` goes to; None: no room in that network partition.
///
/// `one-after-another`: the first with room. `round-robin`: of those with room the one with fewest members of this
/// cluster, the first of equals. A balancer goes to the first partition that there is.
pub fn place(
    world: &World,
    cluster: &Cluster,
    network_partition: &NetworkPartitionId,
) -> Option<PartitionId> {
    if let Role::Balancer {
        network_partition: own,
    } = &cluster.role
    {
        let home = world.network_partitions.get(network_partition)?;
        let vacant =
            own == network_partition && members_in(world, cluster, network_partition).next().is_none();
        return home.partitions.first().filter(|_| vacant).map(|p| p.id.clone());
    }
    let rooms = rooms(world, cluster, network_partition);
    let open = rooms.partitions.iter().filter(|room| room.taken < room.most);
    match rooms.algorithm {
        PartitionAlgorithm::OneAfterAnother => open.map(|room| room.id.clone()).next(),
        PartitionAlgorithm::RoundRobin => open.min_by_key(|room| room.taken).map(|room| room.id.clone()),
    }
}

/// Most members that `cluster` could have in that network partition, those it has included; not bounded by its own
/// maximum. A balancer cluster has room for one in its own network partition.
pub fn room(world: &World, cluster: &Cluster, network_partition: &NetworkPartitionId) -> u32 {
    if let Role::Balancer {
        network_partition: own,
    } = &cluster.role
    {
        let exists = world.network_partitions.contains_key(network_partition);
        return u32::from(exists && own == network_partition);
    }
    let rooms = rooms(world, cluster, network_partition);
    rooms
        .partitions
        .iter()
        .fold(0, |sum, room| sum.saturating_add(room.most))
}

/// The member of `cluster` there that goes first when one too many exists; None: there is none to choose.
///
/// First those that do not serve yet or any more (planned, then made, starting, suspended), which costs no client
/// anything. Of those that serve: from the partition that the algorithm empties first (one after another: the last;
/// round robin: the fullest), the least busy (requests in flight, then load average plus memory), then the newest.
pub fn victim(
    world: &World,
    seen: &Observations,
    cluster: &Cluster,
    network_partition: &NetworkPartitionId,
) -> Option<MemberId> {
    victim_of(world, seen, cluster, network_partition, |_| true)
}

/// The same among those for which `among` holds.
pub fn victim_of(
    world: &World,
    seen: &Observations,
    cluster: &Cluster,
    network_partition: &NetworkPartitionId,
    among: impl Fn(&Member) -> bool,
) -> Option<MemberId> {
    let order = partition_order(world, cluster, network_partition);
    let busy = seen
        .clusters
        .get(&(cluster.id.clone(), network_partition.clone()));
    members_in(world, cluster, network_partition)
        .filter(|member| among(member))
        .filter_map(|member| Some((readiness(&member.phase)?, member)))
        .min_by(|(a_ready, a), (b_ready, b)| {
            let in_flight = |m: &Member| {
                busy.and_then(|seen| seen.members.get(&m.id))
                    .copied()
                    .unwrap_or(0)
            };
            a_ready
                .cmp(b_ready)
                .then_with(|| order(a).cmp(&order(b)))
                .then_with(|| in_flight(a).cmp(&in_flight(b)))
                .then_with(|| strain(seen, a).total_cmp(&strain(seen, b)))
                .then_with(|| number(b).cmp(&number(a)))
                .then_with(|| b.id.cmp(&a.id))
        })
        .map(|(_, member)| member.id.clone())
}

/// One partition as one cluster may use it.
struct Room {
    id: PartitionId,
    /// Members of this cluster there.
    taken: u32,
    /// Most members of this cluster there, `taken` included.
    most: u32,
}

struct Rooms {
    algorithm: PartitionAlgorithm,
    partitions: Vec<Room>,
}

fn rooms(world: &World, cluster: &Cluster, network_partition: &NetworkPartitionId) -> Rooms {
    let none = Rooms {
        algorithm: PartitionAlgorithm::OneAfterAnother,
        partitions: Vec::new(),
    };
    let (Some(policy), Some(home)) = (
        policy_part(world, cluster, network_partition),
        world.network_partitions.get(network_partition),
    ) else {
        return none;
    };
    let partitions = policy.partitions.iter().filter_map(|allowed| {
        let place = home.partitions.iter().find(|p| p.id == allowed.id)?;
        let mut standing = world.members.standing(network_partition, &place.id);
        let taken = standing
            .find(|(id, _)| **id == cluster.id)
            .map_or(0, |(_, count)| count);
        let most = free(world, home, place).map_or(allowed.partition_max, |free| {
            allowed.partition_max.min(taken.saturating_add(free))
        });
        Some(Room {
            id: place.id.clone(),
            taken,
            most,
        })
    });
    Rooms {
        algorithm: policy.partition_algo,
        partitions: partitions.collect(),
    }
}

/// What the partition's capacity leaves for further members; None: it has no limit.
fn free(world: &World, home: &NetworkPartition, place: &Partition) -> Option<u32> {
    let capacity = place.capacity()?;
    let balancer = |id: &ClusterId| {
        let cluster = world.clusters.get(id);
        cluster.is_some_and(|cluster| matches!(cluster.role, Role::Balancer { .. }))
    };
    let standing = world.members.standing(&home.id, &place.id);
    let used = standing.filter(|(cluster, _)| !balancer(cluster));
    Some(used.fold(capacity, |left, (_, count)| left.saturating_sub(count)))
}

fn policy_part<'a>(
    world: &'a World,
    cluster: &Cluster,
    network_partition: &NetworkPartitionId,
) -> Option<&'a DeploymentNetworkPartition> {
    let policy = world
        .deployment_policies
        .get(cluster.deployment_policy.as_ref()?)?;
    policy
        .network_partitions
        .iter()
        .find(|part| part.id == *network_partition)
}

/// A key by which partitions are emptied, the smallest first. What the policy no longer names goes before all.
fn partition_order(
    world: &World,
    cluster: &Cluster,
    network_partition: &NetworkPartitionId,
) -> impl Fn(&Member) -> (Reverse<bool>, Reverse<u32>, Reverse<usize>) {
    let rooms = rooms(world, cluster, network_partition);
    move |member| {
        let found = rooms
            .partitions
            .iter()
            .position(|room| room.id == member.partition);
        let Some(index) = found else {
            return (Reverse(true), Reverse(0), Reverse(0));
        };
        let fullness = match rooms.algorithm {
            PartitionAlgorithm::OneAfterAnother => 0,
            PartitionAlgorithm::RoundRobin => rooms.partitions[index].taken,
        };
        (Reverse(false), Reverse(fullness), Reverse(index))
    }
}

/// Members of this cluster there that are not gone.
fn members_in<'a>(
    world: &'a World,
    cluster: &'a Cluster,
    network_partition: &'a NetworkPartitionId,
) -> impl Iterator<Item = &'a Member> {
    world
        .members_in(cluster, network_partition)
        .filter(|member| stands(member))
}

/// Whether a member takes up a place: all but the ended do.
fn stands(member: &Member) -> bool {
    !matches!(member.phase, MemberPhase::Ended { .. })
}

/// The smaller, the less is lost by stopping it; None: it is going already.
fn readiness(phase: &MemberPhase) -> Option<u8> {
    match phase {
        MemberPhase::Planned { .. } => Some(0),
        MemberPhase::Ensured => Some(1),
        MemberPhase::Starting => Some(2),
        MemberPhase::Suspended { .. } => Some(3),
        MemberPhase::Active | MemberPhase::Updating { .. } => Some(4),
        MemberPhase::Draining { .. } | MemberPhase::Stopping | MemberPhase::Ended { .. } => None,
    }
}

/// Load average plus memory consumption, percent, as Stratos chose; 0 where nothing was measured.
fn strain(seen: &Observations, member: &Member) -> f64 {
    let newest = |window: &crate::observe::Window| window.last().map_or(0.0, |(_, value)| value);
    seen.members
        .get(&member.id)
        .map_or(0.0, |said| newest(&said.load) + newest(&said.memory))
}

/// The number at the end of a member's id: a higher one is newer.
fn number(member: &Member) -> u64 {
    let digits = member.id.as_str().rsplit('-').next();
    digits.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;

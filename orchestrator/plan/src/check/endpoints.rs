//! What balancers would serve: only members that are ready, of the right cluster and place (S12), and never nobody
//! where there was somebody (S13).

use std::collections::{BTreeMap, BTreeSet};

use cartridge_protocol::topology::{EndpointState, Topology};
use cartridge_protocol::{ApplicationId, ClusterId, MemberId};

use super::{Broken, broken};
use crate::desired;
use crate::world::{Member, MemberPhase, Role, World};

/// What the balancers of these applications serve.
fn topologies(world: &World, of: &BTreeSet<ApplicationId>) -> Vec<Topology> {
    let balancers = world
        .clusters
        .values()
        .filter(|cluster| of.contains(&cluster.application) && matches!(cluster.role, Role::Balancer { .. }));
    balancers
        .filter_map(|cluster| desired::topology(world, &cluster.id))
        .collect()
}

/// S12.
pub(super) fn sound(world: &World, touched: &BTreeSet<ApplicationId>) -> Result<(), Broken> {
    for topology in topologies(world, touched) {
        for row in &topology.clusters {
            for endpoint in row.endpoints.iter().filter(|e| e.state == EndpointState::Ready) {
                let member = world.members.get(&endpoint.member);
                let right = member.is_some_and(|m| {
                    m.cluster == row.cluster
                        && m.incarnation == endpoint.incarnation
                        && m.network_partition == topology.network_partition
                        && may_serve(m)
                });
                if !right {
                    let problem = format!("{} of {} would get requests", endpoint.member, row.cluster);
                    return Err(broken("S12 balancer soundness", problem));
                }
            }
        }
    }
    Ok(())
}

/// Suspended ones are the last resort where none is ready.
fn may_serve(member: &Member) -> bool {
    matches!(
        member.phase,
        MemberPhase::Active | MemberPhase::Suspended { .. } | MemberPhase::Updating { live: true, .. }
    )
}

/// S13: who served before and still could must not be taken out all at once. Deaths do not count: they are no plan.
pub(super) fn not_emptied(
    before: &World,
    after: &World,
    touched: &BTreeSet<ApplicationId>,
) -> Result<(), Broken> {
    let served = topologies(after, touched);
    let now: BTreeMap<(ClusterId, String), Vec<MemberId>> = ready(&served);
    for ((cluster, np), members) in ready(&topologies(before, touched)) {
        let row_stopped = served
            .iter()
            .filter(|topology| topology.network_partition.as_str() == np)
            .flat_map(|topology| &topology.clusters)
            .find(|row| row.cluster == cluster)
            .is_none_or(|row| row.stopped);
        let left = now
            .get(&(cluster.clone(), np))
            .is_some_and(|left| !left.is_empty());
        let taken = members.iter().find(|id| {
            let phase = after.members.get(*id).map(|member| &member.phase);
            matches!(
                phase,
                Some(MemberPhase::Draining { .. } | MemberPhase::Updating { live: false, .. })
            )
        });
        if let Some(taken) = taken.filter(|_| !row_stopped && !left) {
            let problem = format!("{taken} was the last endpoint of {cluster}");
            return Err(broken("S13 non-empty endpoints", problem));
        }
    }
    Ok(())
}

fn ready(topologies: &[Topology]) -> BTreeMap<(ClusterId, String), Vec<MemberId>> {
    let mut all = BTreeMap::new();
    for topology in topologies {
        for row in &topology.clusters {
            let ready = row.endpoints.iter().filter(|e| e.state == EndpointState::Ready);
            let key = (row.cluster.clone(), topology.network_partition.to_string());
            all.insert(
                key,
                ready.map(|endpoint| endpoint.member.clone()).collect::<Vec<_>>(),
            );
        }
    }
    all.retain(|_, members| !members.is_empty());
    all
}

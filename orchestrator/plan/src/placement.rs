//! Where a cluster's next member goes, how many fit, and which member goes first.
//!
//! This file refuses to know how many members there should be.

use cartridge_protocol::{MemberId, NetworkPartitionId, PartitionId};

use crate::observe::Observations;
use crate::world::{Cluster, World};

/// The partition that the next member of `cluster` goes to; None: no room in that network partition.
pub fn place(_world: &World, _cluster: &Cluster, _network_partition: &NetworkPartitionId) -> Option<PartitionId> {
    None
}

/// Most members that `cluster` could have in that network partition, those it has included; not bounded by its own
/// maximum. A balancer cluster has room for one in its own network partition.
pub fn room(_world: &World, _cluster: &Cluster, _network_partition: &NetworkPartitionId) -> u32 {
    0
}

/// The member of `cluster` there that goes first when one too many exists; None: there is none to choose.
pub fn victim(
    _world: &World,
    _seen: &Observations,
    _cluster: &Cluster,
    _network_partition: &NetworkPartitionId,
) -> Option<MemberId> {
    None
}

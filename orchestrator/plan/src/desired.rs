//! What one agent is told, what one balancer serves, and where clients reach an application.
//!
//! This file refuses to know secrets and sockets.

use std::net::IpAddr;

use cartridge_protocol::link::Desired;
use cartridge_protocol::topology::Topology;
use cartridge_protocol::{ApplicationId, ClusterId, MemberId, NetworkPartitionId};
use serde::Serialize;

use crate::world::World;

/// Where clients reach a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessPoint {
    /// Where.
    pub network_partition: NetworkPartitionId,
    /// The balancer's address.
    pub address: IpAddr,
    /// The balancer's port (`proxyPort`).
    pub port: u16,
    /// The cluster behind it.
    pub cluster: ClusterId,
    /// How many members take new requests there.
    pub members: u32,
}

/// What one member is told, without the repository's password (the caller unseals and adds it). None: the member is
/// unknown or over.
pub fn desired(world: &World, member: &MemberId) -> Option<Desired> {
    let _ = (world, member);
    None
}

/// What the balancers of this balancer cluster serve. None: it is no balancer cluster.
pub fn topology(world: &World, balancer: &ClusterId) -> Option<Topology> {
    let _ = (world, balancer);
    None
}

/// Where clients reach an application. Network partitions that are being emptied are left out.
pub fn endpoints(world: &World, application: &ApplicationId) -> Vec<AccessPoint> {
    let _ = (world, application);
    Vec::new()
}

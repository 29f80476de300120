//! What runs where, as a balancer needs to know it: always the whole of it, with a revision that never goes back.
//!
//! This file refuses to know how the set was chosen.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, MemberId, NetworkPartitionId};

/// All that one balancer serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Never goes back (S11); a roll-back is a new, higher revision.
    pub revision: u64,
    /// The network partition that the balancer stands in.
    pub network_partition: NetworkPartitionId,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The clusters it serves.
    pub clusters: Vec<TopologyCluster>,
}

/// One cluster behind a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyCluster {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Host names that lead here; a request that matches none goes to the first cluster of its listener.
    pub hosts: Vec<String>,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Where requests go.
    pub endpoints: Vec<Endpoint>,
    /// The service was ordered to stop: only then may a set that had endpoints become empty (S13).
    #[serde(default)]
    pub stopped: bool,
}

/// A port of the balancer and the port of the members behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The balancer's port (Stratos's `proxyPort`).
    pub port: u16,
    /// Name of the port mapping, the key into [`Endpoint::ports`].
    pub name: String,
    /// `http`; others are refused by a balancer that cannot speak them.
    pub protocol: String,
}

/// One member behind a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which member.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// Where it listens.
    pub address: IpAddr,
    /// Port by port-mapping name.
    pub ports: std::collections::BTreeMap<String, u16>,
    /// Whether new requests may go there.
    pub state: EndpointState,
}

/// Whether an endpoint takes new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointState {
    /// Takes new requests.
    Ready,
    /// Finishes what it has.
    Draining,
}

//! What the world still lacks, as complete orders that leave nothing to choose. Level-triggered: derived from the
//! world, not queued; the same after a crash; idempotent by member and incarnation.
//!
//! This file refuses to know how an order is carried out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cartridge_protocol::{ClusterId, MemberId, NetworkPartitionId, PartitionId};
use serde::{Deserialize, Serialize};

/// One order to a provisioner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Make sure that exactly this instance exists.
    Ensure(Box<MemberSpec>),
    /// Make sure that nothing of it exists.
    Remove {
        /// Which provisioner.
        provider: String,
        /// Which member.
        member: MemberId,
        /// Which of its lives.
        incarnation: u64,
    },
}

/// All that a provisioner needs in order to start a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberSpec {
    /// Which provisioner: `process`, `mock`, …
    pub provider: String,
    /// Whose member it is: the label of every instance.
    pub installation: String,
    /// Which member.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Where.
    pub network_partition: NetworkPartitionId,
    /// Where.
    pub partition: PartitionId,
    /// Where it shall listen (local provisioners).
    pub address: IpAddr,
    /// Application or balancer.
    pub balancer: bool,
    /// Ports by port-mapping name; a local provisioner chooses free ones instead, except for balancers, which take
    /// theirs from the topology.
    pub ports: BTreeMap<String, u16>,
    /// Launch parameters known from the world; the provisioner adds the link, the join token and chosen ports.
    pub parameters: BTreeMap<String, String>,
}

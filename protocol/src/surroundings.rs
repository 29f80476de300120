//! What runs around a member, in its own application: what its hooks may want to know. Always the whole of it, as of
//! now, never a history.
//!
//! This file refuses to know who wants it and how often it is told. What is not known is absent;
//! tenants, sign-ups and domain mappings are told only to members of applications that several tenants share.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::{ApplicationId, CartridgeType, ClusterId, MemberId, NetworkPartitionId, PartitionId};

/// Most members told; the member's own cluster comes first.
pub const MAX_PEERS: usize = 128;
/// Most tenants, most sign-ups, and most domain mappings told.
pub const MAX_TENANTS: usize = 256;
/// Most properties of each kind told.
pub const MAX_PROPERTIES: usize = 64;
/// Longest value of a property told; longer ones are left out.
pub const MAX_PROPERTY_BYTES: usize = 4096;

/// One application, as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Never goes back under one orchestrator (S11).
    pub revision: u64,
    /// Which application.
    pub application: ApplicationId,
    /// Its clusters, balancers included; those of the member's own cluster are first.
    pub clusters: Vec<Neighbours>,
    /// Members that are left out because there are more than [`MAX_PEERS`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u32,
    /// Free properties of the member's own cartridge.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_properties: BTreeMap<String, String>,
    /// Free properties of its own cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cluster_properties: BTreeMap<String, String>,
    /// Free properties of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub member_properties: BTreeMap<String, String>,
    /// All tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<Tenant>>,
    /// Who has signed up for this application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_ups: Option<Vec<SignUp>>,
    /// Domains that lead to its clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_mappings: Option<Vec<DomainMapping>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One cluster of the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbours {
    /// Which.
    pub cluster: ClusterId,
    /// What it runs.
    pub service: CartridgeType,
    /// Its name in the application.
    pub alias: String,
    /// Host names that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// It stands in front of the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub balancer: bool,
    /// Its members, in the order of their ids.
    pub members: Vec<Peer>,
}

/// Another member, or this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Which.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// The part of the application it belongs to, `<application>-<number>`.
    pub cluster_instance: String,
    /// Where.
    pub network_partition: NetworkPartitionId,
    /// Where.
    pub partition: PartitionId,
    /// Where it stands in its life.
    pub phase: PeerPhase,
    /// Where it listens, once it has an instance.
    pub address: Option<IpAddr>,
    /// Port by port-mapping name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
}

/// Where a member stands, in Stratos's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerPhase {
    /// Decided; there is no instance yet.
    Created,
    /// It has an instance and an address.
    Initialized,
    /// Its agent has begun.
    Starting,
    /// It takes requests.
    Active,
    /// It took requests and does not now.
    Suspended,
    /// It is on its way out.
    InMaintenance,
    /// It has ended.
    Terminated,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Stratos's number.
    pub tenant_id: i64,
    /// Its domain.
    pub tenant_domain: String,
}

/// A tenant has signed up for the application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignUp {
    /// Which.
    pub tenant_id: i64,
}

/// A domain leads to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainMapping {
    /// For which tenant.
    pub tenant_id: i64,
    /// Of which cartridge.
    pub service_name: CartridgeType,
    /// To which cluster.
    pub cluster_id: ClusterId,
    /// Which domain.
    pub domain_name: String,
    /// Under which path.
    pub context_path: Option<String>,
}

impl Surroundings {
    /// Whether both say the same, at whatever time they were made.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let aligned = Self {
            revision: self.revision,
            ..other.clone()
        };
        *self == aligned
    }

    /// All members, each with its cluster.
    pub fn peers(&self) -> impl Iterator<Item = (&Neighbours, &Peer)> {
        self.clusters
            .iter()
            .flat_map(|cluster| cluster.members.iter().map(move |peer| (cluster, peer)))
    }
}

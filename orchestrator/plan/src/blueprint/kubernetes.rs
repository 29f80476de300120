//! Kubernetes clusters as people describe them: their machines, and the ports that may be opened on them.
//!
//! This file refuses to know how anything is started there.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cartridge_protocol::{KubernetesClusterId, KubernetesHostId};
use serde::{Deserialize, Serialize};

/// Most machines of one cluster, its master not counted.
pub const MAX_HOSTS: usize = 1000;

/// A Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesCluster {
    /// Unique id.
    pub cluster_id: KubernetesClusterId,
    /// For people.
    pub description: String,
    /// Where its API is.
    pub kubernetes_master: KubernetesHost,
    /// Its other machines; ids are unique over all clusters.
    pub kubernetes_hosts: Vec<KubernetesHost>,
    /// Ports that services may be given.
    pub port_range: PortRange,
    /// Free properties, those with secret names left out.
    pub property: BTreeMap<String, String>,
    /// The values of properties with secret names, sealed with the installation's key. Empty text: none. No answer
    /// holds them.
    pub sealed: BTreeMap<String, String>,
}

/// A machine of a Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesHost {
    /// Unique over all clusters.
    pub host_id: KubernetesHostId,
    /// Its name in the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Where the cluster reaches it.
    #[serde(rename = "privateIPAddress")]
    pub private_address: IpAddr,
    /// Where others reach it.
    #[serde(rename = "publicIPAddress", default, skip_serializing_if = "Option::is_none")]
    pub public_address: Option<IpAddr>,
    /// Free properties.
    pub property: BTreeMap<String, String>,
}

/// Ports from the lower to the upper one, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub lower: u16,
    /// The last.
    pub upper: u16,
}

impl Default for PortRange {
    /// As in Stratos.
    fn default() -> Self {
        Self {
            lower: 4500,
            upper: 5000,
        }
    }
}

impl KubernetesCluster {
    /// Its machines, the master first.
    pub fn machines(&self) -> impl Iterator<Item = &KubernetesHost> {
        std::iter::once(&self.kubernetes_master).chain(&self.kubernetes_hosts)
    }
}

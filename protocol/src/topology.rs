//! What runs where, as a balancer needs to know it: always the whole of it, with a revision that never goes back.
//!
//! This file refuses to know how the set was chosen.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::{ContextPath, DomainName};
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
    /// Domains of tenants that lead here, too; where a name is among some cluster's `hosts`, that one has it. A
    /// balancer that does not know them serves their requests as it serves those of any unknown host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mapped: Vec<MappedHost>,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Where requests go.
    pub endpoints: Vec<Endpoint>,
    /// The service was ordered to stop: only then may a set that had endpoints become empty (S13).
    #[serde(default)]
    pub stopped: bool,
}

/// A domain that was mapped to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedHost {
    /// Whose requests.
    pub host: DomainName,
    /// What is put in front of their paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<ContextPath>,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As it was written before there were mapped domains.
    const WITHOUT: &str =
        r#"{"cluster":"web","hosts":["web.example"],"listeners":[],"endpoints":[],"stopped":false}"#;

    #[test]
    fn a_cluster_without_mapped_domains_is_written_as_it_always_was() {
        let cluster: TopologyCluster = serde_json::from_str(WITHOUT).unwrap();
        assert!(cluster.mapped.is_empty());
        assert_eq!(serde_json::to_string(&cluster).unwrap(), WITHOUT);
    }

    #[test]
    fn a_mapped_domain_may_have_a_path_and_both_are_checked() {
        let with = |mapped: &str| {
            let text = WITHOUT.replace("}", &format!(r#","mapped":[{mapped}]}}"#));
            serde_json::from_str::<TopologyCluster>(&text).map(|cluster| cluster.mapped)
        };
        let two = with(r#"{"host":"a.b","path":"/t/acme"},{"host":"c.d"}"#).unwrap();
        assert_eq!(two[0].path.as_ref().unwrap().as_str(), "/t/acme");
        assert_eq!(two[1].path, None);
        assert!(with(r#"{"host":"a b"}"#).is_err());
        assert!(with(r#"{"host":"a.b","path":"/../c"}"#).is_err());
    }
}

//! A topology in the shape that Stratos's hooks read: services, in them clusters, in them members.
//!
//! Refuses to say what is not known: a field of Stratos's that has no counterpart is absent, or empty where its scripts
//! look into it without asking.

use cartridge_protocol::ClusterId;
use cartridge_protocol::surroundings::{Neighbours, Peer, PeerPhase, Surroundings};
use serde_json::{Map, Value, json};

/// Stratos's word for where a member stands.
const fn status(phase: PeerPhase) -> &'static str {
    match phase {
        PeerPhase::Created => "Created",
        PeerPhase::Initialized => "Initialized",
        PeerPhase::Starting => "Starting",
        PeerPhase::Active => "Active",
        PeerPhase::Suspended => "Suspended",
        PeerPhase::InMaintenance => "In_Maintenance",
        PeerPhase::Terminated => "Terminated",
    }
}

fn member(cluster: &Neighbours, peer: &Peer) -> Value {
    let ports: Map<String, Value> = peer
        .ports
        .iter()
        .map(|(name, port)| {
            (
                port.to_string(),
                json!({ "protocol": name, "value": port, "proxy": port }),
            )
        })
        .collect();
    let address = peer.address.map(|address| address.to_string());
    let addresses: Vec<&String> = address.iter().collect();
    json!({
        "serviceName": cluster.service,
        "clusterId": cluster.cluster,
        "clusterInstanceId": peer.cluster_instance,
        "memberId": peer.member,
        "instanceId": peer.incarnation.to_string(),
        "networkPartitionId": peer.network_partition,
        "partitionId": peer.partition,
        "memberPrivateIPs": addresses,
        "defaultPrivateIP": address,
        "memberPublicIPs": addresses,
        "defaultPublicIP": address,
        "portMap": ports,
        "properties": {},
        "memberStateManager": { "stateStack": [status(peer.phase)] },
    })
}

/// Room for text that a budget still has.
struct Room(usize);

impl Room {
    /// Whether `value` under `name` fits; if so, the room is taken.
    fn takes(&mut self, name: &str, value: &Value) -> bool {
        // Quotes, colon and comma.
        let cost = name.len() + value.to_string().len() + 4;
        let left = self.0.checked_sub(cost);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Members by id as far as there is room, and how many there was none for.
fn member_map(cluster: &Neighbours, room: &mut Room) -> (Map<String, Value>, usize) {
    let mut left = 0;
    let mut map = Map::new();
    for peer in &cluster.members {
        let value = member(cluster, peer);
        if room.takes(peer.member.as_str(), &value) {
            map.insert(peer.member.to_string(), value);
        } else {
            left += 1;
        }
    }
    (map, left)
}

fn frame(around: &Surroundings, cluster: &Neighbours, members: Map<String, Value>) -> Value {
    json!({
        "serviceName": cluster.service,
        "clusterId": cluster.cluster,
        "hostNames": cluster.hosts,
        "tenantRange": "*",
        "isLbCluster": cluster.balancer,
        "isKubernetesCluster": false,
        "appId": around.application,
        "autoscalePolicyName": "",
        "kubernetesServices": [],
        "properties": {},
        "memberMap": members,
    })
}

/// `STRATOS_TOPOLOGY_JSON` in at most `most` bytes, and how many members were left out for it.
pub fn topology(around: &Surroundings, most: usize) -> (String, usize) {
    let mut room = Room(most.saturating_sub(64));
    let mut left = 0;
    let mut services = Map::new();
    for cluster in &around.clusters {
        let empty = frame(around, cluster, Map::new());
        let service = cluster.service.as_str();
        // The frame of its service, should it be the first.
        if !room.takes(&[cluster.cluster.as_str(), service, service].concat(), &empty) || room.0 < 128 {
            left += cluster.members.len();
            continue;
        }
        if !services.contains_key(service) {
            room.0 -= 128;
        }
        let (members, without) = member_map(cluster, &mut room);
        left += without;
        let entry = services.entry(service).or_insert_with(|| {
            json!({
                "serviceName": service, "serviceType": "SingleTenant", "portMap": {}, "properties": {},
                "clusterIdClusterMap": {},
            })
        });
        entry["clusterIdClusterMap"][cluster.cluster.as_str()] = frame(around, cluster, members);
    }
    let whole = json!({ "serviceMap": services, "initialized": true });
    (whole.to_string(), left)
}

/// `STRATOS_MEMBER_LIST_JSON`: the members of one cluster, by id.
pub fn members(around: &Surroundings, cluster: Option<&ClusterId>, most: usize) -> (String, usize) {
    let own = around.clusters.iter().find(|c| Some(&c.cluster) == cluster);
    let (map, left) = own.map_or_else(
        || (Map::new(), 0),
        |own| member_map(own, &mut Room(most.saturating_sub(2))),
    );
    (Value::Object(map).to_string(), left)
}

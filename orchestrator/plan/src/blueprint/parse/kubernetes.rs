//! Reads Kubernetes clusters and their machines. It keeps the values of properties with secret names apart, and
//! refuses to know what is started there.

use std::collections::BTreeMap;

use cartridge_protocol::Secret;

use super::fault::is_secret;
use super::read::{Object, Reader, TEXT};
use crate::blueprint::{KubernetesCluster, KubernetesHost, MAX_HOSTS, PortRange};

pub(super) const FIELDS: &[&str] = &[
    "clusterId",
    "description",
    "kubernetesMaster",
    "kubernetesHosts",
    "portRange",
    "property",
    "uuid",
    "tenantId",
];
pub(super) const HOST: &[&str] = &[
    "hostId",
    "hostname",
    "privateIPAddress",
    "publicIPAddress",
    "property",
    "uuid",
];
const PORT_RANGE: &[&str] = &["lower", "upper"];

/// The cluster, and the values of its properties with secret names, by name; an empty one means: as it is.
pub(super) type Read = (KubernetesCluster, BTreeMap<String, Secret>);

pub(super) fn read(reader: &mut Reader, object: &Object<'_>) -> Option<Read> {
    let id = reader.needed(object, "clusterId", Reader::id);
    let description = reader.text(object, "description", TEXT).unwrap_or_default();
    let master = reader.needed(object, "kubernetesMaster", |r, o, f| {
        let entry = r.child(o, f, HOST)?;
        host(r, &entry).map(|host| (entry.path("hostId"), host))
    });
    let mut hosts = Vec::new();
    for (path, item) in reader.list(object, "kubernetesHosts", MAX_HOSTS) {
        if let Some(entry) = reader.object(&path, item, HOST) {
            let one = host(reader, &entry);
            hosts.extend(one.map(|host| (entry.path("hostId"), host)));
        }
    }
    reader.unique(
        master
            .iter()
            .chain(&hosts)
            .map(|(path, host)| (path.clone(), host.host_id.as_str())),
        "host id",
    );
    let port_range = port_range(reader, object);
    let (secrets, property) = reader
        .properties(object, "property")
        .into_iter()
        .partition::<BTreeMap<_, _>, _>(|(name, _)| is_secret(name));
    let cluster = KubernetesCluster {
        cluster_id: id?,
        description,
        kubernetes_master: master?.1,
        kubernetes_hosts: hosts.into_iter().map(|(_, host)| host).collect(),
        port_range: port_range?,
        property,
        sealed: BTreeMap::new(),
    };
    let secrets = secrets
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)));
    Some((cluster, secrets.collect()))
}

/// One machine. Nothing seals its properties, so none may be a secret.
pub(super) fn host(reader: &mut Reader, object: &Object<'_>) -> Option<KubernetesHost> {
    let id = reader.needed(object, "hostId", Reader::id);
    let hostname = reader.host_name(object, "hostname");
    let private = reader.needed(object, "privateIPAddress", Reader::address);
    let public = reader.address(object, "publicIPAddress");
    let property = reader.properties(object, "property");
    for name in property.keys().filter(|name| is_secret(name)) {
        let path = format!("{}.{name}", object.path("property"));
        let message = "looks like a secret; put it among the properties of the cluster, where it is sealed";
        reader.fault(&path, None, message);
    }
    Some(KubernetesHost {
        host_id: id?,
        hostname,
        private_address: private?,
        public_address: public,
        property,
    })
}

fn port_range(reader: &mut Reader, object: &Object<'_>) -> Option<PortRange> {
    let default = PortRange::default();
    let Some(entry) = reader.child(object, "portRange", PORT_RANGE) else {
        return Some(default);
    };
    let mut port = |field: &str, default: u16| match entry.get(field) {
        Some(value) if value.as_str() != Some("") => reader.port(&entry, field),
        _ => Some(default),
    };
    let (lower, upper) = (port("lower", default.lower)?, port("upper", default.upper)?);
    if lower > upper {
        let message = format!("must not exceed upper, which is {upper}");
        reader.fault(&entry.path("lower"), entry.get("lower"), message);
    }
    Some(PortRange { lower, upper })
}

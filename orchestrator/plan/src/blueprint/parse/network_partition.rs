//! Reads network partitions. It refuses to know which provisioners exist.

use std::net::IpAddr;

use super::read::{NAME, Object, Reader, TEXT};
use crate::blueprint::{NetworkPartition, Partition};

pub(super) const FIELDS: &[&str] = &[
    "id",
    "provider",
    "partitions",
    "properties",
    "property",
    "uuid",
    "tenantId",
];
const PARTITION: &[&str] = &[
    "id",
    "description",
    "property",
    "properties",
    "provider",
    "isPublic",
    "uuid",
    "kubernetesClusterId",
];
const PARTITIONS: usize = 256;

pub(super) fn read(reader: &mut Reader, object: &Object<'_>) -> Option<NetworkPartition> {
    let id = reader.needed(object, "id", Reader::id);
    let mut found: Vec<(String, Partition)> = Vec::new();
    let mut inner = None;
    for (path, item) in reader.list(object, "partitions", PARTITIONS) {
        let Some(entry) = reader.object(&path, item, PARTITION) else {
            continue;
        };
        inner = inner.or(reader
            .text(&entry, "provider", NAME)
            .filter(|provider| !provider.is_empty()));
        found.extend(partition(reader, &entry));
    }
    if found.is_empty()
        && object
            .get("partitions")
            .is_none_or(|v| v.as_array().is_some_and(Vec::is_empty))
    {
        reader.fault(
            &object.path("partitions"),
            object.get("partitions"),
            "at least one partition is required",
        );
    }
    reader.unique(
        found.iter().map(|(path, p)| (path.clone(), p.id.as_str())),
        "partition id",
    );
    // One of Stratos's samples names the provider in the partition only.
    let provider = match (object.get("provider"), inner) {
        (None, Some(inner)) => Some(inner),
        _ => reader.needed_here(object, "provider", |r, o, f| r.text(o, f, NAME)),
    };
    let mut properties = reader.properties(object, "property");
    properties.extend(reader.properties(object, "properties"));
    if let Some(address) = properties.get("address")
        && address.parse::<IpAddr>().is_err()
    {
        let value = serde_json::Value::String(address.clone());
        reader.fault(
            &object.path("properties.address"),
            Some(&value),
            "must be an IP address",
        );
    }
    Some(NetworkPartition {
        id: id?,
        provider: provider?,
        partitions: found.into_iter().map(|(_, partition)| partition).collect(),
        properties,
    })
}

fn partition(reader: &mut Reader, entry: &Object<'_>) -> Option<(String, Partition)> {
    let id = reader.needed(entry, "id", Reader::id);
    let description = reader.text(entry, "description", TEXT).unwrap_or_default();
    let mut properties = reader.properties(entry, "properties");
    properties.extend(reader.properties(entry, "property"));
    if let Some(capacity) = properties.get("capacity")
        && capacity.parse::<u32>().is_err()
    {
        let value = serde_json::Value::String(capacity.clone());
        reader.fault(
            &entry.path("property.capacity"),
            Some(&value),
            "must be a whole number of members",
        );
    }
    let partition = Partition {
        id: id?,
        description,
        properties,
    };
    Some((entry.path("id"), partition))
}

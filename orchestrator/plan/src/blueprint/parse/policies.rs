//! Reads autoscaling, deployment and application policies. It refuses to know what they refer to.

use std::collections::BTreeSet;

use cartridge_protocol::NetworkPartitionId;
use serde_json::Value;

use super::read::{Object, Reader, TEXT};
use crate::blueprint::{
    ApplicationPolicy, ArrivalPolicy, AutoscalingPolicy, DeploymentNetworkPartition, DeploymentPartition,
    DeploymentPolicy, NetworkPartitionAlgorithm, PartitionAlgorithm,
};

pub(super) const AUTOSCALING: &[&str] = &[
    "id",
    "displayName",
    "description",
    "loadThresholds",
    "horizonSeconds",
    "stabilizationSeconds",
    "arrivals",
    "instanceRoundingFactor",
    "isPublic",
    "uuid",
    "tenantId",
];
const THRESHOLDS: &[&str] = &["requestsInFlight", "memoryConsumption", "loadAverage"];
const ARRIVALS: &[&str] = &["workers", "waitSeconds", "serviceSeconds", "violationPrice"];
const THRESHOLD: &[&str] = &[
    "threshold",
    "upperLimit",
    "lowerLimit",
    "average",
    "secondDerivative",
    "gradient",
];

pub(super) const DEPLOYMENT: &[&str] = &[
    "id",
    "networkPartitions",
    "networkPartition",
    "displayName",
    "description",
    "isPublic",
    "uuid",
    "tenantId",
];
const NETWORK_PARTITION: &[&str] = &[
    "id",
    "provider",
    "partitionAlgo",
    "partitions",
    "partition",
    "properties",
    "property",
    "uuid",
];
const PARTITION: &[&str] = &[
    "id",
    "partitionMax",
    "max",
    "description",
    "property",
    "properties",
    "provider",
    "isPublic",
    "uuid",
];

pub(super) const APPLICATION: &[&str] = &[
    "id",
    "algorithm",
    "networkPartitions",
    "properties",
    "property",
    "uuid",
    "tenantId",
];

/// Most network partitions in one policy.
const NETWORK_PARTITIONS: usize = 64;
const PARTITIONS: usize = 256;
/// The largest maximum that a sample of Stratos uses.
const MOST_MEMBERS: u32 = 10_000_000;

pub(super) fn autoscaling(reader: &mut Reader, object: &Object<'_>) -> Option<AutoscalingPolicy> {
    let id = reader.needed(object, "id", Reader::id);
    let arrivals = arrivals(reader, object);
    if object.get("loadThresholds").is_none() && object.get("arrivals").is_none() {
        reader.fault(&object.path("loadThresholds"), None, "is required");
    }
    let thresholds = reader.child(object, "loadThresholds", THRESHOLDS);
    let mut threshold = |field: &str, most: f64| {
        thresholds
            .as_ref()
            .and_then(|t| threshold(reader, t, field, most))
    };
    let requests_in_flight = threshold("requestsInFlight", 1e6);
    let memory_consumption = threshold("memoryConsumption", 100.0);
    let load_average = threshold("loadAverage", 1000.0);
    let horizon = reader.number(object, "horizonSeconds", 0.0, 600.0);
    let stabilization = reader.number(object, "stabilizationSeconds", 0.0, 3600.0);
    Some(AutoscalingPolicy {
        id: id?,
        requests_in_flight,
        memory_consumption,
        load_average,
        horizon_seconds: horizon.unwrap_or(15.0),
        stabilization_seconds: stabilization.unwrap_or(120.0),
        arrivals,
    })
}

fn arrivals(reader: &mut Reader, policy: &Object<'_>) -> Option<ArrivalPolicy> {
    let object = reader.child(policy, "arrivals", ARRIVALS)?;
    let workers = reader.needed(&object, "workers", |r, o, f| r.whole(o, f, 1, 100_000));
    let wait = reader.number(&object, "waitSeconds", 0.001, 3600.0);
    let service = reader.number(&object, "serviceSeconds", 0.0001, 3600.0);
    let price = reader.number(&object, "violationPrice", 0.0, 1e6);
    Some(ArrivalPolicy {
        workers: workers?,
        wait_seconds: wait.unwrap_or(0.1),
        service_seconds: service,
        violation_price: price.unwrap_or(crate::forecast::PRICE),
    })
}

/// `{"threshold": 20}` or `20`; 0 and absence: not a factor. Smaller than a thousandth is a mistake.
fn threshold(reader: &mut Reader, thresholds: &Object<'_>, field: &str, most: f64) -> Option<f64> {
    let value = thresholds.get(field)?;
    let number = if value.is_object() {
        let inner = reader.child(thresholds, field, THRESHOLD)?;
        reader.needed(&inner, "threshold", |r, o, f| r.number(o, f, 0.0, most))?
    } else {
        reader.number(thresholds, field, 0.0, most)?
    };
    if number > 0.0 && number < 1e-3 {
        reader.fault(
            &thresholds.path(field),
            Some(value),
            "must be 0 (not a factor) or at least 0.001",
        );
        return None;
    }
    (number > 0.0).then_some(number)
}

pub(super) fn deployment(reader: &mut Reader, object: &Object<'_>) -> Option<DeploymentPolicy> {
    let id = reader.needed(object, "id", Reader::id);
    // The older name of a stray sample.
    let field = if object.get("networkPartitions").is_some() {
        "networkPartitions"
    } else {
        "networkPartition"
    };
    let items = reader.list(object, field, NETWORK_PARTITIONS);
    if items.is_empty() {
        let value = object.get("networkPartitions");
        reader.fault(
            &object.path("networkPartitions"),
            value,
            "at least one network partition is required",
        );
    }
    let mut found = Vec::new();
    for (path, item) in items {
        if let Some(entry) = reader.object(&path, item, NETWORK_PARTITION) {
            let part = deployment_part(reader, &entry);
            found.extend(part.map(|part| (entry.path("id"), part)));
        }
    }
    reader.unique(
        found.iter().map(|(path, part)| (path.clone(), part.id.as_str())),
        "network partition",
    );
    Some(DeploymentPolicy {
        id: id?,
        network_partitions: found.into_iter().map(|(_, part)| part).collect(),
    })
}

fn deployment_part(reader: &mut Reader, entry: &Object<'_>) -> Option<DeploymentNetworkPartition> {
    let id = reader.needed(entry, "id", Reader::id);
    let words = [
        ("one-after-another", PartitionAlgorithm::OneAfterAnother),
        ("round-robin", PartitionAlgorithm::RoundRobin),
    ];
    let algorithm = match entry.get("partitionAlgo") {
        None => Some(PartitionAlgorithm::OneAfterAnother),
        Some(_) => reader.word(entry, "partitionAlgo", &words),
    };
    let field = if entry.get("partitions").is_some() {
        "partitions"
    } else {
        "partition"
    };
    let items = reader.list(entry, field, PARTITIONS);
    if items.is_empty() {
        let value = entry.get("partitions");
        reader.fault(
            &entry.path("partitions"),
            value,
            "at least one partition is required",
        );
    }
    let mut found = Vec::new();
    for (path, item) in items {
        let Some(partition) = reader.object(&path, item, PARTITION) else {
            continue;
        };
        let id = reader.needed(&partition, "id", Reader::id);
        let field = if partition.get("partitionMax").is_none() && partition.get("max").is_some() {
            "max"
        } else {
            "partitionMax"
        };
        let most = reader.needed_here(&partition, field, |r, o, f| r.whole(o, f, 1, MOST_MEMBERS));
        if let (Some(id), Some(partition_max)) = (id, most) {
            found.push((partition.path("id"), DeploymentPartition { id, partition_max }));
        }
    }
    reader.unique(
        found.iter().map(|(path, p)| (path.clone(), p.id.as_str())),
        "partition",
    );
    Some(DeploymentNetworkPartition {
        id: id?,
        partition_algo: algorithm?,
        partitions: found.into_iter().map(|(_, partition)| partition).collect(),
    })
}

pub(super) fn application(reader: &mut Reader, object: &Object<'_>) -> Option<ApplicationPolicy> {
    let id = reader.needed(object, "id", Reader::id);
    let words = [
        ("one-after-another", NetworkPartitionAlgorithm::OneAfterAnother),
        ("all-at-once", NetworkPartitionAlgorithm::AllAtOnce),
    ];
    let algorithm = reader.needed(object, "algorithm", |r, o, f| r.word(o, f, &words));
    let mut listed: Vec<(String, NetworkPartitionId)> = Vec::new();
    let items = reader.list(object, "networkPartitions", NETWORK_PARTITIONS);
    if items.is_empty() {
        let value = object.get("networkPartitions");
        reader.fault(
            &object.path("networkPartitions"),
            value,
            "at least one network partition is required",
        );
    }
    for (path, item) in items {
        let id = reader.value_id(&path, item);
        listed.extend(id.map(|id| (path, id)));
    }
    reader.unique(
        listed.iter().map(|(path, id)| (path.clone(), id.as_str())),
        "network partition",
    );
    let listed: Vec<NetworkPartitionId> = listed.into_iter().map(|(_, id)| id).collect();
    let mut properties = reader.properties(object, "property");
    properties.extend(reader.properties(object, "properties"));
    let groups = match properties.get("networkPartitionGroups") {
        Some(text) => groups(
            reader,
            &object.path("properties.networkPartitionGroups"),
            text,
            &listed,
        ),
        None => listed.into_iter().map(|id| vec![id]).collect(),
    };
    Some(ApplicationPolicy {
        id: id?,
        algorithm: algorithm?,
        groups,
        properties,
    })
}

/// `a|b,c,d|e`: `,` between bursts, `|` inside one; blanks do not count. What is listed and in no group follows last,
/// each by itself.
fn groups(
    reader: &mut Reader,
    path: &str,
    text: &str,
    listed: &[NetworkPartitionId],
) -> Vec<Vec<NetworkPartitionId>> {
    let mut used = BTreeSet::new();
    let mut groups = Vec::new();
    for group in text.chars().take(TEXT).collect::<String>().split(',') {
        let mut members = Vec::new();
        for name in group.split('|').map(str::trim).filter(|name| !name.is_empty()) {
            let value = Value::String(name.to_owned());
            match listed.iter().find(|id| id.as_str() == name) {
                None => reader.fault(
                    path,
                    Some(&value),
                    "names a network partition that networkPartitions does not",
                ),
                Some(id) if used.insert(id) => members.push(id.clone()),
                Some(_) => reader.fault(path, Some(&value), "names a network partition twice"),
            }
        }
        if !members.is_empty() {
            groups.push(members);
        }
    }
    groups.extend(
        listed
            .iter()
            .filter(|id| !used.contains(id))
            .map(|id| vec![id.clone()]),
    );
    groups
}

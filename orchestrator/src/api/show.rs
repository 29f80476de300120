//! Validated resources back into Stratos's JSON, lists always as arrays. What is shown can be put again.
//!
//! This file refuses to know secrets: repository passwords are not in these types.

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::blueprint::{
    Application, ApplicationPolicy, AutoscalingPolicy, Cartridge, CartridgeGroup, Dependencies,
    DeploymentPolicy, Group, KubernetesCluster, KubernetesHost, NetworkPartition, Repository, Subscription,
};
use cartridge_orchestrator_plan::world::{ApplicationState, ApplicationStatus, World};
use serde_json::{Value, json};

/// A cartridge.
pub fn cartridge(one: &Cartridge) -> Value {
    let providers: Vec<Value> = one
        .iaas_provider
        .iter()
        .map(|p| json!({"type": p.provider_type, "imageId": p.image_id, "property": properties(&p.property)}))
        .collect();
    let mut shown = json!({
        "type": one.cartridge_type,
        "category": one.category,
        "provider": one.provider,
        "host": one.host,
        "displayName": one.display_name,
        "description": one.description,
        "version": one.version,
        "multiTenant": one.multi_tenant,
        "portMapping": one.port_mapping,
        "deployment": one.base_dir.as_ref().map_or_else(|| json!({}), |dir| json!({"baseDir": dir})),
        "iaasProvider": providers,
        "onRelease": one.on_release,
        "metadataKeys": one.metadata_keys,
        "property": properties(&one.property),
    });
    if let Some(process) = &one.process {
        shown["process"] = json!(process);
    }
    if let Some(health) = &one.health {
        shown["health"] = json!({"http": health});
    }
    shown
}

/// The definition of a group.
pub fn cartridge_group(one: &CartridgeGroup) -> Value {
    let groups: Vec<Value> = one.groups.iter().map(cartridge_group).collect();
    let mut shown = json!({"name": one.name, "cartridges": one.cartridges, "groups": groups});
    if let Some(dependencies) = &one.dependencies {
        shown["dependencies"] = self::dependencies(dependencies);
    }
    shown
}

/// An autoscaling policy; what is no factor is left out.
pub fn autoscaling_policy(one: &AutoscalingPolicy) -> Value {
    let mut thresholds = json!({});
    let limits = [
        ("requestsInFlight", one.requests_in_flight),
        ("memoryConsumption", one.memory_consumption),
        ("loadAverage", one.load_average),
    ];
    for (name, limit) in limits {
        if let Some(limit) = limit {
            thresholds[name] = json!({"threshold": limit});
        }
    }
    let mut shown = json!({
        "id": one.id,
        "loadThresholds": thresholds,
        "horizonSeconds": one.horizon_seconds,
        "stabilizationSeconds": one.stabilization_seconds,
    });
    if let Some(arrivals) = &one.arrivals {
        shown["arrivals"] = json!(arrivals);
    }
    shown
}

/// A deployment policy.
pub fn deployment_policy(one: &DeploymentPolicy) -> Value {
    json!(one)
}

/// An application policy.
pub fn application_policy(one: &ApplicationPolicy) -> Value {
    let all: Vec<_> = one.groups.iter().flatten().collect();
    let mut kept = one.properties.clone();
    if one.groups.iter().any(|group| group.len() > 1) {
        let groups: Vec<String> = one
            .groups
            .iter()
            .map(|group| group.iter().map(|id| id.as_str()).collect::<Vec<_>>().join("|"))
            .collect();
        kept.entry("networkPartitionGroups".into())
            .or_insert_with(|| groups.join(","));
    }
    json!({"id": one.id, "algorithm": one.algorithm, "networkPartitions": all, "properties": properties(&kept)})
}

/// A network partition.
pub fn network_partition(one: &NetworkPartition) -> Value {
    let partitions: Vec<Value> = one
        .partitions
        .iter()
        .map(|p| json!({"id": p.id, "description": p.description, "property": properties(&p.properties)}))
        .collect();
    json!({
        "id": one.id,
        "provider": one.provider,
        "partitions": partitions,
        "properties": properties(&one.properties),
    })
}

/// A Kubernetes cluster. Of properties with secret names only the names are shown; put without a value, they stay.
pub fn kubernetes_cluster(one: &KubernetesCluster) -> Value {
    let mut property = properties(&one.property);
    property.extend(one.sealed.keys().map(|name| json!({"name": name})));
    json!({
        "clusterId": one.cluster_id,
        "description": one.description,
        "kubernetesMaster": kubernetes_host(&one.kubernetes_master),
        "kubernetesHosts": one.kubernetes_hosts.iter().map(kubernetes_host).collect::<Vec<_>>(),
        "portRange": one.port_range,
        "property": property,
    })
}

/// One of its machines.
pub fn kubernetes_host(one: &KubernetesHost) -> Value {
    let mut shown = json!({
        "hostId": one.host_id,
        "privateIPAddress": one.private_address,
        "property": properties(&one.property),
    });
    if let Some(hostname) = &one.hostname {
        shown["hostname"] = json!(hostname);
    }
    if let Some(address) = &one.public_address {
        shown["publicIPAddress"] = json!(address);
    }
    shown
}

/// A blueprint, where it stands, and whether tenants signed up for it.
pub fn application(world: &World, state: &ApplicationState) -> Value {
    let (status, policy) = match &state.status {
        ApplicationStatus::Created => ("Created", None),
        ApplicationStatus::Deployed { policy } => ("Deployed", Some(policy)),
        ApplicationStatus::Undeploying { .. } => ("Undeploying", None),
    };
    let mut shown = blueprint(&state.blueprint);
    shown["status"] = status.into();
    shown["applicationPolicyId"] = json!(policy);
    shown["revision"] = state.revision.into();
    let mut sign_ups = world.sign_ups_of(state.blueprint.application_id.as_str());
    shown["signUpsExist"] = sign_ups.next().is_some().into();
    shown
}

fn blueprint(one: &Application) -> Value {
    let cartridges: Vec<Value> = one.cartridges.iter().map(|s| subscription(s, false)).collect();
    let mut components = json!({"cartridges": cartridges});
    if !one.groups.is_empty() {
        components["groups"] = one.groups.iter().map(|g| group(g, false)).collect();
    }
    if let Some(dependencies) = &one.dependencies {
        components["dependencies"] = self::dependencies(dependencies);
    }
    json!({
        "applicationId": one.application_id,
        "alias": one.alias,
        "name": one.name,
        "description": one.description,
        "multiTenant": one.multi_tenant,
        "property": properties(&one.property),
        "components": components,
    })
}

/// What a group around it says is left out.
fn group(one: &Group, inherits: bool) -> Value {
    let within = inherits || one.deployment_policy.is_some();
    let cartridges: Vec<Value> = one.cartridges.iter().map(|s| subscription(s, within)).collect();
    let groups: Vec<Value> = one.groups.iter().map(|g| group(g, within)).collect();
    let mut shown = json!({
        "name": one.name,
        "alias": one.alias,
        "groupMinInstances": one.min_instances,
        "groupMaxInstances": one.max_instances,
        "cartridges": cartridges,
        "groups": groups,
    });
    if let Some(policy) = &one.deployment_policy {
        shown["deploymentPolicy"] = json!(policy);
    }
    if let Some(dependencies) = &one.dependencies {
        shown["dependencies"] = self::dependencies(dependencies);
    }
    shown
}

fn subscription(one: &Subscription, inherits: bool) -> Value {
    let mut info = json!({
        "alias": one.alias,
        "autoscalingPolicy": one.autoscaling_policy,
        "property": properties(&one.property),
    });
    if !inherits {
        info["deploymentPolicy"] = json!(one.deployment_policy);
    }
    if let Some(repository) = &one.artifact_repository {
        info["artifactRepository"] = self::repository(repository);
    }
    json!({
        "type": one.cartridge_type,
        "cartridgeMin": one.cartridge_min,
        "cartridgeMax": one.cartridge_max,
        "subscribableInfo": info,
    })
}

/// A repository, without its password and without one hidden in its URL.
pub fn repository(one: &Repository) -> Value {
    json!({
        "repoUrl": without_password(&one.repo_url),
        "branch": one.branch,
        "repoUsername": one.repo_username,
        "pollSeconds": one.poll_seconds,
    })
}

/// `https://user:secret@host/` is shown as `https://user@host/`.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':').map(|(name, _)| (user, name)))
    {
        Some((user, name)) => format!("{scheme}://{name}{}", &rest[user.len()..]),
        None => url.to_owned(),
    }
}

fn dependencies(one: &Dependencies) -> Value {
    let aliases = |lists: &[Vec<String>]| {
        lists
            .iter()
            .map(|list| json!({"aliases": list}))
            .collect::<Vec<_>>()
    };
    json!({
        "startupOrders": aliases(&one.startup_orders),
        "scalingDependents": aliases(&one.scaling_dependents),
        "terminationBehaviour": one.termination_behaviour,
    })
}

fn properties(all: &BTreeMap<String, String>) -> Vec<Value> {
    all.iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_network_partitions_are_shown_as_they_are_put() {
        let put = json!({"id": "p", "algorithm": "one-after-another", "networkPartitions": ["a", "b", "c"],
            "properties": [{"name": "networkPartitionGroups", "value": "a|b,c"}]});
        let mut read = cartridge_orchestrator_plan::blueprint::parse::application_policy(&put).unwrap();
        assert_eq!(application_policy(&read), put);
        read.properties.clear();
        assert_eq!(
            application_policy(&read),
            put,
            "also where only the groups are known"
        );
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        assert_eq!(without_password("https://u:canary@h/x@y"), "https://u@h/x@y");
        assert_eq!(without_password("https://u:ca@nary@h/x"), "https://u@h/x");
        assert_eq!(without_password("https://h:8443/x:y@z"), "https://h:8443/x:y@z");
        assert_eq!(without_password("file:///a"), "file:///a");
    }
}

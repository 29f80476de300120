//! Stratos's run-time document (stratos-contract §4.10): applications, their instances per network partition, clusters,
//! members, in Stratos's words.
//!
//! This file refuses to know measurements.

use std::collections::{BTreeMap, BTreeSet};

use cartridge_orchestrator_plan::desired::{AccessPoint, endpoints};
use cartridge_orchestrator_plan::world::{ApplicationStatus, Cluster, Member, MemberPhase, World};
use cartridge_protocol::{ApplicationId, NetworkPartitionId};
use serde_json::{Value, json};

use super::figures::{is_balancer, serves};

/// The network partitions that an application uses.
pub fn in_use(world: &World, application: &ApplicationId) -> BTreeSet<NetworkPartitionId> {
    clusters(world, application)
        .flat_map(|cluster| cluster.instances.keys().cloned())
        .collect()
}

/// The document; None: there is no such application.
pub fn document(world: &World, id: &str) -> Option<Value> {
    let state = world.applications.get(id)?;
    let application = &state.blueprint.application_id;
    let points = endpoints(world, application);
    let places: BTreeMap<NetworkPartitionId, usize> =
        in_use(world, application).into_iter().zip(1_usize..).collect();
    let instances: Vec<Value> = places
        .iter()
        .map(|(place, number)| instance(world, application, place, *number, &points))
        .collect();
    let status = match state.status {
        ApplicationStatus::Created => "Created",
        ApplicationStatus::Deployed { .. } => "Deployed",
        ApplicationStatus::Undeploying { .. } => "Undeploying",
    };
    Some(json!({
        "id": application,
        "name": state.blueprint.name,
        "description": state.blueprint.description,
        "status": status,
        "tenantDomain": "carbon.super",
        "tenantAdminUsername": "admin",
        "applicationInstances": instances,
    }))
}

/// One cluster, for `GET /cluster/{id}`.
pub fn cluster(world: &World, id: &str) -> Option<Value> {
    let cluster = world.clusters.get(id)?;
    let places: BTreeMap<NetworkPartitionId, usize> = in_use(world, &cluster.application)
        .into_iter()
        .zip(1_usize..)
        .collect();
    let points = endpoints(world, &cluster.application);
    let place = cluster.instances.keys().next()?;
    let number = places.get(place).copied().unwrap_or(1);
    let mut shown = cluster_instance(world, cluster, place, number, &points);
    shown["member"] = members(world, cluster, None, &places).into();
    Some(shown)
}

fn clusters<'a>(world: &'a World, application: &'a ApplicationId) -> impl Iterator<Item = &'a Cluster> {
    world
        .clusters
        .values()
        .filter(move |cluster| cluster.application == *application)
}

fn instance(
    world: &World,
    application: &ApplicationId,
    place: &NetworkPartitionId,
    number: usize,
    points: &[AccessPoint],
) -> Value {
    let here: Vec<&Cluster> = clusters(world, application)
        .filter(|cluster| !is_balancer(cluster) && cluster.instances.contains_key(place))
        .collect();
    let active = here
        .iter()
        .all(|cluster| status(world, cluster, place) == "Active");
    let rows: Vec<Value> = here
        .iter()
        .map(|cluster| cluster_instance(world, cluster, place, number, points))
        .collect();
    json!({
        "instanceId": format!("{application}-{number}"),
        "parentInstanceId": application,
        "applicationId": application,
        "status": if active && !rows.is_empty() { "Active" } else { "Inactive" },
        "groupInstances": [],
        "clusterInstances": rows,
    })
}

fn cluster_instance(
    world: &World,
    cluster: &Cluster,
    place: &NetworkPartitionId,
    number: usize,
    points: &[AccessPoint],
) -> Value {
    let own: Vec<&AccessPoint> = points
        .iter()
        .filter(|p| p.cluster == cluster.id && p.network_partition == *place)
        .collect();
    let instance = format!("{}-{number}", cluster.application);
    json!({
        "instanceId": instance,
        "parentInstanceId": instance,
        "alias": cluster.alias,
        "serviceName": cluster.cartridge,
        "clusterId": cluster.id,
        "status": status(world, cluster, place),
        "tenantRange": "*",
        "hostNames": cluster.hosts,
        "accessUrls": own.iter().map(|p| format!("http://{}", std::net::SocketAddr::new(p.address, p.port))).collect::<Vec<_>>(),
        "kubernetesServices": [],
        "loadBalancerIps": own.iter().map(|p| p.address).collect::<BTreeSet<_>>(),
        "member": members(world, cluster, Some(place), &BTreeMap::from([(place.clone(), number)])),
    })
}

fn status(world: &World, cluster: &Cluster, place: &NetworkPartitionId) -> &'static str {
    let mut own = cluster.members.iter().filter_map(|id| world.members.get(id));
    let serving = own.any(|member| member.network_partition == *place && serves(&member.phase));
    match cluster.instances.get(place) {
        Some(instance) if instance.ending.is_some() => "Terminating",
        Some(_) if serving => "Active",
        _ => "Inactive",
    }
}

fn members(
    world: &World,
    cluster: &Cluster,
    place: Option<&NetworkPartitionId>,
    numbers: &BTreeMap<NetworkPartitionId, usize>,
) -> Vec<Value> {
    let all = cluster.members.iter().filter_map(|id| world.members.get(id));
    all.filter(|member| place.is_none_or(|place| member.network_partition == *place))
        .map(|member| {
            let number = numbers.get(&member.network_partition).copied().unwrap_or(1);
            member_row(cluster, member, number)
        })
        .collect()
}

fn member_row(cluster: &Cluster, member: &Member, number: usize) -> Value {
    let address = member
        .instance
        .as_ref()
        .map(|instance| instance.address.to_string());
    let ports: Vec<Value> = member
        .instance
        .iter()
        .flat_map(|instance| &instance.ports)
        .map(|(name, port)| json!({"name": name, "value": port}))
        .collect();
    json!({
        "memberId": member.id,
        "serviceName": cluster.cartridge,
        "clusterId": cluster.id,
        "clusterInstanceId": format!("{}-{number}", cluster.application),
        "networkPartitionId": member.network_partition,
        "partitionId": member.partition,
        "instanceId": member.instance.as_ref().map(|instance| &instance.name),
        "status": stratos_status(&member.phase),
        "defaultPrivateIP": address.clone().unwrap_or_else(|| "NULL".into()),
        "memberPrivateIPs": address.clone().into_iter().collect::<Vec<_>>(),
        "defaultPublicIP": address.clone().unwrap_or_else(|| "NULL".into()),
        "memberPublicIPs": address.into_iter().collect::<Vec<_>>(),
        "lbClusterId": Value::Null,
        "ports": ports,
        "property": [],
    })
}

/// Stratos's word for where a member stands (stratos-contract §2.7).
fn stratos_status(phase: &MemberPhase) -> &'static str {
    match phase {
        MemberPhase::Planned { .. } => "Created",
        MemberPhase::Ensured => "Initialized",
        MemberPhase::Starting => "Starting",
        MemberPhase::Active | MemberPhase::Updating { .. } => "Active",
        MemberPhase::Suspended { .. } => "Suspended",
        MemberPhase::Draining { .. } => "In_Maintenance",
        MemberPhase::Stopping => "ReadyToShutDown",
        MemberPhase::Ended { .. } => "Terminated",
    }
}

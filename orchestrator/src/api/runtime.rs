//! Stratos's run-time document (stratos-contract §4.10): applications, their instances per network partition, clusters,
//! members, in Stratos's words.
//!
//! This file refuses to know measurements.

use std::collections::{BTreeMap, BTreeSet};

use cartridge_orchestrator_plan::blueprint::Group;
use cartridge_orchestrator_plan::desired::{AccessPoint, endpoints};
use cartridge_orchestrator_plan::world::{ApplicationStatus, Cluster, Member, MemberPhase, Standing, World};
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
    let tenant = world.tenants.get(&state.blueprint.tenant);
    let admin = tenant.map_or("admin", |tenant| tenant.admin.as_str());
    Some(json!({
        "id": application,
        "name": state.blueprint.name,
        "description": state.blueprint.description,
        "status": status,
        "tenantDomain": world.domain_of(state.blueprint.tenant),
        "tenantAdminUsername": admin,
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
    let instance = |np: &NetworkPartitionId, number: u32| match &cluster.group {
        Some(group) => format!("{group}-{number}"),
        None => format!("{}-{}", cluster.application, places.get(np).copied().unwrap_or(1)),
    };
    let first = world.parts(cluster, place).first().copied().unwrap_or(1);
    let mut shown = cluster_instance(world, cluster, place, &instance(place, first), &points);
    let of = |member: &Member| instance(&member.network_partition, member.group_instance);
    shown["member"] = members(world, cluster, |_| true, of).into();
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
    let instance = format!("{application}-{number}");
    let here = Place {
        world,
        application,
        place,
        points,
    };
    let clusters = here.clusters(None, 0, &instance);
    let blueprint = world.applications.get(application).map(|state| &state.blueprint);
    let groups = blueprint.map_or(&[][..], |blueprint| &blueprint.groups);
    let groups = here.groups(groups, 0, &instance);
    let whole = clusters
        .iter()
        .chain(&groups)
        .all(|row| row["status"] == "Active");
    json!({
        "instanceId": instance,
        "parentInstanceId": application,
        "applicationId": application,
        "status": if whole && !(clusters.is_empty() && groups.is_empty()) { "Active" } else { "Inactive" },
        "groupInstances": groups,
        "clusterInstances": clusters,
    })
}

/// An application in one network partition.
struct Place<'a> {
    world: &'a World,
    application: &'a ApplicationId,
    place: &'a NetworkPartitionId,
    points: &'a [AccessPoint],
}

impl Place<'_> {
    /// The groups of one level, each instance by itself.
    fn groups(&self, groups: &[Group], parent: u32, around: &str) -> Vec<Value> {
        let instances = groups.iter().flat_map(|group| {
            let all = self
                .world
                .group_instances(self.application, self.place, &group.alias);
            all.filter(|(_, one)| one.parent == parent)
                .map(move |(number, one)| (group, number, one.ending))
        });
        instances
            .map(|(group, number, ending)| {
                let instance = format!("{}-{number}", group.alias);
                let clusters = self.clusters(Some(&group.alias), number, &instance);
                let inner = self.groups(&group.groups, number, &instance);
                let whole = clusters.iter().chain(&inner).all(|row| row["status"] == "Active");
                let created = clusters
                    .iter()
                    .chain(&inner)
                    .all(|row| row["status"] == "Created");
                json!({
                    "instanceId": instance,
                    "parentInstanceId": around,
                    "groupId": group.alias,
                    "status": match (ending, whole, created) {
                        (true, ..) => "Terminating",
                        (_, true, _) => "Active",
                        (.., true) => "Created",
                        _ => "Inactive",
                    },
                    "groupInstances": inner,
                    "clusterInstances": clusters,
                })
            })
            .collect()
    }

    /// The clusters of one level.
    fn clusters(&self, group: Option<&str>, number: u32, around: &str) -> Vec<Value> {
        clusters(self.world, self.application)
            .filter(|cluster| !is_balancer(cluster) && cluster.group.as_deref() == group)
            .filter(|cluster| cluster.instances.contains_key(self.place))
            .map(|cluster| {
                let mut row = cluster_instance(self.world, cluster, self.place, around, self.points);
                let here = |member: &&Member| {
                    member.network_partition == *self.place && member.group_instance == number
                };
                row["status"] = status(self.world, cluster, self.place, number).into();
                row["member"] = members(self.world, cluster, here, |_| around.to_owned()).into();
                row
            })
            .collect()
    }
}

fn cluster_instance(
    world: &World,
    cluster: &Cluster,
    place: &NetworkPartitionId,
    instance: &str,
    points: &[AccessPoint],
) -> Value {
    let own: Vec<&AccessPoint> = points
        .iter()
        .filter(|p| p.cluster == cluster.id && p.network_partition == *place)
        .collect();
    let number = world.parts(cluster, place).first().copied().unwrap_or(0);
    json!({
        "instanceId": instance,
        "parentInstanceId": instance,
        "alias": cluster.alias,
        "serviceName": cluster.cartridge,
        "clusterId": cluster.id,
        "status": status(world, cluster, place, number),
        "tenantRange": "*",
        "hostNames": cluster.hosts,
        "accessUrls": own.iter().map(|p| format!("http://{}", std::net::SocketAddr::new(p.address, p.port))).collect::<Vec<_>>(),
        "kubernetesServices": [],
        "loadBalancerIps": own.iter().map(|p| p.address).collect::<BTreeSet<_>>(),
        "member": [],
    })
}

fn status(world: &World, cluster: &Cluster, place: &NetworkPartitionId, number: u32) -> &'static str {
    let composite = world
        .applications
        .get(&cluster.application)
        .is_some_and(|state| state.blueprint.is_composite());
    let mut own = cluster.members.iter().filter_map(|id| world.members.get(id));
    let serving = own.any(|member| member.network_partition == *place && serves(&member.phase));
    match cluster.instances.get(place) {
        Some(instance) if instance.ending.is_some() => "Terminating",
        Some(instance) if composite => match instance.standing(number) {
            Standing::Waiting | Standing::Starting => "Created",
            Standing::Active => "Active",
            Standing::Inactive => "Inactive",
            Standing::Terminating => "Terminating",
        },
        Some(_) if serving => "Active",
        _ => "Inactive",
    }
}

fn members(
    world: &World,
    cluster: &Cluster,
    which: impl Fn(&&Member) -> bool,
    instance: impl Fn(&Member) -> String,
) -> Vec<Value> {
    let all = cluster.members.iter().filter_map(|id| world.members.get(id));
    all.filter(which)
        .map(|member| member_row(cluster, member, &instance(member)))
        .collect()
}

fn member_row(cluster: &Cluster, member: &Member, instance: &str) -> Value {
    let address = member
        .instance
        .as_ref()
        .map(|instance| instance.address.to_string());
    let ports: Vec<Value> = member
        .instance
        .iter()
        .flat_map(|instance| instance.ports.iter())
        .map(|(name, port)| json!({"name": name, "value": port}))
        .collect();
    json!({
        "memberId": member.id,
        "serviceName": cluster.cartridge,
        "clusterId": cluster.id,
        "clusterInstanceId": instance,
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

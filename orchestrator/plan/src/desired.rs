//! What one agent is told, what one balancer serves, and where clients reach an application.
//!
//! This file refuses to know secrets and sockets.

use std::net::{IpAddr, Ipv4Addr};

use cartridge_protocol::link::{Desired, DesiredArtifacts, MAX_TENANT_REPOSITORIES, Run, TenantArtifacts};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::topology::{
    Endpoint, EndpointState, Listener, MappedHost, Topology, TopologyCluster,
};
use cartridge_protocol::{ApplicationId, ClusterId, MemberId, NetworkPartitionId};
use serde::Serialize;

use crate::blueprint::Repository;
use crate::world::{Cluster, Member, MemberPhase, Role, Standing, TenantRelease, World};

/// Time between samples.
pub const SAMPLE_INTERVAL_MS: u64 = 1000;
/// Time between the batches of an application's member when nothing changes; what changes is told within a second.
pub const PUBLISH_INTERVAL_MS: u64 = 5000;
/// The same for a balancer: its reading is what requests in flight are known from.
pub const BALANCER_PUBLISH_INTERVAL_MS: u64 = 1000;
/// Time for an application to end by itself; less than the orchestrator waits ([`crate::decide::limits::STOP`]).
pub const STOP_WITHIN_MS: u64 = 10_000;

/// Where clients reach a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessPoint {
    /// Where.
    pub network_partition: NetworkPartitionId,
    /// The balancer's address.
    pub address: IpAddr,
    /// The balancer's port (`proxyPort`).
    pub port: u16,
    /// The cluster behind it.
    pub cluster: ClusterId,
    /// How many members take new requests there.
    pub members: u32,
}

/// What one member is told, without the passwords of repositories (the caller unseals and adds them). None: the member is
/// unknown or over.
pub fn desired(world: &World, member: &MemberId) -> Option<Desired> {
    let member = world.members.get(member)?;
    let cluster = world.clusters.get(&member.cluster)?;
    let topology = match cluster.role {
        Role::Balancer { .. } => topology(world, &cluster.id),
        Role::Application => None,
    };
    let values = match cluster.role {
        Role::Balancer { .. } => None,
        Role::Application => world.values.get(&cluster.application),
    };
    let own = member.revision.max(cluster.told);
    let own = values.map_or(own, |values| own.max(values.revision));
    let revision = topology
        .as_ref()
        .map_or(own, |topology| own.max(topology.revision));
    Some(Desired {
        revision,
        epoch: world.epoch,
        run: match member.phase {
            MemberPhase::Stopping | MemberPhase::Ended { .. } => Run::Stop {
                within_ms: STOP_WITHIN_MS,
            },
            _ => Run::Serve,
        },
        artifacts: artifacts(world, cluster, member),
        tenants: tenants(world, cluster),
        topology,
        // Only those are told who ask: see [`crate::around::surroundings`].
        surroundings: None,
        values: values
            .filter(|values| !values.told.is_empty())
            .map(|values| values.told.clone()),
        sample_interval_ms: SAMPLE_INTERVAL_MS,
        publish_interval_ms: match cluster.role {
            Role::Balancer { .. } => BALANCER_PUBLISH_INTERVAL_MS,
            Role::Application => PUBLISH_INTERVAL_MS,
        },
    })
}

fn artifacts(world: &World, cluster: &Cluster, member: &Member) -> Option<DesiredArtifacts> {
    let repository = cluster.repository.as_ref()?;
    Some(DesiredArtifacts {
        commit: world.told_commit(member).cloned(),
        ordered: cluster.release.pinned,
        look: cluster.looks,
        ..files_of(repository, cluster)
    })
}

/// The files of the tenants that signed up, in the order of their numbers. All members are told the same at once: the
/// agent of each goes back by itself where it cannot serve a commit.
fn tenants(world: &World, cluster: &Cluster) -> Vec<TenantArtifacts> {
    let of_one = |(tenant, kept): (&TenantId, &TenantRelease)| {
        let one = world.repository_of(cluster, *tenant)?;
        let artifacts = DesiredArtifacts {
            commit: kept.release.accepted.clone(),
            look: kept.looks,
            ..files_of(&one.repository, cluster)
        };
        Some(TenantArtifacts {
            tenant: *tenant,
            artifacts,
        })
    };
    let told = cluster.tenants.iter().filter_map(of_one);
    told.take(MAX_TENANT_REPOSITORIES).collect()
}

fn files_of(repository: &Repository, cluster: &Cluster) -> DesiredArtifacts {
    DesiredArtifacts {
        url: repository.repo_url.clone(),
        branch: repository.branch.clone(),
        commit: None,
        ordered: false,
        username: repository.repo_username.clone(),
        password: None,
        poll_interval_ms: repository.poll_seconds.saturating_mul(1000),
        look: 0,
        sharing: cluster.sharing(),
    }
}

/// What the balancers of this balancer cluster serve. None: it is no balancer cluster.
pub fn topology(world: &World, balancer: &ClusterId) -> Option<Topology> {
    let balancer = world.clusters.get(balancer)?;
    let Role::Balancer {
        network_partition: np,
    } = &balancer.role
    else {
        return None;
    };
    let (served, others): (Vec<&Cluster>, Vec<&Cluster>) = in_turn(world, &balancer.application, np)
        .into_iter()
        .partition(|cluster| world.balanced_ports(cluster).next().is_some());
    // Others may have been served before: leaving must not make the whole look older (S11).
    let revisions = served.iter().map(|cluster| cluster.revision);
    let revision = revisions.chain(others.iter().map(|cluster| cluster.told)).max();
    Some(Topology {
        revision: revision.unwrap_or(0).max(balancer.told),
        network_partition: np.clone(),
        listen: address(world, np),
        clusters: served.iter().map(|cluster| row(world, cluster, np)).collect(),
    })
}

fn row(world: &World, cluster: &Cluster, np: &NetworkPartitionId) -> TopologyCluster {
    let instance = cluster.instances.get(np);
    let wanted = instance.is_some_and(|instance| {
        instance.ending.is_none() && instance.desired > 0 && !all_terminate(world, cluster, np, instance)
    });
    TopologyCluster {
        cluster: cluster.id.clone(),
        hosts: cluster.hosts.clone(),
        mapped: mapped(world, cluster),
        listeners: listeners(world, cluster),
        endpoints: endpoints_in(world, cluster, np),
        stopped: !wanted || world.is_undeploying(&cluster.application) || has_left(world, cluster, np),
    }
}

/// The domains that lead to a cluster; of two with one alias, the balancer sees first who is to have them.
fn mapped(world: &World, cluster: &Cluster) -> Vec<MappedHost> {
    let all = world.domains_of(cluster.application.as_str());
    all.filter(|(_, mapping)| mapping.alias == cluster.alias)
        .map(|(host, mapping)| MappedHost {
            host: host.clone(),
            path: mapping.path.clone(),
        })
        .collect()
}

/// Its application does not name it any more, and it takes no further requests.
fn has_left(world: &World, cluster: &Cluster, np: &NetworkPartitionId) -> bool {
    cluster.leaving.is_some() && !world.members_in(cluster, np).any(takes_requests)
}

/// What it has there ends, to start again in order, and nothing else of it serves.
fn all_terminate(
    world: &World,
    cluster: &Cluster,
    np: &NetworkPartitionId,
    instance: &crate::world::ClusterInstance,
) -> bool {
    let ends = |standing: &Standing| *standing == Standing::Terminating;
    let stays = |member: &Member| {
        let serves = takes_requests(member) || matches!(member.phase, MemberPhase::Suspended { .. });
        serves && !world.part_is_terminating(member)
    };
    instance.parts.values().any(ends) && !world.members_in(cluster, np).any(stays)
}

fn listeners(world: &World, cluster: &Cluster) -> Vec<Listener> {
    world
        .balanced_ports(cluster)
        .map(|mapping| Listener {
            port: mapping.proxy_port,
            name: mapping.name.clone(),
            protocol: mapping.protocol.clone(),
        })
        .collect()
}

/// Ready are those that answer. Where none does, those that answered before are tried all the same: the balancer
/// sees for itself, and an empty set would make sure that nobody is served.
fn endpoints_in(world: &World, cluster: &Cluster, np: &NetworkPartitionId) -> Vec<Endpoint> {
    let members: Vec<&Member> = world
        .members_in(cluster, np)
        .filter(|member| member.instance.is_some())
        .collect();
    let none_ready = !members.iter().any(|member| takes_requests(member));
    members
        .iter()
        .filter_map(|member| {
            let state = match &member.phase {
                _ if takes_requests(member) => EndpointState::Ready,
                MemberPhase::Suspended { .. } if none_ready => EndpointState::Ready,
                MemberPhase::Suspended { .. }
                | MemberPhase::Updating { .. }
                | MemberPhase::Draining { .. } => EndpointState::Draining,
                _ => return None,
            };
            let instance = member.instance.as_ref()?;
            Some(Endpoint {
                member: member.id.clone(),
                incarnation: member.incarnation,
                address: instance.address,
                ports: instance.ports.to_map(),
                state,
            })
        })
        .collect()
}

const fn takes_requests(member: &Member) -> bool {
    matches!(
        member.phase,
        MemberPhase::Active | MemberPhase::Updating { live: true, .. }
    )
}

/// Where clients reach an application. Left out are network partitions that are being emptied, and those whose balancer
/// does not answer.
pub fn endpoints(world: &World, application: &ApplicationId) -> Vec<AccessPoint> {
    let mut points = Vec::new();
    if world.is_undeploying(application) {
        return points;
    }
    for cluster in in_order(world, application) {
        let in_use = cluster.instances.iter().filter(|(np, instance)| {
            instance.ending.is_none()
                && !has_left(world, cluster, np)
                && balancer_answers(world, application, np)
        });
        for (np, _) in in_use {
            let ready = endpoints_in(world, cluster, np)
                .iter()
                .filter(|endpoint| endpoint.state == EndpointState::Ready)
                .count();
            points.extend(world.balanced_ports(cluster).map(|mapping| AccessPoint {
                network_partition: np.clone(),
                address: address(world, np),
                port: mapping.proxy_port,
                cluster: cluster.id.clone(),
                members: u32::try_from(ready).unwrap_or(u32::MAX),
            }));
        }
    }
    points
}

/// A balancer became ready and was not told to go.
fn balancer_answers(world: &World, application: &ApplicationId, np: &NetworkPartitionId) -> bool {
    world
        .balancer(application, np)
        .is_some_and(|balancer| world.members_of(balancer).any(|member| member.phase.serves()))
}

/// The clusters of an application that serve it, in the order of its blueprint: the first of a listener takes the
/// requests that name no host.
fn in_order<'a>(world: &'a World, application: &'a ApplicationId) -> Vec<&'a Cluster> {
    let subscriptions: Vec<_> = world
        .applications
        .get(application)
        .into_iter()
        .flat_map(|state| state.blueprint.subscriptions())
        .collect();
    let position = |cluster: &Cluster| subscriptions.iter().position(|s| s.alias == cluster.alias);
    let mut clusters: Vec<&Cluster> = world
        .clusters_of(application)
        .filter(|cluster| cluster.role == Role::Application)
        .collect();
    clusters.sort_by_key(|cluster| position(cluster).unwrap_or(usize::MAX));
    clusters
}

/// The same for one balancer, where of two that share a host name the first gets its requests: who leaves comes first as
/// long as it serves, so that whoever takes its place can get ready, and last after that.
fn in_turn<'a>(
    world: &'a World,
    application: &'a ApplicationId,
    np: &NetworkPartitionId,
) -> Vec<&'a Cluster> {
    let mut clusters = in_order(world, application);
    clusters.sort_by_key(|cluster| match cluster.leaving {
        Some(_) if has_left(world, cluster, np) => 2,
        Some(_) if world.successor(cluster).is_some() => 0,
        _ => 1,
    });
    clusters
}

fn address(world: &World, np: &NetworkPartitionId) -> IpAddr {
    let found = world.network_partitions.get(np);
    found.map_or(
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        crate::blueprint::NetworkPartition::address,
    )
}

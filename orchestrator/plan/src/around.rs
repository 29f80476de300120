//! What runs around a member, in its own application: for members whose hooks want to know.
//!
//! It refuses to know who wants it. Of tenants only members of applications that several share are told: to others it
//! is nothing who else is here.

use std::collections::BTreeMap;

use cartridge_protocol::surroundings::{
    DomainMapping, MAX_PEERS, MAX_PROPERTIES, MAX_PROPERTY_BYTES, MAX_TENANTS, Neighbours, Peer, PeerPhase,
    SignUp, Surroundings, Tenant,
};
use cartridge_protocol::{ApplicationId, DomainName, MemberId};

use crate::world::{Cluster, Member, MemberPhase, Role, World};

/// What one member is told of its surroundings; None: it is unknown. Members of its own cluster come first and are the
/// last to be left out.
pub fn surroundings(world: &World, member: &MemberId) -> Option<Surroundings> {
    let own = world.clusters.get(&world.members.get(member)?.cluster)?;
    let others = world
        .clusters_of(&own.application)
        .filter(|cluster| cluster.id != own.id);
    let (mut room, mut omitted) = (MAX_PEERS, 0);
    let mut clusters = Vec::new();
    // The newest change of any cluster: none of their revisions goes back, and none goes away while the others stay.
    let mut revision = 0;
    for cluster in std::iter::once(own).chain(others) {
        revision = revision.max(cluster.revision).max(cluster.told);
        let all = world.members_of(cluster).count();
        let told: Vec<Peer> = world
            .members_of(cluster)
            .take(room)
            .map(|one| peer(&own.application, one))
            .collect();
        room -= told.len();
        omitted += all - told.len();
        clusters.push(neighbours(cluster, told));
    }
    let cartridge = world.cartridges.get(&own.cartridge);
    let application = world.applications.get(&own.application);
    let shared = application.is_some_and(|state| state.blueprint.multi_tenant);
    if shared {
        revision = revision.max(world.tenants_changed);
    }
    Some(Surroundings {
        revision,
        application: own.application.clone(),
        clusters,
        omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
        service_properties: cartridge.map_or_else(BTreeMap::new, |cartridge| free(&cartridge.property)),
        cluster_properties: BTreeMap::new(),
        member_properties: BTreeMap::new(),
        tenants: shared.then(|| tenants(world)),
        sign_ups: shared.then(|| sign_ups(world, &own.application)),
        domain_mappings: shared.then(|| domain_mappings(world, &own.application)),
    })
}

fn tenants(world: &World) -> Vec<Tenant> {
    let told = |tenant: &crate::tenancy::Tenant| Tenant {
        tenant_id: tenant.tenant_id.get(),
        tenant_domain: tenant.tenant_domain.to_string(),
    };
    world.tenants.values().map(told).take(MAX_TENANTS).collect()
}

fn sign_ups(world: &World, application: &ApplicationId) -> Vec<SignUp> {
    let all = world.sign_ups_of(application.as_str());
    let told = all.map(|(tenant, _)| SignUp {
        tenant_id: tenant.get(),
    });
    told.take(MAX_TENANTS).collect()
}

/// Those that lead to a cluster that is there.
fn domain_mappings(world: &World, application: &ApplicationId) -> Vec<DomainMapping> {
    let told = |(domain, mapping): (&DomainName, &crate::tenancy::DomainMapping)| {
        let cluster = world.led_to(application, mapping)?;
        Some(DomainMapping {
            tenant_id: mapping.tenant.get(),
            service_name: cluster.cartridge.clone(),
            cluster_id: cluster.id.clone(),
            domain_name: domain.as_str().to_owned(),
            context_path: mapping.path.as_ref().map(|path| path.as_str().to_owned()),
        })
    };
    let all = world.domains_of(application.as_str());
    all.filter_map(told).collect()
}

fn neighbours(cluster: &Cluster, members: Vec<Peer>) -> Neighbours {
    Neighbours {
        cluster: cluster.id.clone(),
        service: cluster.cartridge.clone(),
        alias: cluster.alias.clone(),
        hosts: cluster.hosts.clone(),
        balancer: matches!(cluster.role, Role::Balancer { .. }),
        members,
    }
}

fn peer(application: &ApplicationId, member: &Member) -> Peer {
    let instance = member.instance.as_ref();
    Peer {
        member: member.id.clone(),
        incarnation: member.incarnation,
        cluster_instance: format!("{application}-{}", member.group_instance.max(1)),
        network_partition: member.network_partition.clone(),
        partition: member.partition.clone(),
        phase: phase(&member.phase),
        address: instance.map(|instance| instance.address),
        ports: instance.map_or_else(BTreeMap::new, |instance| instance.ports.to_map()),
    }
}

/// In Stratos's words. One that switches releases is none of them: it was active, and will be in a moment.
const fn phase(phase: &MemberPhase) -> PeerPhase {
    match phase {
        MemberPhase::Planned { .. } => PeerPhase::Created,
        MemberPhase::Ensured => PeerPhase::Initialized,
        MemberPhase::Starting => PeerPhase::Starting,
        MemberPhase::Active | MemberPhase::Updating { .. } => PeerPhase::Active,
        MemberPhase::Suspended { .. } => PeerPhase::Suspended,
        MemberPhase::Draining { .. } | MemberPhase::Stopping => PeerPhase::InMaintenance,
        MemberPhase::Ended { .. } => PeerPhase::Terminated,
    }
}

/// Free properties, without those that are launch parameters anyway.
fn free(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    all.iter()
        .filter(|(name, value)| !name.starts_with("payload_parameter.") && value.len() <= MAX_PROPERTY_BYTES)
        .take(MAX_PROPERTIES)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

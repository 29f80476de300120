//! Launch parameters that follow from the world; the provisioner adds the link, the join token and chosen ports.
//!
//! This file refuses to know secrets.

use std::collections::BTreeMap;

use cartridge_protocol::NetworkPartitionId;
use cartridge_protocol::launch::key;
use cartridge_protocol::tenant::TenantId;

use crate::blueprint::{Cartridge, NetworkPartition, OnRelease, PortMapping};
use crate::step::MemberSpec;
use crate::world::{ApplicationState, ApplicationStatus, Cluster, Member, Role, World};

/// Properties that become launch parameters begin with this.
const PAYLOAD: &str = "payload_parameter.";

/// All that a provisioner needs to start this member. None: its place or cluster is gone.
pub fn spec(world: &World, member: &Member) -> Option<MemberSpec> {
    let cluster = world.clusters.get(&member.cluster)?;
    let np = world.network_partitions.get(&member.network_partition)?;
    let balancer = matches!(cluster.role, Role::Balancer { .. });
    Some(MemberSpec {
        provider: np.provider.clone(),
        installation: world.installation.clone(),
        member: member.id.clone(),
        incarnation: member.incarnation,
        cluster: cluster.id.clone(),
        network_partition: member.network_partition.clone(),
        partition: member.partition.clone(),
        address: np.address(),
        balancer,
        ports: if balancer {
            proxied(world, cluster)
        } else {
            own(world, cluster)
        },
        parameters: parameters(world, cluster, np, member),
    })
}

fn own(world: &World, cluster: &Cluster) -> BTreeMap<String, u16> {
    let cartridge = world.cartridges.get(&cluster.cartridge);
    let mappings = cartridge.map_or(&[][..], |cartridge| &cartridge.port_mapping);
    mappings
        .iter()
        .map(|mapping| (mapping.name.clone(), mapping.port))
        .collect()
}

/// The ports that clients connect to, by `<alias>-<port mapping>`.
fn proxied(world: &World, balancer: &Cluster) -> BTreeMap<String, u16> {
    let clusters = world.clusters_of(&balancer.application);
    clusters
        .flat_map(|cluster| {
            let named = move |mapping: &PortMapping| {
                (format!("{}-{}", cluster.alias, mapping.name), mapping.proxy_port)
            };
            world.balanced_ports(cluster).map(named)
        })
        .collect()
}

fn parameters(
    world: &World,
    cluster: &Cluster,
    np: &NetworkPartition,
    member: &Member,
) -> BTreeMap<String, String> {
    let state = world.applications.get(&cluster.application);
    let cartridge = world.cartridges.get(&cluster.cartridge);
    let own = state.and_then(|state| {
        let mut all = state.blueprint.subscriptions();
        all.find(|one| one.alias == cluster.alias)
    });
    let mut all = payload(cartridge, np);
    all.extend(own.map(|one| payload_of(&one.property)).unwrap_or_default());
    let multi_tenant = state.is_some_and(|state| state.blueprint.multi_tenant);
    let tenant = state.map_or(TenantId::SUPER, |state| state.blueprint.tenant);
    let instance = state.map_or(1, |state| instance_number(world, state, &np.id));
    let before = come_before(world, cluster);
    let fixed = [
        (key::APPLICATION_ID, cluster.application.to_string()),
        (key::SERVICE_NAME, cluster.cartridge.to_string()),
        (key::CLUSTER_ID, cluster.id.to_string()),
        (
            key::CLUSTER_INSTANCE_ID,
            cluster.group.as_ref().map_or_else(
                || format!("{}-{instance}", cluster.application),
                |group| format!("{group}-{}", member.group_instance),
            ),
        ),
        (key::GROUP_NAME, cluster.group.clone().unwrap_or_default()),
        (
            key::DEPENDENCY_CLUSTER_IDS,
            joined(&before, |other| other.id.to_string()),
        ),
        (
            key::DEPENDENCY_ALIASES,
            joined(&before, |other| other.alias.clone()),
        ),
        (key::EXPORT_METADATA_KEYS, exported(world, cluster)),
        (
            key::IMPORT_METADATA_KEYS,
            joined(&before, |other| exported(world, other)),
        ),
        (key::MEMBER_ID, member.id.to_string()),
        (key::CARTRIDGE_ALIAS, cluster.alias.clone()),
        (key::MULTITENANT, multi_tenant.to_string()),
        (key::TENANT_ID, tenant.to_string()),
        (key::TENANT_RANGE, "*".into()),
        (key::NETWORK_PARTITION_ID, member.network_partition.to_string()),
        (key::PARTITION_ID, member.partition.to_string()),
        (key::MIN_COUNT, cluster.min.to_string()),
        (key::INCARNATION, member.incarnation.to_string()),
        (key::INSTALLATION, world.installation.clone()),
        (key::ADDRESS, np.address().to_string()),
    ];
    all.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    if let Some(host) = cluster.hosts.first() {
        set(key::HOST_NAME, host.clone());
    }
    if let Some(repository) = &cluster.repository {
        set(key::REPO_URL, repository.repo_url.clone());
    }
    if let Some(cartridge) = cartridge {
        all.extend(of_cartridge(cartridge));
    }
    all
}

/// The clusters that start before this one, at its own level.
fn come_before<'a>(world: &'a World, cluster: &'a Cluster) -> Vec<&'a Cluster> {
    let state = world.applications.get(&cluster.application);
    let dependencies = state.and_then(|state| state.blueprint.dependencies_at(cluster.group.as_deref()));
    let before = dependencies.map(|all| all.before(&format!("cartridge.{}", cluster.alias)));
    let before = before.unwrap_or_default();
    let ids = world.clusters_of(&cluster.application);
    let ids = ids
        .filter(|other| other.is_wanted() && before.contains(format!("cartridge.{}", other.alias).as_str()));
    ids.collect()
}

fn joined(clusters: &[&Cluster], text: impl Fn(&Cluster) -> String) -> String {
    let texts = clusters.iter().map(|cluster| text(cluster));
    texts
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("|")
}

/// The keys that its cartridge shares, in Stratos's form.
fn exported(world: &World, cluster: &Cluster) -> String {
    let cartridge = world.cartridges.get(&cluster.cartridge);
    let keys = cartridge.map_or(&[][..], |cartridge| &cartridge.metadata_keys);
    let named = keys.iter().map(|name| format!("{}-{name}", cluster.alias));
    named.collect::<Vec<_>>().join("|")
}

/// What operators gave as properties, unless it is a name of ours: those say what is so.
fn payload(cartridge: Option<&Cartridge>, np: &NetworkPartition) -> BTreeMap<String, String> {
    let mut all = payload_of(&np.properties);
    all.extend(
        cartridge
            .map(|cartridge| payload_of(&cartridge.property))
            .unwrap_or_default(),
    );
    all
}

/// The launch parameters among free properties.
pub(crate) fn payload_of(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    properties
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(PAYLOAD)?.to_owned(), value.clone())))
        .filter(|(name, _)| !name.starts_with("CARTRIDGE_"))
        .collect()
}

/// The first field in which two cartridges of one type start their members differently; None: there is none.
pub(crate) fn differing(before: &Cartridge, after: &Cartridge) -> Option<&'static str> {
    let fields = [
        ("portMapping", before.port_mapping != after.port_mapping),
        ("iaasProvider", before.iaas_provider != after.iaas_provider),
        ("process", before.process != after.process),
        ("health", before.health != after.health),
        ("onRelease", before.on_release != after.on_release),
        ("deployment.baseDir", before.base_dir != after.base_dir),
        (
            "property",
            payload_of(&before.property) != payload_of(&after.property),
        ),
    ];
    fields
        .into_iter()
        .find(|(_, differs)| *differs)
        .map(|(name, _)| name)
}

fn of_cartridge(cartridge: &Cartridge) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    set(key::PORT_MAPPINGS, port_mappings(&cartridge.port_mapping));
    if let Some(process) = &cartridge.process {
        if !process.command.is_empty() {
            set(key::COMMAND, json(&process.command));
        }
        if !process.environment.is_empty() {
            set(key::ENVIRONMENT, json(&process.environment));
        }
        if let Some(hooks) = &process.hooks {
            set(key::HOOKS, hooks.clone());
        }
    }
    if let Some(probe) = &cartridge.health {
        set(key::PROBE, json(&serde_json::json!({ "http": probe })));
    }
    if let Some(folder) = &cartridge.base_dir {
        set(key::APPLICATION_PATH, folder.clone());
    }
    let on_release = match cartridge.on_release {
        OnRelease::Nothing => "nothing",
        OnRelease::Restart => "restart",
    };
    set(key::ON_RELEASE, on_release.into());
    all
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists and maps of strings are always JSON")
}

fn port_mappings(mappings: &[PortMapping]) -> String {
    let row = |m: &PortMapping| {
        format!(
            "NAME:{}|PROTOCOL:{}|PORT:{}|PROXY_PORT:{}",
            m.name, m.protocol, m.port, m.proxy_port
        )
    };
    mappings.iter().map(row).collect::<Vec<_>>().join(";")
}

/// The place of the network partition in the application policy, from 1.
fn instance_number(world: &World, state: &ApplicationState, np: &NetworkPartitionId) -> usize {
    let policy = match &state.status {
        ApplicationStatus::Deployed { policy } => world.application_policies.get(policy),
        _ => None,
    };
    let mut places = policy
        .into_iter()
        .flat_map(|policy| policy.groups.iter().flatten());
    places.position(|place| place == np).map_or(1, |place| place + 1)
}

//! What a hook is told in its environment: everything that Stratos told its hooks, in both spellings, and a little more.
//!
//! Made anew for each run, so that nothing of one hook is seen by the next. The join token is not among the parameters
//! and never told. Refuses to know what a hook does with it.

use std::collections::BTreeMap;
use std::path::Path;

use cartridge_protocol::launch::key;
use cartridge_protocol::link::DesiredArtifacts;
use cartridge_protocol::surroundings::{Peer, PeerPhase, Surroundings};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ClusterId, MemberId};

use super::{Hook, LVS_VIRTUAL_IP, Order, PERSISTENCE_MAPPING, stratos};

/// Longest variable, name and value: the kernel takes 128 KiB, the closing NUL included.
pub const MOST_BYTES: usize = (128 << 10) - 1;

/// What is the same for every hook of a member.
#[derive(Clone, Debug)]
pub struct Own {
    /// Who.
    pub member: MemberId,
    /// Its launch parameters, without the join token.
    pub parameters: BTreeMap<String, String>,
    /// The folder of the current release.
    pub release: String,
    /// Where the application expects the files.
    pub application: String,
    /// The file that the launch parameters came from.
    pub parameter_file: Option<String>,
    /// The program of the agent.
    pub agent: String,
    /// The folder in which it can be asked.
    pub state: String,
}

/// The variables of one run, and the names of those that no process can be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// By name.
    pub variables: BTreeMap<String, String>,
    /// Too long, or holding a NUL.
    pub left_out: Vec<String>,
}

/// Makes the environment of one run.
pub fn environment(own: &Own, around: Option<&Surroundings>, order: &Order) -> Environment {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: &str| all.insert(format!("STRATOS_{name}"), value.to_owned());
    if let Some(broker) = own.parameters.get("MB_URLS").and_then(|urls| first_host(urls)) {
        set("MB_IP", broker);
    }
    if let Some(mapping) = own.parameters.get(PERSISTENCE_MAPPING) {
        set("PERSISTENCE_MAPPINGS", mapping);
    }
    if let Some(around) = around {
        all.extend(of_surroundings(own, around, order.hook));
    }
    all.extend(order.more.clone());
    // Launch parameters win over all that was derived from elsewhere: the contract has it so.
    all.extend(
        own.parameters
            .iter()
            .map(|(k, v)| (format!("STRATOS_{k}"), v.clone())),
    );
    all.extend(fixed(own, around, order.hook));
    fitting(all)
}

/// What not even a launch parameter of the same name may say otherwise.
fn fixed(own: &Own, around: Option<&Surroundings>, hook: Hook) -> impl Iterator<Item = (String, String)> {
    let file = own.parameter_file.clone();
    // Where none is known of, the parameter of the same name stays: an address that was configured.
    let balancer = around.and_then(|around| balancer(own, around));
    [
        ("STRATOS_EVENT", Some(hook.name().to_owned())),
        ("STRATOS_APPLICATION_PATH", Some(own.application.clone())),
        ("STRATOS_APP_PATH", Some(own.application.clone())),
        ("STRATOS_PARAM_FILE_PATH", file),
        ("STRATOS_LB_IP", balancer.clone()),
        ("STRATOS_LB_PUBLIC_IP", balancer),
        ("CARTRIDGE_RELEASE", Some(own.release.clone())),
        ("CARTRIDGE_MEMBER", Some(own.member.to_string())),
        ("CARTRIDGE_AGENT", Some(own.agent.clone())),
        ("CARTRIDGE_STATE_DIR", Some(own.state.clone())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

fn fitting(all: BTreeMap<String, String>) -> Environment {
    let (variables, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = all
        .into_iter()
        .partition(|(name, value)| !value.contains('\0') && name.len() + 1 + value.len() <= MOST_BYTES);
    Environment {
        variables,
        left_out: rest.into_keys().collect(),
    }
}

/// The host of the first of `host:port,host:port`.
fn first_host(urls: &str) -> Option<&str> {
    let first = urls.split(',').next()?.trim();
    let first = first.rsplit_once("://").map_or(first, |(_, rest)| rest);
    let host = first.rsplit_once(':').map_or(first, |(host, _)| host);
    Some(host).filter(|host| !host.is_empty())
}

/// The address of the balancer in front of this member: in the cluster that was named, or else in the same network
/// partition; one that serves, if there is one.
fn balancer(own: &Own, around: &Surroundings) -> Option<String> {
    let named = own.parameters.get("LB_CLUSTER_ID");
    let here = around.peers().find(|(_, peer)| peer.member == own.member);
    let partition = here.map(|(_, peer)| &peer.network_partition);
    let serves = |peer: &Peer| peer.phase == PeerPhase::Active;
    let candidates = around.peers().filter(|(cluster, peer)| match named {
        Some(named) => cluster.cluster.as_str() == named,
        None => cluster.balancer && Some(&peer.network_partition) == partition,
    });
    let mut with_address: Vec<&Peer> = candidates
        .map(|(_, peer)| peer)
        .filter(|peer| peer.address.is_some() && peer.phase != PeerPhase::Terminated)
        .collect();
    with_address.sort_by_key(|peer| !serves(peer));
    with_address.first()?.address.map(|address| address.to_string())
}

fn of_surroundings(own: &Own, around: &Surroundings, hook: Hook) -> BTreeMap<String, String> {
    let kinds = [
        ("SERVICE", &around.service_properties),
        ("CLUSTER", &around.cluster_properties),
        ("MEMBER", &around.member_properties),
    ];
    let mut all: BTreeMap<String, String> = kinds
        .into_iter()
        .flat_map(|(kind, map)| {
            map.iter()
                .map(move |(k, v)| (format!("STRATOS_{kind}_PROPERTY_{k}"), v.clone()))
        })
        .collect();
    if hook.wants_surroundings() && hook != Hook::CompleteTenant {
        let cluster = own
            .parameters
            .get(key::CLUSTER_ID)
            .and_then(|id| ClusterId::new(id.as_str()).ok());
        let (topology, left) = stratos::topology(around, MOST_BYTES - 64);
        let (members, left_of_own) = stratos::members(around, cluster.as_ref(), MOST_BYTES - 64);
        all.insert("STRATOS_TOPOLOGY_JSON".to_owned(), topology);
        all.insert("STRATOS_MEMBER_LIST_JSON".to_owned(), members);
        let omitted = around.omitted as usize + left.max(left_of_own);
        if omitted > 0 {
            all.insert("CARTRIDGE_MEMBERS_OMITTED".to_owned(), omitted.to_string());
        }
    }
    all
}

/// The run that a preparation or a step of the life asks for, with what only this hook is told.
pub fn order(hook: Hook, parameters: &BTreeMap<String, String>) -> Order {
    let order = Order::new(hook);
    match hook {
        Hook::CreateLvsDummyInterface => match parameters.get(LVS_VIRTUAL_IP) {
            Some(value) => virtual_address(order, value),
            None => order,
        },
        Hook::VolumeMount => match parameters.get(PERSISTENCE_MAPPING) {
            Some(mapping) => volumes(order, mapping),
            None => order,
        },
        _ => order,
    }
}

/// `address|netmask`, or the address alone: then the address is that of this one host.
fn virtual_address(order: Order, value: &str) -> Order {
    let (address, mask) = value.split_once('|').unwrap_or((value, ""));
    let mask = Some(mask.trim()).filter(|mask| !mask.is_empty());
    order
        .telling("STRATOS_LVS_DUMMY_VIRTUAL_IP", address.trim())
        .telling("STRATOS_LVS_SUBNET_MASK", mask.unwrap_or("255.255.255.255"))
}

/// The mapping as it came, as first argument too; and as pairs of device and folder, for scripts that were written for
/// those.
fn volumes(order: Order, mapping: &str) -> Order {
    let fields: Vec<&str> = mapping.split('|').map(str::trim).collect();
    let pairs: Vec<String> = fields
        .chunks_exact(3)
        .map(|triple| format!("{}|{}", triple[0], triple[2]))
        .collect();
    let mut order = order
        .telling("STRATOS_VALUE1", mapping)
        .telling("CARTRIDGE_VOLUMES", pairs.join("|"));
    order.arguments.push(mapping.to_owned());
    order
}

/// What the hook of a new release is told of its repository. The password is told as it is: Stratos told it encrypted with
/// a key that it told the same hook. `again`: the member served from another release before.
pub fn artifact_updated(
    parameters: &BTreeMap<String, String>,
    artifacts: &DesiredArtifacts,
    again: bool,
) -> BTreeMap<String, String> {
    let password = artifacts.password.as_ref().map(|p| p.expose().to_owned());
    let tenant = parameters.get(key::TENANT_ID).map_or("-1234", String::as_str);
    let rows = [
        ("CLUSTER_ID", parameters.get(key::CLUSTER_ID).cloned()),
        ("TENANT_ID", Some(tenant.to_owned())),
        ("REPO_URL", Some(artifacts.url.clone())),
        // A script that insists on its variables gets them all.
        (
            "REPO_USERNAME",
            Some(artifacts.username.clone().unwrap_or_default()),
        ),
        ("REPO_PASSWORD", Some(password.unwrap_or_default())),
        ("STATUS", Some(String::new())),
        ("SCHEDULER", again.then(|| "true".to_owned())),
    ];
    rows.into_iter()
        .filter_map(|(name, value)| Some((format!("STRATOS_ARTIFACT_UPDATED_{name}"), value?)))
        .collect()
}

/// The same for a tenant's release: the tenant in the place of the member's own, and where the files are: `release` is
/// the link to the current release, `place` where they appear.
pub fn tenant_updated(
    parameters: &BTreeMap<String, String>,
    (tenant, artifacts): (TenantId, &DesiredArtifacts),
    (release, place): (&Path, &Path),
    again: bool,
) -> Order {
    let mut order = Order::new(Hook::ArtifactUpdated);
    order.tenant = Some(tenant);
    order.more = artifact_updated(parameters, artifacts, again);
    order
        .telling("STRATOS_ARTIFACT_UPDATED_TENANT_ID", tenant.to_string())
        .telling("CARTRIDGE_TENANT", tenant.to_string())
        .telling("CARTRIDGE_TENANT_RELEASE", release.to_string_lossy())
        .telling("CARTRIDGE_TENANT_FOLDER", place.to_string_lossy())
}

#[cfg(test)]
mod tests;

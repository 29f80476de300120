//! Running and stopping applications: everything that they need must fit together.
//!
//! It refuses to know sizes: the minimum is the scaler's.

use std::collections::BTreeSet;

use cartridge_protocol::{ApplicationId, NetworkPartitionId, PolicyId};

use super::{Code, Refusal, put};
use crate::blueprint::{Application, ApplicationPolicy, NetworkPartitionAlgorithm};
use crate::record::Record;
use crate::world::{ApplicationState, ApplicationStatus, World, balancer_cluster};

/// The provisioner whose balancers share the ports of one machine.
const LOCAL: &str = "process";

pub(super) fn deploy(
    world: &World,
    application: ApplicationId,
    policy: PolicyId,
) -> Result<Vec<Record>, Refusal> {
    let id = application.as_str();
    let Some(state) = world.applications.get(&application) else {
        return Err(Refusal::new(
            Code::NotFound,
            "application",
            format!("there is no application {id:?}"),
        ));
    };
    if put::runs(&state.status) {
        let how = match state.status {
            ApplicationStatus::Undeploying { .. } => "being undeployed; deploy it when that is done",
            _ => "deployed already",
        };
        let message = format!("application {id:?} is {how}");
        return Err(Refusal::new(Code::Conflict, "application", message));
    }
    let Some(found) = world.application_policies.get(&policy) else {
        let message = format!("policy: there is no application policy {:?}", policy.as_str());
        return Err(Refusal::new(Code::Invalid, "policy", message));
    };
    Refusal::of(Code::Invalid, misfits(world, &state.blueprint, found))?;
    ports_are_free(world, &state.blueprint, found, "policy")?;

    let (first, reason) = match found.algorithm {
        NetworkPartitionAlgorithm::OneAfterAnother => (found.groups.iter().take(1), "deployed: first group"),
        NetworkPartitionAlgorithm::AllAtOnce => {
            (found.groups.iter().take(usize::MAX), "deployed: all at once")
        }
    };
    let reason = format!("{reason} of application policy {policy}");
    let started = first.flatten().map(|network_partition| Record::BurstStarted {
        application: application.clone(),
        network_partition: network_partition.clone(),
        reason: reason.clone(),
    });
    let started: Vec<Record> = started.collect();
    let mut records = vec![Record::ApplicationDeployed { application, policy }];
    records.extend(started);
    Ok(records)
}

pub(super) fn undeploy(
    world: &World,
    application: ApplicationId,
    force: bool,
) -> Result<Vec<Record>, Refusal> {
    let id = application.as_str();
    let Some(state) = world.applications.get(&application) else {
        return Err(Refusal::new(
            Code::NotFound,
            "application",
            format!("there is no application {id:?}"),
        ));
    };
    let what = match state.status {
        ApplicationStatus::Created => "is not deployed",
        ApplicationStatus::Undeploying { force: true } => "is being undeployed by force already",
        ApplicationStatus::Undeploying { force: false } if !force => {
            "is being undeployed already; force=true ends it without draining"
        }
        ApplicationStatus::Deployed { .. } if !force && world.sign_ups_of(id).next().is_some() => {
            "has tenants that signed up; remove their sign-ups first, or end it with force=true"
        }
        _ => return Ok(vec![Record::ApplicationUndeploying { application, force }]),
    };
    Err(Refusal::new(
        Code::Conflict,
        "application",
        format!("application {id:?} {what}"),
    ))
}

/// Refuses a change after which a running application would not fit its policies any more, but did before.
pub(super) fn all_still_fit(before: &World, after: &World, field: &str) -> Result<(), Refusal> {
    for state in after.applications.values() {
        let ApplicationStatus::Deployed { policy } = &state.status else {
            continue;
        };
        let id = &state.blueprint.application_id;
        let Some(policy_after) = after.application_policies.get(policy) else {
            continue;
        };
        let known: BTreeSet<String> = match (
            before.applications.get(id),
            before.application_policies.get(policy),
        ) {
            (Some(state), Some(policy)) => misfit_lines(before, &state.blueprint, policy).collect(),
            _ => BTreeSet::new(),
        };
        let new = misfit_lines(after, &state.blueprint, policy_after).find(|line| !known.contains(line));
        if let Some(line) = new {
            let message = format!(
                "{field}: application {:?} is deployed and would not fit: {line}",
                id.as_str()
            );
            return Err(Refusal::new(Code::InUse, field, message));
        }
    }
    Ok(())
}

fn misfit_lines(
    world: &World,
    application: &Application,
    policy: &ApplicationPolicy,
) -> impl Iterator<Item = String> {
    misfits(world, application, policy)
        .into_iter()
        .map(|(_, message)| message)
}

/// What of an application does not fit an application policy, by field.
fn misfits(world: &World, application: &Application, policy: &ApplicationPolicy) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let name = policy.id.as_str();
    for network_partition in policy.groups.iter().flatten() {
        let np = network_partition.as_str();
        if !world.network_partitions.contains_key(network_partition) {
            let message =
                format!("application policy {name:?} names network partition {np:?}, which does not exist");
            faults.push(("policy".to_owned(), message));
            continue;
        }
        for subscription in application.subscriptions() {
            let id = &subscription.deployment_policy;
            let allowed = world.deployment_policies.get(id).is_some_and(|policy| {
                policy
                    .network_partitions
                    .iter()
                    .any(|part| part.id == *network_partition)
            });
            if !allowed {
                let message = format!(
                    "network partition {np:?} of application policy {name:?} is not in deployment policy {:?} of \
                     cartridge {:?}: application bursting will fail",
                    id.as_str(),
                    subscription.alias
                );
                faults.push(("policy".to_owned(), message));
            }
        }
        let balancer = balancer_cluster(&application.application_id, network_partition);
        if balancer.is_none_or(|id| id.member(u64::from(u32::MAX)).is_err()) {
            let message = format!("application id and network partition {np:?} are too long together");
            faults.push(("policy".to_owned(), message));
        }
    }
    faults
}

/// On one machine two balancers cannot listen at one address and port.
pub(super) fn ports_are_free(
    world: &World,
    application: &Application,
    policy: &ApplicationPolicy,
    field: &str,
) -> Result<(), Refusal> {
    let wanted = listeners(world, application, policy);
    let other = |state: &&ApplicationState| {
        put::runs(&state.status) && state.blueprint.application_id != application.application_id
    };
    for state in world.applications.values().filter(other) {
        let other = &state.blueprint;
        let taken: BTreeSet<(std::net::IpAddr, u16)> = match &state.status {
            ApplicationStatus::Deployed { policy } => world
                .application_policies
                .get(policy)
                .map(|policy| listeners(world, other, policy))
                .unwrap_or_default(),
            _ => continue,
        };
        if let Some((address, port)) = wanted.intersection(&taken).next() {
            // Whose it is, is nobody's business.
            let who = if other.tenant == application.tenant {
                format!("application {:?}", other.application_id.as_str())
            } else {
                "another application".to_owned()
            };
            let message = format!(
                "{field}: {who} listens at {address} port {port} already; choose another proxyPort, or a network \
                 partition with another address"
            );
            return Err(Refusal::new(Code::Conflict, field, message));
        }
    }
    Ok(())
}

/// Where the balancers of an application may listen on this machine.
fn listeners(
    world: &World,
    application: &Application,
    policy: &ApplicationPolicy,
) -> BTreeSet<(std::net::IpAddr, u16)> {
    let ports: BTreeSet<u16> = application
        .subscriptions()
        .filter_map(|subscription| world.cartridges.get(&subscription.cartridge_type))
        .flat_map(|cartridge| &cartridge.port_mapping)
        .map(|mapping| mapping.proxy_port)
        .filter(|port| *port > 0)
        .collect();
    let address = |id: &NetworkPartitionId| {
        let partition = world
            .network_partitions
            .get(id)
            .filter(|partition| partition.provider == LOCAL)?;
        Some(partition.address())
    };
    let addresses = policy.groups.iter().flatten().filter_map(address);
    addresses
        .flat_map(|address| ports.iter().map(move |port| (address, *port)))
        .collect()
}

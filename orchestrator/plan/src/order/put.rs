//! Cartridges, policies and network partitions: what they refer to must exist, and what runs must still be right
//! after they changed.
//!
//! It refuses to know blueprints.

use serde::Serialize;

use super::{Code, Mode, Refusal, deploy, update};
use crate::blueprint::{ApplicationPolicy, AutoscalingPolicy, Cartridge, DeploymentPolicy, NetworkPartition};
use crate::record::Record;
use crate::world::{ApplicationStatus, BALANCER_CARTRIDGE, World};

type Answer = Result<Vec<Record>, Refusal>;

/// Whether the mode fits. `Ok(false)`: it is there already, exactly so.
pub(super) fn fits<T: PartialEq + Serialize>(
    mode: Mode,
    what: &str,
    id: &str,
    field: &str,
    present: Option<&T>,
    wanted: &T,
) -> Result<bool, Refusal> {
    match (mode, present) {
        (Mode::Add, Some(_)) => {
            let message = format!("{field}: {what} {id:?} exists already; replace it with PUT");
            Err(Refusal::new(Code::Conflict, field, message))
        }
        (Mode::Replace | Mode::IfStill(_), None) => {
            let message = format!("{field}: there is no {what} {id:?} to replace; add it with POST");
            Err(Refusal::new(Code::NotFound, field, message))
        }
        (Mode::IfStill(read), Some(present)) if mark(present) != read => {
            let message = format!("{field}: {what} {id:?} was changed meanwhile; read it again");
            Err(Refusal::new(Code::Conflict, field, message))
        }
        (_, present) => Ok(present != Some(wanted)),
    }
}

/// A number that stands for a document as it is: whoever replaces it can say which one they read. FNV-1a of its JSON,
/// which is no secret and no proof.
pub fn mark(document: &impl Serialize) -> u64 {
    let text = serde_json::to_vec(document).unwrap_or_default();
    text.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

pub(super) fn cartridge(world: &World, cartridge: Box<Cartridge>, mode: Mode) -> Answer {
    let id = &cartridge.cartridge_type;
    if id.as_str() == BALANCER_CARTRIDGE {
        let message = format!(
            "type: {id:?} is the built-in balancer's; choose another",
            id = id.as_str()
        );
        return Err(Refusal::new(Code::Invalid, "type", message));
    }
    let present = world.cartridges.get(id);
    if !fits(mode, "cartridge", id.as_str(), "type", present, &cartridge)? {
        return Ok(Vec::new());
    }
    let follow = update::cartridge(world, present, &cartridge)?;
    let mut records = vec![Record::CartridgePut(cartridge)];
    records.extend(follow);
    Ok(records)
}

pub(super) fn autoscaling_policy(world: &World, policy: Box<AutoscalingPolicy>, mode: Mode) -> Answer {
    let present = world.autoscaling_policies.get(&policy.id);
    let changed = fits(
        mode,
        "autoscaling policy",
        policy.id.as_str(),
        "id",
        present,
        &policy,
    )?;
    Ok(changed
        .then_some(Record::AutoscalingPolicyPut(policy))
        .into_iter()
        .collect())
}

pub(super) fn deployment_policy(world: &World, policy: Box<DeploymentPolicy>, mode: Mode) -> Answer {
    let present = world.deployment_policies.get(&policy.id);
    if !fits(
        mode,
        "deployment policy",
        policy.id.as_str(),
        "id",
        present,
        &policy,
    )? {
        return Ok(Vec::new());
    }
    let mut faults = Vec::new();
    for (i, part) in policy.network_partitions.iter().enumerate() {
        let Some(home) = world.network_partitions.get(&part.id) else {
            let message = format!("there is no network partition {:?}", part.id.as_str());
            faults.push((format!("networkPartitions[{i}].id"), message));
            continue;
        };
        for (j, place) in part.partitions.iter().enumerate() {
            if !home.partitions.iter().any(|partition| partition.id == place.id) {
                let field = format!("networkPartitions[{i}].partitions[{j}].id");
                let message = format!(
                    "network partition {:?} has no partition {:?}",
                    home.id.as_str(),
                    place.id.as_str()
                );
                faults.push((field, message));
            }
        }
    }
    Refusal::of(Code::Invalid, faults)?;
    let mut after = world.clone();
    after
        .deployment_policies
        .insert(policy.id.clone(), (*policy).clone());
    deploy::all_still_fit(world, &after, "networkPartitions")?;
    Ok(vec![Record::DeploymentPolicyPut(policy)])
}

/// The network partitions may follow later (one of Stratos's samples names one that no file defines): they must
/// exist when an application is deployed under the policy.
pub(super) fn application_policy(world: &World, policy: Box<ApplicationPolicy>, mode: Mode) -> Answer {
    let present = world.application_policies.get(&policy.id);
    if !fits(
        mode,
        "application policy",
        policy.id.as_str(),
        "id",
        present,
        &policy,
    )? {
        return Ok(Vec::new());
    }
    let mut after = world.clone();
    after
        .application_policies
        .insert(policy.id.clone(), (*policy).clone());
    deploy::all_still_fit(world, &after, "networkPartitions")?;
    Ok(vec![Record::ApplicationPolicyPut(policy)])
}

pub(super) fn network_partition(world: &World, partition: Box<NetworkPartition>, mode: Mode) -> Answer {
    let present = world.network_partitions.get(&partition.id);
    let id = partition.id.as_str();
    if !fits(mode, "network partition", id, "id", present, &partition)? {
        return Ok(Vec::new());
    }
    let mut faults = Vec::new();
    for policy in world.deployment_policies.values() {
        let parts = policy
            .network_partitions
            .iter()
            .filter(|part| part.id == partition.id);
        for place in parts.flat_map(|part| &part.partitions) {
            if !partition.partitions.iter().any(|kept| kept.id == place.id) {
                let message = format!(
                    "partition {:?} is used by deployment policy {:?}",
                    place.id.as_str(),
                    policy.id.as_str()
                );
                faults.push(("partitions".to_owned(), message));
            }
        }
    }
    Refusal::of(Code::InUse, faults)?;
    let lives = world
        .members
        .values()
        .any(|member| member.network_partition == partition.id);
    if let Some(before) = present
        && before.provider != partition.provider
        && lives
    {
        let message = format!(
            "provider: network partition {id:?} has members of provider {:?}; it cannot become {:?} while they live",
            before.provider, partition.provider
        );
        return Err(Refusal::new(Code::InUse, "provider", message));
    }
    Ok(vec![Record::NetworkPartitionPut(partition)])
}

/// Whether an application runs or is about to.
pub(super) fn runs(status: &ApplicationStatus) -> bool {
    !matches!(status, ApplicationStatus::Created)
}

//! Removal: refused while something needs it, naming what does.
//!
//! It refuses to remove anything along with it.

use cartridge_protocol::{ApplicationId, CartridgeType, NetworkPartitionId, PolicyId};

use super::{Code, Refusal};
use crate::blueprint::{CartridgeGroup, Subscription};
use crate::record::Record;
use crate::world::{ApplicationStatus, World};

type Answer = Result<Vec<Record>, Refusal>;

fn exists(there: bool, what: &str, id: &str) -> Result<(), Refusal> {
    if there {
        return Ok(());
    }
    Err(Refusal::new(
        Code::NotFound,
        "",
        format!("there is no {what} {id:?}"),
    ))
}

fn unused(user: Option<String>, what: &str, id: &str) -> Result<(), Refusal> {
    match user {
        None => Ok(()),
        Some(user) => Err(Refusal::new(
            Code::InUse,
            "",
            format!("{what} {id:?} is in use by {user}"),
        )),
    }
}

/// The application with a cartridge for which this holds.
fn application_with(world: &World, uses: impl Fn(&Subscription) -> bool) -> Option<String> {
    let mut states = world.applications.values();
    let state = states.find(|state| state.blueprint.subscriptions().any(&uses))?;
    Some(format!(
        "application {:?}",
        state.blueprint.application_id.as_str()
    ))
}

fn holds(group: &CartridgeGroup, cartridge: &CartridgeType) -> bool {
    group.cartridges.contains(cartridge) || group.groups.iter().any(|inner| holds(inner, cartridge))
}

pub(super) fn cartridge(world: &World, id: CartridgeType) -> Answer {
    exists(world.cartridges.contains_key(&id), "cartridge", id.as_str())?;
    let user = application_with(world, |s| s.cartridge_type == id).or_else(|| {
        let mut groups = world.cartridge_groups.values();
        let group = groups.find(|group| holds(group, &id))?;
        Some(format!("cartridge group {:?}", group.name.as_str()))
    });
    unused(user, "cartridge", id.as_str())?;
    Ok(vec![Record::CartridgeRemoved { cartridge_type: id }])
}

pub(super) fn autoscaling_policy(world: &World, id: PolicyId) -> Answer {
    exists(
        world.autoscaling_policies.contains_key(&id),
        "autoscaling policy",
        id.as_str(),
    )?;
    let user = application_with(world, |s| s.autoscaling_policy == id);
    unused(user, "autoscaling policy", id.as_str())?;
    Ok(vec![Record::AutoscalingPolicyRemoved { id }])
}

pub(super) fn deployment_policy(world: &World, id: PolicyId) -> Answer {
    exists(
        world.deployment_policies.contains_key(&id),
        "deployment policy",
        id.as_str(),
    )?;
    let user = application_with(world, |s| s.deployment_policy == id);
    unused(user, "deployment policy", id.as_str())?;
    Ok(vec![Record::DeploymentPolicyRemoved { id }])
}

pub(super) fn application_policy(world: &World, id: PolicyId) -> Answer {
    exists(
        world.application_policies.contains_key(&id),
        "application policy",
        id.as_str(),
    )?;
    let mut states = world.applications.values();
    let user =
        states.find(|state| matches!(&state.status, ApplicationStatus::Deployed { policy } if *policy == id));
    let user = user.map(|state| format!("application {:?}", state.blueprint.application_id.as_str()));
    unused(user, "application policy", id.as_str())?;
    Ok(vec![Record::ApplicationPolicyRemoved { id }])
}

pub(super) fn network_partition(world: &World, id: NetworkPartitionId) -> Answer {
    exists(
        world.network_partitions.contains_key(&id),
        "network partition",
        id.as_str(),
    )?;
    let deployment = world.deployment_policies.values();
    let mut deployment =
        deployment.filter(|policy| policy.network_partitions.iter().any(|part| part.id == id));
    let application = world.application_policies.values();
    let mut application = application.filter(|policy| policy.groups.iter().flatten().any(|part| *part == id));
    let mut members = world
        .members
        .values()
        .filter(|member| member.network_partition == id);
    let user = (deployment
        .next()
        .map(|p| format!("deployment policy {:?}", p.id.as_str())))
    .or_else(|| {
        application
            .next()
            .map(|p| format!("application policy {:?}", p.id.as_str()))
    })
    .or_else(|| members.next().map(|m| format!("member {:?}", m.id.as_str())));
    unused(user, "network partition", id.as_str())?;
    Ok(vec![Record::NetworkPartitionRemoved { id }])
}

pub(super) fn application(world: &World, id: ApplicationId) -> Answer {
    let Some(state) = world.applications.get(&id) else {
        return exists(false, "application", id.as_str()).map(|()| Vec::new());
    };
    let what = match state.status {
        ApplicationStatus::Created => return Ok(vec![Record::ApplicationRemoved { application: id }]),
        ApplicationStatus::Deployed { .. } => "is deployed; undeploy it first",
        ApplicationStatus::Undeploying { .. } => "is being undeployed; remove it when that is done",
    };
    let message = format!("application {:?} {what}", id.as_str());
    Err(Refusal::new(Code::Conflict, "", message))
}

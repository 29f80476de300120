//! Blueprints: references, revisions, passwords.
//!
//! It refuses to see a password: it gets them sealed.

use std::collections::{BTreeMap, BTreeSet};

use cartridge_protocol::ClusterId;
use cartridge_protocol::tenant::TenantId;

use super::{Code, Mode, Refusal, definitions, put, sign_ups, update};
use crate::blueprint::{Application, Repository};
use crate::record::Record;
use crate::world::{ApplicationState, World};

/// Room for `-<number>` behind a cluster's id.
const MEMBER_SUFFIX: &str = "-4294967295";

pub(super) fn put(
    world: &World,
    tenant: TenantId,
    mut blueprint: Application,
    sealed: &BTreeMap<String, String>,
    expected_revision: Option<u64>,
    mode: Mode,
) -> Result<Vec<Record>, Refusal> {
    blueprint.each_subscription(|subscription| {
        if let Some(repository) = &mut subscription.artifact_repository {
            repository.repo_password = None;
        }
    });
    let undefined = definitions::take_over(world, &mut blueprint);
    let id = blueprint.application_id.clone();
    let present = world.applications.get(&id);
    blueprint.tenant = present.map_or(tenant, |state| state.blueprint.tenant);
    let before = present.map(|state| &state.blueprint);
    let changed = put::fits(
        mode,
        "application",
        id.as_str(),
        "applicationId",
        before,
        &blueprint,
    )?;
    revision_fits(&blueprint, present, expected_revision)?;
    if let Some(state) = present {
        update::may_change(world, state, &blueprint)?;
        if !blueprint.multi_tenant {
            sign_ups::stays_for_several(world, &id)?;
        }
    }
    let mut faults = undefined;
    faults.extend(definitions::instances(&blueprint));
    faults.extend(references(world, &blueprint));
    faults.extend(for_one_tenant(world, &blueprint));
    Refusal::of(Code::Invalid, faults)?;

    let mut records: Vec<Record> = seals(world, &blueprint, before, sealed)?;
    if changed {
        let put = Record::ApplicationPut(Box::new(blueprint));
        let follow = update::follow(world, &id, &put)?;
        records.insert(0, put);
        records.extend(follow);
    }
    Ok(records)
}

fn revision_fits(
    blueprint: &Application,
    present: Option<&ApplicationState>,
    expected: Option<u64>,
) -> Result<(), Refusal> {
    let id = blueprint.application_id.as_str();
    match (expected, present) {
        (Some(expected), Some(state)) if state.revision != expected => {
            let message = format!(
                "revision: application {id:?} is at revision {}, not {expected}: someone changed it meanwhile; \
                 read it again",
                state.revision
            );
            Err(Refusal::new(Code::Conflict, "revision", message))
        }
        (Some(expected), None) => {
            let message =
                format!("revision: application {id:?} does not exist, so it is not at revision {expected}");
            Err(Refusal::new(Code::Conflict, "revision", message))
        }
        _ => Ok(()),
    }
}

/// Only the super tenant offers what several tenants share.
fn for_one_tenant(world: &World, blueprint: &Application) -> Vec<(String, String)> {
    if blueprint.tenant.is_super() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    if blueprint.multi_tenant {
        let message = "only the super tenant has applications for several tenants".to_owned();
        faults.push(("multiTenant".to_owned(), message));
    }
    for located in blueprint.located() {
        let cartridge = world.cartridges.get(&located.subscription.cartridge_type);
        if let Some(cartridge) = cartridge.filter(|cartridge| cartridge.multi_tenant) {
            let message = format!(
                "cartridge {:?} is for several tenants; only the super tenant uses such",
                cartridge.cartridge_type.as_str()
            );
            faults.push((format!("{}.type", located.field), message));
        }
    }
    faults
}

/// What the blueprint names and does not exist, and names that become too long together.
fn references(world: &World, blueprint: &Application) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for located in blueprint.located() {
        let (subscription, path) = (located.subscription, &located.field);
        if !world.cartridges.contains_key(&subscription.cartridge_type) {
            let message = format!("there is no cartridge {:?}", subscription.cartridge_type.as_str());
            faults.push((format!("{path}.type"), message));
        }
        let policy = &subscription.autoscaling_policy;
        if !world.autoscaling_policies.contains_key(policy) {
            let message = format!("there is no autoscaling policy {:?}", policy.as_str());
            faults.push((format!("{path}.subscribableInfo.autoscalingPolicy"), message));
        }
        let policy = &subscription.deployment_policy;
        if !world.deployment_policies.contains_key(policy) {
            let message = format!("there is no deployment policy {:?}", policy.as_str());
            faults.push((format!("{path}.subscribableInfo.deploymentPolicy"), message));
        }
        let cluster = ClusterId::of(
            &blueprint.application_id,
            &subscription.alias,
            &subscription.cartridge_type,
        );
        let longest = cluster.and_then(|cluster| ClusterId::new(format!("{cluster}{MEMBER_SUFFIX}")));
        if let Err(reason) = longest {
            let message =
                format!("application id, alias and cartridge type are too long together: the id {reason}");
            faults.push((format!("{path}.subscribableInfo.alias"), message));
        }
    }
    faults
}

/// New passwords, and the removal of those that must not be used any more: a password is never sent to another
/// repository, or for another user, than the one that it was given for.
fn seals(
    world: &World,
    blueprint: &Application,
    before: Option<&Application>,
    sealed: &BTreeMap<String, String>,
) -> Result<Vec<Record>, Refusal> {
    let repository = |application: &'_ Application, alias: &str| -> Option<Repository> {
        application
            .subscriptions()
            .find(|s| s.alias == alias)
            .and_then(|s| s.artifact_repository.clone())
    };
    if let Some(alias) = sealed.keys().find(|alias| repository(blueprint, alias).is_none()) {
        let message =
            format!("repoPassword: no cartridge with the alias {alias:?} has an artifactRepository");
        return Err(Refusal::new(Code::Invalid, "repoPassword", message));
    }
    let none = BTreeMap::new();
    let kept = world.sealed.get(&blueprint.application_id).unwrap_or(&none);
    let aliases: BTreeSet<&String> = sealed.keys().chain(kept.keys()).collect();
    let records = aliases.into_iter().filter_map(|alias| {
        let now = repository(blueprint, alias);
        let then = before.and_then(|before| repository(before, alias));
        let same = match (&now, &then) {
            (Some(now), Some(then)) => {
                now.repo_url == then.repo_url && now.repo_username == then.repo_username
            }
            _ => false,
        };
        let text = match sealed.get(alias) {
            Some(text) => text.clone(),
            None if same => return None,
            None => String::new(),
        };
        let idle = text.is_empty() && !kept.contains_key(alias);
        (!idle).then(|| Record::RepositorySecretSealed {
            application: blueprint.application_id.clone(),
            alias: alias.clone(),
            sealed: text,
        })
    });
    Ok(records.collect())
}

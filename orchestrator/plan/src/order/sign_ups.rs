//! Sign-ups: a tenant's files in the members of an application that several tenants share.
//!
//! It refuses to see a password: it gets them sealed.

use std::collections::BTreeMap;

use cartridge_protocol::ApplicationId;
use cartridge_protocol::link::MAX_TENANT_REPOSITORIES;
use cartridge_protocol::tenant::TenantId;

use super::{Code, Refusal};
use crate::record::Record;
use crate::tenancy::TenantRepository;
use crate::world::{ApplicationState, World};

type Answer = Result<Vec<Record>, Refusal>;

/// The field of the document.
const FIELD: &str = "artifactRepositories";

pub(super) fn add(
    world: &World,
    application: ApplicationId,
    tenant: TenantId,
    mut repositories: BTreeMap<String, TenantRepository>,
) -> Answer {
    let state = known(world, &application)?;
    for_several(state)?;
    if !tenant.is_super() && !world.tenants.contains_key(&tenant) {
        let message = format!("there is no tenant {tenant}");
        return Err(Refusal::new(Code::NotFound, "tenant", message));
    }
    let id = application.as_str();
    if world.sign_up(id, tenant).is_some() {
        let message = format!(
            "tenant {:?} has signed up for application {id:?} already; remove that sign-up first",
            world.domain_of(tenant)
        );
        return Err(Refusal::new(Code::Conflict, "application", message));
    }
    let faults = repositories
        .keys()
        .filter_map(|alias| fault(world, state, tenant, alias))
        .map(|message| (FIELD.to_owned(), message));
    Refusal::of(Code::Invalid, faults.collect())?;
    for one in repositories.values_mut() {
        one.repository.repo_password = None;
    }
    Ok(vec![Record::SignUpAdded {
        application,
        tenant,
        repositories,
    }])
}

/// Why the members of a cartridge cannot keep this tenant's files.
fn fault(world: &World, state: &ApplicationState, tenant: TenantId, alias: &str) -> Option<String> {
    let id = state.blueprint.application_id.as_str();
    let Some(subscription) = state.blueprint.subscriptions().find(|one| one.alias == alias) else {
        return Some(format!(
            "application {id:?} has no cartridge with the alias {alias:?}"
        ));
    };
    if tenant == state.blueprint.tenant && subscription.artifact_repository.is_some() {
        return Some(format!(
            "the files of this tenant in {alias:?} are those of the blueprint's artifactRepository"
        ));
    }
    let kept = world
        .sign_ups_of(id)
        .filter(|(_, sign_up)| sign_up.repositories.contains_key(alias));
    (kept.count() >= MAX_TENANT_REPOSITORIES).then(|| {
        format!(
            "members of {alias:?} keep the files of {MAX_TENANT_REPOSITORIES} tenants; no more are accepted"
        )
    })
}

pub(super) fn remove(world: &World, application: ApplicationId, tenant: TenantId) -> Answer {
    let state = known(world, &application)?;
    let id = application.as_str();
    if world.sign_up(id, tenant).is_none() {
        for_several(state)?;
        let message = format!(
            "tenant {:?} has not signed up for application {id:?}",
            world.domain_of(tenant)
        );
        return Err(Refusal::new(Code::NotFound, "application", message));
    }
    Ok(vec![Record::SignUpRemoved { application, tenant }])
}

pub(super) fn known<'a>(
    world: &'a World,
    application: &ApplicationId,
) -> Result<&'a ApplicationState, Refusal> {
    world.applications.get(application).ok_or_else(|| {
        let message = format!("there is no application {:?}", application.as_str());
        Refusal::new(Code::NotFound, "application", message)
    })
}

/// Nobody signs up for what is one tenant's.
fn for_several(state: &ApplicationState) -> Result<(), Refusal> {
    if state.blueprint.multi_tenant {
        return Ok(());
    }
    let message = format!(
        "application {:?} is for one tenant (multiTenant: false): its files are those of its cartridges' \
         artifactRepository, and nobody signs up for it",
        state.blueprint.application_id.as_str()
    );
    Err(Refusal::new(Code::Invalid, "application", message))
}

/// Who signed up keeps files in an application: it stays for several tenants.
pub(super) fn stays_for_several(world: &World, application: &ApplicationId) -> Result<(), Refusal> {
    let tenants = world.sign_ups_of(application.as_str()).count();
    if tenants == 0 {
        return Ok(());
    }
    let message = format!(
        "multiTenant: {tenants} tenants have signed up for application {:?}; remove their sign-ups first",
        application.as_str()
    );
    Err(Refusal::new(Code::Conflict, "multiTenant", message))
}

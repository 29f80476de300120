//! Domains of tenants: which may lead into an application, and which not.
//!
//! It refuses to know who serves them.

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, DomainName};

use super::{Code, Refusal, sign_ups};
use crate::record::Record;
use crate::tenancy::{DomainMapping, MAX_DOMAINS, MAX_DOMAINS_OF_TENANT, MappedDomain};
use crate::world::{ApplicationState, World};

type Answer = Result<Vec<Record>, Refusal>;

/// The field of the document.
const FIELD: &str = "domainMappings";

pub(super) fn map(
    world: &World,
    application: &ApplicationId,
    tenant: TenantId,
    domains: Vec<MappedDomain>,
) -> Answer {
    let state = sign_ups::known(world, application)?;
    let id = application.as_str();
    if world.sign_up(id, tenant).is_none() {
        let message = format!(
            "tenant {:?} has not signed up for application {id:?}: its domains cannot lead there",
            world.domain_of(tenant)
        );
        return Err(Refusal::new(Code::Invalid, "application", message));
    }
    let faults = domains.iter().enumerate().flat_map(|(at, one)| {
        let found = [alias_fault(state, one), name_fault(world, one)];
        let told = found.into_iter().flatten();
        told.map(move |(field, message)| (format!("{FIELD}[{at}].{field}"), message))
    });
    Refusal::of(Code::Invalid, faults.collect())?;
    let there = world.domains_of(id).count();
    let own = world
        .domains_of(id)
        .filter(|(_, one)| one.tenant == tenant)
        .count();
    let whole = "lead into application";
    for (there, most, whose) in [
        (own, MAX_DOMAINS_OF_TENANT, "of this tenant "),
        (there, MAX_DOMAINS, ""),
    ] {
        if there + domains.len() > most {
            let message = format!(
                "{there} domains {whose}{whole} {id:?}, and {} are to be added; at most {most} are accepted",
                domains.len()
            );
            return Err(Refusal::new(Code::Invalid, FIELD, message));
        }
    }
    let record = |one: MappedDomain| Record::DomainMapped {
        application: application.clone(),
        domain: one.domain,
        mapping: DomainMapping {
            tenant,
            alias: one.alias,
            path: one.path,
        },
    };
    Ok(domains.into_iter().map(record).collect())
}

/// A field and what is wrong with it.
type Fault = Option<(&'static str, String)>;

fn alias_fault(state: &ApplicationState, one: &MappedDomain) -> Fault {
    let blueprint = &state.blueprint;
    let known = blueprint
        .subscriptions()
        .any(|cartridge| cartridge.alias == one.alias);
    let message = || {
        format!(
            "application {:?} has no cartridge with the alias {:?}",
            blueprint.application_id.as_str(),
            one.alias
        )
    };
    (!known).then(|| ("cartridgeAlias", message()))
}

/// It is not said whose the name is: that is nobody else's matter.
fn name_fault(world: &World, one: &MappedDomain) -> Fault {
    let taken = world.domain(&one.domain).is_some() || world.is_own_host(&one.domain);
    let message = || {
        format!(
            "{:?} is taken: a domain leads to one place only",
            one.domain.as_str()
        )
    };
    taken.then(|| ("domainName", message()))
}

pub(super) fn unmap(
    world: &World,
    application: ApplicationId,
    tenant: TenantId,
    domain: DomainName,
) -> Answer {
    sign_ups::known(world, &application)?;
    let of_it = world.domains.get(&application);
    let mapping = of_it.and_then(|of_it| of_it.get(&domain));
    if mapping.is_some_and(|one| one.tenant == tenant || tenant.is_super()) {
        return Ok(vec![Record::DomainUnmapped { application, domain }]);
    }
    let message = format!(
        "no domain {:?} of tenant {:?} leads into application {:?}",
        domain.as_str(),
        world.domain_of(tenant),
        application.as_str()
    );
    Err(Refusal::new(Code::NotFound, "domainName", message))
}

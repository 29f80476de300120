//! Tenants: added, changed, let in and kept out. None is ever removed: what was told of it stays its own.
//!
//! It refuses to know their users.

use cartridge_protocol::TenantDomain;
use cartridge_protocol::tenant::TenantId;

use super::{Code, Mode, Refusal};
use crate::record::Record;
use crate::tenancy::{MAX_TENANTS, Tenant, TenantDocument};
use crate::world::World;

type Answer = Result<Vec<Record>, Refusal>;

pub(super) fn put(world: &World, document: TenantDocument, at_unix_ms: u64, mode: Mode) -> Answer {
    let domain = document.domain.as_str();
    if domain == TenantDomain::SUPER {
        let message = format!("tenantDomain: {domain:?} is the super tenant's");
        return Err(Refusal::new(Code::Invalid, "tenantDomain", message));
    }
    let known = world
        .tenant_of_domain(domain)
        .and_then(|id| world.tenants.get(&id));
    let tenant = match (known, mode) {
        (Some(_), Mode::Add) => {
            let message = format!("tenantDomain: tenant {domain:?} exists already; change it with PUT");
            return Err(Refusal::new(Code::Conflict, "tenantDomain", message));
        }
        (None, Mode::Replace | Mode::IfStill(_)) => return Err(unknown(domain)),
        (Some(known), _) => changed(known, document),
        (None, _) => added(world, document, at_unix_ms)?,
    };
    let records = (known != Some(&tenant)).then(|| Record::TenantPut(Box::new(tenant)));
    Ok(records.into_iter().collect())
}

fn changed(known: &Tenant, document: TenantDocument) -> Tenant {
    Tenant {
        tenant_id: known.tenant_id,
        tenant_domain: known.tenant_domain.clone(),
        admin: document.admin.unwrap_or_else(|| known.admin.clone()),
        first_name: document.first_name.unwrap_or_else(|| known.first_name.clone()),
        last_name: document.last_name.unwrap_or_else(|| known.last_name.clone()),
        email: document.email.unwrap_or_else(|| known.email.clone()),
        active: document.active.unwrap_or(known.active),
        created_unix_ms: known.created_unix_ms,
    }
}

fn added(world: &World, document: TenantDocument, at_unix_ms: u64) -> Result<Tenant, Refusal> {
    if world.tenants.len() >= MAX_TENANTS {
        let message = format!("tenantDomain: there are {MAX_TENANTS} tenants; no more are accepted");
        return Err(Refusal::new(Code::Invalid, "tenantDomain", message));
    }
    let Some(admin) = document.admin else {
        let message = "admin: is required: the name of the tenant's first user";
        return Err(Refusal::new(Code::Invalid, "admin", message));
    };
    // None is ever removed, so the number after the last was nobody's.
    let last = world.tenants.keys().next_back().map_or(0, |last| last.get());
    let tenant_id = TenantId::new(last.max(0) + 1)
        .map_err(|fault| Refusal::new(Code::Invalid, "tenantDomain", fault.to_string()))?;
    Ok(Tenant {
        tenant_id,
        tenant_domain: document.domain,
        admin,
        first_name: document.first_name.unwrap_or_default(),
        last_name: document.last_name.unwrap_or_default(),
        email: document.email.unwrap_or_default(),
        active: document.active.unwrap_or(true),
        created_unix_ms: at_unix_ms,
    })
}

/// Twice is once.
pub(super) fn activate(world: &World, domain: &TenantDomain, active: bool) -> Answer {
    let id = world.tenant_of_domain(domain.as_str());
    let Some(known) = id.and_then(|id| world.tenants.get(&id)) else {
        return Err(unknown(domain.as_str()));
    };
    let tenant = known.tenant_id;
    let record = match active {
        _ if known.active == active => return Ok(Vec::new()),
        true => Record::TenantActivated { tenant },
        false => Record::TenantDeactivated { tenant },
    };
    Ok(vec![record])
}

fn unknown(domain: &str) -> Refusal {
    let message = format!("there is no tenant {domain:?}");
    Refusal::new(Code::NotFound, "tenantDomain", message)
}

//! Tenants: add, change, let in, keep out, look at. Passwords come in and never go out.
//!
//! This file refuses to know what belongs to them.

use axum::Json;
use axum::extract::{Path, Query};
use axum::routing::{delete, get, post, put};
use cartridge_orchestrator_plan::blueprint::parse;
use cartridge_orchestrator_plan::order::{Mode, Order};
use cartridge_orchestrator_plan::tenancy::{Tenant, TenantDocument};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{Secret, TenantDomain};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Routes;
use super::body::Document;
use super::reply::{Failure, Success};
use super::resources::PutQuery;
use super::telling::rfc3339;
use super::users::change_of;
use crate::auth::{Authorized, Change};

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::POST, "/tenants", post(add));
    routes.add(Method::PUT, "/tenants", put(update));
    routes.add(Method::GET, "/tenants", get(list));
    routes.add(Method::GET, "/tenants/{domain}", get(one));
    routes.add(Method::GET, "/tenants/search/{domain}", get(search));
    routes.add(Method::PUT, "/tenants/activate/{domain}", put(activate));
    routes.add(Method::PUT, "/tenants/deactivate/{domain}", put(deactivate));
    routes.add(Method::DELETE, "/tenants/{domain}", delete(remove));
}

/// The tenant as it is known; without what nobody has to know.
fn show(tenant: &Tenant) -> Value {
    json!({
        "tenantId": tenant.tenant_id,
        "tenantDomain": tenant.tenant_domain,
        "admin": tenant.admin,
        "firstName": tenant.first_name,
        "lastName": tenant.last_name,
        "email": tenant.email,
        "active": tenant.active,
        "createdDate": rfc3339(tenant.created_unix_ms),
    })
}

async fn add(api: Authorized, Document(body): Document) -> Result<Success, Failure> {
    let domain = submit(&api, &body, Mode::Add).await?;
    let text = format!("tenant {domain} was added");
    Ok(Success::new(StatusCode::CREATED, text))
}

async fn update(
    api: Authorized,
    Query(query): Query<PutQuery>,
    Document(body): Document,
) -> Result<Success, Failure> {
    let mode = query.mode()?;
    let domain = submit(&api, &body, mode).await?;
    let what = if mode == Mode::Replace {
        "changed"
    } else {
        "applied"
    };
    Ok(Success::new(
        StatusCode::OK,
        format!("tenant {domain} was {what}"),
    ))
}

/// The tenant first, then its administrator: if we end between the two, changing the tenant with a password makes up
/// for it.
async fn submit(api: &Authorized, body: &Value, mode: Mode) -> Result<TenantDomain, Failure> {
    let (document, password) = parse::tenant(body)?;
    let domain = document.domain.clone();
    let before = find(api, &domain);
    let password = fitting(api, &document, before.as_ref(), password)?;
    let at_unix_ms = api.engine.unix_ms();
    let order = Order::PutTenant {
        document,
        at_unix_ms,
        mode,
    };
    api.engine.submit(order).await?;
    let gone = || Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the tenant is not there");
    let (tenant, admin) = find(api, &domain).ok_or_else(gone)?;
    if let Some(password) = password {
        let change = match before {
            None => Change::Found(password),
            Some(_) => Change::Restore(password),
        };
        change_of(&api.auth, tenant, &admin, change).await?;
    }
    Ok(domain)
}

/// The number and the administrator of a tenant.
fn find(api: &Authorized, domain: &TenantDomain) -> Option<(TenantId, String)> {
    api.engine.read(|world, _, _| {
        let tenant = world.tenants.get(&world.tenant_of_domain(domain.as_str())?)?;
        Some((tenant.tenant_id, tenant.admin.clone()))
    })
}

/// What the users' file asks for. A new administrator needs a password; a name that is a login already, another domain.
fn fitting(
    api: &Authorized,
    document: &TenantDocument,
    before: Option<&(TenantId, String)>,
    password: Option<Secret>,
) -> Result<Option<Secret>, Failure> {
    let same = |(_, admin): &(TenantId, String)| document.admin.as_ref().is_none_or(|named| named == admin);
    if password.is_none() && !before.is_some_and(same) {
        return Err(Failure::body(
            "adminPassword: is required for a new administrator",
        ));
    }
    let suffix = format!("@{}", document.domain);
    let users = api.auth.listed(TenantId::SUPER);
    if let Some((user, _)) = users.iter().find(|(user, _)| user.ends_with(&suffix)) {
        let text = format!(
            "tenantDomain: user {user:?} of the super tenant would be mistaken for one of this tenant"
        );
        return Err(Failure::new(StatusCode::CONFLICT, text));
    }
    Ok(password)
}

async fn list(api: Authorized) -> Json<Vec<Value>> {
    Json(
        api.engine
            .read(|world, _, _| world.tenants.values().map(show).collect()),
    )
}

async fn one(api: Authorized, Path(domain): Path<String>) -> Result<Json<Value>, Failure> {
    let found = api.engine.read(|world, _, _| {
        let tenant = world.tenants.get(&world.tenant_of_domain(&domain)?)?;
        Some(show(tenant))
    });
    found.map(Json).ok_or_else(|| unknown(&domain))
}

/// Whose domain has this in it.
async fn search(api: Authorized, Path(part): Path<String>) -> Json<Vec<Value>> {
    let part = part.to_ascii_lowercase();
    Json(api.engine.read(|world, _, _| {
        let tenants = world.tenants.values();
        let fits = tenants.filter(|tenant| tenant.tenant_domain.as_str().contains(&part));
        fits.map(show).collect()
    }))
}

async fn activate(api: Authorized, Path(domain): Path<String>) -> Result<Success, Failure> {
    set(&api, &domain, true).await
}

async fn deactivate(api: Authorized, Path(domain): Path<String>) -> Result<Success, Failure> {
    set(&api, &domain, false).await
}

async fn set(api: &Authorized, domain: &str, active: bool) -> Result<Success, Failure> {
    let known = TenantDomain::new(domain).map_err(|_| unknown(domain))?;
    api.engine.submit(Order::ActivateTenant(known, active)).await?;
    let what = if active { "activated" } else { "deactivated" };
    Ok(Success::new(StatusCode::OK, format!("tenant {domain} is {what}")))
}

/// As Stratos has it.
async fn remove(Path(domain): Path<String>) -> Failure {
    let text = format!("tenants are not removed; deactivate {domain} instead");
    Failure::new(StatusCode::NOT_ACCEPTABLE, text)
}

fn unknown(domain: &str) -> Failure {
    Failure::unknown("tenant", domain)
}

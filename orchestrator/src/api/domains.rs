//! Domains of tenants that lead into an application: add, list, remove.
//!
//! This file refuses to know who serves them.

use axum::Json;
use axum::extract::Path;
use axum::routing::{delete, get, post};
use cartridge_orchestrator_plan::blueprint::parse;
use cartridge_orchestrator_plan::order::Order;
use cartridge_orchestrator_plan::tenancy::DomainMapping;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{ApplicationId, DomainName};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Routes;
use super::body::Document;
use super::reply::{Failure, Success};
use crate::auth::Authorized;

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/domainMappings", get(list));
    let all = "/applications/{id}/domainMappings";
    routes.add(Method::POST, all, post(add));
    routes.add(Method::GET, all, get(of_application));
    let one = "/applications/{id}/domainMappings/{domain}";
    routes.add(Method::DELETE, one, delete(remove));
}

/// Those that the caller may see: all of its applications, and its own for others.
async fn list(api: Authorized) -> Json<Vec<Value>> {
    Json(api.engine.read(|world, _, _| {
        let mut rows = Vec::new();
        for application in world.domains.keys() {
            let all = world.domains_of(application.as_str());
            rows.extend(all.map(|(domain, mapping)| {
                let mut row = shown(world, domain, mapping);
                row["application"] = json!(application);
                row
            }));
        }
        rows
    }))
}

/// The guard has seen that there is such an application for a tenant; not for the super tenant.
async fn of_application(api: Authorized, Path(id): Path<String>) -> Result<Json<Vec<Value>>, Failure> {
    let everything = api.engine.who().tenant.is_super();
    let found = api.engine.read(|world, _, _| {
        let there = !everything || world.applications.contains_key(id.as_str());
        let all = world.domains_of(&id);
        there.then(|| {
            all.map(|(domain, mapping)| shown(world, domain, mapping))
                .collect()
        })
    });
    found
        .map(Json)
        .ok_or_else(|| Failure::unknown("application", &id))
}

fn shown(world: &World, domain: &DomainName, mapping: &DomainMapping) -> Value {
    json!({
        "domainName": domain,
        "cartridgeAlias": mapping.alias,
        "contextPath": mapping.path.as_ref().map_or("/", |path| path.as_str()),
        "tenantId": mapping.tenant,
        "tenantDomain": world.domain_of(mapping.tenant),
    })
}

async fn add(api: Authorized, Path(id): Path<String>, Document(body): Document) -> Result<Success, Failure> {
    let domains = parse::domain_mappings(&body)?;
    let names: Vec<String> = domains.iter().map(|one| one.domain.to_string()).collect();
    let order = Order::MapDomains {
        application: parse_id(&id)?,
        tenant: api.engine.who().tenant,
        domains,
    };
    api.engine.submit(order).await?;
    let text = match &names[..] {
        [] => format!("no domain was named: nothing leads into application {id} that did not before"),
        [one] => format!("domain {one} leads into application {id}"),
        several => format!("domains {} lead into application {id}", several.join(", ")),
    };
    Ok(Success::new(StatusCode::CREATED, text))
}

async fn remove(api: Authorized, Path((id, domain)): Path<(String, String)>) -> Result<Success, Failure> {
    let order = Order::UnmapDomain {
        application: parse_id(&id)?,
        tenant: api.engine.who().tenant,
        domain: DomainName::new(&domain).map_err(|_| Failure::unknown("domain", &domain))?,
    };
    api.engine.submit(order).await?;
    let text = format!("domain {domain} does not lead into application {id} any more");
    Ok(Success::new(StatusCode::OK, text))
}

fn parse_id(id: &str) -> Result<ApplicationId, Failure> {
    ApplicationId::new(id).map_err(|_| Failure::unknown("application", id))
}

//! Sign-ups of tenants for applications that several of them share: add, look at, remove. Repository passwords are sealed
//! before anybody sees them.
//!
//! This file refuses to know what follows from a sign-up.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Path;
use axum::routing::{delete, get, post};
use cartridge_orchestrator_plan::blueprint::parse;
use cartridge_orchestrator_plan::observe::Observations;
use cartridge_orchestrator_plan::order::Order;
use cartridge_orchestrator_plan::tenancy::{SignUp, TenantRepository};
use cartridge_orchestrator_plan::world::{Member, World};
use cartridge_protocol::ApplicationId;
use cartridge_protocol::tenant::TenantId;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::body::Document;
use super::reply::{Failure, Success};
use super::{Routes, show};
use crate::auth::Authorized;

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/signups", get(list));
    let own = "/applications/{id}/signup";
    routes.add(Method::POST, own, post(add));
    routes.add(Method::GET, own, get(one));
    routes.add(Method::DELETE, own, delete(remove));
    let of_another = "/applications/{id}/signup/{domain}";
    routes.add(Method::POST, of_another, post(add_for));
    routes.add(Method::DELETE, of_another, delete(remove_for));
}

async fn list(api: Authorized) -> Json<Vec<Value>> {
    Json(api.engine.sign_ups())
}

/// Those sign-ups that `may_see` says, each with what became of its files. It is asked of the whole world: who signed up
/// sees nothing else of the application.
pub(crate) fn listed(
    world: &World,
    seen: &Observations,
    may_see: impl Fn(&ApplicationId, TenantId) -> bool,
) -> Vec<Value> {
    let mut rows = Vec::new();
    for application in world.sign_ups.keys() {
        for (tenant, sign_up) in world.sign_ups_of(application.as_str()) {
            if !may_see(application, tenant) {
                continue;
            }
            let mut repositories = repositories(sign_up);
            for (alias, shown) in sign_up.repositories.keys().zip(&mut repositories) {
                shown["release"] = release(world, seen, (application, alias), tenant);
            }
            rows.push(json!({
                "application": application,
                "tenantId": tenant,
                "tenantDomain": world.domain_of(tenant),
                "artifactRepositories": repositories,
            }));
        }
    }
    rows
}

/// Which commit the members of a cartridge should have of a tenant, and how many have it; null: nothing runs.
fn release(
    world: &World,
    seen: &Observations,
    (application, alias): (&ApplicationId, &str),
    tenant: TenantId,
) -> Value {
    let mut clusters = world.clusters_of(application);
    let found = clusters.find(|one| one.alias == alias && one.leaving.is_none());
    let Some((cluster, kept)) = found.and_then(|one| Some((one, one.tenants.get(&tenant)?))) else {
        return Value::Null;
    };
    let commit = kept.release.accepted.as_ref();
    let serving = || world.members_of(cluster).filter(|member| member.phase.serves());
    let has = |member: &Member| {
        let said = seen.members.get(&member.id);
        let mut told = said.into_iter().flat_map(|said| &said.status.tenants);
        let of_it = told.find(|one| one.tenant == tenant);
        commit.is_some() && of_it.is_some_and(|one| one.current.as_ref() == commit)
    };
    json!({
        "commit": commit,
        "members": serving().count(),
        "have": serving().filter(|member| has(member)).count(),
        "rejected": kept.release.rejected,
    })
}

async fn one(api: Authorized, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let tenant = api.engine.who().tenant;
    let found = api.engine.read(|world, _, _| {
        let own = world.applications.get(id.as_str());
        let for_one = own.is_some_and(|state| !state.blueprint.multi_tenant);
        (world.sign_up(&id, tenant).map(repositories), for_one)
    });
    match found {
        (Some(repositories), _) => Ok(Json(json!({"artifactRepositories": repositories}))),
        (None, true) => Err(Failure::body(format!(
            "application {id:?} is for one tenant: nobody signs up for it"
        ))),
        (None, false) => {
            let text = format!("you have not signed up for application {id:?}");
            Err(Failure::new(StatusCode::NOT_FOUND, text))
        }
    }
}

/// Without passwords, as they are put.
fn repositories(sign_up: &SignUp) -> Vec<Value> {
    let shown = |(alias, one): (&String, &TenantRepository)| {
        let mut shown = show::repository(&one.repository);
        shown["alias"] = json!(alias);
        shown["privateRepo"] = json!(one.repository.repo_username.is_some());
        shown
    };
    sign_up.repositories.iter().map(shown).collect()
}

async fn add(api: Authorized, Path(id): Path<String>, Document(body): Document) -> Result<Success, Failure> {
    let tenant = api.engine.who().tenant;
    sign_up(&api, &id, tenant, &body).await
}

async fn add_for(
    api: Authorized,
    Path((id, domain)): Path<(String, String)>,
    Document(body): Document,
) -> Result<Success, Failure> {
    let tenant = named(&api, &domain)?;
    sign_up(&api, &id, tenant, &body).await
}

async fn sign_up(api: &Authorized, id: &str, tenant: TenantId, body: &Value) -> Result<Success, Failure> {
    let (repositories, secrets) = parse::sign_up(body)?;
    let mut sealed = BTreeMap::new();
    for (alias, secret) in secrets {
        let text = api.engine.seal(secret.expose());
        let text =
            text.map_err(|fault| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()))?;
        sealed.insert(alias, text);
    }
    let with_secret = |(alias, repository)| {
        let sealed = sealed.remove(&alias).unwrap_or_default();
        (alias, TenantRepository { repository, sealed })
    };
    let order = Order::SignUp {
        application: parse_id(id)?,
        tenant,
        repositories: repositories.into_iter().map(with_secret).collect(),
    };
    api.engine.submit(order).await?;
    let text = format!("{} signed up for application {id}", domain(api, tenant));
    Ok(Success::new(StatusCode::CREATED, text))
}

async fn remove(api: Authorized, Path(id): Path<String>) -> Result<Success, Failure> {
    let tenant = api.engine.who().tenant;
    sign_off(&api, &id, tenant).await
}

async fn remove_for(api: Authorized, Path((id, domain)): Path<(String, String)>) -> Result<Success, Failure> {
    let tenant = named(&api, &domain)?;
    sign_off(&api, &id, tenant).await
}

async fn sign_off(api: &Authorized, id: &str, tenant: TenantId) -> Result<Success, Failure> {
    let application = parse_id(id)?;
    let order = Order::RemoveSignUp { application, tenant };
    api.engine.submit(order).await?;
    let text = format!(
        "the sign-up of {} for application {id} was removed",
        domain(api, tenant)
    );
    Ok(Success::new(StatusCode::OK, text))
}

fn domain(api: &Authorized, tenant: TenantId) -> String {
    api.engine.read(|world, _, _| world.domain_of(tenant).to_owned())
}

fn named(api: &Authorized, domain: &str) -> Result<TenantId, Failure> {
    let found = api.engine.read(|world, _, _| world.tenant_of_domain(domain));
    found.ok_or_else(|| Failure::unknown("tenant", domain))
}

fn parse_id(id: &str) -> Result<ApplicationId, Failure> {
    ApplicationId::new(id).map_err(|_| Failure::unknown("application", id))
}

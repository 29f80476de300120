//! Blueprints: add, replace, deploy, undeploy, look at. Repository passwords are sealed before anybody sees them.
//!
//! This file refuses to know what deploying means.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use cartridge_orchestrator_plan::blueprint::{Located, parse};
use cartridge_orchestrator_plan::desired::{AccessPoint, endpoints};
use cartridge_orchestrator_plan::order::{Code, Mode, Order, Refusal};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{ApplicationId, NetworkPartitionId, PolicyId};
use http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::body::Document;
use super::reply::{Failure, Success};
use super::resources::PutQuery;
use super::{Routes, reach, runtime, show};
use crate::auth::Authorized;

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::POST, "/applications", post(add));
    routes.add(Method::PUT, "/applications", put(replace));
    routes.add(Method::GET, "/applications", get(list));
    routes.add(Method::GET, "/applications/{id}", get(one));
    routes.add(Method::DELETE, "/applications/{id}", delete(remove));
    routes.add(Method::POST, "/applications/{id}/deploy/{policy}", post(deploy));
    routes.add(Method::POST, "/applications/{id}/undeploy", post(undeploy));
    routes.add(Method::GET, "/applications/{id}/runtime", get(runtime_document));
    routes.add(
        Method::GET,
        "/applications/{id}/networkPartitions",
        get(network_partitions),
    );
    routes.add(Method::GET, "/applications/{id}/endpoints", get(access_points));
}

async fn submit(
    api: &Authorized,
    body: &Value,
    mode: Mode,
    revision: Option<u64>,
) -> Result<ApplicationId, Failure> {
    let (blueprint, secrets) = parse::application(body)?;
    let id = blueprint.application_id.clone();
    let mut sealed = BTreeMap::new();
    for (alias, secret) in secrets {
        let text = match secret.expose() {
            "" => String::new(),
            clear => api
                .engine
                .seal(clear)
                .map_err(|fault| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()))?,
        };
        sealed.insert(alias, text);
    }
    let blueprint = Box::new(blueprint);
    api.engine
        .submit(Order::PutApplication {
            blueprint,
            sealed,
            expected_revision: revision,
            mode,
        })
        .await?;
    Ok(id)
}

async fn add(api: Authorized, Document(body): Document) -> Result<Success, Failure> {
    let id = submit(&api, &body, Mode::Add, None).await?;
    Ok(Success::new(
        StatusCode::CREATED,
        format!("application {id} was added"),
    ))
}

/// Stratos answers 201 here.
async fn replace(
    api: Authorized,
    Query(query): Query<PutQuery>,
    headers: HeaderMap,
    Document(body): Document,
) -> Result<Success, Failure> {
    let mode = query.mode()?;
    let id = submit(&api, &body, mode, expected_revision(&headers)?).await?;
    let what = if mode == Mode::Replace {
        "replaced"
    } else {
        "applied"
    };
    Ok(Success::new(
        StatusCode::CREATED,
        format!("application {id} was {what}"),
    ))
}

/// `If-Match: "12"`: only if nobody changed the blueprint since.
fn expected_revision(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim_matches('"');
    let revision = text
        .parse()
        .map_err(|_| Failure::body(format!("If-Match: {text:?} is no revision")))?;
    Ok(Some(revision))
}

async fn list(api: Authorized) -> Json<Vec<Value>> {
    Json(api.engine.read(|world, _, _| {
        let all = world.applications.values();
        all.map(|state| show::application(world, state)).collect()
    }))
}

async fn one(api: Authorized, Path(id): Path<String>) -> Result<Response, Failure> {
    let found = api.engine.read(|world, _, _| {
        let state = world.applications.get(id.as_str())?;
        Some((state.revision, show::application(world, state)))
    });
    let (revision, shown) = found.ok_or_else(|| unknown(&id))?;
    Ok(([(header::ETAG, format!("\"{revision}\""))], Json(shown)).into_response())
}

async fn remove(api: Authorized, Path(id): Path<String>) -> Result<Success, Failure> {
    api.engine
        .submit(Order::RemoveApplication(parse_id(&id)?))
        .await?;
    Ok(Success::new(
        StatusCode::OK,
        format!("application {id} was removed"),
    ))
}

#[derive(Debug, Default, Deserialize)]
struct DeployQuery {
    /// Deploy although a repository cannot be reached at the moment: members try until it can.
    #[serde(default)]
    unchecked: bool,
}

async fn deploy(
    api: Authorized,
    Path((id, policy)): Path<(String, String)>,
    Query(query): Query<DeployQuery>,
) -> Result<Success, Failure> {
    let application = parse_id(&id)?;
    let under =
        PolicyId::new(policy.as_str()).map_err(|_| Failure::unknown("application policy", &policy))?;
    if !query.unchecked {
        repositories_answer(&api, &application, &under).await?;
    }
    api.engine
        .submit(Order::Deploy {
            application,
            policy: under,
        })
        .await?;
    Ok(Success::new(
        StatusCode::ACCEPTED,
        format!("application {id} is being deployed under {policy}"),
    ))
}

/// Asks the server of each repository that real members would fetch from; simulated members fetch nothing.
async fn repositories_answer(api: &Authorized, id: &ApplicationId, policy: &PolicyId) -> Result<(), Failure> {
    let repositories = api.engine.read(|world, _, _| {
        let (Some(state), Some(policy)) =
            (world.applications.get(id), world.application_policies.get(policy))
        else {
            return Vec::new(); // The order itself is refused for that.
        };
        let mut used = policy
            .groups
            .iter()
            .flatten()
            .filter_map(|np| world.network_partitions.get(np));
        if used.all(|np| np.provider == "mock") {
            return Vec::new();
        }
        let sealed = world.sealed.get(id);
        let one = |located: Located<'_>| {
            let subscription = located.subscription;
            let secret = sealed
                .and_then(|sealed| sealed.get(&subscription.alias))
                .cloned()
                .unwrap_or_default();
            Some((located.field, subscription.artifact_repository.clone()?, secret))
        };
        state.blueprint.located().into_iter().filter_map(one).collect()
    });
    for (field, repository, sealed) in repositories {
        let password = match sealed.as_str() {
            "" => None,
            sealed => Some(
                api.engine
                    .unseal(sealed)
                    .map_err(|fault| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()))?,
            ),
        };
        reach::check(&repository, password.as_ref())
            .await
            .map_err(|fault| {
                let place = format!("{field}.subscribableInfo.artifactRepository");
                let field = format!("{place}.{}", fault.field);
                let message = format!(
                    "{field}: {} (deploy it unchecked to go ahead all the same)",
                    fault.message
                );
                Failure::from(Refusal {
                    code: Code::Invalid,
                    field: Some(field),
                    message,
                })
            })?;
    }
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
struct UndeployQuery {
    #[serde(default)]
    force: bool,
}

async fn undeploy(
    api: Authorized,
    Path(id): Path<String>,
    Query(query): Query<UndeployQuery>,
) -> Result<Success, Failure> {
    api.engine
        .submit(Order::Undeploy {
            application: parse_id(&id)?,
            force: query.force,
        })
        .await?;
    Ok(Success::new(
        StatusCode::ACCEPTED,
        format!("application {id} is being undeployed"),
    ))
}

async fn runtime_document(api: Authorized, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let found = api.engine.read(|world, _, _| runtime::document(world, &id));
    found.map(Json).ok_or_else(|| unknown(&id))
}

async fn network_partitions(
    api: Authorized,
    Path(id): Path<String>,
) -> Result<Json<Vec<NetworkPartitionId>>, Failure> {
    let application = parse_id(&id)?;
    api.engine.read(|world, _, _| {
        known(world, &application)?;
        Ok(Json(runtime::in_use(world, &application).into_iter().collect()))
    })
}

async fn access_points(api: Authorized, Path(id): Path<String>) -> Result<Json<Vec<AccessPoint>>, Failure> {
    let application = parse_id(&id)?;
    api.engine.read(|world, _, _| {
        known(world, &application)?;
        Ok(Json(endpoints(world, &application)))
    })
}

fn known(world: &World, application: &ApplicationId) -> Result<(), Failure> {
    let there = world.applications.contains_key(application);
    if there {
        Ok(())
    } else {
        Err(unknown(application.as_str()))
    }
}

fn parse_id(id: &str) -> Result<ApplicationId, Failure> {
    ApplicationId::new(id).map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Failure {
    Failure::unknown("application", id)
}

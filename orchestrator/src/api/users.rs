//! Users of the caller's tenant: who they are and what they may do. Passwords come in and never go out.
//!
//! This file refuses to know how they are kept.

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Json};
use cartridge_orchestrator_plan::blueprint::parse;
use cartridge_protocol::Secret;
use cartridge_protocol::tenant::TenantId;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Routes;
use super::body::Document;
use super::reply::{Failure, Success};
use crate::auth::{Auth, Authorized, Change, NoChange, Principal, Role};

/// Fields that Stratos's clients send; those that are not needed here are accepted and not kept.
const KNOWN: [&str; 7] = [
    "userName",
    "credential",
    "role",
    "firstName",
    "lastName",
    "email",
    "profileName",
];
pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::POST, "/users", post(add));
    routes.add(Method::PUT, "/users", put(update));
    routes.add(Method::GET, "/users", get(list));
    routes.add(Method::DELETE, "/users/{id}", delete(remove));
}

async fn list(api: Authorized) -> Json<Vec<Value>> {
    let shown = |(name, role): (String, Role)| json!({"userName": name, "role": word(role)});
    let tenant = api.engine.who().tenant;
    Json(api.auth.listed(tenant).into_iter().map(shown).collect())
}

async fn add(api: Authorized, Document(body): Document) -> Result<Success, Failure> {
    let name = name(&body)?;
    let role = role(&body)?.unwrap_or(Role::Viewer);
    let credential = credential(&body)?.ok_or_else(|| Failure::body("credential: is required"))?;
    if api.engine.who().tenant.is_super() && api.auth.login(&name) != (TenantId::SUPER, &name) {
        let text = format!("userName: {name:?} is how a user of another tenant logs in");
        return Err(Failure::body(text));
    }
    change(&api, &name, Change::Add(role, credential)).await?;
    Ok(Success::new(
        StatusCode::CREATED,
        format!("user {name} was added"),
    ))
}

async fn update(api: Authorized, Document(body): Document) -> Result<Success, Failure> {
    let name = name(&body)?;
    let wanted = Change::Update(role(&body)?, credential(&body)?);
    change(&api, &name, wanted).await?;
    Ok(Success::new(StatusCode::OK, format!("user {name} was changed")))
}

async fn remove(
    api: Authorized,
    Extension(who): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Success, Failure> {
    if who.user == name {
        return Err(Failure::body(format!("{name} cannot remove themselves")));
    }
    change(&api, &name, Change::Remove).await?;
    Ok(Success::new(StatusCode::OK, format!("user {name} was removed")))
}

async fn change(api: &Authorized, name: &str, change: Change) -> Result<(), Failure> {
    change_of(&api.auth, api.engine.who().tenant, name, change).await
}

/// Changes one user of a tenant.
pub(super) async fn change_of(
    auth: &Auth,
    tenant: TenantId,
    name: &str,
    change: Change,
) -> Result<(), Failure> {
    let (auth, name) = (auth.clone(), name.to_owned());
    // Hashing a password takes tens of milliseconds of one core.
    let done = tokio::task::spawn_blocking(move || auth.change(tenant, &name, change)).await;
    let gone = |_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the change broke off");
    done.map_err(gone)?.map_err(|fault| {
        let status = match fault {
            NoChange::Exists(_) => StatusCode::CONFLICT,
            NoChange::Unknown(_) => StatusCode::NOT_FOUND,
            NoChange::LastAdmin(_) | NoChange::TooMany(_) => StatusCode::BAD_REQUEST,
            NoChange::Fault(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, fault.to_string())
    })
}

fn name(body: &Value) -> Result<String, Failure> {
    let Some(fields) = body.as_object() else {
        return Err(Failure::body("document: must be an object"));
    };
    if let Some(other) = fields.keys().find(|field| !KNOWN.contains(&field.as_str())) {
        let short: String = other.chars().take(64).collect();
        return Err(Failure::body(format!("unknown field {short:?}")));
    }
    let name = body["userName"].as_str().unwrap_or_default();
    if !parse::is_user_name(name) {
        let text = "userName: must be 3 to 64 letters, digits, '.', '_', '-' or '@'";
        return Err(Failure::body(text));
    }
    Ok(name.to_owned())
}

fn credential(body: &Value) -> Result<Option<Secret>, Failure> {
    match &body["credential"] {
        Value::Null => Ok(None),
        Value::String(text) if parse::PASSWORD.contains(&text.chars().count()) => {
            Ok(Some(Secret::new(text.clone())))
        }
        _ => Err(Failure::body("credential: must be a text of 6 to 256 characters")),
    }
}

/// Stratos's words, and ours.
fn role(body: &Value) -> Result<Option<Role>, Failure> {
    match &body["role"] {
        Value::Null => Ok(None),
        Value::String(text) if text == "admin" => Ok(Some(Role::Admin)),
        Value::String(text) if matches!(text.as_str(), "viewer" | "Internal/user") => Ok(Some(Role::Viewer)),
        _ => Err(Failure::body("role: must be admin, viewer or Internal/user")),
    }
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Viewer => "viewer",
    }
}

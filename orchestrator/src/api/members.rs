//! Members: look, describe, drain.
//!
//! This file refuses to know how a member is replaced.

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Extension, Json};
use cartridge_orchestrator_plan::order::Order;
use cartridge_protocol::MemberId;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Routes;
use super::figures::{Known, MemberFigures};
use super::reply::{Failure, Success};
use crate::auth::{Authorized, Principal};

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/members", get(list));
    routes.add(Method::GET, "/members/{id}", get(describe));
    routes.add(Method::POST, "/members/{id}/drain", post(drain));
}

async fn list(api: Authorized) -> Json<Vec<MemberFigures>> {
    let now = api.engine.now();
    Json(api.engine.read(|world, seen, report| {
        Known {
            world,
            seen,
            report,
            now,
        }
        .members()
    }))
}

/// The figures, the newest sample and what its agent noticed.
async fn describe(api: Authorized, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let now = api.engine.now();
    let found = api.engine.read(|world, seen, report| {
        let member = world.members.get(id.as_str())?;
        let figures = Known {
            world,
            seen,
            report,
            now,
        }
        .member(member);
        let sample = seen
            .members
            .get(&member.id)
            .and_then(|o| o.sample.as_ref())
            .map(|(_, sample)| json!(sample));
        Some((member.id.clone(), json!(figures), sample))
    });
    let (member, mut shown, sample) = found.ok_or_else(|| unknown(&id))?;
    shown["sample"] = sample.unwrap_or_default();
    let notices: Vec<Value> = api
        .engine
        .notices(&member, 0)
        .iter()
        .map(|notice| json!({"number": notice.number, "kind": notice.kind, "text": notice.text}))
        .collect();
    shown["notices"] = notices.into();
    Ok(Json(shown))
}

async fn drain(
    api: Authorized,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Success, Failure> {
    let member = MemberId::new(id.as_str()).map_err(|_| unknown(&id))?;
    api.engine.submit(Order::Drain { member, by: who.name }).await?;
    Ok(Success::new(StatusCode::ACCEPTED, format!("{id} is draining")))
}

pub(super) fn unknown(id: &str) -> Failure {
    Failure::unknown("member", id)
}

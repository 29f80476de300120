//! The server itself: how it is, pausing and resuming, and the calls that Stratos's clients begin with.
//!
//! This file refuses to know about single clusters and members.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use cartridge_orchestrator_plan::decide::Report;
use cartridge_orchestrator_plan::order::Order;
use cartridge_orchestrator_plan::world::{MemberPhase, World};
use http::{Method, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::body::Document;
use super::figures::phase_of;
use super::reply::{Failure, Success};
use super::{Api, Routes};
use crate::auth::Principal;
use crate::engine::stats::HistogramReading;
use crate::metrics;

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/init", get(init));
    routes.add(Method::GET, "/session", get(session));
    routes.add(Method::GET, "/iaasProviders", get(providers));
    routes.add(Method::GET, "/status", get(status));
    routes.add(Method::POST, "/pause", post(pause));
    routes.add(Method::POST, "/resume", post(resume));
}

/// It answers, so it is well.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    (kind, metrics::text(&api.engine)).into_response()
}

pub(super) async fn unknown(method: Method, uri: Uri) -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        format!("there is no {method} {}", uri.path()),
    )
}

async fn init() -> Success {
    Success::new(StatusCode::OK, "initialized")
}

async fn session(Extension(who): Extension<Principal>) -> Success {
    Success::new(
        StatusCode::OK,
        format!("{} is known; every request carries its credentials", who.name),
    )
}

async fn providers() -> Json<Value> {
    Json(json!([{"name": "mock", "className": ""}, {"name": "process", "className": ""}]))
}

async fn status(State(api): State<Api>) -> Json<Value> {
    let mut shown = api.engine.read(|world, _, report| figures(world, report));
    shown["orphans"] = json!(api.engine.orphans());
    let stats = api.engine.stats();
    shown["pass"] = durations(&stats.passes);
    shown["append"] = durations(&stats.appends);
    Json(shown)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn durations(of: &HistogramReading) -> Value {
    let millis = |micros: u64| micros as f64 / 1000.0;
    json!({
        "count": of.count,
        "p50Ms": millis(of.p50_us),
        "p99Ms": millis(of.p99_us),
        "maxMs": millis(of.max_us),
    })
}

/// How the server and everything on it are, in a few figures.
pub fn figures(world: &World, report: &Report) -> Value {
    let mut phases: BTreeMap<&str, u32> = BTreeMap::new();
    for member in world.members.values() {
        *phases.entry(phase_of(&member.phase).0).or_default() += 1;
    }
    let active = world
        .members
        .values()
        .filter(|m| m.phase == MemberPhase::Active)
        .count();
    let frozen: Vec<Value> = report
        .clusters
        .iter()
        .filter_map(|row| {
            row.frozen
                .as_ref()
                .map(|why| json!({"cluster": row.cluster, "reason": why}))
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "installation": world.installation,
        "epoch": world.epoch,
        "seq": world.seq,
        "paused": world.paused,
        "applications": world.applications.len(),
        "clusters": world.clusters.len(),
        "members": phases,
        "activeMembers": active,
        "frozen": frozen,
    })
}

async fn pause(
    State(api): State<Api>,
    Extension(who): Extension<Principal>,
    Document(body): Document,
) -> Result<Success, Failure> {
    let reason = body["reason"]
        .as_str()
        .filter(|text| !text.trim().is_empty())
        .unwrap_or("ordered");
    if reason.len() > 1000 {
        return Err(Failure::body("reason: longer than 1000 bytes"));
    }
    api.engine
        .submit(Order::Pause {
            by: who.name,
            reason: reason.to_owned(),
        })
        .await?;
    Ok(Success::new(StatusCode::OK, "automation is paused"))
}

async fn resume(State(api): State<Api>, Extension(who): Extension<Principal>) -> Result<Success, Failure> {
    api.engine.submit(Order::Resume { by: who.name }).await?;
    Ok(Success::new(StatusCode::OK, "automation works again"))
}

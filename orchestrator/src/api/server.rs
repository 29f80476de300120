//! The server itself: how it is, pausing and resuming, and the calls that Stratos's clients begin with.
//!
//! This file refuses to know about single clusters and members.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use cartridge_orchestrator_plan::decide::Report;
use cartridge_orchestrator_plan::order::Order;
use cartridge_orchestrator_plan::world::{MemberPhase, World};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use serde_json::{Value, json};

use super::Routes;
use super::body::Document;
use super::figures::phase_of;
use super::reply::{Failure, Success};
use crate::auth::{Authorized, BySession, Principal, session};
use crate::engine::stats::HistogramReading;
use crate::metrics;

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/init", get(init));
    routes.add(Method::GET, "/session", get(session));
    routes.add(Method::GET, "/auth/cookie", get(cookie));
    routes.add(Method::GET, "/iaasProviders", get(providers));
    routes.add(Method::GET, "/status", get(status));
    routes.add(Method::POST, "/pause", post(pause));
    routes.add(Method::POST, "/resume", post(resume));
}

/// It answers, so it is well.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

pub(super) async fn metrics(api: Authorized) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    (kind, metrics::text(&api.engine)).into_response()
}

/// What Stratos 4.0 had is gone for good.
const GONE: &str = "/api/v4.0";

pub(super) async fn unknown(method: Method, uri: Uri) -> Failure {
    let gone = uri.path().strip_prefix(GONE);
    if gone.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        let text = "the API of Stratos 4.0 is gone; use /api/v4.1 or /api";
        return Failure::new(StatusCode::GONE, text);
    }
    Failure::new(
        StatusCode::NOT_FOUND,
        format!("there is no {method} {}", uri.path()),
    )
}

/// The route is there, but not for this method.
pub(super) async fn not_so(method: Method, uri: Uri) -> Failure {
    let text = format!("{method} does not go with {}", uri.path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, text)
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

/// Credentials for a cookie that stands for them for a while. A session opens no session: else one that was stolen
/// would last for ever.
async fn cookie(
    api: Authorized,
    Extension(who): Extension<Principal>,
    session: Option<Extension<BySession>>,
) -> Result<Response, Failure> {
    if session.is_some() {
        let text = "a session opens no other session; show the credentials";
        return Err(Failure::new(StatusCode::FORBIDDEN, text));
    }
    let opened = api
        .auth
        .open_session(&who)
        .map_err(|fault| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()))?;
    let opened =
        opened.ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "who you are changed just now"))?;
    let cookie = HeaderValue::try_from(session::header(&opened))
        .map_err(|_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the session cannot be named"))?;
    let text = format!("{} is known for {} s", who.name, session::LIFE.as_secs());
    let answer = Success::new(StatusCode::OK, text);
    let headers = [
        (header::SET_COOKIE, cookie),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, answer).into_response())
}

async fn providers() -> Json<Value> {
    Json(json!([{"name": "mock", "className": ""}, {"name": "process", "className": ""}]))
}

async fn status(api: Authorized) -> Json<Value> {
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
    api: Authorized,
    Extension(who): Extension<Principal>,
    Document(body): Document,
) -> Result<Success, Failure> {
    let reason = match (&body, &body["reason"]) {
        (Value::Null, _) | (Value::Object(_), Value::Null) => "ordered",
        (Value::Object(_), Value::String(text)) if text.trim().is_empty() => "ordered",
        (Value::Object(_), Value::String(text)) => text,
        (Value::Object(_), other) => {
            let shown: String = other.to_string().chars().take(60).collect();
            return Err(Failure::body(format!("reason: must be a text, got {shown}")));
        }
        _ => return Err(Failure::body("document: must be an object")),
    };
    if reason.chars().count() > 1000 {
        return Err(Failure::body("reason: longer than 1000 characters"));
    }
    api.engine
        .submit(Order::Pause {
            by: who.name,
            reason: reason.to_owned(),
        })
        .await?;
    Ok(Success::new(StatusCode::OK, "automation is paused"))
}

async fn resume(api: Authorized, Extension(who): Extension<Principal>) -> Result<Success, Failure> {
    api.engine.submit(Order::Resume { by: who.name }).await?;
    Ok(Success::new(StatusCode::OK, "automation works again"))
}

//! Clusters: look, scale, choose a release, explain; and the web hook that says a repository has news.
//!
//! This file refuses to know how a cluster gets there.

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Extension, Json};
use cartridge_orchestrator_plan::order::Order;
use cartridge_protocol::{ClusterId, CommitId};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::body::Document;
use super::figures::{ClusterFigures, Known};
use super::reply::{Failure, Success};
use super::{Routes, runtime};
use crate::auth::{Authorized, Principal};

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/cluster/{id}", get(stratos));
    routes.add(Method::GET, "/clusters", get(list));
    routes.add(Method::GET, "/clusters/{id}", get(one));
    routes.add(Method::POST, "/clusters/{id}/scale", post(scale));
    routes.add(Method::POST, "/clusters/{id}/release", post(release));
    routes.add(Method::POST, "/clusters/{id}/rollback", post(rollback));
    routes.add(Method::GET, "/explain/{id}", get(explain));
    routes.add(Method::POST, "/repo/notify", post(notify));
}

async fn stratos(api: Authorized, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let found = api.engine.read(|world, _, _| runtime::cluster(world, &id));
    found.map(Json).ok_or_else(|| unknown(&id))
}

async fn list(api: Authorized) -> Json<Vec<ClusterFigures>> {
    let now = api.engine.now();
    Json(api.engine.read(|world, seen, report| {
        Known {
            world,
            seen,
            report,
            now,
        }
        .clusters()
    }))
}

async fn one(api: Authorized, Path(id): Path<String>) -> Result<Json<ClusterFigures>, Failure> {
    look(&api, &id).map(Json)
}

fn look(api: &Authorized, id: &str) -> Result<ClusterFigures, Failure> {
    let now = api.engine.now();
    let found = api.engine.read(|world, seen, report| {
        world.clusters.get(id).map(|cluster| {
            Known {
                world,
                seen,
                report,
                now,
            }
            .cluster(cluster)
        })
    });
    found.ok_or_else(|| unknown(id))
}

async fn scale(
    api: Authorized,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
    Document(body): Document,
) -> Result<Success, Failure> {
    let size = match body.get("size") {
        Some(Value::Null) => None,
        Some(text) if text == "auto" => None,
        Some(figure) => Some(whole(figure).ok_or_else(|| {
            Failure::body(format!(
                "size: {figure} is no whole number; a number from 0 on, or null, is accepted"
            ))
        })?),
        None => {
            return Err(Failure::body(
                "size: absent; a whole number, or null to let the scaler decide",
            ));
        }
    };
    api.engine
        .submit(Order::Scale {
            cluster: parse(&id)?,
            size,
            by: who.name,
        })
        .await?;
    Ok(Success::new(
        StatusCode::OK,
        match size {
            Some(size) => format!("{id} is fixed at {size} members"),
            None => format!("{id}: the scaler decides again"),
        },
    ))
}

/// A number, or Stratos's way of writing one as a string.
fn whole(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64().and_then(|figure| u32::try_from(figure).ok()),
    }
}

async fn release(
    api: Authorized,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
    Document(body): Document,
) -> Result<Success, Failure> {
    let cluster = parse(&id)?;
    if !matches!(body["follow"], Value::Null | Value::Bool(_)) {
        return Err(Failure::body("follow: must be true or false"));
    }
    if body["follow"] == true {
        api.engine
            .submit(Order::Unpin {
                cluster,
                by: who.name,
            })
            .await?;
        return Ok(Success::new(
            StatusCode::ACCEPTED,
            format!("{id} follows its branch"),
        ));
    }
    let text = body["commit"]
        .as_str()
        .ok_or_else(|| Failure::body("commit: absent, and `follow` is not true"))?;
    let commit = CommitId::new(text).map_err(|fault| Failure::body(format!("commit: {fault}")))?;
    let short = commit.short().to_owned();
    api.engine
        .submit(Order::ProposeRelease {
            cluster,
            commit,
            by: who.name,
        })
        .await?;
    Ok(Success::new(
        StatusCode::ACCEPTED,
        format!("{id}: release {short} is being brought to every member"),
    ))
}

async fn rollback(
    api: Authorized,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Success, Failure> {
    api.engine
        .submit(Order::Rollback {
            cluster: parse(&id)?,
            by: who.name,
        })
        .await?;
    Ok(Success::new(
        StatusCode::ACCEPTED,
        format!("{id} is going back to the release before"),
    ))
}

async fn explain(api: Authorized, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let figures = look(&api, &id)?;
    let paused = api.engine.read(|world, _, _| world.paused.clone());
    let text = match (&paused, &figures.decision) {
        (Some(paused), _) => format!("automation is paused by {}: {}", paused.by, paused.reason),
        (None, None) => "not looked at yet since this server started".to_owned(),
        (None, Some(row)) => row.frozen.clone().unwrap_or_else(|| row.inputs.clone()),
    };
    let mut shown = json!(figures);
    shown["because"] = text.into();
    Ok(Json(shown))
}

/// Stratos's web hook: `{"repository": {"url": …}}`, and what GitHub, GitLab and Gitea send beside it.
async fn notify(api: Authorized, Document(body): Document) -> Result<Success, Failure> {
    let repository = &body["repository"];
    let fields = ["url", "clone_url", "git_http_url", "html_url", "ssh_url"];
    let mut urls: Vec<String> = fields
        .iter()
        .filter_map(|f| repository[*f].as_str())
        .map(str::to_owned)
        .collect();
    urls.dedup();
    if urls.is_empty() {
        return Err(Failure::body(
            "repository.url: absent; which repository has news?",
        ));
    }
    let mut refusal = None;
    for url in urls {
        match api
            .engine
            .submit(Order::Announce {
                repo_url: url.clone(),
            })
            .await
        {
            Ok(_) => return Ok(Success::new(StatusCode::OK, format!("{url} is being looked at"))),
            Err(fault) => refusal = refusal.or(Some(fault)),
        }
    }
    Err(refusal.map_or_else(|| Failure::body("no repository"), Failure::from))
}

fn parse(id: &str) -> Result<ClusterId, Failure> {
    ClusterId::new(id).map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Failure {
    Failure::unknown("cluster", id)
}

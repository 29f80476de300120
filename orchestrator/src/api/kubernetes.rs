//! Kubernetes clusters and their machines. Secrets among their properties are sealed before anybody sees them.
//!
//! This file refuses to know what is started there.

use axum::Json;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use cartridge_orchestrator_plan::blueprint::{KubernetesCluster, parse};
use cartridge_orchestrator_plan::order::{HostChange, Mode, Order, mark};
use cartridge_protocol::{KubernetesClusterId, KubernetesHostId};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use super::body::Document;
use super::reply::{Failure, Success};
use super::resources::{PutQuery, read_before};
use super::{Routes, show};
use crate::auth::Authorized;

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::POST, "/kubernetesClusters", post(add));
    routes.add(Method::PUT, "/kubernetesClusters", put(replace));
    routes.add(Method::GET, "/kubernetesClusters", get(list));
    routes.add(Method::PUT, "/kubernetesClusters/host", put(replace_host));
    routes.add(Method::GET, "/kubernetesClusters/{id}", get(one));
    routes.add(Method::DELETE, "/kubernetesClusters/{id}", delete(remove));
    routes.add(Method::GET, "/kubernetesClusters/{id}/hosts", get(hosts));
    routes.add(Method::GET, "/kubernetesClusters/{id}/master", get(master));
    routes.add(
        Method::PUT,
        "/kubernetesClusters/{id}/master",
        put(replace_master),
    );
    routes.add(Method::POST, "/kubernetesClusters/{id}/minion", post(add_host));
    routes.add(
        Method::DELETE,
        "/kubernetesClusters/{id}/hosts/{host}",
        delete(remove_host),
    );
}

async fn submit(api: &Authorized, body: &Value, mode: Mode) -> Result<KubernetesClusterId, Failure> {
    let (mut cluster, secrets) = parse::kubernetes_cluster(body)?;
    for (name, secret) in secrets {
        let sealed = match secret.expose() {
            "" => String::new(),
            clear => api
                .engine
                .seal(clear)
                .map_err(|fault| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()))?,
        };
        cluster.sealed.insert(name, sealed);
    }
    let id = cluster.cluster_id.clone();
    api.engine
        .submit(Order::PutKubernetesCluster(Box::new(cluster), mode))
        .await?;
    Ok(id)
}

async fn add(api: Authorized, Document(body): Document) -> Result<Success, Failure> {
    let id = submit(&api, &body, Mode::Add).await?;
    Ok(Success::new(
        StatusCode::CREATED,
        format!("Kubernetes cluster {id} was added"),
    ))
}

async fn replace(
    api: Authorized,
    Query(query): Query<PutQuery>,
    headers: HeaderMap,
    Document(body): Document,
) -> Result<Success, Failure> {
    let mode = match read_before(&headers)? {
        Some(mark) => Mode::IfStill(mark),
        None => query.mode()?,
    };
    let id = submit(&api, &body, mode).await?;
    let what = if mode == Mode::Either {
        "applied"
    } else {
        "replaced"
    };
    Ok(Success::new(
        StatusCode::OK,
        format!("Kubernetes cluster {id} was {what}"),
    ))
}

async fn list(api: Authorized) -> Json<Vec<Value>> {
    Json(api.engine.read(|world, _, _| {
        let all = world.kubernetes_clusters.values();
        all.map(show::kubernetes_cluster).collect()
    }))
}

/// What `read` makes of a cluster.
fn look<T>(api: &Authorized, id: &str, read: impl FnOnce(&KubernetesCluster) -> T) -> Result<T, Failure> {
    let found = api
        .engine
        .read(|world, _, _| world.kubernetes_clusters.get(id).map(read));
    found.ok_or_else(|| unknown(id))
}

async fn one(api: Authorized, Path(id): Path<String>) -> Result<Response, Failure> {
    let (shown, mark) = look(&api, &id, |one| (show::kubernetes_cluster(one), mark(one)))?;
    let tag = [(header::ETAG, format!("\"{mark:016x}\""))];
    Ok((tag, Json(shown)).into_response())
}

async fn hosts(api: Authorized, Path(id): Path<String>) -> Result<Json<Vec<Value>>, Failure> {
    let shown = |one: &KubernetesCluster| one.kubernetes_hosts.iter().map(show::kubernetes_host).collect();
    look(&api, &id, shown).map(Json)
}

async fn master(api: Authorized, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    look(&api, &id, |one| show::kubernetes_host(&one.kubernetes_master)).map(Json)
}

async fn remove(api: Authorized, Path(id): Path<String>) -> Result<Success, Failure> {
    let known = cluster_id(&id)?;
    api.engine.submit(Order::RemoveKubernetesCluster(known)).await?;
    Ok(Success::new(
        StatusCode::OK,
        format!("Kubernetes cluster {id} was removed"),
    ))
}

async fn change(api: &Authorized, change: HostChange) -> Result<(), Failure> {
    let order = Order::ChangeKubernetesHost(Box::new(change));
    api.engine.submit(order).await?;
    Ok(())
}

async fn add_host(
    api: Authorized,
    Path(id): Path<String>,
    Document(body): Document,
) -> Result<Success, Failure> {
    let host = parse::kubernetes_host(&body)?;
    let text = format!("host {} was added to Kubernetes cluster {id}", host.host_id);
    change(&api, HostChange::Add(cluster_id(&id)?, host)).await?;
    Ok(Success::new(StatusCode::CREATED, text))
}

async fn replace_master(
    api: Authorized,
    Path(id): Path<String>,
    Document(body): Document,
) -> Result<Success, Failure> {
    let host = parse::kubernetes_host(&body)?;
    let text = format!("host {} is the master of Kubernetes cluster {id}", host.host_id);
    change(&api, HostChange::Master(cluster_id(&id)?, host)).await?;
    Ok(Success::new(StatusCode::OK, text))
}

async fn replace_host(api: Authorized, Document(body): Document) -> Result<Success, Failure> {
    let host = parse::kubernetes_host(&body)?;
    let text = format!("host {} was replaced", host.host_id);
    change(&api, HostChange::Replace(host)).await?;
    Ok(Success::new(StatusCode::OK, text))
}

async fn remove_host(api: Authorized, Path((id, host)): Path<(String, String)>) -> Result<Success, Failure> {
    let known =
        KubernetesHostId::new(host.as_str()).map_err(|_| Failure::unknown("Kubernetes host", &host))?;
    change(&api, HostChange::Remove(cluster_id(&id)?, known)).await?;
    Ok(Success::new(StatusCode::OK, format!("host {host} was removed")))
}

fn cluster_id(id: &str) -> Result<KubernetesClusterId, Failure> {
    KubernetesClusterId::new(id).map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Failure {
    Failure::unknown("Kubernetes cluster", id)
}

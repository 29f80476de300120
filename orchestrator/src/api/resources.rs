//! Cartridges, policies and network partitions: add, replace, list, show, remove. One row each says how.
//!
//! This file refuses to know what is valid: parsing and `admit` say so.

use axum::Json;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use cartridge_orchestrator_plan::blueprint::{Cartridge, parse};
use cartridge_orchestrator_plan::order::{Mode, Order, mark};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{CartridgeType, GroupName, NetworkPartitionId, PolicyId};
use http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::body::Document;
use super::reply::{Failure, Success};
use super::{Routes, show};
use crate::auth::Authorized;

/// A document and what shall become of it: its id and the order.
pub(super) type Reader = fn(&Value, Mode) -> Result<(String, Order), Failure>;

/// One document as it is shown; None: there is none of this id.
pub(super) type Shown = fn(&World, &str) -> Option<Value>;

/// How one kind of resource is read, shown and removed.
#[derive(Clone, Copy)]
struct Resource {
    collection: &'static str,
    name: &'static str,
    put: Reader,
    list: fn(&World) -> Vec<Value>,
    one: Shown,
    mark: fn(&World, &str) -> Option<u64>,
    remove: fn(&str) -> Option<Order>,
}

const ALL: [Resource; 6] = [
    Resource {
        collection: "/cartridges",
        name: "cartridge",
        put: |body, mode| {
            let one = parse::cartridge(body)?;
            Ok((
                one.cartridge_type.to_string(),
                Order::PutCartridge(Box::new(one), mode),
            ))
        },
        list: |world| world.cartridges.values().map(show::cartridge).collect(),
        one: |world, id| world.cartridges.get(id).map(show::cartridge),
        mark: |world, id| world.cartridges.get(id).map(mark),
        remove: |id| CartridgeType::new(id).ok().map(Order::RemoveCartridge),
    },
    Resource {
        collection: "/cartridgeGroups",
        name: "cartridge group",
        put: |body, mode| {
            let one = parse::cartridge_group(body)?;
            Ok((
                one.name.to_string(),
                Order::PutCartridgeGroup(Box::new(one), mode),
            ))
        },
        list: |world| {
            world
                .cartridge_groups
                .values()
                .map(show::cartridge_group)
                .collect()
        },
        one: |world, name| world.cartridge_groups.get(name).map(show::cartridge_group),
        mark: |world, id| world.cartridge_groups.get(id).map(mark),
        remove: |name| GroupName::new(name).ok().map(Order::RemoveCartridgeGroup),
    },
    Resource {
        collection: "/networkPartitions",
        name: "network partition",
        put: |body, mode| {
            let one = parse::network_partition(body)?;
            Ok((
                one.id.to_string(),
                Order::PutNetworkPartition(Box::new(one), mode),
            ))
        },
        list: |world| {
            world
                .network_partitions
                .values()
                .map(show::network_partition)
                .collect()
        },
        one: |world, id| world.network_partitions.get(id).map(show::network_partition),
        mark: |world, id| world.network_partitions.get(id).map(mark),
        remove: |id| {
            NetworkPartitionId::new(id)
                .ok()
                .map(Order::RemoveNetworkPartition)
        },
    },
    Resource {
        collection: "/deploymentPolicies",
        name: "deployment policy",
        put: |body, mode| {
            let one = parse::deployment_policy(body)?;
            Ok((
                one.id.to_string(),
                Order::PutDeploymentPolicy(Box::new(one), mode),
            ))
        },
        list: |world| {
            world
                .deployment_policies
                .values()
                .map(show::deployment_policy)
                .collect()
        },
        one: |world, id| world.deployment_policies.get(id).map(show::deployment_policy),
        mark: |world, id| world.deployment_policies.get(id).map(mark),
        remove: |id| PolicyId::new(id).ok().map(Order::RemoveDeploymentPolicy),
    },
    Resource {
        collection: "/autoscalingPolicies",
        name: "autoscaling policy",
        put: |body, mode| {
            let one = parse::autoscaling_policy(body)?;
            Ok((
                one.id.to_string(),
                Order::PutAutoscalingPolicy(Box::new(one), mode),
            ))
        },
        list: |world| {
            world
                .autoscaling_policies
                .values()
                .map(show::autoscaling_policy)
                .collect()
        },
        one: |world, id| world.autoscaling_policies.get(id).map(show::autoscaling_policy),
        mark: |world, id| world.autoscaling_policies.get(id).map(mark),
        remove: |id| PolicyId::new(id).ok().map(Order::RemoveAutoscalingPolicy),
    },
    Resource {
        collection: "/applicationPolicies",
        name: "application policy",
        put: |body, mode| {
            let one = parse::application_policy(body)?;
            Ok((
                one.id.to_string(),
                Order::PutApplicationPolicy(Box::new(one), mode),
            ))
        },
        list: |world| {
            world
                .application_policies
                .values()
                .map(show::application_policy)
                .collect()
        },
        one: |world, id| world.application_policies.get(id).map(show::application_policy),
        mark: |world, id| world.application_policies.get(id).map(mark),
        remove: |id| PolicyId::new(id).ok().map(Order::RemoveApplicationPolicy),
    },
];

/// How a PUT treats what does not exist yet.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PutQuery {
    mode: Option<String>,
}

impl PutQuery {
    /// PUT replaces; `?mode=either` also adds (`cartridge apply`).
    pub(super) fn mode(&self) -> Result<Mode, Failure> {
        match self.mode.as_deref() {
            None => Ok(Mode::Replace),
            Some("either") => Ok(Mode::Either),
            Some(other) => Err(Failure::body(format!(
                "mode {other:?} is unknown; `either` is known"
            ))),
        }
    }
}

pub(super) fn mount(routes: &mut Routes) {
    for resource in ALL {
        let one = format!("{}/{{id}}", resource.collection);
        routes.add(
            Method::POST,
            resource.collection,
            post(async move |api: Authorized, Document(body): Document| {
                resource.submit(&api, &body, Mode::Add).await
            }),
        );
        routes.add(
            Method::PUT,
            resource.collection,
            put(
                async move |api: Authorized,
                            Query(query): Query<PutQuery>,
                            headers: HeaderMap,
                            Document(body): Document| {
                    let mode = match read_before(&headers)? {
                        Some(mark) => Mode::IfStill(mark),
                        None => query.mode()?,
                    };
                    resource.submit(&api, &body, mode).await
                },
            ),
        );
        routes.add(
            Method::GET,
            resource.collection,
            get(async move |api: Authorized| Json(api.engine.read(|world, _, _| (resource.list)(world)))),
        );
        routes.add(
            Method::GET,
            &one,
            get(async move |api: Authorized, Path(id): Path<String>| resource.find(&api, &id)),
        );
        routes.add(
            Method::DELETE,
            &one,
            delete(async move |api: Authorized, Path(id): Path<String>| resource.remove(&api, &id).await),
        );
    }
    routes.add(Method::GET, "/cartridges/filter/{filter}", get(filter));
    routes.add(Method::GET, "/cartridges/{id}/filter/{filter}", get(filter_one));
}

impl Resource {
    async fn submit(self, api: &Authorized, body: &Value, mode: Mode) -> Result<Success, Failure> {
        let (id, order) = (self.put)(body, mode)?;
        api.engine.submit(order).await?;
        Ok(match mode {
            Mode::Add => Success::new(StatusCode::CREATED, format!("{} {id} was added", self.name)),
            Mode::Replace | Mode::IfStill(_) => {
                Success::new(StatusCode::OK, format!("{} {id} was replaced", self.name))
            }
            Mode::Either => Success::new(StatusCode::OK, format!("{} {id} was applied", self.name)),
        })
    }

    fn find(self, api: &Authorized, id: &str) -> Result<Response, Failure> {
        let found = api
            .engine
            .read(|world, _, _| (self.one)(world, id).zip((self.mark)(world, id)));
        let (shown, mark) = found.ok_or_else(|| Failure::unknown(self.name, id))?;
        let tag = [(header::ETAG, format!("\"{mark:016x}\""))];
        Ok((tag, Json(shown)).into_response())
    }

    async fn remove(self, api: &Authorized, id: &str) -> Result<Success, Failure> {
        let order = (self.remove)(id).ok_or_else(|| Failure::unknown(self.name, id))?;
        api.engine.submit(order).await?;
        Ok(Success::new(
            StatusCode::OK,
            format!("{} {id} was removed", self.name),
        ))
    }
}

/// `If-Match: "0123456789abcdef"`: only if it still is what an `ETag` was given for.
pub(super) fn read_before(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim_matches('"');
    let mark = u64::from_str_radix(text, 16)
        .map_err(|_| Failure::body(format!("If-Match: {text:?} is no ETag of a document here")))?;
    Ok(Some(mark))
}

/// How a document of a collection is read and shown; None: there is no such collection.
pub(super) fn reader(collection: &str) -> Option<(Reader, Shown)> {
    let named = |resource: &&Resource| resource.collection.strip_prefix('/') == Some(collection);
    ALL.iter()
        .find(named)
        .map(|resource| (resource.put, resource.one))
}

#[derive(Debug, Deserialize)]
struct FilterQuery {
    criteria: Option<String>,
}

/// Stratos's filters of the list of cartridges.
async fn filter(
    api: Authorized,
    Path(filter): Path<String>,
    Query(query): Query<FilterQuery>,
) -> Result<Json<Vec<Value>>, Failure> {
    let fits = chosen(&filter, query.criteria)?;
    Ok(Json(api.engine.read(|world, _, _| {
        let kept = world.cartridges.values().filter(|one| fits(one));
        kept.map(show::cartridge).collect()
    })))
}

/// One cartridge, if a filter keeps it.
async fn filter_one(
    api: Authorized,
    Path((id, filter)): Path<(String, String)>,
    Query(query): Query<FilterQuery>,
) -> Result<Json<Value>, Failure> {
    let fits = chosen(&filter, query.criteria)?;
    let found = api.engine.read(|world, _, _| {
        let one = world.cartridges.get(id.as_str()).filter(|one| fits(one));
        one.map(show::cartridge)
    });
    found.map(Json).ok_or_else(|| Failure::unknown("cartridge", &id))
}

fn chosen(filter: &str, criteria: Option<String>) -> Result<impl Fn(&Cartridge) -> bool, Failure> {
    let filter = filter.to_owned();
    if !matches!(
        filter.as_str(),
        "singleTenant" | "multiTenant" | "loadBalancer" | "provider"
    ) {
        return Err(Failure::unknown("filter", &filter));
    }
    Ok(move |one: &Cartridge| match filter.as_str() {
        "singleTenant" => !one.multi_tenant,
        "multiTenant" => one.multi_tenant,
        "loadBalancer" => matches!(one.category.as_str(), "load-balancer" | "lb"),
        _ => criteria.as_deref().is_none_or(|wanted| one.provider == wanted),
    })
}

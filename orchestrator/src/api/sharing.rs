//! Values that cartridges share, as Apache Stratos's metadata service has them: `/metadata/api` beside `/api`.
//!
//! A token opens its own application and no other; administrators open all. Which application a handler works on it is told
//! by [`Sharer`] alone, which proved that the caller may. This file refuses to know what the values are for.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use cartridge_orchestrator_plan::order::{Order, Whose};
use cartridge_protocol::values::Entries;
use cartridge_protocol::{ApplicationId, ValueKey};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::Routes;
use super::body::Document;
use super::reply::{Failure, Success};
use crate::auth::{Api, Authorized, Deployment};
use crate::engine::ShareError;

const OF_APPLICATION: &str = "/metadata/api/applications/{id}/properties";
/// Stratos says `cluster` here and `clusters` there; both are understood everywhere.
const OF_CLUSTER: [&str; 2] = [
    "/metadata/api/applications/{id}/clusters/{alias}/properties",
    "/metadata/api/applications/{id}/cluster/{alias}/properties",
];

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/applications/{id}/values", get(table));
    routes.outside(Method::GET, OF_APPLICATION, get(all));
    routes.outside(Method::POST, OF_APPLICATION, post(share));
    routes.outside(Method::DELETE, OF_APPLICATION, delete(withdraw));
    let one = format!("{OF_APPLICATION}/{{key}}");
    routes.outside(Method::GET, &one, get(all));
    routes.outside(Method::DELETE, &one, delete(withdraw));
    routes.outside(
        Method::DELETE,
        &format!("{one}/value/{{value}}"),
        delete(withdraw),
    );
    for route in OF_CLUSTER {
        routes.outside(Method::GET, route, get(all));
        routes.outside(Method::POST, route, post(share));
        routes.outside(Method::GET, &format!("{route}/{{key}}"), get(all));
    }
}

/// A caller who may use the values that the path names.
struct Sharer {
    whose: Whose,
    key: Option<ValueKey>,
    value: Option<String>,
}

impl FromRequestParts<Api> for Sharer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let Path(mut path) = Path::<BTreeMap<String, String>>::from_request_parts(parts, api)
            .await
            .map_err(|fault| Failure::body(fault.to_string()))?;
        let id = path.remove("id").unwrap_or_default();
        // The guard has proven the token; administrators have none.
        let deployment = parts.extensions.get::<Deployment>().map(|of| of.0);
        let application =
            ApplicationId::new(id.as_str()).map_err(|_| Failure::unknown("application", &id))?;
        let key = path
            .remove("key")
            .map(|key| ValueKey::new(key.as_str()).map_err(|_| Failure::unknown("property", &key)));
        Ok(Self {
            whose: Whose {
                application,
                cluster: path.remove("alias"),
                deployment,
            },
            key: key.transpose()?,
            value: path.remove("value"),
        })
    }
}

/// All values, or those of one key. A single value is told as a text, several as a list: Stratos's clients expect it so.
async fn all(api: Authorized, sharer: Sharer) -> Result<Json<Value>, Failure> {
    let found = api.engine.read(|world, _, _| {
        let alias = sharer.whose.alias(world)?;
        let values = world.values.get(&sharer.whose.application);
        let entries = values.and_then(|values| values.told.of(alias.as_deref()));
        Ok::<_, Failure>(entries.cloned().unwrap_or_default())
    })?;
    match &sharer.key {
        None if found.is_empty() => Err(Failure::new(StatusCode::NOT_FOUND, "nothing is shared there")),
        None => Ok(Json(json!({"properties": properties(&found)}))),
        Some(key) => match found.get_key_value(key) {
            None => Err(Failure::unknown("property", key.as_str())),
            Some((key, list)) => {
                let one: Entries = [(key.clone(), list.clone())].into();
                let mut shown = json!({"properties": properties(&one)});
                shown["key"] = key.as_str().into();
                shown["values"] = plain(list);
                Ok(Json(shown))
            }
        },
    }
}

/// All that an application and its clusters share, a row for each key.
async fn table(api: Authorized, Path(id): Path<String>) -> Result<Json<Vec<Value>>, Failure> {
    api.engine.read(|world, _, _| {
        if !world.applications.contains_key(id.as_str()) {
            return Err(Failure::unknown("application", &id));
        }
        let row = |alias: Option<&str>, (key, list): (&ValueKey, &Vec<String>)| {
            json!({"application": id, "alias": alias, "key": key, "values": list})
        };
        let Some(values) = world.values.get(id.as_str()) else {
            return Ok(Json(Vec::new()));
        };
        let own = values.told.application.iter().map(|entry| row(None, entry));
        let of_clusters = values.told.clusters.iter().flat_map(|(alias, entries)| {
            entries.iter().map(move |entry| row(Some(alias.as_str()), entry))
        });
        Ok(Json(own.chain(of_clusters).collect()))
    })
}

fn properties(entries: &Entries) -> Vec<Value> {
    let row = |(key, list): (&ValueKey, &Vec<String>)| json!({"key": key, "values": plain(list)});
    entries.iter().map(row).collect()
}

fn plain(list: &[String]) -> Value {
    match list {
        [one] => one.as_str().into(),
        several => json!(several),
    }
}

async fn share(api: Authorized, sharer: Sharer, Document(body): Document) -> Result<Response, Failure> {
    let (key, values) = property(&body)?;
    let message = format!("{key} is shared");
    let application = sharer.whose.application.clone();
    let order = Order::ShareValues {
        add: sharer.whose.cluster.is_none(),
        whose: sharer.whose,
        key,
        values,
    };
    answer(
        api.engine.share(&application, order).await,
        Success::new(StatusCode::CREATED, message),
    )
}

/// `{"key": …, "values": […]}`; one value need not be in a list.
fn property(body: &Value) -> Result<(ValueKey, Vec<String>), Failure> {
    let text = body["key"]
        .as_str()
        .ok_or_else(|| Failure::body("key: absent, or no text"))?;
    let key = ValueKey::new(text).map_err(|fault| Failure::body(format!("key: {fault}")))?;
    let fault = || Failure::body("values: absent, or neither a text nor a list of texts");
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    let values = match &body["values"] {
        Value::Array(list) => list.iter().map(one).collect::<Option<Vec<String>>>(),
        value => one(value).map(|value| vec![value]),
    };
    Ok((key, values.ok_or_else(fault)?))
}

async fn withdraw(api: Authorized, sharer: Sharer) -> Result<Response, Failure> {
    let application = sharer.whose.application.clone();
    let order = Order::WithdrawValues {
        whose: sharer.whose,
        key: sharer.key,
        value: sharer.value,
    };
    answer(
        api.engine.share(&application, order).await,
        Success::new(StatusCode::OK, "it is shared no more"),
    )
}

fn answer(result: Result<(), ShareError>, done: Success) -> Result<Response, Failure> {
    match result {
        Ok(()) => Ok(done.into_response()),
        Err(ShareError::Order(fault)) => Err(fault.into()),
        Err(ShareError::TooMuch(wait)) => {
            let text = ShareError::TooMuch(wait).to_string();
            let mut response = Failure::new(StatusCode::TOO_MANY_REQUESTS, text).into_response();
            let seconds = HeaderValue::from(wait.0.div_ceil(1000));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            Ok(response)
        }
    }
}

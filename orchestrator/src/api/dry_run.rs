//! What documents would change if they were put, and what would be decided then. Nothing is written.
//!
//! This file refuses to give orders: it works on a copy of the world.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::routing::post;
use cartridge_orchestrator_plan::blueprint::parse;
use cartridge_orchestrator_plan::decide::{Scope, View, decide};
use cartridge_orchestrator_plan::observe::Observations;
use cartridge_orchestrator_plan::order::{Mode, Order, admit_as, outlook};
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::Millis;
use cartridge_protocol::tenant::TenantId;
use http::Method;
use serde_json::{Value, json};

use super::body::Document;
use super::reply::Failure;
use super::resources::Shown;
use super::{Routes, resources, show, telling};
use crate::auth::Authorized;

/// Most documents at once.
const MAX_DOCUMENTS: usize = 1000;
/// Most differences that are told of one document, and most decisions.
const MAX_TOLD: usize = 200;

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::POST, "/diff", post(diff));
}

/// `{"documents": [{"collection": "cartridges", "document": {…}}, …]}`, each seeing what those before it would change.
async fn diff(api: Authorized, Document(body): Document) -> Result<Json<Value>, Failure> {
    let Some(documents) = body["documents"].as_array() else {
        return Err(Failure::body("documents: must be a list"));
    };
    if documents.len() > MAX_DOCUMENTS {
        return Err(Failure::body(format!(
            "documents: at most {MAX_DOCUMENTS} are accepted"
        )));
    }
    let now = api.engine.now();
    let tenant = api.engine.who().tenant;
    api.engine.read(|world, seen, _| {
        let mut after = world.clone();
        let rows: Result<Vec<Value>, Failure> = documents
            .iter()
            .enumerate()
            .map(|(i, one)| row(&mut after, tenant, one, i, now))
            .collect();
        let rows = rows?;
        let mut plan = outlook(world, &after);
        plan.truncate(MAX_TOLD);
        let decisions = decisions(world, &after, seen, now);
        Ok(Json(
            json!({"documents": rows, "plan": plan, "decisions": decisions}),
        ))
    })
}

fn row(
    after: &mut World,
    tenant: TenantId,
    one: &Value,
    place: usize,
    now: Millis,
) -> Result<Value, Failure> {
    let collection = one["collection"].as_str().unwrap_or_default();
    let (id, order, show) = read(collection, &one["document"], place)?;
    let before = show(after, &id);
    let records = admit_as(after, tenant, order)?;
    apply(after, records, now)?;
    let mut changes = Vec::new();
    let then = show(after, &id).unwrap_or_default();
    differences("", before.as_ref().unwrap_or(&Value::Null), &then, &mut changes);
    let change = match &before {
        None => "add",
        Some(_) if changes.is_empty() => "none",
        Some(_) => "change",
    };
    if before.is_none() {
        changes.clear();
    }
    changes.truncate(MAX_TOLD);
    Ok(json!({"collection": collection, "id": id, "change": change, "changes": changes}))
}

fn read(collection: &str, document: &Value, place: usize) -> Result<(String, Order, Shown), Failure> {
    if collection == "applications" {
        let (blueprint, _) = parse::application(document)?;
        let id = blueprint.application_id.to_string();
        let order = Order::PutApplication {
            blueprint: Box::new(blueprint),
            // What is sealed looks different each time: passwords are not compared.
            sealed: BTreeMap::new(),
            expected_revision: None,
            mode: Mode::Either,
        };
        return Ok((id, order, application));
    }
    let Some((put, one)) = resources::reader(collection) else {
        let text = format!("documents[{place}].collection: {collection:?} is unknown");
        return Err(Failure::body(text));
    };
    let (id, order) = put(document, Mode::Either)?;
    Ok((id, order, one))
}

fn application(world: &World, id: &str) -> Option<Value> {
    let mut shown = show::application(world, world.applications.get(id)?);
    shown["revision"] = Value::Null;
    Some(shown)
}

fn apply(world: &mut World, records: Vec<Record>, now: Millis) -> Result<(), Failure> {
    for record in records {
        let entry = Entry {
            seq: world.seq + 1,
            at_unix_ms: 0,
            record,
        };
        world
            .apply(&entry, now)
            .map_err(|unfit| Failure::body(unfit.to_string()))?;
    }
    Ok(())
}

/// Field by field; lists place by place.
fn differences(path: &str, before: &Value, after: &Value, found: &mut Vec<Value>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                let side = |of: &serde_json::Map<String, Value>| of.get(name).cloned().unwrap_or_default();
                differences(&below(name), &side(before), &side(after), found);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for i in 0..before.len().max(after.len()) {
                let side = |of: &[Value]| of.get(i).cloned().unwrap_or_default();
                differences(&format!("{path}[{i}]"), &side(before), &side(after), found);
            }
        }
        _ if before == after => {}
        _ => found.push(json!({"field": path, "from": before, "to": after})),
    }
}

/// What would be decided at once because of the changes, as events tell it.
fn decisions(before: &World, after: &World, seen: &Observations, now: Millis) -> Vec<String> {
    let told = |world: &World| -> Vec<String> {
        let planned = decide(&View { world, seen, now }, Scope::All);
        planned.records.iter().map(telling::text).collect()
    };
    let anyway: BTreeSet<String> = told(before).into_iter().collect();
    let new = told(after).into_iter().filter(|line| !anyway.contains(line));
    new.take(MAX_TOLD).collect()
}

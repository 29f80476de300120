//! Simulated instances, as Apache Stratos's mock infrastructure shows them: their launch parameters, and a way to end one.
//!
//! The parameters hold the application's token, so they are for administrators alone. This file refuses to know how members
//! are simulated.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use cartridge_orchestrator_plan::launch::spec;
use cartridge_orchestrator_plan::world::{Member, World};
use cartridge_protocol::launch::key;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};

use super::Routes;
use super::reply::{Failure, Success};
use crate::auth::Authorized;

const INSTANCES: &str = "/mock-iaas/api/instances";

pub(super) fn mount(routes: &mut Routes) {
    routes.outside(Method::GET, INSTANCES, get(list));
    routes.outside(Method::GET, &format!("{INSTANCES}/{{id}}"), get(one));
    routes.outside(Method::DELETE, &format!("{INSTANCES}/{{id}}"), delete(end));
}

fn simulated(world: &World) -> impl Iterator<Item = &Member> {
    let is_mock = |member: &&Member| {
        let home = world.network_partitions.get(&member.network_partition);
        home.is_some_and(|home| home.provider == "mock")
    };
    let members = world.members.values().filter(is_mock);
    members.filter(|member| member.instance.is_some())
}

/// By the member's id, or by the instance's.
fn find<'a>(world: &'a World, id: &str) -> Option<&'a Member> {
    simulated(world).find(|member| {
        let instance = member.instance.as_ref();
        member.id.as_str() == id || instance.is_some_and(|instance| instance.name == id)
    })
}

fn shown(member: &Member) -> Value {
    let instance = member.instance.as_ref();
    let address = instance.map(|instance| instance.address);
    json!({
        "instanceId": instance.map(|instance| &instance.name),
        "memberId": member.id,
        "clusterId": member.cluster,
        "networkPartitionId": member.network_partition,
        "partitionId": member.partition,
        "defaultPrivateIp": address,
        "defaultPublicIp": address,
    })
}

async fn list(api: Authorized) -> Json<Vec<Value>> {
    Json(
        api.engine
            .read(|world, _, _| simulated(world).map(shown).collect()),
    )
}

/// The launch parameters as one line `K=V,K=V`; for who accepts JSON, in `payload` beside what else is known.
async fn one(api: Authorized, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Failure> {
    let found = api.engine.read(|world, _, _| {
        let member = find(world, &id)?;
        let spec = spec(world, member)?;
        let application = world.clusters.get(&member.cluster)?.application.clone();
        Some((shown(member), spec, application))
    });
    let (mut shown, spec, application) = found.ok_or_else(|| unknown(&id))?;
    let mut parameters = spec.parameters;
    let ports: Vec<String> = spec.ports.values().map(ToString::to_string).collect();
    parameters.insert(key::PORTS.to_owned(), ports.join("|"));
    if let Some(token) = api.engine.token_of(&application) {
        parameters.insert(key::TOKEN.to_owned(), token.expose().to_owned());
    }
    let line = line(parameters);
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("json")) {
        shown["payload"] = line.into();
        return Ok(Json(shown).into_response());
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], line).into_response())
}

/// What this form has no room for, a comma in a value, is left out.
fn line(parameters: impl IntoIterator<Item = (String, String)>) -> String {
    let pairs = parameters
        .into_iter()
        .filter(|(_, value)| !value.contains([',', '\n']));
    pairs
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

async fn end(api: Authorized, Path(id): Path<String>) -> Result<Success, Failure> {
    let found = api
        .engine
        .read(|world, _, _| find(world, &id).map(|member| (member.id.clone(), member.incarnation)));
    let (member, incarnation) = found.ok_or_else(|| unknown(&id))?;
    let reason = "ended, as somebody asked the mock".to_owned();
    api.engine.instance_gone(&member, incarnation, reason).await;
    Ok(Success::new(StatusCode::OK, format!("{member} ends")))
}

fn unknown(id: &str) -> Failure {
    Failure::unknown("simulated instance", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_can_be_split_off_at_commas_and_at_its_first_equals_sign() {
        let pairs = [("A", "1"), ("B", "x=="), ("C", "[1,2]"), ("D", "")];
        let line = line(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(line, "A=1,B=x==,D=");
    }
}

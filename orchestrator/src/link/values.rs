//! A member shares values: as its own cluster or its own application, as nobody else. Refuses to know what they are for.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use cartridge_orchestrator_plan::order::{Code, Order, Whose};
use cartridge_protocol::values::{Share, SharePlace};

use super::caller::caller;
use super::{Refused, answer, body, json, over};
use crate::engine::{Engine, ShareError, SubmitError};

pub(super) async fn share(
    State(engine): State<Engine>,
    headers: HeaderMap,
    sent: Body,
) -> Result<Response, Refused> {
    let who = caller(&engine, &headers)?;
    let bytes = body(sent).await?;
    let share: Share = json(&bytes)?;
    let own = engine.read(|world, _, _| {
        let cluster = world.clusters.get(&world.members.get(&who.member)?.cluster)?;
        let deployment = world.applications.get(&cluster.application)?.deployment()?;
        Some((cluster.application.clone(), cluster.alias.clone(), deployment))
    });
    let (application, alias, deployment) = own.ok_or_else(over)?;
    let as_cluster = share.place == SharePlace::Cluster;
    let order = Order::ShareValues {
        whose: Whose {
            application: application.clone(),
            cluster: as_cluster.then_some(alias),
            deployment: Some(deployment),
        },
        key: share.key,
        values: share.values,
        add: !as_cluster,
    };
    match engine.share(&application, order).await {
        Ok(()) => Ok(answer(&serde_json::json!({}))),
        Err(fault) => Err(refused(&fault)),
    }
}

fn refused(fault: &ShareError) -> Refused {
    let status = match fault {
        ShareError::TooMuch(_) => StatusCode::TOO_MANY_REQUESTS,
        ShareError::Order(SubmitError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
        ShareError::Order(SubmitError::Refused(refusal)) => match refusal.code {
            // Not found: a balancer is of no cluster that could share.
            Code::Invalid | Code::InUse | Code::NotFound => StatusCode::BAD_REQUEST,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::Conflict => StatusCode::GONE,
        },
    };
    Refused(status, fault.to_string())
}

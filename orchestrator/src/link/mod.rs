//! The agents' side of the server: `/link/v1/join`, `/link/v1/stream`, `/link/v1/batch`, `/link/v1/values` of [`cartridge_protocol::link`].
//!
//! This file refuses to know what a member is for. Everything here comes from members, which are hostile until parsed.

mod caller;
mod join;
mod stream;
mod values;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cartridge_protocol::link::{Batch, MAX_BODY_BYTES};

use self::caller::caller;
use crate::engine::{Engine, Fence};

/// For a body to arrive.
const BODY: Duration = Duration::from_secs(15);

/// The routes.
pub fn router(engine: Engine) -> Router {
    Router::new()
        .route("/link/v1/join", post(join::join))
        .route("/link/v1/stream", get(stream::stream))
        .route("/link/v1/batch", post(batch))
        .route("/link/v1/values", post(values::share))
        .with_state(engine)
}

/// A refusal: a status and one line.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<Fence> for Refused {
    fn from(fence: Fence) -> Self {
        match fence {
            Fence::Unauthorized => Self(
                StatusCode::UNAUTHORIZED,
                "not the credential of this member".to_owned(),
            ),
            Fence::Over => over(),
        }
    }
}

fn over() -> Refused {
    Refused(StatusCode::GONE, "this life of the member is over".to_owned())
}

async fn body(body: Body) -> Result<Bytes, Refused> {
    match tokio::time::timeout(BODY, axum::body::to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body of at most {MAX_BODY_BYTES} bytes is accepted"),
        )),
        Err(_) => Err(Refused(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time".to_owned(),
        )),
    }
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    // The message of serde_json can quote a value, which may be a secret.
    serde_json::from_slice(bytes).map_err(|e| {
        let place = format!(
            "the body is not what is expected at line {}, column {}",
            e.line(),
            e.column()
        );
        Refused(StatusCode::BAD_REQUEST, place)
    })
}

fn answer(value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => ([("content-type", "application/json")], bytes).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

async fn batch(State(engine): State<Engine>, headers: HeaderMap, sent: Body) -> Result<Response, Refused> {
    let result = take_in(&engine, &headers, sent).await;
    if result.is_err() {
        engine.shared.stats.batches_refused.fetch_add(1, Relaxed);
    }
    result
}

async fn take_in(engine: &Engine, headers: &HeaderMap, sent: Body) -> Result<Response, Refused> {
    let who = caller(engine, headers)?;
    let bytes = body(sent).await?;
    let batch: Batch = json(&bytes)?;
    batch
        .check()
        .map_err(|e| Refused(StatusCode::BAD_REQUEST, e.to_string()))?;
    let acknowledged = engine.report(&who.member, who.incarnation, batch)?;
    Ok(answer(&acknowledged))
}

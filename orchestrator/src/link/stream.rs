//! What is wanted of a member, as lines, for as long as it listens.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use cartridge_protocol::link::{Down, PING_SECONDS};
use tokio_util::sync::CancellationToken;

use super::Refused;
use super::caller::caller;
use crate::engine::{Ear, Engine};

pub(super) async fn stream(State(engine): State<Engine>, headers: HeaderMap) -> Result<Response, Refused> {
    let who = caller(&engine, &headers)?;
    let ear = engine.listen(&who.member, who.incarnation);
    let lines = futures_util::stream::unfold((ear, engine.stopping()), |(mut ear, stopping)| async move {
        let line = line(&mut ear, &stopping).await?;
        Some((Ok::<Bytes, Infallible>(line), (ear, stopping)))
    });
    Ok((
        [("content-type", "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response())
}

/// The next line; None ends the stream.
async fn line(ear: &mut Ear, stopping: &CancellationToken) -> Option<Bytes> {
    let ping = tokio::time::sleep(Duration::from_secs(PING_SECONDS));
    let down = tokio::select! {
        () = stopping.cancelled() => return None,
        wanted = ear.next() => Down::Desired(Box::new(wanted?.as_ref().clone())),
        () = ping => Down::Ping,
    };
    let mut line = serde_json::to_vec(&down).ok()?;
    line.push(b'\n');
    Some(line.into())
}

//! A member introduces itself. The token is derived from the installation's key, so there is none to steal from us; it
//! is spent by the record of the first join.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use cartridge_protocol::link::{Join, Joined};

use super::{Refused, answer, body, json, over};
use crate::engine::{Engine, JoinRefused, Joining};

/// For the join to become durable.
const DURABLE: Duration = Duration::from_secs(10);

pub(super) async fn join(State(engine): State<Engine>, sent: Body) -> Result<Response, Refused> {
    let bytes = body(sent).await?;
    let join: Join = json(&bytes)?;
    let token = engine.shared.identity.join_token(&join.member, join.incarnation);
    if !token.matches(join.token.expose()) {
        tracing::warn!(member = %join.member, "a join with a wrong token was refused");
        return Err(Refused(
            StatusCode::UNAUTHORIZED,
            "the join token is wrong".to_owned(),
        ));
    }
    let hash = &join.credential_sha256;
    if hash.len() != 64 || !hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        let text = "credential_sha256 must be 64 lower-case hexadecimal digits".to_owned();
        return Err(Refused(StatusCode::BAD_REQUEST, text));
    }
    let joining = Joining {
        member: join.member.clone(),
        incarnation: join.incarnation,
        credential_sha256: join.credential_sha256.clone(),
    };
    let joined = tokio::time::timeout(DURABLE, engine.join(joining)).await;
    joined
        .unwrap_or(Err(JoinRefused::NotYet))
        .map_err(|refused| refusal(&join, refused))?;
    let desired = engine.desired(&join.member, join.incarnation).ok_or_else(over)?;
    Ok(answer(&Joined { desired }))
}

fn refusal(join: &Join, refused: JoinRefused) -> Refused {
    let (status, text) = match refused {
        JoinRefused::Expired => (StatusCode::UNAUTHORIZED, "the join token is too old"),
        JoinRefused::Spent => (StatusCode::CONFLICT, "the join token was used already"),
        JoinRefused::Over => (StatusCode::GONE, "this life of the member is over"),
        JoinRefused::NotYet => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the join could not be recorded; try again",
        ),
    };
    tracing::warn!(member = %join.member, incarnation = join.incarnation, "a join was refused: {text}");
    Refused(status, text.to_owned())
}

//! Who calls, proven by the bearer credential. Refuses to know what is asked for.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use cartridge_protocol::MemberId;
use cartridge_protocol::link::{INCARNATION_HEADER, MEMBER_HEADER};

use super::Refused;
use crate::engine::Engine;
use crate::identity::sha256_hex;

/// One life of one member.
pub(super) struct Caller {
    pub(super) member: MemberId,
    pub(super) incarnation: u64,
}

/// Who calls; refuses who cannot prove it, and whose life is over.
pub(super) fn caller(engine: &Engine, headers: &HeaderMap) -> Result<Caller, Refused> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let missing = |what: &str| Refused(StatusCode::UNAUTHORIZED, format!("{what} is missing or wrong"));
    let member = text(MEMBER_HEADER)
        .and_then(|id| MemberId::new(id).ok())
        .ok_or_else(|| missing(MEMBER_HEADER))?;
    let incarnation = text(INCARNATION_HEADER)
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| missing(INCARNATION_HEADER))?;
    let credential = text(AUTHORIZATION.as_str())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| missing("authorization"))?;
    engine.fence(&member, incarnation, &sha256_hex(credential))?;
    Ok(Caller { member, incarnation })
}

//! The check before every handler: credentials, then the role that the route asks for.
//!
//! This file refuses to know what the routes do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use super::roles::Access;
use super::{Auth, Verdict};
use crate::api::reply::Failure;

/// What one route asks for.
#[derive(Clone)]
pub struct Guard {
    /// Who checks.
    pub auth: Auth,
    /// Who may; None: nobody.
    pub access: Option<Access>,
}

/// Lets the request through with its [`super::Principal`] among its extensions, or answers 401, 403 or 429.
pub async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let least = match guard.access {
        None => return Failure::new(StatusCode::FORBIDDEN, "nobody may use this route").into_response(),
        Some(Access::Open) => return next.run(request).await,
        Some(Access::From(role)) => role,
    };
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match guard.auth.verify(header, source(&request)).await {
        Verdict::Known(principal) if principal.role >= least => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Verdict::Known(principal) => {
            let text = format!("{} may look, but not order this", principal.name);
            Failure::new(StatusCode::FORBIDDEN, text).into_response()
        }
        Verdict::Unknown => unauthorized(),
        Verdict::Later(seconds) => too_many(seconds),
    }
}

/// Whoever opened the connection; the server adds it to every request.
fn source(request: &Request) -> IpAddr {
    request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| {
            address.ip()
        })
}

fn unauthorized() -> Response {
    let mut response =
        Failure::new(StatusCode::UNAUTHORIZED, "user name and password, please").into_response();
    let challenge = HeaderValue::from_static("Basic realm=\"cartridge\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn too_many(seconds: u64) -> Response {
    let text = format!("too many wrong passwords from here; try again in {seconds} s");
    let mut response = Failure::new(StatusCode::TOO_MANY_REQUESTS, text).into_response();
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

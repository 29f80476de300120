//! The check before every handler: credentials, then the role that the route asks for.
//!
//! This file refuses to know what the routes do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

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
    if comes_from_elsewhere(request.method(), request.headers()) {
        let text = "orders from pages of other sites are not taken";
        return Failure::new(StatusCode::FORBIDDEN, text).into_response();
    }
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

/// A browser adds remembered credentials to what any page makes it send, and says whose page that was. Programs that
/// are no browsers say nothing.
fn comes_from_elsewhere(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let fetched = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let host = text("host");
    let foreign = text("origin").is_some_and(|origin| origin.split_once("://").map(|(_, host)| host) != host);
    fetched || foreign
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_may_make_a_browser_order_something() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            };
            [("host", "cartridge:9443")]
                .iter()
                .chain(pairs)
                .map(pair)
                .collect()
        };
        let order =
            |pairs: &[(&'static str, &'static str)]| comes_from_elsewhere(&Method::POST, &headers(pairs));
        assert!(!order(&[]), "programs say nothing");
        assert!(!order(&[
            ("origin", "https://cartridge:9443"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(order(&[("origin", "https://evil.test")]));
        assert!(order(&[("origin", "null")]));
        assert!(order(&[("sec-fetch-site", "cross-site")]));
        let look = headers(&[("origin", "https://evil.test")]);
        assert!(!comes_from_elsewhere(&Method::GET, &look));
    }
}

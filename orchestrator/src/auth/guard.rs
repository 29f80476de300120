//! The check before every handler: credentials, a session or a signature, then the role that the route asks for, then
//! whose its object is.
//!
//! This file refuses to know what the routes do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::RequestExt as _;
use axum::body::Body;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::Secret;
use cartridge_protocol::tenant::TenantId;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::roles::{Access, Relation, Role};
use super::web_hook::{NotTaken, WebHooks};
use super::{Api, Authorized, Principal, Verdict};
use crate::api::body::bounded;
use crate::api::reply::{Failure, in_shape};

/// What one route asks for.
#[derive(Clone)]
pub struct Guard {
    /// Who checks, and knows whose things are.
    pub api: Api,
    /// Who may, and with whose things; None: nobody.
    pub access: Option<(Access, Relation)>,
}

/// Beside a [`super::Principal`] that a session's cookie named.
#[derive(Clone, Copy, Debug)]
pub struct BySession;

/// Lets the request through with [`Authorized`] among its extensions, or answers 401, 403, 404, 405 or 429.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let head = request.method() == Method::HEAD;
    in_shape(guarded(guard, request, next).await, head).await
}

async fn guarded(guard: Guard, mut request: Request, next: Next) -> Response {
    let (least, relation) = match guard.access {
        None => return Failure::new(StatusCode::FORBIDDEN, "nobody may use this route").into_response(),
        Some((Access::Open, _)) => return next.run(request).await,
        Some((Access::Signed(_), _)) if WebHooks::claims(request.headers()) => {
            return signed(&guard, request, next).await;
        }
        Some((Access::From(role) | Access::Signed(role), relation)) => (role, relation),
        Some((Access::Sharing, relation)) => (Role::Admin, relation),
    };
    if comes_from_elsewhere(request.method(), request.headers()) {
        let text = "orders from pages of other sites are not taken";
        return Failure::new(StatusCode::FORBIDDEN, text).into_response();
    }
    if matches!(guard.access, Some((Access::Sharing, _)))
        && let Some(token) = presented(request.headers())
    {
        return match opened(&mut request, &guard.api, &token).await {
            Ok((who, deployment)) => {
                request.extensions_mut().insert(deployment);
                request.extensions_mut().insert(Authorized::new(&guard.api, who));
                next.run(request).await
            }
            Err(failure) => failure.into_response(),
        };
    }
    let who = match verdict(&guard, &mut request).await {
        Verdict::Known(principal) if principal.role >= least => principal,
        Verdict::Known(principal) => {
            let text = format!("{} may look, but not order this", principal.name);
            return Failure::new(StatusCode::FORBIDDEN, text).into_response();
        }
        Verdict::Kept(why) => return Failure::new(StatusCode::FORBIDDEN, why).into_response(),
        Verdict::Unknown => return unauthorized(),
        Verdict::Later(seconds) => return too_many(seconds),
    };
    if let Err(failure) = related(&mut request, &guard.api, &who, relation).await {
        return failure.into_response();
    }
    request
        .extensions_mut()
        .insert(Authorized::new(&guard.api, who.clone()));
    request.extensions_mut().insert(who);
    next.run(request).await
}

/// Whose credentials or session these are.
async fn verdict(guard: &Guard, request: &mut Request) -> Verdict {
    let auth = guard.api.auth();
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let cookie = request.headers().get(header::COOKIE).filter(|_| header.is_none());
    let session = cookie
        .and_then(|value| value.to_str().ok())
        .and_then(|value| auth.session(value));
    match session {
        Some(principal) => {
            request.extensions_mut().insert(BySession);
            auth.let_in(principal)
        }
        None => auth.verify(header, source(request)).await,
    }
}

/// Whether the route's object is of the caller's tenant.
async fn related(
    request: &mut Request,
    api: &Api,
    who: &Principal,
    relation: Relation,
) -> Result<(), Failure> {
    if who.tenant.is_super() {
        return Ok(());
    }
    let (what, own): (_, fn(&World, &str, TenantId) -> bool) = match relation {
        Relation::Everyones | Relation::Own => return Ok(()),
        Relation::Installation => {
            let text = "this concerns the whole installation: it is for users of the super tenant";
            return Err(Failure::new(StatusCode::FORBIDDEN, text));
        }
        Relation::OnBehalf => {
            let text = "only users of the super tenant order this for another tenant";
            return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, text));
        }
        Relation::Application => ("application", |world, id, who| world.owner_of(id) == Some(who)),
        Relation::SignUp => ("application", |world, id, who| world.may_sign_up(who, id)),
        Relation::Cluster => ("cluster", |world, id, who| {
            world.owner_of_cluster(id) == Some(who)
        }),
        Relation::Member => ("member", |world, id, who| world.owner_of_member(id) == Some(who)),
    };
    let id = named(request).await.unwrap_or_default();
    if api.engine.read(|world, _, _| own(world, &id, who.tenant)) {
        return Ok(());
    }
    Err(Failure::unknown(what, &id))
}

/// The deployment that the caller's token opens; who has a name instead has none.
#[derive(Clone, Copy)]
pub struct Deployment(pub u64);

/// Proves a token of an application: it opens the one that the path names, as it is deployed now, and nothing else.
async fn opened(
    request: &mut Request,
    api: &Api,
    token: &Secret,
) -> Result<(Principal, Deployment), Failure> {
    let id = named(request).await.unwrap_or_default();
    let Some((application, deployment)) = api.engine.opened_by(token.expose()) else {
        let text = "the token opens nothing, or nothing any more: its application is not deployed as it was";
        return Err(Failure::new(StatusCode::UNAUTHORIZED, text));
    };
    if application.as_str() != id {
        let text = format!("the token is of application {:?}", application.as_str());
        return Err(Failure::new(StatusCode::FORBIDDEN, text));
    }
    let owner = api.engine.read(|world, _, _| world.owner_of(&id));
    let who = Principal {
        user: id.clone(),
        name: id,
        tenant: owner.unwrap_or_default(),
        role: Role::Viewer,
    };
    Ok((who, Deployment(deployment)))
}

/// What stands in the place of `{id}`.
async fn named(request: &mut Request) -> Option<String> {
    let parameters = request.extract_parts::<RawPathParams>().await.ok()?;
    let mut parameters = parameters.iter();
    let (_, id) = parameters.find(|(name, _)| *name == "id")?;
    Some(id.to_owned())
}

/// A bearer in three parts, as JSON web tokens are; tokens of users are in one.
fn presented(headers: &HeaderMap) -> Option<Secret> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let is_one = scheme.eq_ignore_ascii_case("bearer") && token.split('.').count() == 3;
    is_one.then(|| Secret::new(token.trim()))
}

/// Lets a signed request through without anybody's credentials; it speaks for the installation.
async fn signed(guard: &Guard, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match bounded(body).await {
        Ok(body) => body,
        Err(failure) => return failure.into_response(),
    };
    let unseal = |sealed: &str| guard.api.engine.unseal(sealed).ok();
    match guard.api.auth().hooks().check(&parts.headers, &body, unseal) {
        Ok(taken) => {
            let mut request = Request::from_parts(parts, Body::from(body));
            let who = Principal {
                user: "web-hook".to_owned(),
                name: "web-hook".to_owned(),
                tenant: TenantId::SUPER,
                role: Role::Admin,
            };
            request.extensions_mut().insert(Authorized::new(&guard.api, who));
            let answer = next.run(request).await;
            if let Some(taken) = taken.filter(|_| !answer.status().is_success()) {
                guard.api.auth().hooks().forget(taken);
            }
            answer
        }
        Err(NotTaken::Wrong) => {
            let text = "the signature is not that of this body and this installation's secret (`cartridge web-hook`)";
            Failure::new(StatusCode::FORBIDDEN, text).into_response()
        }
        Err(NotTaken::Again) => {
            let text = "this signed body was taken before; what is sent again does not count twice";
            Failure::new(StatusCode::CONFLICT, text).into_response()
        }
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

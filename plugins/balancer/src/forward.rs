//! The way of one request: which cluster, which members, and what the client is told if none answers.
//!
//! This file refuses to know about connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use cartridge_protocol::ContextPath;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;

use crate::body::{Answer, Source};
use crate::context::Context;
use crate::exchange::{Answered, Carried, Failure, exchange};
use crate::headers;
use crate::listener::Shared;
use crate::load::Flight;
use crate::table::Route;
use crate::tunnel;
use crate::upstream::Upstream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// Where a request came in.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) client: IpAddr,
    pub(crate) port: u16,
    /// Cancelled when the listener closes.
    pub(crate) closing: CancellationToken,
    /// Its share of [`Limits::connections`](crate::Limits::connections); a tunnel outlives the connection.
    pub(crate) room: Arc<OwnedSemaphorePermit>,
}

/// Answers one request, whatever happens.
pub(crate) async fn forward(
    shared: &Arc<Shared>,
    entrance: &Entrance,
    mut request: Request<Incoming>,
) -> Response<Answer> {
    if *request.method() == Method::CONNECT {
        return words(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served here");
    }
    let table = shared.table.get();
    let host = headers::host_of(request.uri(), request.headers());
    let name = host.as_ref().and_then(|host| host.to_str().ok());
    let Some((route, path)) = table.port(entrance.port).and_then(|port| port.route(name)) else {
        return unavailable("nothing is served on this port any more");
    };
    let context = path.zip(name).map(|(path, host)| Context { path, host });
    if let Some(context) = context {
        match context.inward(request.uri()) {
            Ok(target) => *request.uri_mut() = target,
            Err(error) => return words(error.status(), &error.to_string()),
        }
    }
    let goal = Goal {
        shared,
        port: entrance.port,
        host: name,
        path,
    };
    let mut flight = Flight::begin(&route.load, Instant::now());
    let client_upgrade = headers::wants_upgrade(request.headers())
        .is_some()
        .then(|| hyper::upgrade::on(&mut request));
    let (mut head, body) = request.into_parts();
    prepare(&mut head, &body, entrance.client, host.as_ref());
    let mut carried = Carried::new(head, body);
    match goal.try_members(route, &mut carried, &mut flight).await {
        Ok((answered, upstream)) => {
            flight.answered();
            let way = Way {
                shared,
                entrance,
                upstream,
                flight,
                context,
            };
            way.back(answered, client_upgrade)
        }
        Err(response) => {
            if response.status().is_server_error() {
                flight.failed();
            }
            tracing::debug!(cluster = %route.cluster, status = %response.status(), "request failed");
            response
        }
    }
}

/// Turns what a client sent into what a member gets.
fn prepare(head: &mut Parts, body: &Incoming, client: IpAddr, host: Option<&HeaderValue>) {
    let upgrade = headers::wants_upgrade(&head.headers);
    let measured = body.size_hint().exact().is_some();
    headers::remove_hop_by_hop(&mut head.headers);
    if !measured {
        // Chunked: a length beside it would be a lie about where the next request begins.
        head.headers.remove(header::CONTENT_LENGTH);
    }
    headers::add_origin(&mut head.headers, client, host);
    if let Some(protocol) = upgrade {
        headers::ask_for_upgrade(&mut head.headers, protocol);
    }
    if let Some(path) = head.uri.path_and_query() {
        head.uri = Uri::from(path.clone());
    }
}

/// What a request is for.
struct Goal<'a> {
    shared: &'a Shared,
    port: u16,
    host: Option<&'a str>,
    /// What was put in front of the request's path.
    path: Option<&'a ContextPath>,
}

impl Goal<'_> {
    /// Tries members in turn until one answers.
    async fn try_members(
        &self,
        route: &Route,
        carried: &mut Carried,
        flight: &mut Flight,
    ) -> Result<(Answered, Arc<Upstream>), Response<Answer>> {
        let mut tried: Vec<(Failure, Arc<Upstream>)> = Vec::new();
        let mut next = route.candidates(Instant::now()).into_iter().next();
        while let Some(upstream) = next {
            flight.goes_to(&upstream.member);
            let failure = match exchange(&upstream, carried, &self.shared.limits).await {
                Ok(answered) => return Ok((answered, upstream)),
                Err(failure) => failure,
            };
            tracing::debug!(member = %upstream.member, %failure, "member did not answer");
            let elsewhere = match &failure {
                Failure::NotSent(_) | Failure::Closed => true,
                Failure::Broken(_) => carried.replayable,
                Failure::HalfRequest | Failure::Slow(_) => false,
            };
            tried.push((failure, upstream));
            let again = elsewhere && tried.len() < self.shared.limits.attempts;
            next = again.then(|| self.other_than(&tried)).flatten();
        }
        Err(match tried.pop() {
            None => unavailable(&format!("cluster {} has no member ready", route.cluster)),
            Some((failure, upstream)) => nobody_answered(&failure, &upstream),
        })
    }

    /// Somebody who takes requests now: the table may have changed while another was tried, and a member that was
    /// let go of must not be sent anything any more (S14).
    fn other_than(&self, tried: &[(Failure, Arc<Upstream>)]) -> Option<Arc<Upstream>> {
        let table = self.shared.table.get();
        let (route, path) = table.port(self.port)?.route(self.host)?;
        if path != self.path {
            // The request speaks of a place where its domain does not lead any more.
            return None;
        }
        let new = |one: &Arc<Upstream>| !tried.iter().any(|(_, other)| Arc::ptr_eq(one, other));
        route.candidates(Instant::now()).into_iter().find(new)
    }
}

fn nobody_answered(failure: &Failure, last: &Upstream) -> Response<Answer> {
    let status = match failure {
        Failure::HalfRequest => return words(StatusCode::BAD_REQUEST, &failure.to_string()),
        Failure::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
        Failure::NotSent(_) | Failure::Closed | Failure::Broken(_) => StatusCode::BAD_GATEWAY,
    };
    words(
        status,
        &format!("member {} did not answer: {failure}", last.member),
    )
}

/// How an answer gets back.
struct Way<'a> {
    shared: &'a Shared,
    entrance: &'a Entrance,
    upstream: Arc<Upstream>,
    flight: Flight,
    context: Option<Context<'a>>,
}

impl Way<'_> {
    fn back(self, answered: Answered, client_upgrade: Option<OnUpgrade>) -> Response<Answer> {
        let (mut response, sender) = answered;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match client_upgrade {
                Some(client) => self.tunnel(client, response),
                None => self.unasked_upgrade(),
            };
        }
        *response.version_mut() = Version::HTTP_11;
        let unmeasured = response.body().size_hint().exact().is_none();
        let chunked = response.headers().contains_key(header::TRANSFER_ENCODING);
        headers::remove_hop_by_hop(response.headers_mut());
        if unmeasured && chunked {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        headers::add_via(response.headers_mut());
        if let Some(context) = self.context {
            context.outward(response.headers_mut());
        }
        let idle = self.shared.limits.response_idle;
        let source = Source {
            sender,
            upstream: self.upstream,
            pool_size: self.shared.limits.pool_size,
        };
        response.map(|body| Answer::relayed(body, self.flight, source, idle))
    }

    fn unasked_upgrade(mut self) -> Response<Answer> {
        self.flight.failed();
        words(
            StatusCode::BAD_GATEWAY,
            "the member changed the protocol without being asked",
        )
    }

    /// Both sides agreed on another protocol: from here on bytes are copied.
    fn tunnel(self, client: OnUpgrade, mut response: Response<Incoming>) -> Response<Answer> {
        let protocol = headers::wants_upgrade(response.headers());
        let member = hyper::upgrade::on(&mut response);
        let ends = tunnel::Ends {
            listener: self.entrance.closing.clone(),
            member: self.upstream.left.clone(),
            drain: self.shared.limits.listener_drain,
            room: self.entrance.room.clone(),
        };
        self.shared
            .tasks
            .spawn(tunnel::copy(client, member, ends, self.flight));
        let mut answer = response.map(|_| Answer::empty());
        headers::remove_hop_by_hop(answer.headers_mut());
        if let Some(protocol) = protocol {
            headers::ask_for_upgrade(answer.headers_mut(), protocol);
        }
        answer
    }
}

fn words(status: StatusCode, text: &str) -> Response<Answer> {
    let mut response = Response::new(Answer::text(format!("{text}\n")));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    response
}

fn unavailable(text: &str) -> Response<Answer> {
    let mut response = words(StatusCode::SERVICE_UNAVAILABLE, text);
    let soon = HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, soon);
    response
}

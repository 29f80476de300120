//! One request sent to one member, and its answer's head.
//!
//! A connection from the pool may be closed by its peer just now; that is found out here, and a fresh one is
//! used where nothing can have been done twice. This file refuses to know about other members.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::SendRequest;

use crate::body::{Activity, Outgoing};
use crate::headers;
use crate::limits::Limits;
use crate::upstream::{ConnectError, Upstream};

/// Why a member did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing was sent; the request can go elsewhere, whatever it is.
    #[error("{0}")]
    NotSent(#[from] ConnectError),
    /// It closed the connection before it read the request, which can go elsewhere.
    #[error("it closed the connection")]
    Closed,
    /// The client's doing: its request ended in the middle.
    #[error("the body of the request broke off")]
    HalfRequest,
    /// It may have acted on the request.
    #[error("the connection broke before an answer came: {0}")]
    Broken(hyper::Error),
    /// It may be acting on the request.
    #[error("no answer within {0:?}")]
    Slow(Duration),
}

/// What is to be sent, and can perhaps be sent again.
#[derive(Debug)]
pub(crate) struct Carried {
    head: Parts,
    body: Option<Outgoing>,
    activity: Arc<Activity>,
    /// Sending it twice is the same as sending it once, and there is no body that would be lost.
    pub(crate) replayable: bool,
}

impl Carried {
    /// `head` as it is to be sent to a member, but for what is said of the way.
    pub(crate) fn new(head: Parts, body: Incoming) -> Self {
        let activity = Activity::new();
        let empty = body.is_end_stream();
        Self {
            replayable: empty && headers::is_idempotent(&head.method),
            body: Some(if empty {
                Outgoing::empty()
            } else {
                Outgoing::streamed(body, activity.clone())
            }),
            head,
            activity,
        }
    }

    /// The request for one attempt; `None` if the body is gone.
    fn request(&mut self, to: SocketAddr) -> Option<Request<Outgoing>> {
        let body = match self.body.take() {
            Some(body) => body,
            None if self.replayable => Outgoing::empty(),
            None => return None,
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = self.head.headers.clone();
        *request.version_mut() = Version::HTTP_11;
        headers::ensure_host(request.headers_mut(), to);
        let unmeasured = request.body().size_hint().exact().is_none();
        if unmeasured {
            request.headers_mut().remove(header::CONTENT_LENGTH);
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(header::TRANSFER_ENCODING, chunked);
        }
        Some(request)
    }
}

/// A member's answer and the connection that its body comes from.
pub(crate) type Answered = (Response<Incoming>, SendRequest<Outgoing>);

/// Sends a request to a member and waits for the head of the answer.
pub(crate) async fn exchange(
    upstream: &Upstream,
    carried: &mut Carried,
    limits: &Limits,
) -> Result<Answered, Failure> {
    if let Some(idle) = upstream.take_idle(limits) {
        match send(upstream.address, idle, carried, limits).await {
            Err(Failure::Closed) => {}
            Err(Failure::Broken(_)) if carried.replayable => {}
            decided => return decided,
        }
    }
    let fresh = upstream.connect(limits).await?;
    send(upstream.address, fresh, carried, limits).await
}

async fn send(
    to: SocketAddr,
    mut sender: SendRequest<Outgoing>,
    carried: &mut Carried,
    limits: &Limits,
) -> Result<Answered, Failure> {
    let Some(request) = carried.request(to) else {
        return Err(Failure::Closed);
    };
    let activity = carried.activity.clone();
    let begun = tokio::time::Instant::now();
    let mut answer = Box::pin(sender.try_send_request(request));
    loop {
        let deadline = begun.max(activity.last()) + limits.response_head;
        tokio::select! {
            answered = &mut answer => {
                drop(answer);
                return match answered {
                    Ok(response) => Ok((response, sender)),
                    Err(mut error) => Err(match error.take_message() {
                        Some(unsent) => {
                            carried.body = Some(unsent.into_body());
                            Failure::Closed
                        }
                        None if error.error().is_user() => Failure::HalfRequest,
                        None => Failure::Broken(error.into_error()),
                    }),
                };
            }
            () = tokio::time::sleep_until(deadline) => {
                if begun.max(activity.last()) + limits.response_head <= deadline {
                    return Err(Failure::Slow(limits.response_head));
                }
            }
        }
    }
}

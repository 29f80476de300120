//! Bodies on their way through: streamed, never collected, and watched to their end.
//!
//! This file refuses to know where they go.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, Sleep};

use crate::load::Flight;
use crate::upstream::Upstream;

/// Why a body was cut.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the sender broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the member was silent for {0:?} in the middle of a body")]
    Silent(Duration),
}

/// When the last piece of a request went by.
#[derive(Debug)]
pub(crate) struct Activity {
    start: Instant,
    last: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
        })
    }

    pub(crate) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    fn touch(&self) {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }
}

/// A request's body on its way to a member. Empty ones can be sent again, others cannot.
#[derive(Debug)]
pub(crate) struct Outgoing(Option<(Incoming, Arc<Activity>)>);

impl Outgoing {
    pub(crate) fn empty() -> Self {
        Self(None)
    }

    pub(crate) fn streamed(body: Incoming, activity: Arc<Activity>) -> Self {
        Self(Some((body, activity)))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some((body, activity)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        activity.touch();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some((body, _)) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// The connection that a body comes from; it goes back when the body was read to its end.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) sender: SendRequest<Outgoing>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) pool_size: usize,
}

/// A member's body on its way to the client. Its request is in flight until this ends.
#[derive(Debug)]
pub(crate) struct Relayed {
    body: Incoming,
    flight: Option<Flight>,
    source: Option<Source>,
    idle: Duration,
    silence: Option<Pin<Box<Sleep>>>,
}

impl Relayed {
    fn end(&mut self) {
        self.flight = None;
        if let Some(source) = self.source.take() {
            source.upstream.give_back(source.sender, source.pool_size);
        }
    }

    fn cut(&mut self, why: Cut) -> Cut {
        if let Some(mut flight) = self.flight.take() {
            flight.failed();
        }
        self.source = None;
        why
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(match frame {
                Some(Ok(frame)) => Some(Ok(frame)),
                Some(Err(error)) => Some(Err(self.cut(error.into()))),
                None => {
                    self.end();
                    None
                }
            });
        }
        let idle = self.idle;
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        ready!(silence.as_mut().poll(context));
        Poll::Ready(Some(Err(self.cut(Cut::Silent(idle)))))
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        // Whoever knows the length, or that there is no body, does not ask for its end.
        if self.body.is_end_stream() {
            self.end();
        }
    }
}

/// What a client gets.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Words of the balancer.
    Text(Full<Bytes>),
    /// What a member says.
    Relayed(Box<Relayed>),
}

impl Answer {
    pub(crate) fn text(words: String) -> Self {
        Self::Text(Full::new(Bytes::from(words)))
    }

    pub(crate) fn empty() -> Self {
        Self::Text(Full::default())
    }

    pub(crate) fn relayed(body: Incoming, flight: Flight, source: Source, idle: Duration) -> Self {
        Self::Relayed(Box::new(Relayed {
            body,
            flight: Some(flight),
            source: Some(source),
            idle,
            silence: None,
        }))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Text(text) => Pin::new(text).poll_frame(context).map_err(|never| match never {}),
            Self::Relayed(relayed) => relayed.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_end_stream(),
            Self::Relayed(relayed) => relayed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => text.size_hint(),
            Self::Relayed(relayed) => relayed.body.size_hint(),
        }
    }
}

//! Events and log lines: as lists, and as streams (server-sent events) that miss nothing that is still kept.
//!
//! This file refuses to know what the events mean.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use cartridge_protocol::link::LogLine;
use cartridge_protocol::{ApplicationId, MemberId};
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Routes;
use super::members::unknown;
use super::reply::Failure;
use super::telling::Event;
use crate::auth::{Authorized, LinesOf, News, Sight};

/// Entries read from the journal at a time.
const PAGE: usize = 500;
/// Events of a list that does not say how many.
const DEFAULT_EVENTS: usize = 100;
/// Most events of a list.
const MAX_EVENTS: usize = 10_000;
/// How far back a list of one application's events is searched.
const MAX_SEARCHED: u64 = 50_000;
/// Log lines of a list that does not say how many.
const DEFAULT_LINES: usize = 100;

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/events", get(events));
    routes.add(Method::GET, "/logs/{id}", get(logs));
}

#[derive(Debug, Default, Deserialize)]
struct EventsQuery {
    after: Option<u64>,
    #[serde(default)]
    follow: bool,
    application: Option<String>,
    limit: Option<usize>,
}

/// The newest events, oldest first; none where the journal cannot be read.
pub(crate) async fn newest_events(engine: &Sight, most: usize) -> Vec<Event> {
    match last(engine, None, most).await {
        Ok(begin) => list(engine, begin, None, most).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

async fn events(api: Authorized, Query(query): Query<EventsQuery>) -> Result<Response, Failure> {
    // Subscribed before reading, so that nothing falls between.
    let live = api.engine.news();
    let wanted = query.application;
    let begin = match query.after {
        Some(after) => Begin {
            after,
            ready: VecDeque::new(),
        },
        None => {
            last(
                &api.engine,
                wanted.as_deref(),
                query.limit.unwrap_or(DEFAULT_EVENTS).min(MAX_EVENTS),
            )
            .await?
        }
    };
    if !query.follow {
        let most = query.limit.unwrap_or(MAX_EVENTS).min(MAX_EVENTS);
        let listed = list(&api.engine, begin, wanted.as_deref(), most).await?;
        if listed.is_empty() {
            known(&api.engine, wanted.as_deref())?;
        }
        return Ok(Json(listed).into_response());
    }
    if begin.ready.is_empty() && query.after.is_none() {
        known(&api.engine, wanted.as_deref())?;
    }
    let tail = Tail {
        engine: api.engine,
        live,
        after: begin.after,
        ready: begin.ready,
        wanted,
        caught_up: false,
    };
    let stopping = tail.engine.stopping();
    Ok(sse(
        stopping,
        unfold(tail, |mut tail| async move {
            let event = tail.next().await?;
            Some((frame(&event, Some(event.seq)), tail))
        }),
    ))
}

/// An application of which nothing is told must exist at least.
fn known(engine: &Sight, wanted: Option<&str>) -> Result<(), Failure> {
    let Some(wanted) = wanted else { return Ok(()) };
    let exists = |id: &ApplicationId| engine.read(|world, _, _| world.applications.contains_key(id));
    match ApplicationId::new(wanted) {
        Ok(id) if exists(&id) => Ok(()),
        _ => Err(Failure::unknown("application", wanted)),
    }
}

/// Events to begin with, and the position after them.
struct Begin {
    after: u64,
    ready: VecDeque<Event>,
}

/// The last `most` events.
async fn last(engine: &Sight, wanted: Option<&str>, most: usize) -> Result<Begin, Failure> {
    let newest = engine.read(|world, _, _| world.seq);
    let mut ready = VecDeque::new();
    let mut upper = newest;
    let lowest = if wanted.is_some() {
        newest.saturating_sub(MAX_SEARCHED)
    } else {
        0
    };
    while ready.len() < most && upper > lowest {
        let lower = upper.saturating_sub(PAGE as u64).max(lowest);
        let page = engine
            .page(lower, usize::try_from(upper - lower).unwrap_or(PAGE))
            .await?;
        let wanted = page.told.into_iter().filter(|event| concerns(event, wanted));
        for event in wanted.rev().take(most - ready.len()) {
            ready.push_front(event);
        }
        upper = lower;
    }
    Ok(Begin { after: newest, ready })
}

/// `begin` and what follows, at most `most`.
async fn list(
    engine: &Sight,
    begin: Begin,
    wanted: Option<&str>,
    most: usize,
) -> Result<Vec<Event>, Failure> {
    let mut all: Vec<Event> = begin.ready.into();
    let mut after = begin.after;
    while all.len() < most {
        let page = engine.page(after, PAGE).await?;
        let Some(newest) = page.newest else { break };
        after = newest;
        all.extend(page.told.into_iter().filter(|event| concerns(event, wanted)));
    }
    all.truncate(most);
    Ok(all)
}

fn concerns(event: &Event, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| event.application.as_deref() == Some(wanted))
}

/// Everything after a position: from the journal until that is exhausted, then live; from the journal again if this
/// reader was too slow.
struct Tail {
    engine: Sight,
    live: News,
    after: u64,
    ready: VecDeque<Event>,
    wanted: Option<String>,
    caught_up: bool,
}

impl Tail {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.caught_up {
                self.listen().await?
            } else {
                self.read_page().await?
            }
        }
    }

    async fn read_page(&mut self) -> Option<()> {
        let page = self.engine.page(self.after, PAGE).await.ok()?;
        match page.newest {
            Some(newest) => self.after = newest,
            None => self.caught_up = true,
        }
        let wanted = self.wanted.as_deref();
        self.ready
            .extend(page.told.into_iter().filter(|event| concerns(event, wanted)));
        Some(())
    }

    async fn listen(&mut self) -> Option<()> {
        match self.live.next().await {
            Ok((seq, _)) if seq <= self.after => {}
            Ok((seq, event)) if seq == self.after + 1 => {
                self.after = seq;
                self.ready
                    .extend(event.filter(|event| concerns(event, self.wanted.as_deref())));
            }
            // A gap: some were missed.
            Ok(_) | Err(RecvError::Lagged(_)) => self.caught_up = false,
            Err(RecvError::Closed) => return None,
        }
        Some(())
    }
}

#[derive(Debug, Default, Deserialize)]
struct LogsQuery {
    #[serde(default)]
    follow: bool,
    tail: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    number: u64,
    stream: &'a str,
    text: &'a str,
}

impl<'a> From<&'a LogLine> for Line<'a> {
    fn from(line: &'a LogLine) -> Self {
        Self {
            number: line.number,
            stream: &line.stream,
            text: &line.text,
        }
    }
}

async fn logs(
    api: Authorized,
    Path(id): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Failure> {
    let member = MemberId::new(id.as_str()).map_err(|_| unknown(&id))?;
    let live = api.engine.lines_of(&member);
    let mut kept = api.engine.all_logs(&member).await;
    if kept.is_empty() && !api.engine.read(|world, _, _| world.members.contains_key(&member)) {
        return Err(unknown(&id));
    }
    let last = kept.last().map(|last| (last.incarnation, last.line.number));
    let kept = kept.split_off(kept.len().saturating_sub(query.tail.unwrap_or(DEFAULT_LINES)));
    if !query.follow {
        let lines = kept.iter().map(|kept| Line::from(&kept.line));
        return Ok(Json(lines.collect::<Vec<_>>()).into_response());
    }
    let tail = LogTail {
        engine: api.engine,
        live,
        member,
        incarnation: last.map(|(incarnation, _)| incarnation),
        after: last.map_or(0, |(_, number)| number),
        ready: kept.into_iter().map(|kept| kept.line).collect(),
    };
    let stopping = tail.engine.stopping();
    Ok(sse(
        stopping,
        unfold(tail, |mut tail| async move {
            let line = tail.next().await?;
            Some((frame(&Line::from(&line), None), tail))
        }),
    ))
}

/// Lines of one member, life after life.
struct LogTail {
    engine: Sight,
    live: LinesOf,
    member: MemberId,
    incarnation: Option<u64>,
    after: u64,
    ready: VecDeque<LogLine>,
}

impl LogTail {
    async fn next(&mut self) -> Option<LogLine> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            let fresh = match self.live.next().await {
                Ok(fresh) => {
                    if self.incarnation.is_some_and(|life| life != fresh.incarnation) {
                        self.after = 0;
                    }
                    self.incarnation = Some(fresh.incarnation);
                    fresh.rows.to_vec()
                }
                Err(RecvError::Lagged(_)) => self.engine.logs(&self.member, self.after),
                Err(RecvError::Closed) => return None,
            };
            let after = self.after;
            self.ready
                .extend(fresh.into_iter().filter(|line| line.number > after));
            self.after = self.ready.back().map_or(after, |line| line.number);
        }
    }
}

fn frame<T: Serialize>(value: &T, id: Option<u64>) -> Result<Frame, Infallible> {
    let text = serde_json::to_string(value).expect("events and lines are always JSON");
    let frame = Frame::default().data(text);
    Ok(match id {
        Some(id) => frame.id(id.to_string()),
        None => frame,
    })
}

/// Answers with a stream that ends when the server does.
pub(crate) fn sse<S>(stopping: CancellationToken, stream: S) -> Response
where
    S: futures_util::Stream<Item = Result<Frame, Infallible>> + Send + 'static,
{
    Sse::new(stream.take_until(stopping.cancelled_owned()))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
        .into_response()
}

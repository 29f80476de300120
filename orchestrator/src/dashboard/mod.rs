//! The page at `/`: what runs where, why, and what happened; live.
//!
//! ```text
//! engine -> one sample a second -> state as JSON -> /dashboard/stream -> app.js -> text nodes
//! ```
//!
//! The page interprets no text: the script writes text nodes only, and the content security policy allows no other
//! script, style or connection than this server's. This file refuses to know how anything is drawn.

mod state;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::Event as Frame;
use axum::response::{IntoResponse, Response};
use cartridge_protocol::ClusterId;
use futures_util::stream::unfold;
use http::header;
use maud::{DOCTYPE, html};
use tokio::sync::watch;

use self::state::History;
use crate::api::sse;
use crate::auth::{Authorized, Sight};
use crate::engine::Engine;

const SCRIPT: &str = include_str!("app.js");
const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Events that come with the page; as many as its timeline shows.
const FIRST_EVENTS: usize = 200;
/// Time between samples when nothing happens.
const EVERY: Duration = Duration::from_secs(1);
/// Least time between two states sent because something happened.
const AT_MOST_EVERY: Duration = Duration::from_millis(200);

/// What the dashboard keeps; cheap to clone. The sampler ends with the last clone.
#[derive(Clone)]
pub struct Dashboard(Arc<Kept>);

struct Kept {
    history: Mutex<BTreeMap<ClusterId, History>>,
    /// What the super tenant sees: everything.
    state: watch::Sender<Arc<str>>,
    /// There is something new to see; each other tenant's stream looks for itself.
    beat: watch::Sender<()>,
}

impl Dashboard {
    /// Begins to sample.
    pub fn start(engine: Engine) -> Self {
        let kept = Arc::new(Kept {
            history: Mutex::default(),
            state: watch::channel(Arc::from("{}")).0,
            beat: watch::channel(()).0,
        });
        let weak = Arc::downgrade(&kept);
        tokio::spawn(async move {
            let mut news = engine.subscribe();
            let mut points = tokio::time::interval(EVERY);
            points.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            let stopping = engine.stopping();
            loop {
                let point = tokio::select! {
                    () = stopping.cancelled() => return,
                    _ = points.tick() => true,
                    // Lagging is no loss here: the state is sent as a whole.
                    _ = news.recv() => {
                        tokio::time::sleep(AT_MOST_EVERY).await;
                        news = news.resubscribe();
                        false
                    }
                };
                let Some(kept) = weak.upgrade() else { return };
                kept.sample(&engine, point);
            }
        });
        Self(kept)
    }
}

impl Kept {
    /// All that may be seen of the state now, as JSON.
    fn look(&self, engine: &Sight) -> String {
        let now = engine.now();
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        engine.read(|world, seen, report| {
            let known = crate::api::figures::Known {
                world,
                seen,
                report,
                now,
            };
            state::whole(&known, &history).to_string()
        })
    }

    /// Looks at everything; `point` adds to the history too. The text is made only if somebody listens.
    fn sample(&self, engine: &Engine, point: bool) {
        let now = engine.now();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = engine.read(|world, seen, report| {
            let known = crate::api::figures::Known {
                world,
                seen,
                report,
                now,
            };
            if point {
                state::remember(&mut history, &known);
            }
            (self.state.receiver_count() > 0).then(|| state::whole(&known, &history))
        });
        drop(history);
        if let Some(whole) = whole {
            self.state.send_replace(Arc::from(whole.to_string()));
        }
        self.beat.send_replace(());
    }
}

/// `GET /`: with the state of this moment in it, so that it shows something before the stream begins.
pub async fn page(api: Authorized) -> Response {
    let newest = crate::api::newest_events(&api.engine, FIRST_EVENTS).await;
    let events = serde_json::to_string(&newest).unwrap_or_default();
    draw(&api.dashboard.0.look(&api.engine), &events)
}

/// The page around a state and some events; both are data in attributes, escaped, and never code.
fn draw(state: &str, events: &str) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Cartridge" }
                link rel="stylesheet" href="/dashboard/style.css";
                script src="/dashboard/app.js" defer {}
            }
            body data-state=(state) data-events=(events) {
                header {
                    h1 { "Cartridge" }
                    p id="summary" { "connecting…" }
                    span id="link" class="link" role="status" { "connecting" }
                }
                div id="banner" role="alert" hidden {}
                main {
                    section id="applications" aria-label="Applications" {}
                    aside aria-label="Timeline" {
                        h2 { "Timeline" }
                        ol id="timeline" {}
                    }
                }
                noscript { p { "This page shows live figures and needs its script; the command line needs none." } }
            }
        }
    };
    guarded("text/html; charset=utf-8", page.into_string())
}

/// `GET /dashboard/app.js`.
pub async fn script() -> Response {
    guarded("text/javascript; charset=utf-8", SCRIPT.to_owned())
}

/// `GET /dashboard/style.css`.
pub async fn style() -> Response {
    guarded("text/css; charset=utf-8", STYLE.to_owned())
}

/// `GET /dashboard/stream`: all that may be seen of the state, once a second and whenever something happens.
pub async fn stream(api: Authorized) -> Response {
    if !api.engine.who().tenant.is_super() {
        return stream_of_tenant(api);
    }
    let states = api.dashboard.0.state.subscribe();
    let now: Arc<str> = api.dashboard.0.look(&api.engine).into();
    api.dashboard.0.state.send_replace(now);
    let frames = unfold((states, true), |(mut states, first)| async move {
        if !first {
            states.changed().await.ok()?;
        }
        let text = Arc::clone(&states.borrow_and_update());
        Some((
            Ok::<_, Infallible>(Frame::default().data(&*text)),
            (states, false),
        ))
    });
    sse(api.engine.stopping(), frames)
}

fn stream_of_tenant(api: Authorized) -> Response {
    let beats = api.dashboard.0.beat.subscribe();
    let stopping = api.engine.stopping();
    let frames = unfold((api, beats, true), |(api, mut beats, first)| async move {
        if !first {
            beats.changed().await.ok()?;
            if !api.engine.is_let_in() {
                return None;
            }
        }
        let text = api.dashboard.0.look(&api.engine);
        let frame = Frame::default().data(text);
        Some((Ok::<_, Infallible>(frame), (api, beats, false)))
    });
    sse(stopping, frames)
}

fn guarded(kind: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_allows_no_other_script_and_holds_none_itself() {
        let page = draw("{\"a\":\"<script>\"}", "[]");
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        assert!(!policy.contains("unsafe"));
        let body = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(
            text.matches("<script").count(),
            1,
            "what came from members is escaped"
        );
        assert!(!text.contains("style=") && !text.contains("onload"));
    }

    #[test]
    fn the_script_writes_text_and_never_markup() {
        for bad in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            ".style",
            "srcdoc",
        ] {
            assert!(!SCRIPT.contains(bad), "{bad}");
        }
        assert!(SCRIPT.contains("textContent"));
        assert!(
            !SCRIPT.contains("http://")
                || SCRIPT.matches("http://").count() == SCRIPT.matches("http://www.w3.org/2000/svg").count()
        );
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}

//! The server: accepts, answers, and ends in order on SIGTERM.
//!
//! This file refuses to know what a release looks like on disk.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::burn::Burner;
use crate::config::Config;
use crate::release::{BUILT_IN, Release};

/// Most connections at a time; others wait in the kernel's queue.
const CONNECTIONS: u32 = 4096;
/// A client must have sent its request head within this time; also the longest idle time.
const REQUEST_HEAD: Duration = Duration::from_secs(30);
/// What is under way may go on for so long after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

struct Hello {
    config: Config,
    burner: Burner,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| format!("cannot watch signals: {e}"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| format!("cannot watch signals: {e}"))?;
    let listener = TcpListener::bind(config.address)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.address))?;
    let address = listener
        .local_addr()
        .map_err(|error| format!("no address: {error}"))?;
    say(&format!(
        "cartridge-hello: member {} listens on {address}",
        config.member
    ));
    let hello = Arc::new(Hello {
        config,
        burner: Burner::new(),
    });
    let room = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let (ending, ends) = watch::channel(false);
    tokio::select! {
        () = accept(listener, &hello, &room, &ends) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    ending.send_replace(true);
    // Every connection holds one permit: all permits back means that all have ended.
    let _ = tokio::time::timeout(DRAIN, room.acquire_many(CONNECTIONS)).await;
    Ok(())
}

async fn accept(
    listener: TcpListener,
    hello: &Arc<Hello>,
    room: &Arc<Semaphore>,
    ends: &watch::Receiver<bool>,
) {
    loop {
        let permit = room.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, hello.clone(), ends.clone(), permit));
            }
            Err(error) => {
                say(&format!("cartridge-hello: cannot accept: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    hello: Arc<Hello>,
    mut ends: watch::Receiver<bool>,
    permit: OwnedSemaphorePermit,
) {
    // Only a matter of speed.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let hello = hello.clone();
        async move { Ok::<_, Infallible>(hello.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = Box::pin(connection);
    let ended = tokio::select! {
        // A client that goes away is no news.
        _ = connection.as_mut() => true,
        _ = ends.wait_for(|ending| *ending) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(DRAIN, connection).await;
    }
    drop(permit);
}

impl Hello {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let begun = Instant::now();
        let release = Release::current(self.config.release.as_deref()).await;
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let mut response = match (get, request.uri().path()) {
            (true, "/health") => health(release.as_ref()).await,
            (true, "/" | "/index.html") => {
                self.cost(request.uri().query()).await;
                page(release.as_ref()).await
            }
            (true, _) => response(StatusCode::NOT_FOUND, "nothing here\n"),
            (false, _) => response(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n"),
        };
        let release = release.map_or_else(|| "none".to_owned(), |release| release.name());
        let headers = response.headers_mut();
        for (name, value) in [("x-member", &self.config.member), ("x-release", &release)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if self.config.access_log {
            say(&format!(
                "{} {:?} {} {release} {} us",
                request.method(),
                request.uri().path(),
                response.status().as_u16(),
                begun.elapsed().as_micros()
            ));
        }
        response
    }

    async fn cost(&self, query: Option<&str>) {
        let cost = self.config.cost.or_query(query);
        self.burner.burn(cost.cpu).await;
        if !cost.wait.is_zero() {
            tokio::time::sleep(cost.wait).await;
        }
    }
}

async fn page(release: Option<&Release>) -> Response<Full<Bytes>> {
    let Some(release) = release else {
        return html(BUILT_IN);
    };
    match release.page().await {
        Ok(content) => html(content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => html(BUILT_IN),
        Err(error) => response(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("index.html: {error}\n"),
        ),
    }
}

async fn health(release: Option<&Release>) -> Response<Full<Bytes>> {
    let fault = match release {
        Some(release) => release.fault().await,
        None => None,
    };
    match fault {
        Some(text) => response(StatusCode::SERVICE_UNAVAILABLE, text),
        None => response(StatusCode::OK, "ok\n"),
    }
}

fn html(content: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut page = response(StatusCode::OK, content);
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    page.headers_mut().insert(header::CONTENT_TYPE, kind);
    page
}

fn response(status: StatusCode, content: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// One line on stdout; a closed stdout is no reason to stop serving.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

//! A real Git server over smart HTTP on loopback: a small HTTP server in front of `git http-backend`, with Basic
//! authentication, a web hook after each push that changed something, and faults on request.
//!
//! It refuses to know Git's protocol: that is the back end's.

mod cgi;
mod web_hook;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

pub use web_hook::{Deliveries, WebHook};

/// Connections served at once; more wait.
const MAX_CONNECTIONS: usize = 256;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

/// What a server is started with.
#[derive(Default)]
pub struct Settings {
    /// Folder with the bare repositories.
    pub root: PathBuf,
    /// Where to listen; `127.0.0.1:0` when absent.
    pub listen: Option<SocketAddr>,
    /// User name and password that every request must carry.
    pub credentials: Option<(String, String)>,
    /// Whom to tell about pushes.
    pub hook: Option<WebHook>,
}

/// What goes wrong on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Close every new connection at once.
    pub refuse: bool,
    /// Answer so many of the next requests with 500.
    pub internal_errors: u32,
    /// Cut the connection after so many body bytes of the answers to `POST` requests (packs).
    pub cut_after: Option<u64>,
    /// Wait before each answer.
    pub delay: Duration,
}

struct Shared {
    root: PathBuf,
    address: SocketAddr,
    authorization: Option<String>,
    hook: Mutex<Option<WebHook>>,
    faults: Mutex<Faults>,
    deliveries: Mutex<Deliveries>,
    requests: AtomicU64,
}

/// A running server; dropping it closes every connection.
pub struct GitServer {
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

impl GitServer {
    /// Listens and serves until dropped.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let wanted = settings
            .listen
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = TcpListener::bind(wanted).await?;
        let encode = |(user, password): (String, String)| {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            format!("Basic {pair}")
        };
        let shared = Arc::new(Shared {
            root: settings.root.canonicalize()?,
            address: listener.local_addr()?,
            authorization: settings.credentials.map(encode),
            hook: Mutex::new(settings.hook),
            faults: Mutex::new(Faults::default()),
            deliveries: Mutex::new(Deliveries::default()),
            requests: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            _accepting: AbortOnDropHandle::new(accepting),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The URL of the repository `name`, such as `hello.git`.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.shared.address)
    }

    /// The folder with the bare repositories.
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Whom to tell about pushes from now on.
    pub fn set_hook(&self, hook: Option<WebHook>) {
        *lock(&self.shared.hook) = hook;
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// What became of the web hook's calls.
    pub fn deliveries(&self) -> Deliveries {
        lock(&self.shared.deliveries).clone()
    }

    /// Requests that reached it, refused ones included.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give the others time to end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if lock(&shared.faults).refuse {
            continue;
        }
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            serve(stream, shared).await;
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { answer(request, &shared).await }
    });
    // A client that goes away is not this server's fault.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> io::Result<Response<Body>> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let (delay, fails, cut_after) = {
        let mut faults = lock(&shared.faults);
        let fails = faults.internal_errors > 0;
        faults.internal_errors = faults.internal_errors.saturating_sub(1);
        (faults.delay, fails, faults.cut_after)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if fails {
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, "fault on request\n"));
    }
    if !admitted(&request, shared) {
        let mut refusal = plain(StatusCode::UNAUTHORIZED, "user name and password wanted\n");
        let realm = http::HeaderValue::from_static("Basic realm=\"git\"");
        refusal
            .headers_mut()
            .insert(http::header::WWW_AUTHENTICATE, realm);
        return Ok(refusal);
    }
    let pushed = web_hook::watch(&request, shared).await;
    let cut_after = cut_after.filter(|_| request.method() == Method::POST);
    match cgi::run(request, &shared.root, cut_after, pushed).await {
        Ok(response) => Ok(response),
        Err(fault) => Ok(plain(
            StatusCode::BAD_GATEWAY,
            &format!("git http-backend: {fault}\n"),
        )),
    }
}

fn admitted(request: &Request<Incoming>, shared: &Shared) -> bool {
    let Some(wanted) = &shared.authorization else {
        return true;
    };
    request
        .headers()
        .get(http::header::AUTHORIZATION)
        .is_some_and(|given| given.as_bytes() == wanted.as_bytes())
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let body = http_body_util::Full::new(Bytes::copy_from_slice(text.as_bytes()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;

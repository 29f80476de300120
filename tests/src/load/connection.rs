//! Keep-alive connections to balancers, and one request over one of them.
//!
//! A connection is used by one request at a time. Nothing is tried twice: hyper's own client would, and would
//! hide exactly what is to be measured. It refuses to know when to send.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Idle connections kept per balancer.
const MAX_IDLE: usize = 512;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Target {
    /// The `Host` header.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// `GET`, unless a body is to travel.
    pub method: Method,
    /// The body.
    pub body: Bytes,
    /// A request that takes longer has failed.
    pub deadline: Duration,
}

impl Target {
    /// A `GET` with ten seconds' patience.
    pub fn get(host: &str, path: &str) -> Self {
        let deadline = Duration::from_secs(10);
        Self {
            host: host.into(),
            path: path.into(),
            method: Method::GET,
            body: Bytes::new(),
            deadline,
        }
    }
}

/// What came of one request.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub status: Option<u16>,
    pub member: Option<String>,
    pub release: Option<String>,
    /// Why it counts as failed: no answer, an answer cut short, or a status from 400 up.
    pub fault: Option<String>,
}

type Connection = SendRequest<Full<Bytes>>;

/// Idle connections by balancer; a balancer that is not wanted has no entry, and nothing is kept for it.
#[derive(Default)]
pub(super) struct Pool(Mutex<BTreeMap<SocketAddr, Vec<Connection>>>);

impl Pool {
    /// Closes idle connections to whoever is not among `wanted`, now and when requests under way end.
    pub(super) fn keep(&self, wanted: impl Iterator<Item = SocketAddr>) {
        let mut pool = self.lock();
        let mut old = std::mem::take(&mut *pool);
        *pool = wanted
            .map(|address| (address, old.remove(&address).unwrap_or_default()))
            .collect();
    }

    /// One request, one answer or one fault.
    pub(super) async fn ask(&self, target: &Target, address: SocketAddr) -> Outcome {
        let mut outcome = Outcome::default();
        match tokio::time::timeout(target.deadline, self.exchange(target, address, &mut outcome)).await {
            Ok(Ok(())) => {
                let status = outcome.status.unwrap_or_default();
                if status >= 400 {
                    outcome.fault = Some(format!("status {status}"));
                }
            }
            Ok(Err(fault)) => outcome.fault = Some(fault),
            Err(_) => outcome.fault = Some(format!("no complete answer within {:?}", target.deadline)),
        }
        outcome
    }

    async fn exchange(
        &self,
        target: &Target,
        address: SocketAddr,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let request = Request::builder()
            .method(target.method.clone())
            .uri(&target.path)
            .header(http::header::HOST, &target.host)
            .body(Full::new(target.body.clone()))
            .map_err(|e| e.to_string())?;
        let mut connection = match self.idle(address) {
            Some(connection) => connection,
            None => connect(address).await?,
        };
        let answer = connection
            .send_request(request)
            .await
            .map_err(|e| format!("request: {}", whole(&e)))?;
        outcome.status = Some(answer.status().as_u16());
        outcome.member = header(&answer, "x-member");
        outcome.release = header(&answer, "x-release");
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|e| format!("answer cut short: {}", whole(&e)))?;
        }
        self.give_back(address, connection);
        Ok(())
    }

    fn idle(&self, address: SocketAddr) -> Option<Connection> {
        let mut pool = self.lock();
        let connections = pool.get_mut(&address)?;
        while let Some(connection) = connections.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, address: SocketAddr, connection: Connection) {
        let mut pool = self.lock();
        match pool.get_mut(&address) {
            Some(connections) if !connection.is_closed() && connections.len() < MAX_IDLE => {
                connections.push(connection)
            }
            _ => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Vec<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(address: SocketAddr) -> Result<Connection, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|e| format!("connect: {e}"))?;
    stream.set_nodelay(true).map_err(|e| format!("connect: {e}"))?;
    let (mut connection, driver) = handshake(TokioIo::new(stream))
        .await
        .map_err(|e| format!("connect: {e}"))?;
    // Ends when the sender is dropped or the peer closes.
    tokio::spawn(driver);
    connection.ready().await.map_err(|e| format!("connect: {e}"))?;
    Ok(connection)
}

fn header(answer: &Response<Incoming>, name: &str) -> Option<String> {
    answer
        .headers()
        .get(name)
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned)
}

fn whole(fault: &dyn std::error::Error) -> String {
    match fault.source() {
        Some(source) => format!("{fault}: {}", whole(source)),
        None => fault.to_string(),
    }
}

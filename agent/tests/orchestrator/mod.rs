//! A tiny orchestrator for tests: hand-written HTTP on loopback that records what the agent says.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "a test fails by panicking; each uses another part"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cartridge_protocol::link::{Acknowledged, Batch, Desired, Down, Join, Joined};
use cartridge_protocol::values::Share;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

#[derive(Default)]
struct Heard {
    joins: Vec<Join>,
    batches: Vec<Batch>,
    bearers: Vec<String>,
    shares: Vec<Share>,
    /// What the next of them are answered; then all is well.
    share_answers: VecDeque<(u16, String)>,
    gone: bool,
}

#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    desired: Arc<watch::Sender<Desired>>,
    news: Arc<watch::Sender<u64>>,
    accepting: Arc<Mutex<Option<JoinHandle<()>>>>,
    serving: Arc<Mutex<Vec<JoinHandle<()>>>>,
    tls: Option<TlsAcceptor>,
}

impl Fake {
    pub async fn start(desired: Desired) -> Self {
        Self::start_with(desired, None).await
    }

    pub async fn start_with(desired: Desired, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            heard: Arc::default(),
            desired: Arc::new(watch::Sender::new(desired)),
            news: Arc::new(watch::Sender::new(0)),
            accepting: Arc::default(),
            serving: Arc::default(),
            tls,
        };
        fake.accept(listener);
        fake
    }

    fn accept(&self, listener: TcpListener) {
        let fake = self.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let one = fake.clone();
                let task = tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    match one.tls.clone() {
                        None => drop(one.serve(stream).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                let _ = one.serve(stream).await;
                            }
                        }
                    }
                });
                fake.serving.lock().unwrap().push(task);
            }
        });
        *self.accepting.lock().unwrap() = Some(task);
    }

    /// Dies: the port closes, and so does every connection.
    pub fn die(&self) {
        if let Some(task) = self.accepting.lock().unwrap().take() {
            task.abort();
        }
        self.serving
            .lock()
            .unwrap()
            .drain(..)
            .for_each(|task| task.abort());
    }

    /// Comes back at the same address.
    pub async fn come_back(&self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        self.accept(listener);
    }

    pub fn fence(&self) {
        self.heard.lock().unwrap().gone = true;
        // Streams end, and are refused when they come back.
        self.desired.send_modify(|_| {});
    }

    pub fn want(&self, change: impl FnOnce(&mut Desired)) {
        self.desired.send_modify(|d| {
            d.revision += 1;
            change(d);
        });
    }

    pub fn joins(&self) -> usize {
        self.heard.lock().unwrap().joins.len()
    }

    pub fn join(&self) -> Join {
        self.heard.lock().unwrap().joins[0].clone()
    }

    pub fn bearers(&self) -> Vec<String> {
        self.heard.lock().unwrap().bearers.clone()
    }

    pub fn shares(&self) -> Vec<Share> {
        self.heard.lock().unwrap().shares.clone()
    }

    pub fn answer_shares(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, text)| (*status, (*text).to_owned()));
        self.heard.lock().unwrap().share_answers.extend(answers);
    }

    pub fn batches(&self) -> Vec<Batch> {
        self.heard.lock().unwrap().batches.clone()
    }

    /// Waits for a batch, among those heard after the first `after`, that is as wished.
    pub async fn hear(&self, after: usize, what: &str, wish: impl Fn(&Batch) -> bool) -> usize {
        self.hear_within(Duration::from_secs(20), after, what, wish).await
    }

    /// The same, with a deadline of its own.
    pub async fn hear_within(
        &self,
        within: Duration,
        after: usize,
        what: &str,
        wish: impl Fn(&Batch) -> bool,
    ) -> usize {
        let mut news = self.news.subscribe();
        let search = async {
            loop {
                news.borrow_and_update();
                if let Some(at) = self.batches().iter().skip(after).position(&wish) {
                    return after + at + 1;
                }
                news.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(within, search).await {
            Ok(at) => at,
            Err(_) => panic!("never heard {what}; last: {:#?}", self.batches().last()),
        }
    }

    async fn serve(&self, mut stream: impl Stream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let head_end = loop {
                if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                    break at + 4;
                }
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            };
            let head = String::from_utf8_lossy(&buffer[..head_end]).to_lowercase();
            let field = |name: &str| {
                head.lines()
                    .find_map(|l| l.strip_prefix(name))
                    .map(|v| v.trim().to_owned())
            };
            let length: usize = field("content-length:").map_or(0, |v| v.parse().unwrap());
            while buffer.len() < head_end + length {
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
            let body: Vec<u8> = buffer.drain(..head_end + length).skip(head_end).collect();
            if self.heard.lock().unwrap().gone {
                stream
                    .write_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
                    .await?;
                continue;
            }
            if let Some(bearer) = field("authorization:") {
                assert!(field("cartridge-member:").is_some() && field("cartridge-incarnation:").is_some());
                self.heard.lock().unwrap().bearers.push(bearer);
            }
            match head.split(' ').nth(1).unwrap() {
                "/link/v1/stream" => return self.stream(stream).await,
                path => self.answer(path, &body, &mut stream).await?,
            }
        }
    }

    async fn answer(&self, path: &str, body: &[u8], stream: &mut impl Stream) -> std::io::Result<()> {
        match path {
            "/link/v1/join" => {
                self.heard
                    .lock()
                    .unwrap()
                    .joins
                    .push(serde_json::from_slice(body).unwrap());
                let desired = self.desired.borrow().clone();
                answer(stream, &Joined { desired }).await
            }
            "/link/v1/batch" => {
                let batch: Batch = serde_json::from_slice(body).unwrap();
                batch.check().unwrap();
                let notices = batch.notices.last().map_or(0, |n| n.number);
                self.heard.lock().unwrap().batches.push(batch);
                self.news.send_modify(|n| *n += 1);
                answer(stream, &Acknowledged { notices }).await
            }
            "/link/v1/values" => {
                let next = {
                    let mut heard = self.heard.lock().unwrap();
                    heard.shares.push(serde_json::from_slice(body).unwrap());
                    heard.share_answers.pop_front()
                };
                let (status, text) = next.unwrap_or((200, "{}".to_owned()));
                let head = format!(
                    "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                );
                stream.write_all((head + &text).as_bytes()).await
            }
            other => panic!("asked for {other}"),
        }
    }

    async fn stream(&self, mut stream: impl Stream) -> std::io::Result<()> {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await?;
        let mut desired = self.desired.subscribe();
        desired.mark_changed();
        loop {
            let line = match tokio::time::timeout(Duration::from_secs(1), desired.changed()).await {
                Ok(_) => Down::Desired(Box::new(desired.borrow_and_update().clone())),
                Err(_) => Down::Ping,
            };
            if self.heard.lock().unwrap().gone {
                return Ok(());
            }
            let line = serde_json::to_string(&line).unwrap() + "\n";
            stream
                .write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())
                .await?;
        }
    }
}

async fn answer(stream: &mut impl Stream, body: &impl serde::Serialize) -> std::io::Result<()> {
    let body = serde_json::to_string(body).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await
}

//! Members that misbehave on demand, clients that keep their connection, and topologies.
#![allow(dead_code, missing_docs, reason = "each test file uses its part")]

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cartridge_plugin_balancer::{HttpBalancer, Limits};
use cartridge_plugin_sdk::Balancer;
use cartridge_protocol::sample::ClusterReading;
use cartridge_protocol::topology::{
    Endpoint, EndpointState, Listener, MappedHost, Topology, TopologyCluster,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub const DEADLINE: Duration = Duration::from_secs(20);

/// An address on which nobody listens, and which no other test uses.
pub async fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let [_, _, high, low] = (process.wrapping_mul(31) ^ n).to_be_bytes();
    let ip = IpAddr::from([127, 100 + u8::try_from(n % 100).unwrap(), high, low | 1]);
    TcpListener::bind((ip, 0)).await.unwrap().local_addr().unwrap()
}

/// Polls until `state` gives something.
pub async fn until<T>(what: &str, mut state: impl AsyncFnMut() -> Option<T>) -> T {
    let polled = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(found) = state().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    polled.await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// A web server that says its name. `/gate` answers when the gate opens; `/stream` sends its second half then;
/// `/cut` breaks off in the middle; `/drop` closes the connection instead of answering; `/head` tells headers. Below
/// `/t/` it tells the target, sends the client there, and gives it a cookie.
pub struct Member {
    pub name: String,
    pub address: SocketAddr,
    pub hits: Arc<AtomicUsize>,
    gate: watch::Sender<bool>,
    serving: JoinSet<()>,
}

impl Member {
    pub async fn start(name: &str) -> Self {
        Self::start_on(name, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn start_on(name: &str, address: SocketAddr) -> Self {
        let socket = TcpListener::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let (gate, opened) = watch::channel(false);
        let mut serving = JoinSet::new();
        serving.spawn(accept(socket, name.to_owned(), hits.clone(), opened));
        Self {
            name: name.to_owned(),
            address,
            hits,
            gate,
            serving,
        }
    }

    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// Closes the socket and every connection at once.
    pub async fn kill(mut self) {
        self.serving.shutdown().await;
    }

    pub fn endpoint(&self, state: EndpointState) -> Endpoint {
        Endpoint {
            member: self.name.parse().unwrap(),
            incarnation: 1,
            address: self.address.ip(),
            ports: [("http".to_owned(), self.address.port())].into(),
            state,
        }
    }

    pub fn ready(&self) -> Endpoint {
        self.endpoint(EndpointState::Ready)
    }
}

async fn accept(socket: TcpListener, name: String, hits: Arc<AtomicUsize>, gate: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let (name, hits, gate) = (name.clone(), hits.clone(), gate.clone());
        let service = hyper::service::service_fn(move |request| {
            hits.fetch_add(1, Ordering::SeqCst);
            answer(request, name.clone(), gate.clone())
        });
        connections.spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Page = BoxBody<Bytes, std::io::Error>;

fn page(content: impl Into<Bytes>) -> Response<Page> {
    Response::new(
        Full::new(content.into())
            .map_err(|n: Infallible| match n {})
            .boxed(),
    )
}

async fn answer(
    request: Request<Incoming>,
    name: String,
    mut gate: watch::Receiver<bool>,
) -> std::io::Result<Response<Page>> {
    match request.uri().path() {
        path if path.ends_with("/gate") => {
            gate.wait_for(|open| *open).await.unwrap();
            Ok(page(name))
        }
        "/stream" => Ok(halves(gate)),
        "/cut" => {
            let (to, from) = mpsc::channel(2);
            to.send(Ok(Frame::data(Bytes::from("half")))).await.unwrap();
            tokio::spawn(async move {
                gate.wait_for(|open| *open).await.unwrap();
                let _ = to.send(Err(std::io::Error::other("cut"))).await;
            });
            Ok(Response::new(Pieces(from).boxed()))
        }
        "/drop" => Err(std::io::Error::other("as asked")),
        path if path.starts_with("/t/") => {
            let target = request.uri().to_string();
            let mut response = page(format!("{name} {target}"));
            let place = target.replace("/here", "/there").parse().unwrap();
            response.headers_mut().insert("location", place);
            let cookie = "id=1; Path=/t/acme/shop".parse().unwrap();
            response.headers_mut().insert("set-cookie", cookie);
            Ok(response)
        }
        "/head" => Ok(page(format!("{:?}", request.headers()))),
        "/echo" => {
            let body = request
                .into_body()
                .collect()
                .await
                .map_err(std::io::Error::other)?;
            Ok(page(body.to_bytes()))
        }
        _ => Ok(page(name)),
    }
}

fn halves(mut gate: watch::Receiver<bool>) -> Response<Page> {
    let (to, from) = mpsc::channel(2);
    tokio::spawn(async move {
        to.send(Ok(Frame::data(Bytes::from("first ")))).await.unwrap();
        gate.wait_for(|open| *open).await.unwrap();
        let _ = to.send(Ok(Frame::data(Bytes::from("second")))).await;
    });
    Response::new(Pieces(from).boxed())
}

/// A body of pieces as they come.
struct Pieces(mpsc::Receiver<std::io::Result<Frame<Bytes>>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

pub fn cluster(id: &str, hosts: &[&str], port: u16, endpoints: Vec<Endpoint>) -> TopologyCluster {
    TopologyCluster {
        cluster: id.parse().unwrap(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        mapped: Vec::new(),
        listeners: vec![Listener {
            port,
            name: "http".into(),
            protocol: "http".into(),
        }],
        endpoints,
        stopped: false,
    }
}

/// The same with a domain mapped to it.
pub fn mapped(cluster: TopologyCluster, host: &str, path: Option<&str>) -> TopologyCluster {
    TopologyCluster {
        mapped: vec![MappedHost {
            host: host.parse().unwrap(),
            path: path.map(|path| path.parse().unwrap()),
        }],
        ..cluster
    }
}

/// A balancer in this process, without pipes.
pub struct Running {
    pub balancer: HttpBalancer,
    pub address: SocketAddr,
    pub revision: u64,
}

impl Running {
    pub async fn start(limits: Limits) -> Self {
        Self {
            balancer: HttpBalancer::new(limits),
            address: free_address().await,
            revision: 0,
        }
    }

    /// Serves one cluster, `web`, with these members.
    pub async fn with(members: &[&Member]) -> Self {
        let mut running = Self::start(Limits::default()).await;
        running
            .serve(members.iter().map(|member| member.ready()).collect())
            .await;
        running
    }

    pub async fn serve(&mut self, endpoints: Vec<Endpoint>) {
        let clusters = vec![cluster("web", &[], self.address.port(), endpoints)];
        self.set(clusters).await.unwrap();
    }

    pub async fn set(&mut self, clusters: Vec<TopologyCluster>) -> Result<(), String> {
        self.revision += 1;
        let topology = Topology {
            revision: self.revision,
            network_partition: "np".parse().unwrap(),
            listen: self.address.ip(),
            clusters,
        };
        let set = self.balancer.set_members(&topology).await;
        set.map_err(|error| error.to_string())
    }

    pub async fn reading(&mut self) -> ClusterReading {
        self.balancer.read().await.unwrap().remove(0)
    }

    pub async fn balancer_clusters(&mut self) -> usize {
        self.balancer.read().await.unwrap().len()
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.client().await.get(target).await.unwrap()
    }
}

/// One kept-alive connection of a client.
pub struct Client(SendRequest<BoxBody<Bytes, Infallible>>);

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn get(&mut self, target: &str) -> hyper::Result<Reply> {
        self.send(Method::GET, target, "any", None).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        target: &str,
        host: &str,
        body: Option<&'static str>,
    ) -> hyper::Result<Reply> {
        let response = self.begin(method, target, host, body).await?;
        let (head, body) = response.into_parts();
        let collected = tokio::time::timeout(DEADLINE, body.collect());
        let content = collected.await.expect("the body ends")?.to_bytes();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(content.to_vec()).unwrap(),
        })
    }

    pub async fn begin(
        &mut self,
        method: Method,
        target: &str,
        host: &str,
        body: Option<&'static str>,
    ) -> hyper::Result<Response<Incoming>> {
        let body = match body {
            Some(text) => Full::new(Bytes::from(text)).boxed(),
            None => Empty::new().boxed(),
        };
        let request = Request::builder().method(method).uri(target).header("host", host);
        let request = request.body(body).unwrap();
        tokio::time::timeout(DEADLINE, async {
            self.0.ready().await?;
            self.0.send_request(request).await
        })
        .await
        .expect("an answer in time")
    }
}

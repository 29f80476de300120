//! The generator against small servers on real sockets.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    in_flight_most: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    fn balancer(&self, weight: u32) -> Balancer {
        Balancer {
            address: self.address,
            weight,
        }
    }
}

/// Answers as member `name` with `status` after `takes`.
async fn server(name: &'static str, status: u16, takes: Duration) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let [requests, connections, most, now] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
    let counts = (Arc::clone(&requests), Arc::clone(&connections), Arc::clone(&most));
    let task = tokio::spawn(async move {
        let (requests, connections, most) = counts;
        let mut serving = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (requests, most, now) = (Arc::clone(&requests), Arc::clone(&most), Arc::clone(&now));
            let service = service_fn(move |_: Request<Incoming>| {
                let (requests, most, now) = (Arc::clone(&requests), Arc::clone(&most), Arc::clone(&now));
                async move {
                    requests.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(takes).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    let mut answer = Response::new(Full::new(Bytes::from_static(b"hello")));
                    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                    answer.headers_mut().insert("x-member", name.parse().unwrap());
                    answer.headers_mut().insert("x-release", "abc".parse().unwrap());
                    Ok::<_, std::convert::Infallible>(answer)
                }
            });
            serving.spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Server {
        address,
        requests,
        connections,
        in_flight_most: most,
        _task: AbortOnDropHandle::new(task),
    }
}

fn target() -> Target {
    Target::get("hello.test", "/")
}

#[tokio::test]
async fn requests_follow_the_balancers_as_they_come_and_go() {
    let (first, second) = (
        server("a", 200, Duration::ZERO).await,
        server("b", 200, Duration::ZERO).await,
    );
    let load = Load::start(target(), Pace::Concurrent(4));
    load.set_balancers(vec![first.balancer(1)]);
    assert!(load.wait_for(PATIENCE, |r| r.ok >= 50).await);
    assert_eq!(second.requests(), 0);

    load.set_balancers(vec![first.balancer(1), second.balancer(3)]);
    assert!(
        load.wait_for(PATIENCE, |r| r.members.get("b").copied().unwrap_or(0) >= 300)
            .await
    );
    load.set_balancers(vec![second.balancer(1)]);
    // What is in flight at `first` may end; nothing new may begin there.
    let answered = load.report().ok;
    assert!(load.wait_for(PATIENCE, |r| r.ok >= answered + 50).await);
    let before = first.requests();
    let answered = load.report().ok;
    assert!(load.wait_for(PATIENCE, |r| r.ok >= answered + 200).await);
    assert_eq!(first.requests(), before);

    let report = load.finish().await;
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    assert_eq!(report.in_flight(), 0);
    assert_eq!(report.ok, first.requests() + second.requests());
    assert_eq!(report.ok, report.releases["abc"]);
    assert_eq!(report.ok, report.seconds.iter().map(|s| s.ok).sum::<u64>());
}

#[tokio::test]
async fn weights_are_shares() {
    let (first, second) = (
        server("a", 200, Duration::ZERO).await,
        server("b", 200, Duration::ZERO).await,
    );
    let load = Load::start(target(), Pace::Concurrent(2));
    load.set_balancers(vec![first.balancer(1), second.balancer(3)]);
    assert!(load.wait_for(PATIENCE, |r| r.ok >= 400).await);
    let report = load.finish().await;
    let expected = report.ok / 4;
    assert!(
        first.requests().abs_diff(expected) <= 2,
        "{} of {}",
        first.requests(),
        report.ok
    );
}

#[tokio::test]
async fn the_closed_loop_keeps_its_number_in_flight_on_connections_that_live_on() {
    let server = server("a", 200, Duration::from_millis(5)).await;
    let load = Load::start(target(), Pace::Concurrent(3));
    load.set_balancers(vec![server.balancer(1)]);
    assert!(load.wait_for(PATIENCE, |r| r.ok >= 60).await);
    assert_eq!(server.in_flight_most.load(Ordering::SeqCst), 3);
    load.set_pace(Pace::Concurrent(9));
    assert!(load.wait_for(PATIENCE, |r| r.ok >= 300).await);
    assert_eq!(server.in_flight_most.load(Ordering::SeqCst), 9);
    assert!(server.connections.load(Ordering::SeqCst) <= 9);
    let report = load.finish().await;
    assert!(
        report.p50 >= Duration::from_millis(5) && report.p99 >= report.p50,
        "{report:?}"
    );
}

#[tokio::test]
async fn the_open_loop_does_not_wait_for_answers() {
    let server = server("a", 200, Duration::from_millis(300)).await;
    let load = Load::start(target(), Pace::PerSecond(200.0));
    load.set_balancers(vec![server.balancer(1)]);
    assert!(load.wait_for(PATIENCE, |r| r.ok >= 200).await);
    let in_flight = server.in_flight_most.load(Ordering::SeqCst);
    assert!(in_flight >= 20, "only {in_flight} in flight");
    load.set_pace(Pace::PerSecond(0.0));
    assert!(load.wait_for(PATIENCE, |r| r.in_flight() == 0).await);
}

#[tokio::test]
async fn a_failure_is_counted_once_and_never_tried_again() {
    let broken = server("a", 503, Duration::ZERO).await;
    let load = Load::start(target(), Pace::Concurrent(1));
    load.set_balancers(vec![broken.balancer(1)]);
    assert!(load.wait_for(PATIENCE, |r| r.failed >= 5).await);
    let report = load.finish().await;
    assert_eq!(report.sent, broken.requests());
    assert_eq!(report.failed, report.sent);
    assert_eq!(report.failures[0].reason, "status 503");
    assert_eq!(report.failures[0].member.as_deref(), Some("a"));
}

#[tokio::test]
async fn a_balancer_that_is_not_there_and_one_that_dies_are_failures_with_a_reason() {
    let slow = server("a", 200, Duration::from_secs(5)).await;
    let load = Load::start(target(), Pace::Concurrent(2));
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    load.set_balancers(vec![Balancer {
        address: gone,
        weight: 1,
    }]);
    assert!(load.wait_for(PATIENCE, |r| r.failed >= 2).await);
    assert!(
        load.report().failures[0].reason.starts_with("connect:"),
        "{:?}",
        load.report().failures[0]
    );

    load.set_balancers(vec![slow.balancer(1)]);
    let reached = async {
        while slow.requests() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
    let address = slow.address;
    load.set_balancers(Vec::new());
    load.note_kill(Kill::now(None));
    drop(slow);
    assert!(
        load.wait_for(PATIENCE, |r| r.failed_on_killed == 2).await,
        "{:?}",
        load.report()
    );
    let report = load.finish().await;
    assert!(
        report
            .failures
            .iter()
            .filter(|f| f.peer == address)
            .all(|f| f.in_flight_on_killed)
    );
}

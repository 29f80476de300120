//! Members come, drain, go and die while clients ask: nobody notices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cartridge_plugin_balancer::Limits;
use cartridge_protocol::topology::EndpointState;
use http::{Method, StatusCode};
use support::{Client, Member, Running, cluster, until};
use tokio::task::JoinSet;

/// Clients that ask and ask, each over one connection that must never break.
struct Hammer {
    clients: JoinSet<()>,
    asked: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
}

impl Hammer {
    async fn start(running: &Running, clients: usize) -> Self {
        let hammer = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let mut client: Client = running.client().await;
            let (asked, enough) = hammer.clone();
            set.spawn(async move {
                while !enough.load(Ordering::SeqCst) {
                    let reply = client.get("/").await.expect("the connection stays");
                    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self {
            clients: set,
            asked: hammer.0,
            enough: hammer.1,
        }
    }

    /// Lets this many more requests be answered.
    async fn strike(&self, more: usize) {
        let goal = self.asked.load(Ordering::SeqCst) + more;
        until("more requests are answered", async || {
            (self.asked.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await;
    }

    /// Fails if any request failed.
    async fn stop(mut self) {
        self.enough.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.expect("no request failed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_changes_under_load_fail_no_request_and_break_no_connection() {
    let mut members = Vec::new();
    for name in ["a", "b", "c", "d"] {
        members.push(Member::start(name).await);
    }
    let mut running = Running::with(&[&members[0]]).await;
    let hammer = Hammer::start(&running, 4).await;
    for change in 0..200_usize {
        let endpoints = members
            .iter()
            .enumerate()
            .filter_map(|(n, member)| match (change + n) % 4 {
                0 | 1 => Some(member.endpoint(EndpointState::Ready)),
                2 => Some(member.endpoint(EndpointState::Draining)),
                _ => None,
            });
        running.serve(endpoints.collect()).await;
        hammer.strike(5).await;
    }
    hammer.stop().await;
    assert!(members.iter().all(|member| member.hits() > 100));
    let reading = until("nothing is in flight", async || {
        Some(running.reading().await).filter(|reading| reading.in_flight == 0)
    })
    .await;
    assert_eq!(reading.failed, 0);
    assert!(reading.served >= 1000, "{}", reading.served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_dies_under_load_fails_no_get() {
    let (a, b, c) = (
        Member::start("a").await,
        Member::start("b").await,
        Member::start("c").await,
    );
    let mut running = Running::with(&[&a, &b, &c]).await;
    let hammer = Hammer::start(&running, 4).await;
    hammer.strike(100).await;
    c.kill().await;
    hammer.strike(300).await;
    b.kill().await;
    hammer.strike(300).await;
    hammer.stop().await;
    assert_eq!(running.reading().await.failed, 0);
}

#[tokio::test]
async fn what_a_draining_member_has_is_finished_even_when_it_has_left() {
    let (old, new) = (Member::start("old").await, Member::start("new").await);
    let mut running = Running::with(&[&old]).await;
    let (mut slow, mut kept) = (running.client().await, running.client().await);
    assert_eq!(kept.get("/").await.unwrap().text, "old");
    let waiting = tokio::spawn(async move { slow.get("/gate").await });
    until("the slow request arrives", async || {
        (old.hits() == 2).then_some(())
    })
    .await;

    running
        .serve(vec![old.endpoint(EndpointState::Draining), new.ready()])
        .await;
    for _ in 0..3 {
        assert_eq!(kept.get("/").await.unwrap().text, "new", "on a kept connection");
    }
    let reading = running.reading().await;
    let at_old = reading.members.iter().find(|m| m.member.as_str() == "old");
    assert_eq!(at_old.unwrap().in_flight, 1);

    running.serve(vec![new.ready()]).await;
    let reading = running.reading().await;
    let at_old = reading.members.iter().find(|m| m.member.as_str() == "old");
    assert_eq!(at_old.unwrap().in_flight, 1, "gone, but not finished");
    old.open_gate();
    let reply = waiting.await.unwrap().unwrap();
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, "old"));
    let reading = until("nothing is in flight", async || {
        Some(running.reading().await).filter(|reading| reading.in_flight == 0)
    })
    .await;
    assert_eq!(reading.members.len(), 1);
}

#[tokio::test]
async fn a_restarted_member_gets_requests_over_a_fresh_connection() {
    let member = Member::start("a").await;
    let address = member.address;
    let running = Running::with(&[&member]).await;
    let mut client = running.client().await;
    assert_eq!(client.get("/").await.unwrap().text, "a");
    member.kill().await;
    let _again = Member::start_on("a", address).await;
    assert_eq!(client.get("/").await.unwrap().text, "a");
    let posted = client.send(Method::POST, "/echo", "any", Some("once")).await;
    assert_eq!(posted.unwrap().text, "once");
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_on_is_not_sent_twice() {
    let (a, b) = (Member::start("a").await, Member::start("b").await);
    let mut running = Running::with(&[&a, &b]).await;
    let mut client = running.client().await;
    let reply = client
        .send(Method::POST, "/drop", "any", Some("pay"))
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(a.hits() + b.hits(), 1);
    let reply = client.get("/drop").await.unwrap();
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(a.hits() + b.hits(), 3, "a GET is tried at both");
    assert_eq!(running.reading().await.failed, 2);
}

#[tokio::test]
async fn a_port_that_vanishes_finishes_what_it_has_and_takes_nothing_new() {
    let member = Member::start("a").await;
    let mut running = Running::with(&[&member]).await;
    let mut slow = running.client().await;
    let waiting = tokio::spawn(async move { slow.get("/gate").await });
    until("the slow request arrives", async || {
        (member.hits() == 1).then_some(())
    })
    .await;
    let other = support::free_address().await.port();
    let clusters = vec![cluster("web", &[], other, vec![member.ready()])];
    running.set(clusters).await.unwrap();
    assert!(tokio::net::TcpStream::connect(running.address).await.is_err());
    member.open_gate();
    let reply = waiting.await.unwrap().unwrap();
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.headers["connection"], "close");
    running.address.set_port(other);
    assert_eq!(running.get("/").await.text, "a");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_and_nothing_changes() {
    let (a, b) = (Member::start("a").await, Member::start("b").await);
    let mut running = Running::with(&[&a]).await;
    let socket = tokio::net::TcpListener::bind((running.address.ip(), 0))
        .await
        .unwrap();
    let taken = socket.local_addr().unwrap();
    let clusters = vec![
        cluster("web", &[], running.address.port(), vec![b.ready()]),
        cluster("shop", &[], taken.port(), vec![b.ready()]),
    ];
    let error = running.set(clusters).await.unwrap_err();
    assert!(error.contains(&taken.to_string()), "{error}");
    assert_eq!(running.get("/").await.text, "a");
    assert_eq!(running.balancer_clusters().await, 1);
}

#[tokio::test]
async fn a_protocol_other_than_http_is_refused_by_name() {
    let mut running = Running::start(Limits::default()).await;
    let mut mail = cluster("mail", &[], 25, vec![]);
    mail.listeners[0].protocol = "smtp".into();
    let error = running.set(vec![mail]).await.unwrap_err();
    assert!(error.contains("mail") && error.contains("smtp"), "{error}");
}

#[tokio::test]
async fn a_second_try_goes_to_those_that_take_requests_now() {
    let (a, b, c) = (
        Member::start("a").await,
        Member::start("b").await,
        Member::start("c").await,
    );
    c.open_gate();
    let mut running = Running::with(&[&a, &b]).await;
    let mut client = running.client().await;
    let waiting = tokio::spawn(async move { client.get("/gate").await });
    until("the request arrives", async || (a.hits() == 1).then_some(())).await;
    running
        .serve(vec![a.ready(), b.endpoint(EndpointState::Draining), c.ready()])
        .await;
    b.open_gate();
    a.kill().await;
    let reply = waiting.await.unwrap().unwrap();
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, "c"));
    assert_eq!(
        b.hits(),
        0,
        "it drains: somebody may count on its beginning nothing"
    );
}

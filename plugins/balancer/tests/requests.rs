//! Single requests, good and bad, and what is measured of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use cartridge_plugin_balancer::Limits;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use support::{DEADLINE, Member, Running, cluster, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Sends raw bytes and returns all that comes until the connection is closed.
async fn raw(running: &Running, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    // The balancer may refuse and close before everything is sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn members_take_turns() {
    let (a, b, c) = (
        Member::start("a").await,
        Member::start("b").await,
        Member::start("c").await,
    );
    let running = Running::with(&[&a, &b, &c]).await;
    let mut client = running.client().await;
    let mut order = String::new();
    for _ in 0..6 {
        order += &client.get("/").await.unwrap().text;
    }
    assert_eq!(order, "abcabc");
}

#[tokio::test]
async fn the_host_decides_which_cluster_answers() {
    let (shop, blog) = (Member::start("shop").await, Member::start("blog").await);
    let mut running = Running::start(Limits::default()).await;
    let port = running.address.port();
    let clusters = vec![
        cluster("shop", &["shop.example"], port, vec![shop.ready()]),
        cluster("blog", &["blog.example"], port, vec![blog.ready()]),
    ];
    running.set(clusters).await.unwrap();
    let mut client = running.client().await;
    for (host, text) in [
        ("BLOG.example:8080", "blog"),
        ("shop.example", "shop"),
        ("other", "shop"),
    ] {
        let reply = client.send(Method::GET, "/", host, None).await.unwrap();
        assert_eq!(reply.text, text, "{host}");
    }
    let old = raw(&running, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200") && old.ends_with("shop"), "{old}");
    let absolute = b"GET http://blog.example/ HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";
    assert!(raw(&running, absolute).await.ends_with("blog"));
}

#[tokio::test]
async fn members_learn_who_asked_and_nothing_of_the_connection() {
    let member = Member::start("a").await;
    let running = Running::with(&[&member]).await;
    let request = b"GET /head HTTP/1.1\r\nhost: shop\r\nconnection: close, x-private\r\nx-private: 1\r\n\r\n";
    let answer = raw(&running, request).await;
    assert!(answer.contains(r#""x-forwarded-for": "127.0.0.1""#), "{answer}");
    assert!(answer.contains(r#""x-forwarded-host": "shop""#), "{answer}");
    assert!(answer.contains(r#""x-forwarded-proto": "http""#), "{answer}");
    assert!(answer.contains(r#""via": "1.1 cartridge""#), "{answer}");
    assert!(!answer.contains("x-private"), "{answer}");
}

#[tokio::test]
async fn requests_in_flight_are_counted_and_averaged_over_time() {
    let member = Member::start("a").await;
    let mut running = Running::with(&[&member]).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = running.client().await;
        waiting.push(tokio::spawn(async move { client.get("/gate").await.unwrap() }));
    }
    until("three requests arrive", async || {
        (member.hits() == 3).then_some(())
    })
    .await;
    let reading = running.reading().await;
    assert_eq!((reading.in_flight, reading.members[0].in_flight), (3, 3));
    // From the reading before to this one nothing changed: the average is exact.
    let reading = running.reading().await;
    assert!((reading.in_flight_average - 3.0).abs() < 1e-6, "{reading:?}");
    member.open_gate();
    for request in waiting {
        assert_eq!(request.await.unwrap().status, StatusCode::OK);
    }
    until("nothing is in flight", async || {
        let reading = running.reading().await;
        (reading.in_flight == 0 && reading.served == 3).then_some(())
    })
    .await;
    assert!(running.reading().await.in_flight_average.abs() < 1e-6);
}

#[tokio::test]
async fn bodies_are_streamed_not_collected() {
    let member = Member::start("a").await;
    let mut running = Running::with(&[&member]).await;
    let mut client = running.client().await;
    let mut response = client.begin(Method::GET, "/stream", "any", None).await.unwrap();
    let first = tokio::time::timeout(DEADLINE, response.frame()).await.unwrap();
    assert_eq!(first.unwrap().unwrap().into_data().unwrap(), "first ");
    assert_eq!(running.reading().await.in_flight, 1, "its body has not ended");
    member.open_gate();
    let rest = tokio::time::timeout(DEADLINE, response.collect()).await.unwrap();
    assert_eq!(rest.unwrap().to_bytes(), "second");
}

#[tokio::test]
async fn a_body_that_is_cut_is_cut_for_the_client_too_and_counts_as_failed() {
    let member = Member::start("a").await;
    let mut running = Running::with(&[&member]).await;
    let mut client = running.client().await;
    let response = client.begin(Method::GET, "/cut", "any", None).await.unwrap();
    member.open_gate();
    let collected = tokio::time::timeout(DEADLINE, response.collect()).await.unwrap();
    assert!(collected.is_err(), "the client must not take half for the whole");
    until("it is counted", async || {
        let reading = running.reading().await;
        ((reading.failed, reading.served, reading.in_flight) == (1, 0, 0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_member_the_client_is_told_to_come_back() {
    let member = Member::start("a").await;
    let mut running = Running::with(&[]).await;
    let reply = running.get("/").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.headers["retry-after"], "1");
    assert!(
        reply.text.contains("cluster web has no member ready"),
        "{}",
        reply.text
    );
    let endpoint = member.ready();
    member.kill().await;
    running.serve(vec![endpoint]).await;
    let reply = running.get("/").await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert!(reply.text.contains("member a did not answer"), "{}", reply.text);
    assert_eq!(running.reading().await.failed, 2);
}

#[tokio::test]
async fn a_member_that_does_not_answer_in_time_costs_a_gateway_timeout() {
    let member = Member::start("a").await;
    let mut running = Running::start(Limits {
        response_head: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    running.serve(vec![member.ready()]).await;
    assert_eq!(running.get("/gate").await.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(running.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn bad_requests_are_refused_and_good_ones_served_after_them() {
    let member = Member::start("a").await;
    let running = Running::with(&[&member]).await;
    assert!(
        raw(&running, b"\x16\x03\x01 nonsense\r\n\r\n")
            .await
            .contains("400")
    );
    let huge = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    let refused = raw(&running, huge.as_bytes()).await;
    assert!(refused.is_empty() || refused.contains("431"), "{refused}");
    let connect = raw(
        &running,
        b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(connect.contains("405"), "{connect}");
    let smuggled = b"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = raw(&running, smuggled).await;
    assert!(answer.contains("400") || answer.ends_with("abc"), "{answer}");
    assert_eq!(running.get("/").await.text, "a");
}

#[tokio::test]
async fn a_request_that_ends_in_the_middle_is_no_failure_of_a_member() {
    let member = Member::start("a").await;
    let mut running = Running::with(&[&member]).await;
    let broken =
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n";
    let answer = raw(&running, broken).await;
    assert!(answer.is_empty() || answer.contains("400"), "{answer}");
    let reading = until("nothing is in flight", async || {
        Some(running.reading().await).filter(|reading| reading.in_flight == 0)
    })
    .await;
    assert_eq!((reading.failed, reading.served), (0, 0));
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let member = Member::start("a").await;
    let mut running = Running::start(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    running.serve(vec![member.ready()]).await;
    let mut first = running.client().await;
    assert_eq!(first.get("/").await.unwrap().text, "a");
    let mut second = running.client().await;
    let waiting = tokio::spawn(async move { second.get("/").await });
    for _ in 0..3 {
        assert_eq!(first.get("/").await.unwrap().text, "a");
    }
    assert_eq!(member.hits(), 4, "the second one has to wait");
    drop(first);
    assert_eq!(waiting.await.unwrap().unwrap().text, "a");
}

#[tokio::test]
async fn a_client_that_expects_a_go_ahead_gets_it() {
    let member = Member::start("a").await;
    let running = Running::with(&[&member]).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        .await
        .unwrap();
    let mut go_ahead = [0; 25];
    let read = stream.read_exact(&mut go_ahead);
    tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
    assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_web_socket_passes_through_and_is_in_flight_until_it_closes() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let switched =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(switched).await.unwrap();
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    });
    let mut running = Running::start(Limits::default()).await;
    let mut endpoint = Member::start("ws").await.ready();
    endpoint.ports.insert("http".into(), address.port());
    running.serve(vec![endpoint]).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream
        .write_all(b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    let read = stream.read_exact(&mut pong);
    tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
    assert_eq!(&pong, b"ping");
    assert_eq!(running.reading().await.in_flight, 1);
    drop(stream);
    let asked = tokio::time::timeout(DEADLINE, echo).await.unwrap().unwrap();
    assert!(asked.contains("upgrade: websocket"), "{asked}");
    until("it is over", async || {
        (running.reading().await.in_flight == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        let _ = stream.read_u8().await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            .await;
        while stream.write_all(&[b'x'; 1 << 16]).await.is_ok() {}
    });
    let mut running = Running::start(Limits {
        client_stall: Duration::from_secs(1),
        ..Limits::default()
    })
    .await;
    let mut endpoint = Member::start("large").await.ready();
    endpoint.ports.insert("http".into(), address.port());
    running.serve(vec![endpoint]).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    until("it is in flight", async || {
        (running.reading().await.in_flight == 1).then_some(())
    })
    .await;
    until("it is over", async || {
        (running.reading().await.in_flight == 0).then_some(())
    })
    .await;
}

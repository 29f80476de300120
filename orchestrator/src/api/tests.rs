//! The API against a real engine on a journal of its own, without sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use base64::Engine as _;
use cartridge_orchestrator_plan::world::World;
use http::{StatusCode, header};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::ensure_admin;
use crate::clock::Clock;
use crate::engine::{Intervals, LinkPlace, Parts, State};
use crate::identity::Identity;
use crate::journal::{Journal, Keep};
use crate::provision::Provisioners;

mod domains;
mod edits;
mod faults;
mod kubernetes;
mod rights;
mod sharing;
mod sign_ups;
mod ways_in;

const SAMPLES: [(&str, &str); 4] = [
    (
        "autoscalingPolicies",
        r#"{"id": "p", "loadThresholds": {"requestsInFlight": {"threshold": "20"},},}"#,
    ),
    (
        "networkPartitions",
        r#"{"id": "np", "provider": "mock", "partitions": [{"id": "a"}]}"#,
    ),
    (
        "cartridges",
        r#"{"type": "php", "category": "framework", "provider": "x", "host": "php.test", "multiTenant": "false",
        "portMapping": [{"protocol": "http", "port": "8080", "proxyPort": "8280"}],
        "iaasProvider": [{"type": "mock", "imageId": "x"}]}"#,
    ),
    (
        "applicationPolicies",
        r#"{"id": "ap", "algorithm": "one-after-another", "networkPartitions": ["np"]}"#,
    ),
];

struct Server {
    router: Router,
    header: String,
    engine: Engine,
    _data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.engine.stopping().cancel();
    }
}

impl Server {
    fn start() -> Self {
        Self::start_with(|_, _| {})
    }

    fn start_with(with: impl FnOnce(&Engine, &mut Provisioners)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let made = ensure_admin(data.path(), |_| Ok(())).unwrap().unwrap();
        let keep = Keep {
            snapshot_every: 1000,
            history: 1000,
        };
        let (journal, world): (Journal, World) =
            Journal::open(&data.path().join("journal.redb"), keep).unwrap();
        let (engine, waiting) = Engine::new(Parts {
            state: State {
                world,
                ..State::default()
            },
            journal,
            identity: Arc::new(Identity::from_key(&[7; 32]).unwrap()),
            clock: Clock::start(),
            lines: crate::lines::Lines::nowhere(),
            intervals: Intervals::default(),
            stopping: CancellationToken::new(),
        });
        let own = engine.clone();
        let place = LinkPlace {
            url: "https://127.0.0.1:1".into(),
            ca: data.path().join("ca.pem"),
        };
        let mut provisioners = Provisioners::default();
        with(&engine, &mut provisioners);
        tokio::spawn(async move { own.run(waiting, Arc::new(provisioners), place).await });
        let pair = format!("{}:{}", made.user, made.password.expose());
        let header = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let router = router(engine.clone(), Auth::open(data.path()).unwrap());
        Self {
            router,
            header,
            engine,
            _data: data,
        }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: impl Into<Body>,
        known: bool,
    ) -> (StatusCode, Value) {
        let mut headers = vec![(header::CONTENT_TYPE, kind)];
        if known {
            headers.push((header::AUTHORIZATION, &self.header));
        }
        let (status, _, answer) = self.exchange(method, path, &headers, body.into()).await;
        (status, answer)
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        body: Body,
    ) -> (StatusCode, http::HeaderMap, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let mut request = request.body(body).unwrap();
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        let service = TowerToHyperService::new(self.router.clone());
        let answer = tokio::time::timeout(
            Duration::from_secs(20),
            hyper::service::Service::call(&service, request),
        );
        let answer = answer.await.expect("an answer in time").unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 24).await.unwrap();
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.map_or("", |kind| kind.to_str().unwrap());
        let strays = openapi::conforms::strays(method, path, status.as_u16(), kind, &value);
        assert_eq!(strays, None, "{value}");
        (status, headers, value)
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        self.send(method, path, "application/json", body.to_owned(), true)
            .await
    }

    fn seq(&self) -> u64 {
        self.engine.read(|world, _, _| world.seq)
    }
}

#[tokio::test]
async fn every_route_has_a_row_in_the_table_of_roles_and_every_row_a_route() {
    let server = Server::start();
    let auth = Auth::open(server._data.path()).unwrap();
    let dashboard = Dashboard::start(server.engine.clone());
    let mut routes = Routes::new(Api::new(server.engine.clone(), dashboard, auth));
    mount(&mut routes);
    assert!(routes.registered.len() > 50);
    for (method, route) in &routes.registered {
        assert!(
            roles::access(method, route).is_some(),
            "{method} {route} has no row"
        );
    }
    for (method, route, ..) in roles::TABLE {
        let known = |(m, r): &(Method, String)| m.as_str() == *method && r == route;
        assert!(
            routes.registered.iter().any(known),
            "{method} {route} is no route"
        );
    }
}

#[tokio::test]
async fn nobody_gets_past_the_guard_without_credentials() {
    let server = Server::start();
    for path in [
        "/",
        "/api/members",
        "/api/v4.1/cartridges",
        "/metrics",
        "/dashboard/app.js",
        "/api/events",
    ] {
        let (status, _) = server.send("GET", path, "", "", false).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let (status, _) = server.send("GET", "/healthz", "", "", false).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn resources_are_added_once_shown_and_put_again_under_both_mounts() {
    let server = Server::start();
    for (collection, body) in SAMPLES {
        let (status, answer) = server.ask("POST", &format!("/api/v4.1/{collection}"), body).await;
        assert_eq!(
            (status, &answer["status"]),
            (StatusCode::CREATED, &json!("success")),
            "{collection}: {answer}"
        );
        let (status, answer) = server.ask("POST", &format!("/api/{collection}"), body).await;
        assert_eq!(
            (status, &answer["status"]),
            (StatusCode::CONFLICT, &json!("error")),
            "{collection}"
        );
        let (_, all) = server.ask("GET", &format!("/api/{collection}"), "").await;
        let shown = &all.as_array().unwrap()[0];
        let id = shown.get("id").or(shown.get("type")).unwrap().as_str().unwrap();
        let (status, one) = server.ask("GET", &format!("/api/{collection}/{id}"), "").await;
        assert_eq!((status, &one), (StatusCode::OK, shown));
        let (status, answer) = server
            .ask("PUT", &format!("/api/{collection}"), &one.to_string())
            .await;
        assert_eq!(
            status,
            StatusCode::OK,
            "what is shown of {collection} can be put again: {answer}"
        );
        let (_, again) = server.ask("GET", &format!("/api/{collection}/{id}"), "").await;
        assert_eq!(one, again, "{collection}");
        let (status, _) = server.ask("GET", &format!("/api/{collection}/nothing"), "").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_refusal_names_the_field_and_leaves_the_journal_as_it_was() {
    let server = Server::start();
    let (status, _) = server.ask("POST", "/api/autoscalingPolicies", SAMPLES[0].1).await;
    assert_eq!(status, StatusCode::CREATED);
    let before = server.seq();
    let bad = [
        ("POST", "/api/autoscalingPolicies", SAMPLES[0].1, 409),
        (
            "PUT",
            "/api/autoscalingPolicies",
            r#"{"id": "q", "loadThresholds": {"loadAverage": {"threshold": 1}}}"#,
            404,
        ),
        ("POST", "/api/cartridges", r#"{"type": "../x"}"#, 400),
        ("POST", "/api/applications", r#"{"applicationId": 7"#, 400),
        (
            "POST",
            "/api/applications",
            r#"{"applicationId": "a", "alias": "a", "components": {"cartridges": []}}"#,
            400,
        ),
        ("DELETE", "/api/applicationPolicies/none", "", 404),
        ("POST", "/api/applications/none/deploy/none", "", 404),
        ("POST", "/api/clusters/none/scale", r#"{"size": 3}"#, 404),
        ("POST", "/api/clusters/none/scale", r#"{"size": -1}"#, 400),
        ("POST", "/api/members/none/drain", "", 404),
        ("POST", "/api/repo/notify", "{}", 400),
        ("GET", "/api/nothing", "", 404),
    ];
    for (method, path, body, code) in bad {
        let (status, answer) = server.ask(method, path, body).await;
        assert_eq!(status.as_u16(), code, "{method} {path}: {answer}");
        assert!(
            answer["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{method} {path}: {answer}"
        );
    }
    let (_, answer) = server.ask("POST", "/api/cartridges", r#"{"type": "../x"}"#).await;
    assert!(
        answer["field"].is_string() && answer["faults"].as_array().is_some_and(|f| f.len() > 1),
        "{answer}"
    );
    assert_eq!(server.seq(), before);
}

#[tokio::test]
async fn bodies_are_json_or_yaml_and_bounded() {
    let server = Server::start();
    let yaml = "id: p\nloadThresholds:\n  loadAverage:\n    threshold: 50\n";
    let (status, answer) = server
        .send("POST", "/api/autoscalingPolicies", "application/yaml", yaml, true)
        .await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let long = " ".repeat((1 << 20) + 1);
    let (status, _) = server.ask("POST", "/api/cartridges", &long).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let (status, _) = server.ask("POST", "/api/cartridges", &deep).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_happened_is_listed_and_pausing_shows() {
    let server = Server::start();
    server.ask("POST", "/api/autoscalingPolicies", SAMPLES[0].1).await;
    server
        .ask("POST", "/api/pause", r#"{"reason": "<script>alert(1)</script>"}"#)
        .await;
    let (_, events) = server.ask("GET", "/api/events?limit=1", "").await;
    assert_eq!(events[0]["kind"], "automation-paused");
    let (_, all) = server.ask("GET", "/api/events?after=0", "").await;
    assert_eq!(all.as_array().unwrap().len() as u64, server.seq());
    for path in [
        "/api/events?application=nope",
        "/api/events?application=nope&follow=true",
    ] {
        let (status, answer) = server.ask("GET", path, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {answer}");
    }
    let (_, status) = server.ask("GET", "/api/status", "").await;
    assert_eq!(status["paused"]["by"], "admin");
    assert_eq!(status["orphans"], json!([]));
    assert_eq!(status["activeMembers"], 0);
    let [p50, p99, longest] = ["p50Ms", "p99Ms", "maxMs"].map(|name| status["pass"][name].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p99 && p99 <= longest, "{status}");
    let (_, answer) = server.ask("POST", "/api/resume", "").await;
    assert_eq!(answer["status"], "success");
}

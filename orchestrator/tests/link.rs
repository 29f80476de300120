//! What the link answers to members, honest and other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, BodyDataStream};
use cartridge_orchestrator::identity::sha256_hex;
use cartridge_orchestrator::link;
use cartridge_orchestrator::provision::{Answer, Ensured, Found, LinkInfo, Provisioner};
use cartridge_orchestrator_plan::order::Order;
use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_orchestrator_plan::world::MemberPhase;
use cartridge_protocol::MemberId;
use cartridge_protocol::link::{Down, Joined};
use cartridge_protocol::surroundings::{PeerPhase, Surroundings};
use futures_util::StreamExt as _;
use http::{Request, StatusCode};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use scene::{Scene, active};
use serde_json::{Value, json};

/// Makes nothing; remembers the tokens.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<(MemberId, String)>>>);

impl Provisioner for Paper {
    fn list(&self) -> Answer<'_, Vec<Found>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn ensure(&self, spec: MemberSpec, link: LinkInfo) -> Answer<'_, Ensured> {
        self.0
            .lock()
            .unwrap()
            .push((spec.member.clone(), link.token.expose().to_owned()));
        let made = Ensured {
            instance: spec.member.to_string(),
            address: spec.address,
            ports: spec.ports,
        };
        Box::pin(async move { Ok(made) })
    }

    fn remove<'a>(&'a self, _member: &'a MemberId, _incarnation: u64) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

struct Agent {
    router: Router,
    member: String,
    token: String,
    credential: String,
}

impl Agent {
    async fn call(&self, method: &str, path: &str, credential: &str, body: Vec<u8>) -> (StatusCode, Body) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {credential}"))
            .header("cartridge-member", &self.member)
            .header("cartridge-incarnation", "1")
            .body(Body::from(body))
            .unwrap();
        let response = TowerToHyperService::new(self.router.clone())
            .call(request)
            .await
            .unwrap();
        (response.status(), response.into_body())
    }

    async fn join(&self, token: &str, credential: &str) -> StatusCode {
        let body = json!({"member": self.member, "incarnation": 1, "token": token,
            "credential_sha256": sha256_hex(credential), "agent_version": "test"});
        let (status, body) = self
            .call("POST", "/link/v1/join", "", body.to_string().into())
            .await;
        if status == StatusCode::OK {
            let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            serde_json::from_slice::<Joined>(&bytes).unwrap();
        }
        status
    }

    async fn batch(&self, credential: &str, batch: &Value) -> StatusCode {
        self.call("POST", "/link/v1/batch", credential, batch.to_string().into())
            .await
            .0
    }
}

fn batch(sequence: u64, state: &str) -> Value {
    json!({"sequence": sequence, "sample": null, "balancer": null, "status": {
        "phase": {"state": state}, "revision": 0, "release": null, "head": null, "topology": null, "restarts": 0}})
}

async fn scene(folder: &std::path::Path) -> (Scene, Agent) {
    scene_with(folder, (1, 1), None).await
}

async fn scene_with(folder: &std::path::Path, sizes: (u32, u32), repository: Option<&str>) -> (Scene, Agent) {
    let paper = Paper::default();
    let own = paper.clone();
    let scene = Scene::open(folder, |_, provisioners| provisioners.add("mock", own)).await;
    scene.deploy_with("mock", sizes, repository).await;
    scene
        .until("the member is ensured", |world| {
            world.members.values().any(|m| m.instance.is_some())
        })
        .await;
    let (member, token) = paper.0.lock().unwrap()[0].clone();
    let agent = Agent {
        router: link::router(scene.engine.clone()),
        member: member.to_string(),
        token,
        credential: "a credential".to_owned(),
    };
    (scene, agent)
}

#[tokio::test]
async fn a_token_is_good_for_one_credential() {
    let folder = tempfile::tempdir().unwrap();
    let (_scene, agent) = scene(folder.path()).await;
    assert_eq!(
        agent.join("wrong", &agent.credential).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(agent.join(&agent.token, &agent.credential).await, StatusCode::OK);
    assert_eq!(
        agent.join(&agent.token, &agent.credential).await,
        StatusCode::OK,
        "the same join again"
    );
    assert_eq!(agent.join(&agent.token, "another").await, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_member_that_is_no_balancer_cannot_say_who_has_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, agent) = scene(folder.path()).await;
    assert_eq!(agent.join(&agent.token, &agent.credential).await, StatusCode::OK);
    let (cluster, _) = agent.member.rsplit_once('-').unwrap();
    let reading = |average: f64| {
        let mut batch = batch(1, "active");
        batch["balancer"] = json!({"revision": u64::MAX, "clusters": [{"cluster": cluster, "members": [],
            "in_flight_average": average, "in_flight": 900, "served": 0, "failed": 0}]});
        batch
    };
    assert_eq!(
        agent.batch(&agent.credential, &reading(-1.0)).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        agent.batch(&agent.credential, &reading(900.0)).await,
        StatusCode::OK
    );
    assert!(scene.engine.read(|_, seen, _| seen.clusters.is_empty()));
}

#[tokio::test]
async fn a_member_speaks_only_as_itself_and_only_while_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, agent) = scene(folder.path()).await;
    let own = agent.credential.as_str();
    assert_eq!(
        agent.batch(own, &batch(1, "active")).await,
        StatusCode::UNAUTHORIZED,
        "not joined yet"
    );
    assert_eq!(agent.join(&agent.token, own).await, StatusCode::OK);
    assert_eq!(
        agent.batch("another", &batch(1, "active")).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        agent.batch(own, &json!({"sequence": "x"})).await,
        StatusCode::BAD_REQUEST
    );
    let mut wild = batch(1, "active");
    wild["sample"] = json!({"sequence": 1, "scope": "machine", "load": [-1.0, 0.0, 0.0], "cores": 1.0,
        "memory_used": null, "memory_limit": null, "cpu_percent": null});
    assert_eq!(agent.batch(own, &wild).await, StatusCode::BAD_REQUEST);
    let (long, _) = agent
        .call("POST", "/link/v1/batch", own, vec![b' '; (1 << 20) + 1])
        .await;
    assert_eq!(long, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(agent.batch(own, &batch(2, "active")).await, StatusCode::OK);
    scene.until("it is active", |world| active(world) == 1).await;
    let member = MemberId::new(agent.member.clone()).unwrap();
    assert_eq!(
        agent.batch(own, &batch(1, "suspended")).await,
        StatusCode::BAD_REQUEST,
        "no reason given"
    );
    assert_eq!(
        agent.batch(own, &batch(1, "starting")).await,
        StatusCode::OK,
        "older: acknowledged, ignored"
    );
    let seen = scene.engine.read(|_, seen, _| seen.members[&member].sequence);
    assert_eq!(seen, 2);
    scene
        .engine
        .instance_gone(&member, 1, "the test says so".to_owned());
    scene
        .until("it is over", |world| {
            world
                .members
                .get(&member)
                .is_none_or(|m| matches!(m.phase, MemberPhase::Ended { .. }))
        })
        .await;
    assert_eq!(agent.batch(own, &batch(3, "active")).await, StatusCode::GONE);
    assert_eq!(
        agent.call("GET", "/link/v1/stream", own, Vec::new()).await.0,
        StatusCode::GONE
    );
    assert_eq!(agent.join(&agent.token, own).await, StatusCode::GONE);
}

#[tokio::test]
async fn the_stream_says_what_is_wanted_and_ends_with_the_member() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, agent) = scene(folder.path()).await;
    let own = agent.credential.as_str();
    assert_eq!(agent.join(&agent.token, own).await, StatusCode::OK);
    let (status, body) = agent.call("GET", "/link/v1/stream", own, Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    let mut lines = body.into_data_stream();
    let first = lines.next().await.unwrap().unwrap();
    assert!(matches!(
        serde_json::from_slice(&first).unwrap(),
        Down::Desired(_)
    ));
    let member = MemberId::new(agent.member.clone()).unwrap();
    scene
        .engine
        .instance_gone(&member, 1, "the test says so".to_owned());
    let rest = async { while lines.next().await.is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), rest)
        .await
        .expect("the stream ends");
}

/// The next order on a stream that says something of what runs around the member.
async fn around(lines: &mut BodyDataStream) -> Surroundings {
    let next = async {
        loop {
            let line = lines.next().await.expect("the stream goes on").unwrap();
            if let Down::Desired(desired) = serde_json::from_slice(&line).unwrap()
                && let Some(around) = desired.surroundings
            {
                return Arc::unwrap_or_clone(around);
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), next)
        .await
        .expect("it is told")
}

#[tokio::test]
async fn who_asks_is_told_what_runs_around_it_and_every_change_of_that() {
    let folder = tempfile::tempdir().unwrap();
    let (_scene, agent) = scene(folder.path()).await;
    let own = agent.credential.as_str();
    assert_eq!(agent.join(&agent.token, own).await, StatusCode::OK);
    let (_, body) = agent.call("GET", "/link/v1/stream", own, Vec::new()).await;
    let mut lines = body.into_data_stream();
    let first = lines.next().await.unwrap().unwrap();
    let Down::Desired(first) = serde_json::from_slice(&first).unwrap() else {
        panic!("no order: {first:?}");
    };
    assert_eq!(first.surroundings, None, "nobody asked");
    let curious = |sequence, phase| {
        let mut batch = batch(sequence, phase);
        batch["status"]["wants_surroundings"] = json!(true);
        batch
    };
    let phase = |around: &Surroundings| {
        let own = around
            .peers()
            .find(|(_, peer)| peer.member.as_str() == agent.member);
        own.expect("it is in it itself").1.phase
    };
    assert_eq!(agent.batch(own, &curious(1, "starting")).await, StatusCode::OK);
    let told = around(&mut lines).await;
    assert_eq!(phase(&told), PeerPhase::Starting);
    assert_eq!(agent.batch(own, &curious(2, "active")).await, StatusCode::OK);
    let later = around(&mut lines).await;
    assert!(later.revision > told.revision);
    assert_eq!(phase(&later), PeerPhase::Active);
    // Another ear is told at once.
    let (_, body) = agent.call("GET", "/link/v1/stream", own, Vec::new()).await;
    assert_eq!(around(&mut body.into_data_stream()).await, later);
}

#[tokio::test]
async fn who_shares_the_looks_at_a_repository_is_told_when_their_number_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, agent) = scene_with(folder.path(), (1, 4), Some("https://git.test/x.git")).await;
    let own = agent.credential.as_str();
    assert_eq!(agent.join(&agent.token, own).await, StatusCode::OK);
    assert_eq!(agent.batch(own, &batch(1, "active")).await, StatusCode::OK);
    let (_, body) = agent.call("GET", "/link/v1/stream", own, Vec::new()).await;
    let mut lines = body.into_data_stream();
    let cluster = scene
        .engine
        .read(|world, _, _| world.clusters.keys().next().unwrap().clone());
    for (size, shared_by) in [(3, 2), (4, 4), (1, 1)] {
        let order = Order::Scale {
            cluster: cluster.clone(),
            size: Some(size),
            by: "test".to_owned(),
        };
        scene.engine.submit(order).await.unwrap();
        let told = async {
            loop {
                let line = lines.next().await.expect("the stream goes on").unwrap();
                if let Down::Desired(desired) = serde_json::from_slice(&line).unwrap()
                    && desired.artifacts.is_some_and(|files| files.sharing == shared_by)
                {
                    return;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), told)
            .await
            .unwrap_or_else(|_| panic!("{size} members: nobody is told"));
    }
}

#[tokio::test]
async fn who_has_no_credential_learns_nothing_and_a_member_that_is_gone_learns_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, agent) = scene(folder.path()).await;
    let own = agent.credential.as_str();
    let stranger = Agent {
        router: agent.router.clone(),
        member: "app.web.c.domain-77".to_owned(),
        token: String::new(),
        credential: String::new(),
    };
    assert_eq!(
        stranger.batch("wrong", &batch(1, "active")).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(agent.join(&agent.token, own).await, StatusCode::OK);
    let member = MemberId::new(agent.member.clone()).unwrap();
    scene
        .engine
        .instance_gone(&member, 1, "the test says so".to_owned());
    scene
        .until("it is removed", |world| !world.members.contains_key(&member))
        .await;
    assert_eq!(
        agent.batch("wrong", &batch(2, "active")).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        stranger.batch(own, &batch(2, "active")).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(agent.batch(own, &batch(2, "active")).await, StatusCode::GONE);
}

#[tokio::test]
async fn a_member_shares_as_its_own_cluster_and_application_and_as_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, agent) = scene(folder.path()).await;
    let share = async |credential: &str, body: Value| {
        let sent = body.to_string().into();
        agent.call("POST", "/link/v1/values", credential, sent).await.0
    };
    let one = json!({"key": "ip", "values": ["10.0.0.7"]});
    assert_eq!(share("wrong", one.clone()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(agent.join(&agent.token, &agent.credential).await, StatusCode::OK);
    assert_eq!(share("wrong", one.clone()).await, StatusCode::UNAUTHORIZED);
    let mut lies = one.clone();
    lies["alias"] = "other".into();
    lies["application"] = "other".into();
    assert_eq!(share(&agent.credential, lies).await, StatusCode::OK);
    let whole = json!({"key": "peers", "values": ["a"], "of": "application"});
    assert_eq!(share(&agent.credential, whole).await, StatusCode::OK);
    scene.engine.read(|world, _, _| {
        assert_eq!(world.values.len(), 1);
        let told = &world.values.get("app").unwrap().told;
        assert_eq!(told.clusters.keys().collect::<Vec<_>>(), ["web"]);
        assert_eq!(told.clusters["web"].len() + told.application.len(), 2);
    });
    let before = scene.engine.read(|world, _, _| world.seq);
    for bad in [
        json!({"key": "../x", "values": ["1"]}),
        json!({"key": "a", "values": ["\0"]}),
        json!({"key": "a", "values": ["x".repeat(9000)]}),
        json!({"key": "a"}),
        json!([]),
    ] {
        assert_eq!(share(&agent.credential, bad).await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(scene.engine.read(|world, _, _| world.seq), before);
}

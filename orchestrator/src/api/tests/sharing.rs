//! Values that cartridges share, over HTTP with the tokens of simulated members: the scenarios of Stratos's tests
//! `MetadataServiceTestCase` and, where it is about values, `SampleApplicationStartupTestCase`, one by one.

use std::time::Instant;

use super::*;

/// For a simulated member to come or to go.
const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    /// With simulated members, and two applications described.
    async fn with_applications() -> Self {
        let server = Self::start_with(|engine, provisioners| {
            let (exits, mut noticed) = tokio::sync::mpsc::channel(64);
            provisioners.add("mock", crate::provision::mock::Mock::new(engine.clone(), exits));
            let engine = engine.clone();
            tokio::spawn(async move {
                while let Some(exit) = noticed.recv().await {
                    engine.instance_gone(&exit.member, exit.incarnation, exit.reason);
                }
            });
        });
        for (collection, body) in SAMPLES {
            let (status, answer) = server.ask("POST", &format!("/api/{collection}"), body).await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
        }
        let place = json!({"id": "dp", "networkPartitions": [{"id": "np", "partitionAlgo": "one-after-another",
            "partitions": [{"id": "a", "partitionMax": 2}]}]});
        let (status, answer) = server
            .ask("POST", "/api/deploymentPolicies", &place.to_string())
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        for id in ["shop", "till"] {
            let application = json!({"applicationId": id, "alias": id, "components": {"cartridges": [{
                "type": "php", "cartridgeMin": 1, "cartridgeMax": 2, "subscribableInfo": {
                    "alias": "web", "autoscalingPolicy": "p", "deploymentPolicy": "dp"}}]}});
            let (status, answer) = server
                .ask("POST", "/api/applications", &application.to_string())
                .await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
        }
        server
    }

    async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let began = Instant::now();
        while !self.engine.read(|world, _, _| holds(world)) {
            assert!(began.elapsed() < PATIENCE, "never happened: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Deploys it and gives the token that its first member was started with.
    async fn deployed(&self, id: &str) -> String {
        let (status, answer) = self
            .ask("POST", &format!("/api/applications/{id}/deploy/ap"), "")
            .await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let made = |world: &World| {
            let of_it = |cluster: &str| cluster.starts_with(&format!("{id}.web."));
            let found = world
                .members
                .values()
                .find(|m| of_it(m.cluster.as_str()) && m.instance.is_some());
            found.map(|member| member.id.to_string())
        };
        self.until("a member is made", |world| made(world).is_some())
            .await;
        let member = self.engine.read(|world, _, _| made(world)).unwrap();
        let payload = self.text(&format!("/mock-iaas/api/instances/{member}")).await;
        let value = |name: &str| {
            let pairs = payload.split(',').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
                .next()
        };
        assert_eq!(value("APPLICATION_ID").as_deref(), Some(id), "{payload}");
        assert_eq!(value("MEMBER_ID"), Some(member));
        value("TOKEN").expect("a member is told its application's token")
    }

    async fn text(&self, path: &str) -> String {
        let request = Request::builder()
            .uri(path)
            .header(header::AUTHORIZATION, &self.header);
        let service = TowerToHyperService::new(self.router.clone());
        let answer = hyper::service::Service::call(&service, request.body(Body::empty()).unwrap());
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// As a member would: with the token alone.
    async fn share(&self, token: &str, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let bearer = format!("Bearer {token}");
        let headers = [
            (header::CONTENT_TYPE, "application/json"),
            (header::AUTHORIZATION, bearer.as_str()),
        ];
        let path = format!("/metadata/api/applications/{path}");
        let (status, _, answer) = self
            .exchange(method, &path, &headers, body.to_owned().into())
            .await;
        (status, answer)
    }
}

fn property(key: &str, values: &[&str]) -> String {
    json!({"key": key, "values": values}).to_string()
}

#[tokio::test]
async fn two_values_are_added_with_the_token_of_the_payload_and_both_are_read() {
    let server = Server::with_applications().await;
    let token = server.deployed("shop").await;
    for value in ["one", "two", "one"] {
        let (status, answer) = server
            .share(&token, "POST", "shop/properties", &property("hosts", &[value]))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    let (status, answer) = server.share(&token, "GET", "shop/properties/hosts", "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["properties"][0]["values"], json!(["one", "two"]));
    let (_, answer) = server
        .share(&token, "POST", "shop/properties", &property("url", &["x"]))
        .await;
    assert_eq!(answer["status"], "success");
    let (_, all) = server.share(&token, "GET", "shop/properties", "").await;
    let want = json!({"properties": [
        {"key": "hosts", "values": ["one", "two"]}, {"key": "url", "values": "x"}]});
    assert_eq!(all, want, "a single value is a text");
}

#[tokio::test]
async fn values_of_an_application_are_added_read_and_removed_one_by_one_by_key_and_all() {
    let server = Server::with_applications().await;
    let token = server.deployed("shop").await;
    for key in ["a", "b", "c"] {
        server
            .share(&token, "POST", "shop/properties", &property(key, &["1", "2"]))
            .await;
    }
    let (status, _) = server
        .share(&token, "DELETE", "shop/properties/a/value/1", "")
        .await;
    assert_eq!(status, StatusCode::OK);
    let (_, left) = server.share(&token, "GET", "shop/properties/a", "").await;
    assert_eq!(left["values"], "2");
    server.share(&token, "DELETE", "shop/properties/b", "").await;
    let (status, _) = server.share(&token, "GET", "shop/properties/b", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = server.share(&token, "DELETE", "shop/properties", "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = server.share(&token, "GET", "shop/properties", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn values_of_a_cluster_are_replaced_and_its_name_may_be_said_in_every_way() {
    let server = Server::with_applications().await;
    let token = server.deployed("shop").await;
    let places = ["clusters/web", "cluster/web", "clusters/shop.web.php.domain"];
    for (n, place) in places.iter().enumerate() {
        let value = n.to_string();
        let path = format!("shop/{place}/properties");
        let (status, answer) = server
            .share(&token, "POST", &path, &property("ip", &[&value]))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        for place in places {
            let (_, one) = server
                .share(&token, "GET", &format!("shop/{place}/properties/ip"), "")
                .await;
            assert_eq!(
                one["properties"],
                json!([{"key": "ip", "values": value}]),
                "{place}"
            );
        }
    }
    let (status, _) = server.share(&token, "GET", "shop/properties", "").await;
    assert_eq!(
        status,
        StatusCode::NOT_FOUND,
        "what a cluster shares is not the application's"
    );
    let (status, _) = server
        .share(
            &token,
            "POST",
            "shop/clusters/no/properties",
            &property("a", &["1"]),
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn of_fifty_that_add_at_the_same_time_nothing_is_lost() {
    let server = Arc::new(Server::with_applications().await);
    let token = server.deployed("shop").await;
    let adding = (0..50).map(|n: usize| {
        let (server, token) = (Arc::clone(&server), token.clone());
        tokio::spawn(async move {
            let body = property("peers", &[&format!("peer-{n}")]);
            server.share(&token, "POST", "shop/properties", &body).await.0
        })
    });
    for added in adding.collect::<Vec<_>>() {
        assert_eq!(added.await.unwrap(), StatusCode::CREATED);
    }
    let (_, all) = server.share(&token, "GET", "shop/properties/peers", "").await;
    let mut peers: Vec<&str> = all["values"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    peers.sort_unstable();
    peers.dedup();
    assert_eq!(peers.len(), 50);
}

#[tokio::test]
async fn a_token_opens_its_own_application_and_nothing_else() {
    let server = Server::with_applications().await;
    let shop = server.deployed("shop").await;
    let till = server.deployed("till").await;
    server
        .share(&till, "POST", "till/properties", &property("secret", &["canary"]))
        .await;
    for (method, path) in [
        ("GET", "till/properties"),
        ("GET", "till/properties/secret"),
        ("POST", "till/properties"),
        ("DELETE", "till/properties"),
        ("GET", "till/clusters/web/properties"),
        ("POST", "till/cluster/web/properties"),
        ("GET", "nothing/properties"),
    ] {
        let (status, answer) = server.share(&shop, method, path, &property("a", &["1"])).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}: {answer}");
        assert!(!answer.to_string().contains("canary"));
    }
    let bearer = format!("Bearer {shop}");
    for path in [
        "/api/applications",
        "/api/v4.1/members",
        "/mock-iaas/api/instances",
        "/metrics",
    ] {
        let headers = [(header::AUTHORIZATION, bearer.as_str())];
        let (status, _, _) = server.exchange("GET", path, &headers, Body::empty()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for token in ["a.b.c", &shop[..shop.len() - 8]] {
        let (status, _) = server.share(token, "GET", "shop/properties", "").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{token}");
    }
}

#[tokio::test]
async fn what_was_shared_is_gone_after_undeploying_and_so_is_what_the_token_opened() {
    let server = Server::with_applications().await;
    let first = server.deployed("shop").await;
    server
        .share(&first, "POST", "shop/properties", &property("a", &["1"]))
        .await;
    let (status, _) = server
        .ask("POST", "/api/applications/shop/undeploy?force=true", "")
        .await;
    assert_eq!(status, StatusCode::ACCEPTED);
    server
        .until("the application is undeployed", |world| {
            world
                .applications
                .get("shop")
                .is_some_and(|state| state.deployment().is_none())
        })
        .await;
    let (status, _) = server.share(&first, "GET", "shop/properties", "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = server
        .ask("GET", "/metadata/api/applications/shop/properties", "")
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let second = server.deployed("shop").await;
    assert_ne!(first, second);
    let (status, _) = server
        .share(&first, "POST", "shop/properties", &property("a", &["1"]))
        .await;
    assert_eq!(
        status,
        StatusCode::UNAUTHORIZED,
        "the deployment before is another"
    );
    let (status, _) = server.share(&second, "GET", "shop/properties", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "nothing came over");
}

#[tokio::test]
async fn administrators_share_too_and_viewers_do_not_even_look() {
    let server = Server::with_applications().await;
    let path = "/metadata/api/applications/shop/properties";
    let (status, _) = server.ask("POST", path, &property("a", &["canary"])).await;
    assert_eq!(status, StatusCode::CREATED, "before it is deployed, too");
    let (status, answer) = server.ask("GET", path, "").await;
    assert_eq!(
        (status, &answer["properties"][0]["values"]),
        (StatusCode::OK, &json!("canary"))
    );
    let (_, table) = server.ask("GET", "/api/applications/shop/values", "").await;
    let want = json!([{"application": "shop", "alias": null, "key": "a", "values": ["canary"]}]);
    assert_eq!(table, want);
    let (_, events) = server.ask("GET", "/api/events?after=0", "").await;
    assert!(events.to_string().contains("values-shared") && !events.to_string().contains("canary"));
    for path in [
        "/metadata/api/applications/nothing/properties",
        "/metadata/api/applications/..%2fx/properties",
    ] {
        let (status, _) = server.ask("GET", path, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_leaves_the_journal_as_it_was() {
    let server = Server::with_applications().await;
    let path = "/metadata/api/applications/shop/properties";
    let long = "x".repeat((8 << 10) + 1);
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let before = server.seq();
    for (body, field) in [
        ("{}".to_owned(), "key"),
        (r#"{"key": "../x", "values": ["1"]}"#.to_owned(), "key"),
        (r#"{"key": "", "values": ["1"]}"#.to_owned(), "key"),
        (
            json!({"key": "k".repeat(129), "values": ["1"]}).to_string(),
            "key",
        ),
        (r#"{"key": "a"}"#.to_owned(), "values"),
        (r#"{"key": "a", "values": []}"#.to_owned(), "values"),
        (r#"{"key": "a", "values": [[1]]}"#.to_owned(), "values"),
        (json!({"key": "a", "values": [long]}).to_string(), "values"),
        (json!({"key": "a", "values": many}).to_string(), "values"),
        (json!({"key": "a", "values": ["\0"]}).to_string(), "values"),
        ("[".to_owned(), ""),
    ] {
        let (status, answer) = server.ask("POST", path, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:.80}: {answer}");
        assert!(
            answer["message"].as_str().is_some_and(|m| m.starts_with(field)),
            "{body:.80}: {answer}"
        );
    }
    assert_eq!(server.seq(), before);
}

#[tokio::test]
async fn who_shares_without_end_is_slowed_down_and_the_same_again_costs_nothing() {
    let server = Server::with_applications().await;
    let path = "/metadata/api/applications/shop/clusters/web/properties";
    let mut refused = None;
    for n in 0..300 {
        let (status, _) = server.ask("POST", path, &property("n", &[&n.to_string()])).await;
        if status != StatusCode::CREATED {
            refused = Some((n, status));
            break;
        }
    }
    let (n, status) = refused.expect("three hundred changes are more than are let through at once");
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(n >= 256, "{n} changes were let through");
    let before = server.seq();
    let (_, now) = server.ask("GET", &format!("{path}/n"), "").await;
    for _ in 0..20 {
        let same = property("n", &[now["values"].as_str().unwrap()]);
        let (status, _) = server.ask("POST", path, &same).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    assert_eq!(server.seq(), before);
}

#[tokio::test]
async fn a_simulated_instance_is_shown_as_json_to_who_accepts_it_and_is_replaced_when_somebody_ends_it() {
    let server = Server::with_applications().await;
    server.deployed("shop").await;
    let (_, listed) = server.ask("GET", "/mock-iaas/api/instances", "").await;
    let id = listed[0]["memberId"].as_str().unwrap().to_owned();
    let headers = [
        (header::AUTHORIZATION, server.header.as_str()),
        (header::ACCEPT, "application/json"),
    ];
    let path = format!("/mock-iaas/api/instances/{id}");
    let (_, _, shown) = server.exchange("GET", &path, &headers, Body::empty()).await;
    assert!(
        shown["payload"]
            .as_str()
            .is_some_and(|payload| payload.contains(",TOKEN=")),
        "{shown}"
    );
    let (status, _) = server.ask("DELETE", &path, "").await;
    assert_eq!(status, StatusCode::OK);
    server
        .until("another member takes its place", |world| {
            let made = world.members.values().filter(|member| member.instance.is_some());
            made.clone().count() > 0 && made.clone().all(|member| member.id.as_str() != id)
        })
        .await;
    let (status, _) = server.ask("GET", &path, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

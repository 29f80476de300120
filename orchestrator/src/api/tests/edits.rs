//! Two people who edit the same document, and people who look before they leap.

use super::*;

impl Server {
    async fn read_tag(&self, path: &str) -> String {
        let headers = [(header::AUTHORIZATION, self.header.as_str())];
        let (status, headers, _) = self.exchange("GET", path, &headers, Body::empty()).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        headers[header::ETAG].to_str().unwrap().to_owned()
    }

    async fn put_if(&self, path: &str, tag: &str, body: &str) -> (StatusCode, Value) {
        let headers = [
            (header::AUTHORIZATION, self.header.as_str()),
            (header::IF_MATCH, tag),
        ];
        let body = Body::from(body.to_owned());
        let (status, _, answer) = self.exchange("PUT", path, &headers, body).await;
        (status, answer)
    }
}

#[tokio::test]
async fn of_two_who_read_the_same_document_the_second_to_write_conflicts() {
    let server = Server::start();
    for (collection, document) in SAMPLES {
        let path = format!("/api/{collection}");
        let (status, answer) = server.ask("POST", &path, document).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let id = match collection {
            "cartridges" => "php".to_owned(),
            _ => answer["message"]
                .as_str()
                .unwrap()
                .split(' ')
                .nth_back(2)
                .unwrap()
                .to_owned(),
        };
        let tag = server.read_tag(&format!("{path}/{id}")).await;
        let changed = document
            .replace("\"20\"", "\"30\"")
            .replace("php.test", "php.other");
        let changed = changed.replace("\"id\": \"a\"", "\"id\": \"a\", \"description\": \"new\"");
        let changed = changed.replace("one-after-another", "all-at-once");
        let (status, answer) = server.put_if(&path, &tag, &changed).await;
        assert_eq!(status, StatusCode::OK, "{collection}: {answer}");
        let seq = server.seq();
        let (status, answer) = server.put_if(&path, &tag, document).await;
        assert_eq!(status, StatusCode::CONFLICT, "{collection}: {answer}");
        assert!(
            answer["message"]
                .as_str()
                .unwrap()
                .contains("was changed meanwhile"),
            "{answer}"
        );
        assert_eq!(server.seq(), seq, "a conflict writes nothing");
    }
    let (status, answer) = server.put_if("/api/cartridges", "\"x\"", SAMPLES[2].1).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_change_and_writes_nothing() {
    let server = Server::start();
    let (_, document) = SAMPLES[0];
    server.ask("POST", "/api/autoscalingPolicies", document).await;
    let seq = server.seq();
    let changed = json!({"id": "p", "loadThresholds": {"requestsInFlight": {"threshold": 25}}});
    let body = json!({"documents": [
        {"collection": "autoscalingPolicies", "document": changed},
        {"collection": "networkPartitions", "document": {"id": "np", "provider": "mock", "partitions": [{"id": "a"}]}},
        {"collection": "deploymentPolicies", "document": {"id": "d", "networkPartitions": [
            {"id": "np", "partitions": [{"id": "a", "partitionMax": 3}]}]}}]});
    let (status, answer) = server.ask("POST", "/api/diff", &body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let rows = answer["documents"].as_array().unwrap();
    assert_eq!(rows[0]["change"], "change");
    let change = json!({"field": "loadThresholds.requestsInFlight.threshold", "from": 20.0, "to": 25.0});
    assert_eq!(rows[0]["changes"], json!([change]));
    assert_eq!(
        (&rows[1]["change"], &rows[2]["change"]),
        (&json!("add"), &json!("add"))
    );
    for bad in [
        json!({"documents": [{"collection": "moons", "document": {}}]}),
        json!({"documents": [{"collection": "cartridges", "document": {}}]}),
        json!({"documents": {}}),
    ] {
        let (status, answer) = server.ask("POST", "/api/diff", &bad.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    }
    assert_eq!(server.seq(), seq);
}

/// One document of every kind that can be put, in the order in which they need each other: collection, id, document,
/// and where it can be changed to these two texts.
pub(super) fn kinds() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let mut all: Vec<_> = SAMPLES
        .into_iter()
        .zip([
            ("p", "/loadThresholds/requestsInFlight/threshold"),
            ("np", "/partitions/0/description"),
            ("php", "/description"),
            ("ap", "/properties"),
        ])
        .map(|((collection, text), (id, pointer))| {
            let document = crate::api::body::read(text, false).unwrap();
            (collection, id, document, pointer)
        })
        .collect();
    all.extend([
        (
            "deploymentPolicies",
            "d",
            json!({"id": "d", "networkPartitions": [{"id": "np", "partitions": [{"id": "a", "partitionMax": 3}]}]}),
            "/networkPartitions/0/partitions/0/partitionMax",
        ),
        (
            "cartridgeGroups",
            "g",
            json!({"name": "g", "cartridges": ["php"]}),
            "/dependencies",
        ),
        (
            "kubernetesClusters",
            "k",
            json!({"clusterId": "k", "kubernetesMaster": {"hostId": "m", "privateIPAddress": "10.0.0.1"}}),
            "/description",
        ),
        (
            "applications",
            "shop",
            json!({"applicationId": "shop", "alias": "shop", "components": {"cartridges": [{"type": "php",
                "cartridgeMin": 1, "cartridgeMax": 3, "subscribableInfo": {"alias": "web", "autoscalingPolicy": "p",
                "deploymentPolicy": "d"}}]}}),
            "/description",
        ),
    ]);
    all
}

/// The document with something at a place of which the last step may be new.
fn changed(document: &Value, pointer: &str, to: u8) -> String {
    let (around, last) = pointer.rsplit_once('/').unwrap();
    let mut document = document.clone();
    document.pointer_mut(around).unwrap()[last] = match last {
        "properties" => json!({"note": to}),
        "dependencies" => {
            let word = if to == 6 {
                "terminate-all"
            } else {
                "terminate-dependents"
            };
            json!({"terminationBehaviour": word})
        }
        _ => json!(to),
    };
    document.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_edits_at_the_same_time_exactly_one_wins_whatever_is_edited() {
    let server = Arc::new(Server::start());
    let kinds = kinds();
    let drawn = cartridge_orchestrator_plan::blueprint::parse::drawings();
    let collections = drawn.iter().filter(|(name, _)| !name.contains('/'));
    assert_eq!(collections.count(), kinds.len(), "every kind is edited");
    for (collection, _, document, _) in &kinds {
        let (status, answer) = server
            .ask("POST", &format!("/api/{collection}"), &document.to_string())
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    for _ in 0..20 {
        for (collection, id, document, pointer) in &kinds {
            let path = format!("/api/{collection}");
            let tag = server.read_tag(&format!("{path}/{id}")).await;
            let edits = [6, 7].map(|to| {
                let (server, path, tag) = (Arc::clone(&server), path.clone(), tag.clone());
                let text = changed(document, pointer, to);
                tokio::spawn(async move { server.put_if(&path, &tag, &text).await.0 })
            });
            let mut outcomes = Vec::new();
            for edit in edits {
                outcomes.push(edit.await.unwrap());
            }
            let conflicts = outcomes.iter().filter(|s| **s == StatusCode::CONFLICT).count();
            let done = outcomes.iter().filter(|s| s.is_success()).count();
            assert_eq!((done, conflicts), (1, 1), "{collection}: {outcomes:?}");
            // Back, so that the next two are changes again.
            let tag = server.read_tag(&format!("{path}/{id}")).await;
            let (status, answer) = server.put_if(&path, &tag, &document.to_string()).await;
            assert!(status.is_success(), "{collection}: {answer}");
        }
    }
}

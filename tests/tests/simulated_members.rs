//! Simulated members whose figures follow patterns and that go wrong as told: groups grow and shrink over the API, and
//! who fails is replaced.

use std::time::Duration;

use cartridge_tests::stack::Stack;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Of a cluster, one serving member a minute is taken out.
const DEADLINE: Duration = Duration::from_secs(180);

async fn post(stack: &Stack, path: &str, body: Value) {
    let posted = stack.api().post(path, Some(&body)).await;
    posted.unwrap_or_else(|fault| panic!("{path}: {fault}"));
}

/// A blueprint of one group of one cartridge, with so many instances and members in each.
fn blueprint(instances: [u32; 2], members: u32) -> Value {
    json!({"applicationId": "app", "alias": "app", "components": {"groups": [{
        "name": "pair", "alias": "pair", "groupMinInstances": instances[0], "groupMaxInstances": instances[1],
        "deploymentPolicy": "here", "cartridges": [{"type": "web", "cartridgeMin": members, "cartridgeMax": members,
            "subscribableInfo": {"alias": "web", "autoscalingPolicy": "busy"}}]}]}})
}

/// One group of one cartridge, with these properties of the cartridge.
async fn deployed(stack: &Stack, properties: Value, instances: u32) {
    post(
        stack,
        "/api/autoscalingPolicies",
        json!({"id": "busy", "stabilizationSeconds": 3, "horizonSeconds": 0,
        "loadThresholds": {"loadAverage": {"threshold": 70}}}),
    )
    .await;
    post(
        stack,
        "/api/networkPartitions",
        json!({"id": "np", "provider": "mock", "partitions": [{"id": "p"}]}),
    )
    .await;
    post(
        stack,
        "/api/deploymentPolicies",
        json!({"id": "here", "networkPartitions": [
        {"id": "np", "partitions": [{"id": "p", "partitionMax": 10}]}]}),
    )
    .await;
    post(
        stack,
        "/api/applicationPolicies",
        json!({"id": "all", "algorithm": "all-at-once", "networkPartitions": ["np"]}),
    )
    .await;
    post(
        stack,
        "/api/cartridges",
        json!({"type": "web", "category": "framework", "provider": "own",
        "host": "example.org", "property": properties}),
    )
    .await;
    post(
        stack,
        "/api/cartridgeGroups",
        json!({"name": "pair", "cartridges": ["web"]}),
    )
    .await;
    post(stack, "/api/applications", blueprint([1, instances], 1)).await;
    let deploy = stack.api().post("/api/applications/app/deploy/all", None).await;
    deploy.expect("it is deployed");
}

/// Instances of the group that are active.
fn groups(runtime: &Value) -> usize {
    let rows = runtime["applicationInstances"][0]["groupInstances"].as_array();
    let rows = rows.map_or(&[][..], Vec::as_slice);
    rows.iter().filter(|row| row["status"] == "Active").count()
}

async fn until(stack: &Stack, what: &str, is_so: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    loop {
        let shown: Value = stack
            .api()
            .get("/api/applications/app/runtime")
            .await
            .expect("it is shown");
        if is_so(&shown) {
            return;
        }
        assert!(
            began.elapsed() < DEADLINE,
            "{what}: not so after {DEADLINE:?}: {shown:#}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

async fn events(stack: &Stack, kind: &str) -> Vec<Value> {
    let all: Vec<Value> = stack
        .api()
        .get("/api/events?application=app&limit=1000")
        .await
        .expect("events are shown");
    all.into_iter().filter(|event| event["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_grows_by_instances_while_its_members_are_busy_and_shrinks_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    let pattern = json!({"mock.load": "95,5", "mock.seconds": "8", "mock.mode": "continue"});
    deployed(&stack, pattern, 3).await;
    until(&stack, "three instances stand", |shown| groups(shown) == 3).await;
    until(&stack, "one instance is left", |shown| {
        let rows = shown["applicationInstances"][0]["groupInstances"].as_array();
        groups(shown) == 1 && rows.is_some_and(|rows| rows.len() == 1)
    })
    .await;
    assert_eq!(events(&stack, "group-instance-ended").await.len(), 2);
}

/// Members that are active, by the instance of the group.
fn active(group: &Value) -> usize {
    let rows = group["clusterInstances"][0]["member"].as_array();
    let rows = rows.map_or(&[][..], Vec::as_slice);
    rows.iter().filter(|row| row["status"] == "Active").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_application_follows_its_changed_blueprint_and_an_older_edit_conflicts() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    deployed(&stack, json!({"mock.load": "40"}), 1).await;
    until(&stack, "one instance stands", |shown| groups(shown) == 1).await;
    let put = stack.api().put("/api/applications", &blueprint([2, 2], 2)).await;
    put.expect("sizes may change while it runs");
    until(&stack, "two instances of two members stand", |shown| {
        let rows = shown["applicationInstances"][0]["groupInstances"].as_array();
        groups(shown) == 2 && rows.is_some_and(|rows| rows.iter().all(|row| active(row) == 2))
    })
    .await;
    let late = stack
        .api()
        .begin(http::Method::PUT, "/api/applications")
        .header(http::header::IF_MATCH, "\"1\"")
        .json(&blueprint([1, 1], 1))
        .send()
        .await
        .expect("an answer");
    assert_eq!(late.status(), 409, "somebody changed it since revision 1");
    let put = stack.api().put("/api/applications", &blueprint([1, 1], 1)).await;
    put.expect("and back");
    until(&stack, "one instance of one member is left", |shown| {
        let rows = shown["applicationInstances"][0]["groupInstances"].as_array();
        groups(shown) == 1 && rows.is_some_and(|rows| rows.len() == 1 && active(&rows[0]) == 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_started_at_first_is_tried_again_and_who_fails_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    let faults = json!({"mock.ensure_fails": 1, "mock.fails_after": "1", "mock.faulty": "1"});
    deployed(&stack, faults, 1).await;
    until(&stack, "the second member stands", |shown| {
        let group = &shown["applicationInstances"][0]["groupInstances"][0];
        let members = group["clusterInstances"][0]["member"].as_array();
        let active = |row: &Value| row["status"] == "Active" && row["memberId"] == "app.web.web.domain-2";
        members.is_some_and(|rows| rows.iter().any(active))
    })
    .await;
    assert_eq!(events(&stack, "member-ensure-failed").await.len(), 1);
    let failed = events(&stack, "member-failed").await;
    let text = failed[0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("failed, as its properties say"), "{text}");
}

//! Bad input gets one clear line that names field and value, a 4xx or a non-zero exit, and changes nothing.

use std::process::Stdio;

use cartridge_tests::blueprint::Plan;
use cartridge_tests::git_server::{GitServer, Settings};
use cartridge_tests::repository::Repository;
use cartridge_tests::stack::{self, Stack};
use http::Method;
use serde_json::{Value, json};

async fn journal_position(stack: &Stack) -> u64 {
    let status: Value = stack
        .api()
        .get("/api/status")
        .await
        .expect("the status is readable");
    status["seq"]
        .as_u64()
        .expect("the status names the journal's position")
}

async fn refused(stack: &Stack, path: &str, body: &Value, names: &[&str]) {
    let before = journal_position(stack).await;
    let called = stack.api().call(Method::POST, path, Some(body)).await;
    let (status, answer) = called.unwrap_or_else(|e| panic!("{path}: {e}"));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        (400..500).contains(&status),
        "{path} answered {status} to {body}: {answer}"
    );
    let parsed: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{answer}: {e}"));
    assert_eq!(parsed["status"], "error", "{answer}");
    for name in names {
        assert!(
            answer.contains(name),
            "the answer to {body} does not name {name:?}: {answer}"
        );
    }
    assert_eq!(
        journal_position(stack).await,
        before,
        "the journal grew by a refused {path}"
    );
}

fn changed(document: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = document.clone();
    *changed
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("no {pointer} in {document}")) = value;
    changed
}

/// Blueprints with one fault each, and what the answer must name.
fn bad_blueprints(blueprint: &Value) -> Vec<(Value, Vec<&'static str>)> {
    let cartridge = "/components/cartridges/0";
    let info = "/components/cartridges/0/subscribableInfo";
    let mut unknown = blueprint.clone();
    unknown["components"]["cartridges"][0]["cartridgeMinimum"] = json!(1);
    vec![
        (unknown, vec!["cartridgeMinimum"]),
        (
            changed(blueprint, &format!("{cartridge}/cartridgeMin"), json!("many")),
            vec!["cartridgeMin", "many"],
        ),
        (
            changed(blueprint, &format!("{cartridge}/cartridgeMin"), json!(99)),
            vec!["cartridgeMin", "99", "16"],
        ),
        (
            changed(blueprint, &format!("{cartridge}/type"), json!("absent")),
            vec!["absent"],
        ),
        (
            changed(blueprint, &format!("{info}/autoscalingPolicy"), json!("absent")),
            vec!["autoscalingPolicy", "absent"],
        ),
        (
            changed(blueprint, &format!("{info}/deploymentPolicy"), json!("absent")),
            vec!["deploymentPolicy", "absent"],
        ),
        (
            changed(blueprint, &format!("{info}/alias"), json!("Not an alias")),
            vec!["alias", "Not an alias"],
        ),
        (json!({"alias": "x"}), vec!["applicationId"]),
        (json!([1, 2]), vec!["object"]),
    ]
}

/// Blueprints with groups, with one fault each.
fn bad_groups(blueprint: &Value) -> Vec<(Value, Vec<&'static str>)> {
    let with = |groups: Value| changed(blueprint, "/components", json!({"groups": groups}));
    let mut deep = json!({"name": "g", "alias": "inner", "cartridges": []});
    for level in 0..17 {
        deep = json!({"name": "g", "alias": format!("g{level}"), "groups": [deep]});
    }
    let cartridges = blueprint["components"]["cartridges"].clone();
    let group = |alias: &str| json!({"name": "absent", "alias": alias, "cartridges": cartridges.clone()});
    let sized = |field: &str, value: Value| {
        let mut group = group("g");
        group[field] = value;
        with(json!([group]))
    };
    vec![
        (
            with(json!([group("g")])),
            vec!["components.groups[0].name", "absent"],
        ),
        (
            with(json!([group("g"), group("g")])),
            vec!["groups[1].alias", "group alias is used twice"],
        ),
        (with(json!([deep])), vec!["nested deeper than 16 levels"]),
        (with(json!(["g"])), vec!["components.groups[0]", "object"]),
        (
            sized("groupMinInstances", json!(0)),
            vec!["groupMinInstances", "0"],
        ),
        (
            sized("groupMaxInstances", json!("lots")),
            vec!["groupMaxInstances", "lots"],
        ),
        (
            sized("groupMinInstances", json!(1001)),
            vec!["groupMinInstances ask for 1001"],
        ),
        (
            sized("deploymentPolicy", json!("twice")),
            vec!["deploymentPolicy", "defined twice"],
        ),
        (sized("instances", json!(1)), vec!["unknown field", "instances"]),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_bad_input_is_refused_with_its_field_and_leaves_the_journal_alone() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    let plan = Plan::hello(&stack::bin_dir(), "good");
    // Not deployed: a running application writes records of its own.
    plan.add(stack.api()).await.expect("the resources are accepted");

    let blueprint = changed(&plan.blueprint(), "/applicationId", json!("other"));
    for (body, names) in &bad_blueprints(&blueprint) {
        refused(&stack, "/api/applications", body, names).await;
    }
    let mut cyclic = blueprint.clone();
    cyclic["components"]["dependencies"] =
        json!({"startupOrders": [{"aliases": ["cartridge.web", "cartridge.web"]}]});
    refused(&stack, "/api/applications", &cyclic, &["cartridge.web"]).await;

    for (body, names) in &bad_groups(&blueprint) {
        refused(&stack, "/api/applications", body, names).await;
    }
    let cyclic = json!({"name": "round", "cartridges": ["hello"], "dependencies": {"startupOrders": [
        {"aliases": ["cartridge.a", "group.b"]}, {"aliases": ["group.b", "cartridge.a"]}]}});
    refused(
        &stack,
        "/api/cartridgeGroups",
        &cyclic,
        &["cartridge.a → group.b → cartridge.a"],
    )
    .await;
    let absent = json!({"name": "odd", "groups": [{"name": "in", "cartridges": ["absent"]}]});
    refused(
        &stack,
        "/api/cartridgeGroups",
        &absent,
        &["groups[0].cartridges[0]", "absent"],
    )
    .await;
    refused(
        &stack,
        "/api/cartridgeGroups",
        &json!({"name": "x/y", "cartridges": [["a"]]}),
        &["name"],
    )
    .await;

    let policy = json!({"id": "wild", "loadThresholds": {
        "requestsInFlight": {"threshold": 8}, "memoryConsumption": {"threshold": 140}, "loadAverage": {"threshold": 70}}});
    refused(
        &stack,
        "/api/autoscalingPolicies",
        &policy,
        &["memoryConsumption", "140"],
    )
    .await;
    let nowhere = json!({"id": "nowhere", "networkPartitions": [{"id": "moon", "partitionAlgo": "round-robin",
        "partitions": [{"id": "p1", "partitionMax": 1}]}]});
    refused(&stack, "/api/deploymentPolicies", &nowhere, &["moon"]).await;

    let before = journal_position(&stack).await;
    let huge = json!({"applicationId": "x".repeat(2 << 20)});
    let (status, _) = stack
        .api()
        .call(Method::POST, "/api/applications", Some(&huge))
        .await
        .unwrap();
    assert_eq!(status, 413);
    let (status, _) = stack
        .api()
        .call(Method::POST, "/api/applications/none/deploy/none", None)
        .await
        .unwrap();
    assert!(
        (400..500).contains(&status),
        "deploying nothing answered {status}"
    );
    assert_eq!(journal_position(&stack).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_says_what_is_wrong_in_one_line_and_exits_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    let bad = folder.path().join("bad.json");
    std::fs::write(
        &bad,
        r#"{"id": "p", "loadThresholds": {"loadAverage": {"threshold": "lots"}}}"#,
    )
    .unwrap();
    let bad = bad.display().to_string();
    let cases: [(&[&str], i32, &str); 5] = [
        (&["apply", "-f", &bad], 1, "lots"),
        (
            &["apply", "-f", "/nowhere/at-all.json"],
            2,
            "/nowhere/at-all.json",
        ),
        (&["describe", "application", "absent"], 4, "absent"),
        (&["scale", "absent", "3"], 4, "absent"),
        (&["get", "membrs"], 2, "membrs"),
    ];
    for (arguments, code, names) in cases {
        let output = tokio::process::Command::new(stack::binary("cartridge").unwrap())
            .arg("--client")
            .arg(stack.client_file())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
        assert!(
            words.contains(names),
            "{arguments:?} does not name {names}: {words}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_repository_an_unknown_branch_and_a_wrong_password_are_refused_at_deployment() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("git");
    let repository = Repository::create(&served.join("site.git"), &folder.path().join("work"))
        .await
        .unwrap();
    repository
        .publish(&[("index.html", "hello")], "First page")
        .await
        .unwrap();
    let credentials = Some(("somebody".to_owned(), "canary-3391".to_owned()));
    let settings = Settings {
        root: served,
        listen: None,
        credentials,
        hook: None,
    };
    let git = GitServer::start(settings).await.unwrap();
    let stack = Stack::start(&folder.path().join("data"), &[])
        .await
        .expect("the server starts");

    let good = json!({"repoUrl": git.url("site.git"), "branch": "main", "repoUsername": "somebody", "repoPassword": "canary-3391"});
    let cases = [
        (
            "nowhere",
            changed(&good, "/repoUrl", json!("http://127.0.0.1:1/site.git")),
            ["repoUrl", "127.0.0.1:1"],
        ),
        (
            "absent",
            changed(&good, "/repoUrl", json!(git.url("other.git"))),
            ["repoUrl", "other.git"],
        ),
        (
            "branch",
            changed(&good, "/branch", json!("mian")),
            ["branch", "mian"],
        ),
        (
            "secret",
            changed(&good, "/repoPassword", json!("canary-9999")),
            ["repoUsername", "401"],
        ),
    ];
    for (name, repository, names) in cases {
        let mut plan = Plan::hello(&stack::bin_dir(), name);
        plan.repository = Some(repository);
        plan.add(stack.api()).await.expect("the resources are accepted");
        let path = format!("/api/applications/{name}/deploy/{name}-policy");
        refused(&stack, &path, &json!(null), &names).await;
        let (_, answer) = stack.api().call(Method::POST, &path, None).await.unwrap();
        assert!(
            !String::from_utf8_lossy(&answer).contains("canary"),
            "a password is shown"
        );
    }
    let mut plan = Plan::hello(&stack::bin_dir(), "fine");
    plan.repository = Some(good);
    plan.deploy(stack.api())
        .await
        .expect("what can be reached is deployed");
}

//! The scenarios of Stratos's own integration tests, with documents of the same schema, over HTTP on simulated members.
//! docs/stratos.md lists which test shows which.

use std::time::Duration;

use cartridge_tests::stack::Stack;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(90);

/// A server of its own.
struct Scene {
    stack: Stack,
    _folder: TempDir,
}

impl Scene {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
        Self {
            stack,
            _folder: folder,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut call = self
            .stack
            .api()
            .begin(method, &format!("/api/{path}"))
            .timeout(DEADLINE);
        if let Some(body) = body {
            call = call.json(body);
        }
        let answer = call.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn post(&self, path: &str, body: Value) {
        let (status, answer) = self.ask(Method::POST, path, Some(&body)).await;
        assert!(status < 300, "{path}: {status}: {answer}");
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn until(&self, what: &str, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (_, shown) = self.ask(Method::GET, path, None).await;
            if is_so(&shown) {
                return shown;
            }
            assert!(began.elapsed() < DEADLINE, "{what}: {shown:#}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn events(&self) -> Vec<Value> {
        let events = self.get("events?limit=1000").await;
        events.as_array().expect("a list").clone()
    }

    async fn cartridge(&self, name: &str, properties: Value) {
        let document = json!({"type": name, "category": "framework", "provider": "apache", "host": "stratos.org",
            "portMapping": [{"protocol": "http", "port": "8080", "proxyPort": "8280"}], "property": properties});
        self.post("cartridges", document).await;
    }

    /// Network partitions `np1` and on, each with partitions `p1` and `p2` of so many members per cluster.
    async fn places(&self, count: usize, algorithm: &str, most: u32) {
        let parts = json!([{"id": "p1"}, {"id": "p2"}]);
        let uses = json!([{"id": "p1", "partitionMax": most}, {"id": "p2", "partitionMax": most}]);
        let names: Vec<String> = (1..=count).map(|n| format!("np{n}")).collect();
        for name in &names {
            let document = json!({"id": name, "provider": "mock", "partitions": parts});
            self.post("networkPartitions", document).await;
        }
        let used = names
            .iter()
            .map(|name| json!({"id": name, "partitionAlgo": algorithm, "partitions": uses}));
        let policy = json!({"id": "places", "networkPartitions": used.collect::<Vec<_>>()});
        self.post("deploymentPolicies", policy).await;
        let policy = json!({"id": "all", "algorithm": "all-at-once", "networkPartitions": names});
        self.post("applicationPolicies", policy).await;
        let policy = json!({"id": "busy", "stabilizationSeconds": 2, "horizonSeconds": 0, "loadThresholds": {
            "requestsInFlight": {"threshold": 20}, "memoryConsumption": {"threshold": 30},
            "loadAverage": {"threshold": 25}}});
        self.post("autoscalingPolicies", policy).await;
    }

    async fn deploy(&self, components: Value) {
        let document = json!({"applicationId": "app", "alias": "app", "components": components});
        self.post("applications", document).await;
        self.post("applications/app/deploy/all", json!({})).await;
    }

    /// The members that are active, by cluster alias.
    async fn active(&self, alias: &str, count: usize) -> Vec<Value> {
        let prefix = format!("app.{alias}.");
        let of = |shown: &Value| -> Vec<Value> {
            let rows = shown.as_array().cloned().unwrap_or_default();
            let own = |row: &Value| row["cluster"].as_str().is_some_and(|id| id.starts_with(&prefix));
            let active = |row: &Value| row["phase"]["phase"] == "active" || row["phase"] == "active";
            rows.into_iter().filter(|row| own(row) && active(row)).collect()
        };
        let what = format!("{count} members of {alias} are active");
        of(&self
            .until(&what, "members", |shown| of(shown).len() == count)
            .await)
    }
}

fn member(kind: &str, alias: &str, sizes: [u32; 2]) -> Value {
    json!({"type": kind, "cartridgeMin": sizes[0], "cartridgeMax": sizes[1], "subscribableInfo": {"alias": alias,
        "autoscalingPolicy": "busy", "deploymentPolicy": "places"}})
}

fn within(kind: &str, alias: &str, sizes: [u32; 2]) -> Value {
    let mut one = member(kind, alias, sizes);
    one["subscribableInfo"]["deploymentPolicy"].take();
    one
}

fn position(events: &[Value], kind: &str, alias: &str) -> usize {
    let prefix = format!("app.{alias}.");
    let of = |event: &Value| {
        event["cluster"]
            .as_str()
            .is_some_and(|id| id.starts_with(&prefix))
    };
    let found = events.iter().position(|event| event["kind"] == kind && of(event));
    found.unwrap_or_else(|| panic!("no {kind} of {alias}"))
}

/// The partitions of the members of `web`, in the order in which they were planned.
async fn partitions(algorithm: &str) -> Vec<String> {
    let scene = Scene::open().await;
    scene.places(1, algorithm, 4).await;
    scene.cartridge("php", json!({})).await;
    scene
        .deploy(json!({"cartridges": [member("php", "web", [6, 8])]}))
        .await;
    scene.active("web", 6).await;
    let shown = scene.get("members").await;
    let mut rows: Vec<(u64, String)> = shown
        .as_array()
        .expect("a list")
        .iter()
        .filter(|row| row["kind"] == "application")
        .map(|row| {
            let id = row["member"].as_str().expect("an id");
            let number = id.rsplit('-').next().and_then(|digits| digits.parse().ok());
            let partition = row["partition"].as_str().unwrap_or_default();
            (number.expect("a number"), partition.to_owned())
        })
        .collect();
    rows.sort();
    rows.into_iter().map(|(_, partition)| partition).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_fills_partitions_in_turn() {
    assert_eq!(
        partitions("round-robin").await,
        ["p1", "p2", "p1", "p2", "p1", "p2"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_after_another_fills_the_first_partition_before_the_second() {
    assert_eq!(
        partitions("one-after-another").await,
        ["p1", "p1", "p1", "p1", "p2", "p2"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_cluster_grows_while_memory_is_scarce_and_shrinks_to_its_minimum() {
    let scene = Scene::open().await;
    scene.places(1, "round-robin", 3).await;
    let pattern = json!({"mock.memory": "60,60,10", "mock.seconds": "3", "mock.mode": "continue"});
    scene.cartridge("c7", pattern).await;
    scene
        .deploy(json!({"cartridges": [member("c7", "c7", [2, 4])]}))
        .await;
    scene.active("c7", 2).await;
    let resized = |events: &[Value]| -> Vec<String> {
        let rows = events.iter().filter(|event| event["kind"] == "cluster-resized");
        rows.map(|event| event["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    scene
        .until(
            "it grew, and shrank by one at a time",
            "events?limit=1000",
            |events| {
                let texts = resized(events.as_array().map_or(&[], Vec::as_slice));
                let up = texts
                    .iter()
                    .position(|text| text.contains(": 2 -> 4") || text.contains(": 3 -> 4"));
                up.is_some_and(|up| texts[up..].iter().any(|text| text.contains(": 3 -> 2")))
            },
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_with_a_group_stands_whole_in_both_network_partitions() {
    let scene = Scene::open().await;
    scene.places(2, "one-after-another", 5).await;
    scene.cartridge("esb", json!({})).await;
    scene.cartridge("php", json!({})).await;
    let pair = json!({"name": "esb-php-group", "cartridges": ["esb", "php"], "dependencies": {
        "startupOrders": [{"aliases": ["cartridge.esb", "cartridge.php"]}]}});
    scene.post("cartridgeGroups", pair).await;
    let group = json!({"name": "esb-php-group", "alias": "pair", "deploymentPolicy": "places",
        "cartridges": [within("esb", "esb", [1, 2]), within("php", "php", [1, 2])]});
    scene.deploy(json!({"groups": [group]})).await;
    let whole = |shown: &Value| {
        let rows = shown["applicationInstances"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let group = |row: &Value| {
            let group = &row["groupInstances"][0];
            let clusters = group["clusterInstances"].as_array().map_or(0, Vec::len);
            row["status"] == "Active" && group["status"] == "Active" && clusters == 2
        };
        rows.len() == 2 && rows.iter().all(group)
    };
    scene.until("both stand", "applications/app/runtime", whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_start_in_order_and_those_that_do_not_depend_on_each_other_together() {
    let scene = Scene::open().await;
    scene.places(1, "one-after-another", 20).await;
    for name in ["stratos-lb", "tomcat"] {
        scene.cartridge(name, json!({"mock.start_ms": "400"})).await;
    }
    for name in ["group6", "group8"] {
        scene
            .post("cartridgeGroups", json!({"name": name, "cartridges": ["tomcat"]}))
            .await;
    }
    let group = |name: &str| {
        json!({"name": name, "alias": name, "deploymentPolicy": "places",
            "cartridges": [within("tomcat", &format!("of-{name}"), [1, 1])]})
    };
    let orders = json!([{"aliases": ["cartridge.lb", "cartridge.tomcat", "group.group6"]},
        {"aliases": ["cartridge.tomcat", "group.group8"]}]);
    scene
        .deploy(
            json!({"cartridges": [member("stratos-lb", "lb", [1, 1]), member("tomcat", "tomcat", [1, 1])],
            "groups": [group("group6"), group("group8")], "dependencies": {"startupOrders": orders}}),
        )
        .await;
    scene.active("of-group6", 1).await;
    scene.active("of-group8", 1).await;
    let events = scene.events().await;
    for (before, after) in [("lb", "tomcat"), ("tomcat", "of-group6"), ("tomcat", "of-group8")] {
        let stood = position(&events, "member-activated", before);
        assert!(
            stood < position(&events, "member-planned", after),
            "{before}, {after}"
        );
    }
    for (one, other) in [("of-group6", "of-group8"), ("of-group8", "of-group6")] {
        let began = position(&events, "member-planned", one);
        assert!(
            began < position(&events, "member-activated", other),
            "{one} waited for {other}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_a_lost_cartridge_ends_and_starts_again_in_order() {
    let scene = Scene::open().await;
    scene.places(1, "one-after-another", 20).await;
    let dies_once = json!({"mock.fails_after": "2", "mock.faulty": "1"});
    scene.cartridge("c3", dies_once).await;
    scene.cartridge("c2", json!({})).await;
    let document = json!({"name": "group2", "cartridges": ["c3", "c2"], "dependencies": {
        "startupOrders": [{"aliases": ["cartridge.c3", "cartridge.c2"]}], "terminationBehaviour": "terminate-all"}});
    scene.post("cartridgeGroups", document).await;
    let group = json!({"name": "group2", "alias": "group2", "deploymentPolicy": "places",
        "cartridges": [within("c3", "c3", [1, 2]), within("c2", "c2", [1, 4])]});
    scene.deploy(json!({"groups": [group]})).await;
    let again = |events: &Value| {
        let rows = events.as_array().cloned().unwrap_or_default();
        let second = |alias: &str| {
            let id = format!("app.{alias}.{alias}.domain-2");
            rows.iter()
                .any(|row| row["kind"] == "member-activated" && row["member"] == *id)
        };
        second("c3") && second("c2")
    };
    let events = scene.until("both stand again", "events?limit=1000", again).await;
    let rows = events.as_array().expect("a list");
    let at = |kind: &str, id: &str| {
        let found = rows
            .iter()
            .position(|row| row["kind"] == kind && row["member"] == *id);
        found.unwrap_or_else(|| panic!("no {kind} of {id}"))
    };
    let (lost, other) = ("app.c3.c3.domain-1", "app.c2.c2.domain-1");
    assert!(at("member-failed", lost) < at("member-draining", other));
    assert!(at("member-removed", other) < at("member-planned", "app.c3.c3.domain-2"));
    assert!(at("member-activated", "app.c3.c3.domain-2") < at("member-planned", "app.c2.c2.domain-2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_is_lost_and_the_application_is_active_again() {
    let scene = Scene::open().await;
    scene.places(1, "one-after-another", 20).await;
    scene
        .cartridge("php", json!({"mock.fails_after": "3", "mock.faulty": "1,2,3"}))
        .await;
    scene
        .deploy(json!({"cartridges": [member("php", "web", [3, 5])]}))
        .await;
    scene.active("web", 3).await;
    let anew = |shown: &Value| {
        let rows = shown.as_array().cloned().unwrap_or_default();
        let new = |row: &Value| {
            let id = row["member"].as_str().unwrap_or_default();
            let number = id.rsplit('-').next().and_then(|digits| digits.parse().ok());
            row["kind"] == "application" && number.is_some_and(|number: u32| number > 3)
        };
        rows.iter().filter(|row| new(row)).count() == 3
    };
    scene.until("three others stand", "members", anew).await;
    scene.active("web", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_startup_order_with_an_unknown_alias_is_refused_in_stratos_s_words() {
    let scene = Scene::open().await;
    scene.places(1, "one-after-another", 5).await;
    scene.cartridge("php", json!({})).await;
    let document = json!({"applicationId": "app", "alias": "app", "components": {
        "cartridges": [member("php", "web", [1, 1])],
        "dependencies": {"startupOrders": [{"aliases": ["cartridge.web", "cartridge.nobody"]}]}}});
    let (status, answer) = scene.ask(Method::POST, "applications", Some(&document)).await;
    let words = "The startup-order defined in the [application] app is not correct. [startup-order-alias] \
                 cartridge.nobody is not there in the application.";
    assert_eq!(status, 400);
    assert!(
        answer["message"]
            .as_str()
            .is_some_and(|text| text.contains(words)),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_hook_concerns_every_cluster_of_its_repository_and_no_other() {
    let scene = Scene::open().await;
    scene.places(1, "one-after-another", 20).await;
    scene.cartridge("php", json!({})).await;
    let with = |alias: &str, url: &str| {
        let mut one = member("php", alias, [1, 1]);
        one["subscribableInfo"]["artifactRepository"] = json!({"repoUrl": url});
        one
    };
    let (ours, other) = (
        "https://git.example.org/app.git",
        "https://git.example.org/other.git",
    );
    scene
        .deploy(json!({"cartridges": [with("one", ours), with("two", ours), with("three", other)]}))
        .await;
    let hook = json!({"ref": "refs/heads/main", "repository": {"url": ours, "id": 1, "name": "app"}});
    scene.post("repo/notify", hook).await;
    let events = scene.events().await;
    let mut told: Vec<&str> = events
        .iter()
        .filter(|event| event["kind"] == "repository-announced")
        .filter_map(|event| event["cluster"].as_str())
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["app.one.php.domain", "app.two.php.domain"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cartridge_s_property_wins_over_its_place_s_and_providers_are_listed() {
    let scene = Scene::open().await;
    let property = json!([{"name": "mock.load", "value": "20"}, {"name": "mock.memory", "value": "21"}]);
    let place =
        json!({"id": "np1", "provider": "mock", "partitions": [{"id": "p1"}], "properties": property});
    scene.post("networkPartitions", place).await;
    let uses = json!([{"id": "np1", "partitions": [{"id": "p1", "partitionMax": 3}]}]);
    scene
        .post(
            "deploymentPolicies",
            json!({"id": "places", "networkPartitions": uses}),
        )
        .await;
    let policy = json!({"id": "all", "algorithm": "all-at-once", "networkPartitions": ["np1"]});
    scene.post("applicationPolicies", policy).await;
    let policy = json!({"id": "busy", "loadThresholds": {"loadAverage": {"threshold": 70}}});
    scene.post("autoscalingPolicies", policy).await;
    scene.cartridge("php", json!({"mock.load": "5"})).await;
    scene
        .deploy(json!({"cartridges": [member("php", "web", [1, 1])]}))
        .await;
    scene.active("web", 1).await;
    let measured = |shown: &Value| shown["sample"].is_object();
    let shown = scene
        .until("it is measured", "members/app.web.php.domain-1", measured)
        .await;
    let load = shown["sample"]["load"][0].as_f64().expect("a figure");
    assert!((load - 0.05).abs() < 1e-9, "the cartridge's: {load}");
    let (used, limit) = (&shown["sample"]["memory_used"], &shown["sample"]["memory_limit"]);
    let share = used
        .as_f64()
        .zip(limit.as_f64())
        .map(|(used, limit)| used / limit);
    assert!(
        share.is_some_and(|share| (share - 0.21).abs() < 0.01),
        "its place's: {shown}"
    );
    let providers = scene.get("iaasProviders").await.to_string();
    assert!(providers.contains("mock"), "{providers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_resource_is_added_listed_changed_and_removed_and_refuses_what_is_missing() {
    let scene = Scene::open().await;
    scene.places(1, "one-after-another", 5).await;
    scene.cartridge("php", json!({})).await;
    let nested =
        json!({"name": "outer", "cartridges": ["php"], "groups": [{"name": "inner", "cartridges": ["php"]}]});
    scene.post("cartridgeGroups", nested.clone()).await;
    let blueprint = |most: u32| {
        let inner = json!({"name": "inner", "alias": "in", "cartridges": [within("php", "deep", [1, most])]});
        json!({"applicationId": "app", "alias": "app", "components": {"groups": [{"name": "outer", "alias": "out",
            "deploymentPolicy": "places", "cartridges": [within("php", "web", [1, 2])], "groups": [inner]}]}})
    };
    scene.post("applications", blueprint(2)).await;
    let (status, answer) = scene.ask(Method::PUT, "applications", Some(&blueprint(7))).await;
    assert!(status < 300, "{answer}");
    let shown = scene.get("applications/app").await;
    let deep = &shown["components"]["groups"][0]["groups"][0]["cartridges"][0];
    assert_eq!(
        (&deep["cartridgeMin"], &deep["cartridgeMax"]),
        (&json!(1), &json!(7))
    );

    for (collection, id) in [
        ("applications", "app"),
        ("cartridgeGroups", "outer"),
        ("cartridges", "php"),
        ("autoscalingPolicies", "busy"),
        ("applicationPolicies", "all"),
        ("deploymentPolicies", "places"),
        ("networkPartitions", "np1"),
    ] {
        let listed = scene.get(collection).await.to_string();
        assert!(listed.contains(&format!("\"{id}\"")), "{collection}: {listed}");
        let path = format!("{collection}/{id}");
        let document = scene.get(&path).await;
        if collection != "applications" {
            let (status, answer) = scene.ask(Method::PUT, collection, Some(&document)).await;
            assert!(
                status < 300,
                "what is shown may be put again: {collection}: {answer}"
            );
        }
        let (status, answer) = scene.ask(Method::DELETE, &path, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let (status, _) = scene.ask(Method::GET, &path, None).await;
        assert_eq!(status, 404, "{path} is gone");
    }
    for (collection, document) in [
        ("cartridgeGroups", nested),
        ("applications", blueprint(2)),
        (
            "deploymentPolicies",
            json!({"id": "d", "networkPartitions": [
            {"id": "nowhere", "partitions": [{"id": "p", "partitionMax": 1}]}]}),
        ),
    ] {
        let (status, answer) = scene.ask(Method::POST, collection, Some(&document)).await;
        assert_eq!(status, 400, "{collection} names what is missing: {answer}");
    }
}

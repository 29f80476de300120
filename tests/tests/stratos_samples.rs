//! The sample applications of Apache Stratos, unmodified, posted over HTTP in the order of its own scripts on simulated
//! members: each reaches the state that it demonstrates, and leaves nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cartridge_tests::stack::Stack;
use http::{Method, header};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(90);

/// One application and all that it needs.
struct Sample {
    path: &'static str,
    id: &'static str,
    autoscaling: &'static [&'static str],
    places: &'static [&'static str],
    deployment: &'static [&'static str],
    cartridges: &'static [&'static str],
    groups: &'static [&'static str],
    policy: &'static str,
    /// Members by alias, when it is active.
    members: &'static [(&'static str, usize)],
    /// Instances of groups.
    instances: &'static [&'static str],
    /// Who stands before whom begins, by alias.
    orders: &'static [(&'static str, &'static str)],
}

const AS1: &[&str] = &["autoscaling-policy-1"];
const NP1: &[&str] = &["network-partition-1"];
const DP1: &[&str] = &["deployment-policy-1"];

const SAMPLES: [Sample; 7] = [
    Sample {
        path: "simple/single-cartridge-app",
        id: "single-cartridge-app",
        autoscaling: AS1,
        places: NP1,
        deployment: DP1,
        cartridges: &["php"],
        groups: &[],
        policy: "application-policy-1",
        members: &[("my-php", 1)],
        instances: &[],
        orders: &[],
    },
    Sample {
        path: "simple/single-group-app",
        id: "cartridge-group-app",
        autoscaling: AS1,
        places: NP1,
        deployment: DP1,
        cartridges: &["tomcat", "php", "esb"],
        groups: &["esb-php-group"],
        policy: "application-policy-1",
        members: &[("my-tomcat", 2), ("my-esb", 1), ("my-php", 2)],
        instances: &["my-esb-php-group"],
        orders: &[("my-esb", "my-php")],
    },
    Sample {
        path: "nested/single-level-nested-groups-app",
        id: "complex-app",
        autoscaling: AS1,
        places: NP1,
        deployment: DP1,
        cartridges: &["tomcat", "tomcat1", "tomcat2"],
        groups: &["group6c3", "group8c"],
        policy: "application-policy-1",
        members: &[
            ("my-tomcat1-group7", 1),
            ("my-tomcat2-group6", 1),
            ("my-tomcat1-group9", 1),
            ("my-tomcat2-group8", 1),
            ("my-tomcat", 1),
        ],
        instances: &["my-group6", "my-group7", "my-group8", "my-group9"],
        orders: &[
            ("my-tomcat1-group9", "my-tomcat"),
            ("my-tomcat2-group8", "my-tomcat"),
            ("my-tomcat", "my-tomcat1-group7"),
            ("my-tomcat", "my-tomcat2-group6"),
        ],
    },
    Sample {
        path: "complex/wordpress-app",
        id: "wordpress",
        autoscaling: AS1,
        places: NP1,
        deployment: DP1,
        cartridges: &["mysql", "php"],
        groups: &["mysql-php-group"],
        policy: "application-policy-1",
        members: &[("my-mysql", 2), ("my-php", 2)],
        instances: &["mysql-php-group"],
        orders: &[("my-mysql", "my-php")],
    },
    Sample {
        path: "scaling/app-bursting-pattern",
        id: "app-bursting-pattern-app",
        autoscaling: AS1,
        places: &[
            "network-partition-1",
            "network-partition-2",
            "network-partition-3",
            "network-partition-4",
        ],
        deployment: &["deployment-policy-4"],
        cartridges: &["php"],
        groups: &[],
        policy: "application-policy-4",
        // One in each network partition of the first group.
        members: &[("my-php", 2)],
        instances: &[],
        orders: &[],
    },
    Sample {
        path: "scaling/dependent-scaling/sample-cartridges",
        id: "dependency-scaling-cartridges-app",
        autoscaling: AS1,
        places: NP1,
        deployment: DP1,
        cartridges: &["tomcat", "php"],
        groups: &[],
        policy: "application-policy-1",
        members: &[("my-tomcat", 1), ("my-php", 2)],
        instances: &[],
        orders: &[],
    },
    Sample {
        path: "scaling/group-scaling/single-group-group-scaling",
        id: "single-group-group-scaling",
        autoscaling: AS1,
        places: NP1,
        deployment: DP1,
        cartridges: &["tomcat"],
        groups: &["group6c4"],
        policy: "application-policy-1",
        members: &[("my-tomcat", 1)],
        instances: &["my-group6"],
        orders: &[],
    },
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

fn text(path: &str) -> String {
    let path = folder().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Sends a file as it is.
async fn send(stack: &Stack, method: Method, path: &str, body: Option<String>) -> (u16, Value) {
    let mut call = stack.api().begin(method.clone(), path).timeout(DEADLINE);
    if let Some(body) = body {
        call = call.header(header::CONTENT_TYPE, "application/json").body(body);
    }
    let answer = call
        .send()
        .await
        .unwrap_or_else(|fault| panic!("{method} {path}: {fault}"));
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("the answer is readable");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn expect(stack: &Stack, method: Method, path: &str, body: Option<String>, code: u16) -> Value {
    let (status, answer) = send(stack, method.clone(), path, body).await;
    assert_eq!(status, code, "{method} {path}: {answer}");
    answer
}

/// Collection, file and id of all that a sample needs, in the order in which Stratos's scripts post it.
fn needs(sample: &Sample) -> Vec<(&'static str, String)> {
    let named = |collection, folder: &str, names: &[&str]| -> Vec<(&'static str, String)> {
        let file = |name: &&str| (collection, format!("{folder}/{name}.json"));
        names.iter().map(file).collect()
    };
    let mut all = named("autoscalingPolicies", "autoscaling-policies", sample.autoscaling);
    all.extend(named(
        "networkPartitions",
        "network-partitions/mock",
        sample.places,
    ));
    all.extend(named(
        "deploymentPolicies",
        "deployment-policies",
        sample.deployment,
    ));
    all.extend(named("cartridges", "cartridges/mock", sample.cartridges));
    all.extend(named("cartridgeGroups", "cartridge-groups", sample.groups));
    all.extend(named(
        "applicationPolicies",
        "application-policies",
        &[sample.policy],
    ));
    all
}

fn id_of(collection: &str, document: &str) -> String {
    let document: Value = serde_json::from_str(document).expect("only blueprints have trailing commas");
    let field = match collection {
        "cartridges" => "type",
        "cartridgeGroups" => "name",
        _ => "id",
    };
    document[field]
        .as_str()
        .expect("every document has an id")
        .to_owned()
}

/// Every cluster of the run-time document, those in groups included.
fn clusters(instance: &Value) -> Vec<&Value> {
    let list = |field: &str| instance[field].as_array().map_or(&[][..], Vec::as_slice);
    let inner = list("groupInstances").iter().flat_map(clusters);
    list("clusterInstances").iter().chain(inner).collect()
}

fn groups(instance: &Value) -> Vec<&Value> {
    let list = instance["groupInstances"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    list.iter()
        .flat_map(|group| std::iter::once(group).chain(groups(group)))
        .collect()
}

fn active_members(runtime: &Value, alias: &str) -> usize {
    let instances = runtime["applicationInstances"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    instances
        .iter()
        .flat_map(clusters)
        .filter(|cluster| cluster["alias"] == alias)
        .flat_map(|cluster| cluster["member"].as_array().cloned().unwrap_or_default())
        .filter(|member| member["status"] == "Active")
        .count()
}

fn is_reached(sample: &Sample, runtime: &Value) -> bool {
    let instances = runtime["applicationInstances"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let active = |row: &Value| row["status"] == "Active";
    !instances.is_empty()
        && instances.iter().all(active)
        && sample
            .members
            .iter()
            .all(|(alias, count)| active_members(runtime, alias) == *count)
        && sample.instances.iter().all(|alias| {
            let found: Vec<&Value> = instances.iter().flat_map(groups).collect();
            found
                .iter()
                .filter(|group| group["groupId"] == *alias)
                .filter(|group| active(group))
                .count()
                == 1
        })
}

async fn until(stack: &Stack, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (_, answer) = send(stack, Method::GET, path, None).await;
        if is_so(&answer) {
            return answer;
        }
        assert!(
            began.elapsed() < DEADLINE,
            "{what}: not so after {DEADLINE:?}: {answer:#}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

/// The members of `after` were planned after those of `before` were active.
async fn in_order(stack: &Stack, sample: &Sample) {
    let path = format!("/api/events?application={}&limit=1000", sample.id);
    let events = expect(stack, Method::GET, &path, None, 200).await;
    let events = events.as_array().expect("events are a list");
    let of = |event: &Value, alias: &str, kind: &str| {
        let cluster = event["cluster"].as_str().unwrap_or_default();
        event["kind"] == kind && cluster.starts_with(&format!("{}.{alias}.", sample.id))
    };
    for (before, after) in sample.orders {
        let stood = events
            .iter()
            .position(|event| of(event, before, "member-activated"));
        let began = events.iter().position(|event| of(event, after, "member-planned"));
        assert!(
            stood.is_some() && stood < began,
            "{before} stood at {stood:?}, {after} began at {began:?}"
        );
    }
}

async fn demonstrate(stack: &Stack, sample: &Sample) {
    let needed = needs(sample);
    for (collection, file) in &needed {
        let path = format!("/api/{collection}");
        expect(stack, Method::POST, &path, Some(text(file)), 201).await;
    }
    let blueprint = text(&format!("applications/{}/application.json", sample.path));
    expect(
        stack,
        Method::POST,
        "/api/applications",
        Some(blueprint.clone()),
        201,
    )
    .await;
    let (status, _) = send(stack, Method::POST, "/api/applications", Some(blueprint)).await;
    assert_eq!(status, 409, "it is there already");

    let own = format!("/api/applications/{}", sample.id);
    expect(
        stack,
        Method::POST,
        &format!("{own}/deploy/{}", sample.policy),
        None,
        202,
    )
    .await;
    let runtime = format!("{own}/runtime");
    let shown = until(stack, &runtime, sample.id, |shown| is_reached(sample, shown)).await;
    assert_eq!(shown["status"], "Deployed", "{shown:#}");
    in_order(stack, sample).await;

    for (collection, file) in &needed {
        let used = format!("/api/{collection}/{}", id_of(collection, &text(file)));
        let (status, answer) = send(stack, Method::DELETE, &used, None).await;
        assert_eq!(status, 400, "{used} is in use: {answer}");
    }
    let (status, _) = send(stack, Method::DELETE, &own, None).await;
    assert_eq!(status, 409, "it is deployed");

    expect(stack, Method::POST, &format!("{own}/undeploy"), None, 202).await;
    until(stack, &own, "undeployed", |shown| shown["status"] == "Created").await;
    expect(stack, Method::DELETE, &own, None, 200).await;
    for (collection, file) in needed.iter().rev() {
        let path = format!("/api/{collection}/{}", id_of(collection, &text(file)));
        expect(stack, Method::DELETE, &path, None, 200).await;
        expect(stack, Method::GET, &path, None, 404).await;
    }
    for collection in [
        "applications",
        "clusters",
        "members",
        "cartridges",
        "cartridgeGroups",
        "networkPartitions",
    ] {
        let left = expect(stack, Method::GET, &format!("/api/{collection}"), None, 200).await;
        assert_eq!(
            left.as_array().map(Vec::len),
            Some(0),
            "{}: {collection}: {left}",
            sample.id
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sample_of_stratos_runs_as_it_is_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    for sample in &SAMPLES {
        demonstrate(&stack, sample).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_accepted_that_refers_to_what_exists() {
    let data = tempfile::tempdir().expect("a folder");
    let stack = Stack::start(data.path(), &[]).await.expect("the server starts");
    let kinds = [
        ("autoscalingPolicies", "autoscaling-policies"),
        ("networkPartitions", "network-partitions/mock"),
        ("deploymentPolicies", "deployment-policies"),
        ("cartridges", "cartridges/mock"),
        ("cartridgeGroups", "cartridge-groups"),
        ("applicationPolicies", "application-policies"),
    ];
    let mut refused = Vec::new();
    for (collection, kind) in kinds {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join(kind))
            .expect("the folder is there")
            .map(|entry| entry.expect("a readable folder").path())
            .collect();
        files.sort();
        for file in files {
            let body = std::fs::read_to_string(&file).expect("a readable file");
            let (status, _) = send(&stack, Method::POST, &format!("/api/{collection}"), Some(body)).await;
            if status != 201 {
                let name = file
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                refused.push(format!("{name} {status}"));
            }
        }
    }
    // Five files define group6; one policy names places of clouds that no file describes.
    let expected = [
        "multi-cloud-deployment-policy.json 400",
        "group6c3.json 409",
        "group6c4.json 409",
        "group6c5.json 409",
        "group6c6.json 409",
        "group6c7.json 409",
        "group8c3.json 409",
    ];
    assert_eq!(refused, expected);
}

//! Cartridges share values, with the real programs: a database says where it is from its hook, the application in front of it
//! is told before it starts and again when it changes, and undeploying leaves nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cartridge_tests::api::Api;
use cartridge_tests::stack::{self, Stack};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of hooks, each a shell script.
fn hooks(folder: &Path, scripts: &[(&str, String)]) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, script) in scripts {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn cartridge(name: &str, hooks: &Path) -> Value {
    let program = stack::bin_dir().join("cartridge-hello").display().to_string();
    json!({
        "type": name, "category": "framework", "provider": "cartridge", "host": "shop.test", "displayName": "",
        "description": "", "version": "1", "multiTenant": false, "deployment": {},
        "metadataKeys": ["ADDRESS"],
        "portMapping": [{"name": "http", "protocol": "http", "port": 8080, "proxyPort": 0}],
        "iaasProvider": [{"type": "process", "imageId": "hello", "property": []}],
        "process": {"command": [program], "hooks": hooks.display().to_string()},
        "health": {"http": {"port": "http", "path": "/health"}},
    })
}

/// An application of a database and of what begins after it.
async fn deploy(api: &Api, database: &Path, web: &Path) {
    let member = |alias: &str, kind: &str| {
        json!({"type": kind, "cartridgeMin": 1, "cartridgeMax": 1, "subscribableInfo": {
            "alias": alias, "autoscalingPolicy": "scaling", "deploymentPolicy": "where"}})
    };
    let documents = [
        (
            "networkPartitions",
            json!({"id": "np", "provider": "process", "partitions": [{"id": "p1"}],
            "properties": [{"name": "address", "value": "127.0.31.1"}]}),
        ),
        ("cartridges", cartridge("database", database)),
        ("cartridges", cartridge("web", web)),
        (
            "autoscalingPolicies",
            json!({"id": "scaling", "loadThresholds": {"loadAverage": {"threshold": 900}}}),
        ),
        (
            "deploymentPolicies",
            json!({"id": "where", "networkPartitions": [{"id": "np",
            "partitionAlgo": "one-after-another", "partitions": [{"id": "p1", "partitionMax": 8}]}]}),
        ),
        (
            "applicationPolicies",
            json!({"id": "policy", "algorithm": "one-after-another", "networkPartitions": ["np"]}),
        ),
        (
            "applications",
            json!({"applicationId": "shop", "alias": "shop", "multiTenant": false, "components": {
            "cartridges": [member("mysql", "database"), member("web", "web")],
            "dependencies": {"startupOrders": [{"aliases": ["cartridge.mysql", "cartridge.web"]}]}}}),
        ),
    ];
    for (collection, document) in documents {
        let path = format!("/api/{collection}");
        api.post(&path, Some(&document))
            .await
            .unwrap_or_else(|fault| panic!("{path}: {fault}"));
    }
    api.post("/api/applications/shop/deploy/policy", None)
        .await
        .unwrap();
}

/// Waits for the file, which is renamed to its place when it is whole.
async fn written(stack: &Stack, path: &Path) -> BTreeMap<String, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(text) = std::fs::read_to_string(path) {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            return pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
        }
        assert!(
            Instant::now() < until,
            "{} never came:\n{}",
            path.display(),
            stack.log_end()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_database_shares_is_known_to_what_starts_after_it_and_a_change_reaches_it() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str| folder.path().join(name);
    let tell = |name: &str| format!("env > {0}.part && mv {0}.part {0}", told(name).display());
    let (database, web) = (told("database-hooks"), told("web-hooks"));
    hooks(
        &database,
        &[(
            "InstanceStartedEvent.sh",
            format!(
                "\"$CARTRIDGE_AGENT\" share ADDRESS \"$STRATOS_CARTRIDGE_ADDRESS:3306\"\n{}",
                tell("database")
            ),
        )],
    );
    hooks(
        &web,
        &[
            ("InstanceStartedEvent.sh", tell("started")),
            ("ValuesChangedEvent.sh", tell("changed")),
        ],
    );
    let stack = Stack::start(&told("data"), &[]).await.expect("the server starts");
    deploy(stack.api(), &database, &web).await;

    let started = written(&stack, &told("started")).await;
    assert_eq!(started["CARTRIDGE_SHARED_MYSQL_ADDRESS"], "127.0.31.1:3306");
    assert_eq!(started["STRATOS_IMPORT_METADATA_KEYS"], "mysql-ADDRESS");
    assert_eq!(started["STRATOS_EXPORT_METADATA_KEYS"], "web-ADDRESS");
    assert!(
        !told("changed").exists(),
        "what was there at the start is no change"
    );

    // The application itself is told, too.
    until_active(&stack, 2).await;
    let of_web = stack
        .processes()
        .into_iter()
        .filter(|process| !process.is_agent());
    let of_web: Vec<_> = of_web
        .filter(|process| process.tag.member.contains(".web."))
        .collect();
    let environments = of_web
        .iter()
        .filter_map(|process| std::fs::read(format!("/proc/{}/environ", process.pid)).ok());
    let wanted = "CARTRIDGE_SHARED_MYSQL_ADDRESS=127.0.31.1:3306";
    assert!(
        environments
            .into_iter()
            .any(|all| String::from_utf8_lossy(&all).split('\0').any(|one| one == wanted)),
        "{of_web:?}"
    );

    // A member of the database says that it has moved.
    let database = written(&stack, &told("database")).await;
    let moved = Command::new(&database["CARTRIDGE_AGENT"])
        .args([
            "share",
            "--state-dir",
            &database["CARTRIDGE_STATE_DIR"],
            "ADDRESS",
            "10.0.0.9:3306",
        ])
        .output()
        .unwrap();
    assert!(
        moved.status.success(),
        "{}",
        String::from_utf8_lossy(&moved.stderr)
    );
    let changed = written(&stack, &told("changed")).await;
    assert_eq!(changed["CARTRIDGE_SHARED_MYSQL_ADDRESS"], "10.0.0.9:3306");

    over_the_service(&stack, &database);
    undeployed_leaves_nothing(&stack).await;
}

async fn until_active(stack: &Stack, count: usize) {
    let until = Instant::now() + PATIENCE;
    loop {
        let members = stack.api().members().await.unwrap_or_default();
        if members.iter().filter(|member| member.is_active()).count() == count {
            return;
        }
        assert!(
            Instant::now() < until,
            "never {count} active members: {members:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the command line prints.
fn cartridge_cli(stack: &Stack, arguments: &[&str]) -> String {
    let ran = Command::new(stack::binary("cartridge").unwrap())
        .args(arguments)
        .env("CARTRIDGE_CLIENT", stack.client_file())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Over Stratos's service, with the token of its payload, the database adds to the application.
fn over_the_service(stack: &Stack, database: &BTreeMap<String, String>) {
    let url = format!(
        "{}/metadata/api/applications/shop/properties",
        database["STRATOS_METADATA_SERVICE_URL"]
    );
    let curl = Command::new("curl")
        .args([
            "-sS",
            "--fail-with-body",
            "--cacert",
            &database["STRATOS_CARTRIDGE_LINK_CA"],
        ])
        .args([
            "-H",
            &format!("Authorization: Bearer {}", database["STRATOS_TOKEN"]),
        ])
        .args([
            "-H",
            "Content-Type: application/json",
            "-d",
            r#"{"key": "peers", "values": ["a", "b"]}"#,
            &url,
        ])
        .output();
    if let Ok(curl) = curl {
        assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stdout));
        let shown = cartridge_cli(stack, &["get", "metadata", "shop", "--output", "json"]);
        let rows: Value = serde_json::from_str(&shown).unwrap();
        let want = json!([
            {"application": "shop", "alias": null, "key": "peers", "values": ["a", "b"]},
            {"application": "shop", "alias": "mysql", "key": "ADDRESS", "values": ["10.0.0.9:3306"]},
        ]);
        assert_eq!(rows, want);
    }
    let table = cartridge_cli(stack, &["get", "metadata", "shop"]);
    assert!(
        table.contains("mysql") && table.contains("10.0.0.9:3306"),
        "{table}"
    );
}

async fn undeployed_leaves_nothing(stack: &Stack) {
    stack
        .api()
        .post("/api/applications/shop/undeploy", None)
        .await
        .unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        let state: Value = stack.api().get("/api/applications/shop").await.unwrap();
        if state["status"] == "Created" {
            break;
        }
        assert!(Instant::now() < until, "never undeployed: {state}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left: Vec<Value> = stack.api().get("/api/applications/shop/values").await.unwrap();
    assert_eq!(left, Vec::<Value>::new());
}

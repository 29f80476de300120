//! The real server is killed at every named place, started again, and must end with exactly the members ordered.
//!
//! Needs `--features failpoints`, and `cartridge-agent` and `cartridge-hello` built beside `cartridge`.
#![cfg(feature = "failpoints")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const POINTS: [&str; 6] = [
    "before_append",
    "after_append",
    "before_ensure",
    "after_ensure",
    "before_remove",
    "after_remove",
];
const PROGRAM: &str = env!("CARGO_BIN_EXE_cartridge");
const DEADLINE: Duration = Duration::from_secs(30);

struct Server {
    folder: PathBuf,
    child: Child,
}

impl Server {
    fn start(folder: &Path, point: Option<&str>) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(point) = point {
            command.env("CARTRIDGE_CRASHPOINT", point);
        }
        Self {
            folder: folder.to_owned(),
            child: command.spawn().unwrap(),
        }
    }

    fn died(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        if let Some(status) = ended {
            assert_eq!(
                status.signal(),
                Some(9),
                "it was killed, it did not end by itself: {status}"
            );
        }
        ended.is_some()
    }

    /// Whether the command was carried out, and what it wrote.
    fn order(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--client")
            .arg(self.folder.join("data/client.json"))
            .args(arguments);
        let output = command.output().unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn phases(&self) -> Vec<String> {
        let text = self.order(&["get", "members", "-o", "json"]).unwrap_or_default();
        let mut phases = Vec::new();
        collect(&serde_json::from_str(&text).unwrap_or_default(), &mut phases);
        phases
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(value: &Value, phases: &mut Vec<String>) {
    match value {
        Value::Array(rows) => rows.iter().for_each(|row| collect(row, phases)),
        Value::Object(fields) => {
            if let Some(Value::String(phase)) = fields.get("phase") {
                phases.push(phase.clone());
            } else {
                fields.values().for_each(|field| collect(field, phases));
            }
        }
        _ => {}
    }
}

/// Agents whose folder lies below `folder`.
fn agents(folder: &Path) -> usize {
    let ours = |pid: &Path| {
        let command = std::fs::read(pid.join("cmdline")).unwrap_or_default();
        let place = std::fs::read_link(pid.join("cwd")).unwrap_or_default();
        command.starts_with(b"cartridge-agent:") && place.starts_with(folder)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter(|row| row.as_ref().is_ok_and(|row| ours(&row.path())))
        .count()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn documents(folder: &Path) {
    let hello = Path::new(PROGRAM).parent().unwrap().join("cartridge-hello");
    let rows = [
        json!({"id": "np", "provider": "process", "partitions": [{"id": "p1"}]}),
        json!({"type": "c", "category": "framework", "provider": "x", "host": "x.test", "displayName": "",
            "description": "", "version": "1", "multiTenant": false, "deployment": {},
            "portMapping": [{"name": "http", "protocol": "http", "port": 8080, "proxyPort": 0}],
            "iaasProvider": [{"type": "process", "imageId": "x", "property": []}],
            "process": {"command": [hello], "environment": {}}}),
        json!({"id": "s", "loadThresholds": {"requestsInFlight": {"threshold": 20},
            "memoryConsumption": {"threshold": 90}, "loadAverage": {"threshold": 900}}}),
        json!({"id": "w", "networkPartitions": [{"id": "np", "partitionAlgo": "one-after-another",
            "partitions": [{"id": "p1", "partitionMax": 5}]}]}),
        json!({"id": "p", "algorithm": "one-after-another", "networkPartitions": ["np"]}),
        json!({"applicationId": "app", "alias": "app", "multiTenant": false, "components": {"cartridges": [{
            "type": "c", "cartridgeMin": 2, "cartridgeMax": 2, "subscribableInfo": {
                "alias": "web", "autoscalingPolicy": "s", "deploymentPolicy": "w"}}]}}),
    ];
    std::fs::create_dir_all(folder).unwrap();
    for (number, row) in rows.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.json")), row.to_string()).unwrap();
    }
}

async fn dies_and_recovers(point: &str) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let files = place.join("documents");
    documents(&files);
    let apply = ["apply", "-f", files.to_str().unwrap(), "--deploy", "p"];
    let mut server = Server::start(&place, Some(point));
    until("the server died", || {
        if place.join("data/client.json").exists() && server.order(&apply).is_some() {
            server.order(&["undeploy", "app", "--force"]);
        }
        server.died()
    })
    .await;
    drop(server);
    let server = Server::start(&place, None);
    until("two members are active", || {
        server.order(&apply);
        server.phases() == ["active", "active"]
    })
    .await;
    assert_eq!(agents(&place), 2, "{point}: no orphan, no duplicate");
    until("nothing is left", || {
        server.order(&["undeploy", "app", "--force"]);
        server.phases().is_empty() && agents(&place) == 0
    })
    .await;
}

#[tokio::test]
async fn killed_at_any_point_it_ends_with_exactly_what_was_ordered() {
    for point in POINTS {
        println!("{point}");
        dies_and_recovers(point).await;
    }
}

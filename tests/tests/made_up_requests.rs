//! Requests that a program makes up from the OpenAPI document: the server never breaks, and answers as the document says.
//!
//! `CARTRIDGE_REQUESTS_SECONDS=600` makes up requests for longer, `CARTRIDGE_REQUESTS_SEED=7` others: the same seed begins with
//! the same requests. Nothing leaves this machine: members are simulated, the
//! server has no agent to start, and what is not for this server goes to a proxy that is not there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cartridge_tests::stack::{self, Stack};
use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;

/// How long requests are made up.
const SECONDS: u64 = 60;
/// Which requests are made up, unless another seed is given.
const SEED: &str = "1";
/// What it may take beyond that: reading the document, ending the last requests.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is held against every answer. Wrong credentials are a test of their own (the table of rights): who shows many is
/// answered 429, which is no fault.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,\
                      unsupported_method,use_after_free";

/// The program; `tests/install test` puts it there.
fn schemathesis() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is in a folder of the repository");
    let program = root.join("target/schemathesis/bin/st");
    assert!(
        program.is_file(),
        "{} is missing: tests/install test",
        program.display()
    );
    program
}

fn seconds() -> u64 {
    let wanted = std::env::var("CARTRIDGE_REQUESTS_SECONDS").ok();
    wanted.map_or(SECONDS, |text| text.parse().expect("a number of seconds"))
}

async fn token(stack: &Stack) -> String {
    let made = Command::new(stack::binary("cartridge").expect("built before the tests run"))
        .args(["token", "requests", "--role", "admin", "--data"])
        .arg(stack.data())
        .output()
        .await
        .expect("the program can be started");
    String::from_utf8(made.stdout)
        .expect("a token is text")
        .trim()
        .to_owned()
}

/// A small application of simulated members, so that there is something to find.
async fn deployed(stack: &Stack) {
    let documents = [
        (
            "autoscalingPolicies",
            json!({"id": "p", "loadThresholds": {"loadAverage": 70}}),
        ),
        (
            "networkPartitions",
            json!({"id": "np", "provider": "mock", "partitions": [{"id": "a"}]}),
        ),
        (
            "deploymentPolicies",
            json!({"id": "d", "networkPartitions": [{"id": "np", "partitions": [{"id": "a", "partitionMax": 5}]}]}),
        ),
        (
            "applicationPolicies",
            json!({"id": "ap", "algorithm": "one-after-another", "networkPartitions": ["np"]}),
        ),
        (
            "cartridges",
            json!({"type": "php", "category": "framework", "provider": "x", "host": "php.test",
                "portMapping": [{"protocol": "http", "port": 8080, "proxyPort": 8280}],
                "iaasProvider": [{"type": "mock", "imageId": "x"}]}),
        ),
        (
            "applications",
            json!({"applicationId": "shop", "alias": "shop", "components": {"cartridges": [{"type": "php",
                "cartridgeMin": 2, "cartridgeMax": 3, "subscribableInfo": {"alias": "web", "autoscalingPolicy": "p",
                "deploymentPolicy": "d"}}]}}),
        ),
    ];
    let post = async |path: String, body: Option<&Value>| {
        let (status, answer) = stack
            .api()
            .call(Method::POST, &path, body)
            .await
            .expect("the server answers");
        assert!(status < 300, "{path}: {}", String::from_utf8_lossy(&answer));
    };
    for (collection, document) in &documents {
        post(format!("/api/{collection}"), Some(document)).await;
    }
    post("/api/applications/shop/deploy/ap".into(), None).await;
}

/// Streams do not end by themselves: only their beginning is of interest, which tests of their own look at.
/// A body that is larger than the server reads is refused as such: 413.
const SETTINGS: &str = r#"
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]

[[operations]]
include-name = "GET /dashboard/stream"
enabled = false

[[operations]]
include-path = "/api/events"
parameters = { "query.follow" = false }

[[operations]]
include-path = "/api/logs/{id}"
parameters = { "query.follow" = false }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_requests_break_nothing_and_are_answered_as_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut stack = Stack::start(&data, &["--agent", "/nonexistent/agent"])
        .await
        .expect("the server starts");
    deployed(&stack).await;
    let token = token(&stack).await;
    let settings = folder.path().join("schemathesis.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    let (server, seconds) = (stack.api().server().to_owned(), seconds());
    let run = Command::new(schemathesis())
        .arg("--config-file")
        .arg(&settings)
        .arg("run")
        .arg(format!("{server}/api/openapi.json"))
        .args(["--checks", CHECKS, "--phases", "coverage,fuzzing,stateful"])
        .args(["--max-time", &seconds.to_string(), "--request-timeout", "10"])
        .args([
            "--seed",
            &std::env::var("CARTRIDGE_REQUESTS_SEED").unwrap_or(SEED.into()),
        ])
        .args(["--no-color", "--warnings", "off", "--header"])
        .arg(format!("Authorization: Bearer {token}"))
        .arg("--tls-verify")
        .arg(stack.data().join("ca.pem"))
        .envs(["http_proxy", "https_proxy"].map(|name| (name, "http://127.0.0.1:9")))
        .env("no_proxy", "127.0.0.1")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(Duration::from_secs(seconds) + PATIENCE, run)
        .await
        .expect("it ends in time")
        .expect("the program can be started");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    println!("{said}");
    let errors = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}\n{errors}\n{}", stack.log_end());

    // The journal holds nothing that a new start could not read.
    stack.restart().await.expect("the server starts again");
    let status: Value = stack
        .api()
        .get("/api/status")
        .await
        .expect("the status is readable");
    assert!(status["seq"].as_u64().is_some_and(|seq| seq > 8), "{status}");
}

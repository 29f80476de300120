//! No secret reaches a log, an argument list, an API answer, an event or another process's environment (S22, T17).

use std::path::Path;
use std::time::{Duration, Instant};

use cartridge_tests::blueprint::Plan;
use cartridge_tests::git_server::{GitServer, Settings};
use cartridge_tests::repository::Repository;
use cartridge_tests::stack::{self, Stack};
use serde_json::json;

const USER: &str = "canary-user";
const PASSWORD: &str = "canary-password-5f0c2b9e";

/// Every regular file below `folder` that holds `needle`.
fn files_with(folder: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let content = std::fs::read(entry.path()).unwrap_or_default();
                if content
                    .windows(needle.len())
                    .any(|window| window == needle.as_bytes())
                {
                    found.push(entry.path().display().to_string());
                }
            }
        }
    }
    found
}

/// Arguments and environment of every process of the stack.
fn processes_with(stack: &Stack, needle: &str) -> Vec<String> {
    let mut pids: Vec<i32> = stack.processes().iter().map(|process| process.pid).collect();
    pids.extend(stack.pid());
    let mut found = Vec::new();
    for pid in pids {
        for file in ["cmdline", "environ"] {
            let content = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            if content
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
            {
                found.push(format!("/proc/{pid}/{file}"));
            }
        }
    }
    found
}

/// The password that the first start made.
fn first_password(stack: &Stack) -> String {
    let client = std::fs::read_to_string(stack.client_file()).expect("the client's file is there");
    let client: serde_json::Value = serde_json::from_str(&client).expect("the client's file is JSON");
    client["password"]
        .as_str()
        .expect("the first start made a password")
        .to_owned()
}

/// Asks for everything that a person can look at.
async fn no_answer_shows(stack: &Stack, secrets: &[&str]) {
    for path in [
        "/api/applications",
        "/api/applications/canary",
        "/api/applications/canary/runtime",
        "/api/members",
        "/api/events?after=0",
        "/api/status",
        "/metrics",
        "/",
        "/api/cartridges",
    ] {
        let asked = stack.api().call(http::Method::GET, path, None).await;
        let (status, body) = asked.unwrap_or_else(|e| panic!("{path}: {e}"));
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{path}: {body}");
        for secret in secrets {
            assert!(!body.contains(*secret), "{path} shows a secret");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_password_and_the_administrators_are_found_nowhere_but_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("git");
    let repository = Repository::create(&served.join("site.git"), &folder.path().join("work"))
        .await
        .unwrap();
    repository
        .publish(&[("index.html", "hello")], "First page")
        .await
        .unwrap();
    let credentials = Some((USER.to_owned(), PASSWORD.to_owned()));
    let git = GitServer::start(Settings {
        root: served,
        listen: None,
        credentials,
        hook: None,
    })
    .await
    .unwrap();

    let data = folder.path().join("data");
    let stack = Stack::start(&data, &[]).await.expect("the server starts");
    let mut plan = Plan::hello(&stack::bin_dir(), "canary");
    plan.repository = Some(json!({
        "repoUrl": git.url("site.git"), "branch": "main", "privateRepo": true,
        "repoUsername": USER, "repoPassword": PASSWORD,
    }));
    plan.deploy(stack.api())
        .await
        .expect("the application is deployed");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !stack
        .api()
        .members()
        .await
        .unwrap()
        .iter()
        .any(|m| m.is_active() && m.release.is_some())
    {
        assert!(
            Instant::now() < deadline,
            "no member became active with its files: {}",
            stack.log_end()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let administrator = stack.api().authorization().expect("the client has credentials");
    let password = first_password(&stack);

    assert_eq!(
        processes_with(&stack, PASSWORD),
        Vec::<String>::new(),
        "repository password"
    );
    assert_eq!(
        processes_with(&stack, &password),
        Vec::<String>::new(),
        "administrator's password"
    );
    assert_eq!(
        files_with(&data, PASSWORD),
        Vec::<String>::new(),
        "repository password"
    );
    assert_eq!(
        files_with(&data, &password),
        vec![stack.client_file().display().to_string()]
    );

    no_answer_shows(&stack, &[PASSWORD, &password, &administrator]).await;
}

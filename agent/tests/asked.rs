//! The commands that ask a running agent, and the socket that they ask it over.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Output;
use std::time::{Duration, Instant};

use cartridge_protocol::launch::key;
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts};
use cartridge_protocol::local::{Answer, LinkState, MAX_REQUEST_BYTES, Picture};
use harness::{MEMBER, Member, agent, desired, hook, is_active, start};
use support::Repo;

/// Runs the agent's binary with this member's state folder.
async fn ask(member: &Member, arguments: &[&str]) -> Output {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_cartridge-agent"))
        .args(arguments)
        .env("CARTRIDGE_STATE_DIR", member.folder.path().join("state"))
        .output()
        .await
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn picture(member: &Member) -> Picture {
    let asked = ask(member, &["status", "--output", "json"]).await;
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    serde_json::from_slice(&asked.stdout).unwrap()
}

/// The one line on standard error, and the exit code.
fn refusal(asked: &Output) -> (Option<i32>, String) {
    let told = text(&asked.stderr);
    assert_eq!(told.lines().count(), 1, "{told}");
    (asked.status.code(), told)
}

#[tokio::test]
async fn status_says_what_the_member_is_and_since_when() {
    let member = start(desired(), |folder, launch| {
        hook(folder, "InstanceStartedEvent", "exit 3");
        launch.set(key::ENVIRONMENT, r#"{"DB_PASSWORD":"canary-password"}"#);
    })
    .await;
    member.fake.hear(0, "Active", is_active).await;
    let at = member.fake.batches().len();
    member.fake.hear(at, "one more batch", is_active).await;

    let told = picture(&member).await;
    assert_eq!((told.member.as_str(), told.incarnation), (MEMBER, 1));
    assert_eq!(told.agent.pid, member.agent.id().unwrap());
    assert_eq!(told.application_pid, Some(member.application()));
    assert_eq!(told.status.phase, cartridge_protocol::link::Phase::Active);
    assert_eq!((told.link.state, told.link.why), (LinkState::Up, None));
    assert!(told.phase_ms <= told.agent.up_ms && told.link.since_ms <= told.agent.up_ms);
    assert!(told.sample.unwrap().age_ms < 5_000);
    let started = told
        .hooks
        .iter()
        .find(|h| h.name == "InstanceStartedEvent")
        .unwrap();
    assert!(started.took_ms.is_some() && started.fault.as_ref().unwrap().contains("exit code 3"));

    let asked = ask(&member, &["status"]).await;
    let told = text(&asked.stdout);
    for expected in [MEMBER, "Active for", "up for", "InstanceStartedEvent failed"] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

#[tokio::test]
async fn where_no_agent_runs_one_line_says_so_and_a_killed_one_leaves_nothing_in_the_way() {
    let mut member = start(desired(), |_, _| {}).await;
    let at = member.fake.hear(0, "Active", is_active).await;
    member.agent.kill().await.unwrap();
    for command in ["status", "sync"] {
        let (code, told) = refusal(&ask(&member, &[command]).await);
        assert_eq!(code, Some(4), "{told}");
        assert!(
            told.contains("no agent runs here") && told.contains("--state-dir"),
            "{told}"
        );
    }
    let (code, _) = refusal(&ask(&member, &["status", "--state-dir", "/nowhere/at/all"]).await);
    assert_eq!(code, Some(4));
    let (code, told) = {
        let asked = ask(&member, &["status", "--state-dir", "relative"]).await;
        (asked.status.code(), text(&asked.stderr))
    };
    assert_eq!(code, Some(2));
    assert!(told.contains("not an absolute path"), "{told}");

    let launch = harness::parameters(&member.fake, member.port, member.folder.path());
    member.agent = agent(member.folder.path(), &launch);
    member.fake.hear(at, "Active again", is_active).await;
    assert_eq!(picture(&member).await.agent.pid, member.agent.id().unwrap());
}

/// Waits until the agent has opened its socket.
async fn socket(member: &Member) -> std::path::PathBuf {
    member.fake.hear(0, "Active", is_active).await;
    member.folder.path().join("state/agent.sock")
}

/// Says `line` to the socket and reads what comes back, to the end.
fn say(path: &std::path::Path, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _ = stream.write_all(line);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_babble_hang_or_do_not_read_are_bounded_and_the_member_serves_on() {
    let member = start(desired(), |_, _| {}).await;
    let path = socket(&member).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let refused = |line: &[u8]| {
        let answer = say(&path, line);
        match serde_json::from_str(&answer) {
            Ok(Answer::Refused(why)) => why,
            other => panic!("{other:?}: {answer}"),
        }
    };
    assert!(refused(b"GET / HTTP/1.1\r\n\r\n").contains("cannot be understood"));
    assert!(refused(b"{\"version\":9,\"ask\":\"status\"}\n").contains("version 9"));
    assert!(refused(b"{\"version\":1,\"ask\":\"dance\"}\n").contains("dance"));
    assert!(refused(b"no end").contains("no end"));
    assert!(refused(&vec![b'x'; 4 * MAX_REQUEST_BYTES]).contains("longer than"));

    // As many as are served at one time say nothing; the next has to wait until they are let go.
    let begun = Instant::now();
    let silent: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let told = picture(&member).await;
    assert_eq!(told.agent.pid, member.agent.id().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    for stream in silent {
        let mut line = String::new();
        let read = BufReader::new(stream).read_line(&mut line);
        assert!(read.is_err() || line.is_empty(), "{line}");
    }
    assert!(member.application() > 0);
}

fn wanting(url: String, commit: &cartridge_protocol::CommitId) -> Desired {
    Desired {
        artifacts: Some(DesiredArtifacts {
            url,
            branch: "main".into(),
            commit: Some(commit.clone()),
            username: None,
            password: None,
            // Nobody looks but who asks for it.
            poll_interval_ms: 3_600_000,
            look: 0,
            sharing: 1,
            ordered: false,
        }),
        ..desired()
    }
}

#[tokio::test]
async fn sync_looks_at_the_repository_now_and_says_what_came_of_it() {
    let repo = Repo::new();
    repo.write("status", "200 One\n");
    let first = repo.commit();
    let member = start(wanting(repo.file_url(), &first), |_, launch| {
        launch.set(key::ALLOW_FILE_REPOSITORIES, "true");
    })
    .await;
    let serves = |b: &Batch| is_active(b) && b.status.release.as_ref() == Some(&first);
    member.fake.hear(0, "the first release", serves).await;

    let asked = ask(&member, &["sync"]).await;
    let told = text(&asked.stdout);
    assert_eq!(asked.status.code(), Some(0), "{told}");
    assert!(told.contains(first.short()) && told.contains("current"), "{told}");

    repo.write("status", "201 Two\n");
    let second = repo.commit();
    let asked = ask(&member, &["sync", "--output", "json"]).await;
    let told: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(asked.status.code(), Some(0), "{told}");
    assert_eq!(told["head"], second.as_str());
    assert_eq!(
        (&told["staged"], &told["current"]),
        (&true.into(), &first.as_str().into())
    );

    member.fake.want(|d| {
        let artifacts = d.artifacts.as_mut().unwrap();
        artifacts.url = "file:///nowhere/at/all".into();
    });
    let faulty = |b: &Batch| b.notices.iter().any(|n| n.text.contains("/nowhere/at/all"));
    member.fake.hear(0, "a fault", faulty).await;
    let asked = ask(&member, &["sync", "--within", "20"]).await;
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stdout).contains("nowhere"), "{}", text(&asked.stdout));
}

#[tokio::test]
async fn sync_without_a_repository_is_refused_in_one_line() {
    let member = start(desired(), |_, _| {}).await;
    member.fake.hear(0, "Active", is_active).await;
    let (code, told) = refusal(&ask(&member, &["sync"]).await);
    assert_eq!(code, Some(1));
    assert!(told.contains("no repository"), "{told}");
}

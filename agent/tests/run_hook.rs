//! `run-hook`: a person beside the real agent has it run one of its hooks now, or asks what the hook would be told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use cartridge_agent_plan::hook::Hook;
use cartridge_protocol::launch::key;
use cartridge_protocol::link::{Batch, Run};
use cartridge_protocol::local::MAX_OUTPUT_BYTES;
use harness::{Member, desired, hook, is_active, start};
use tokio::process::{Child, Command};

/// The command with this member's state folder.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cartridge-agent"));
    command
        .arg("run-hook")
        .args(arguments)
        .env("CARTRIDGE_STATE_DIR", folder.join("state"))
        .kill_on_drop(true);
    command
}

async fn run(member: &Member, arguments: &[&str]) -> Output {
    command(member.folder.path(), arguments).output().await.unwrap()
}

fn begin(member: &Member, arguments: &[&str]) -> Child {
    let mut command = command(member.folder.path(), arguments);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn file(member: &Member, name: &str) -> PathBuf {
    member.folder.path().join(name)
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "never: {what}");
}

async fn active(change: impl FnOnce(&Path, &mut cartridge_protocol::launch::LaunchParameters)) -> Member {
    let member = start(desired(), change).await;
    member.fake.hear(0, "Active", is_active).await;
    member
}

#[tokio::test]
async fn a_hook_that_is_asked_for_is_told_exactly_what_it_is_told_by_itself() {
    let member = active(|folder, launch| {
        launch.set("CARTRIDGE_KEY", "canary-key-0123456");
        hook(
            folder,
            "StartServers",
            "env | sort > ../env-$(ls .. | grep -c env-)",
        );
    })
    .await;
    let asked = run(&member, &["start-servers"]).await;
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    let [first, second] =
        ["env-0", "env-1"].map(|name| std::fs::read_to_string(file(&member, name)).unwrap());
    assert_eq!(first, second);
    assert!(first.contains("STRATOS_EVENT=StartServers"), "{first}");

    let asked = run(&member, &["StartServers", "--print-environment"]).await;
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    let printed = text(&asked.stdout);
    for row in first
        .lines()
        .filter(|row| row.starts_with("STRATOS_") || row.starts_with("CARTRIDGE_RELEASE"))
    {
        let shown = printed.lines().any(|line| line == row)
            || printed.contains(&format!("{}=(secret)", row.split_once('=').unwrap().0));
        assert!(shown, "{row} is not in\n{printed}");
    }
    assert!(
        printed.contains("STRATOS_CARTRIDGE_KEY=(secret)") && !printed.contains("canary"),
        "{printed}"
    );
    assert!(!file(&member, "env-2").exists(), "it was not run");
    let asked = run(
        &member,
        &["StartServers", "--print-environment", "--output", "json"],
    )
    .await;
    let told: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(told["STRATOS_EVENT"], "StartServers");
}

#[tokio::test]
async fn what_it_writes_and_how_it_ends_is_told_and_nothing_follows_from_it_for_the_member() {
    let member = active(|folder, launch| {
        launch.set("CARTRIDGE_KEY", "canary-key-0123456");
        hook(
            folder,
            "clean",
            "echo out; printf 'no end'; echo err $STRATOS_CARTRIDGE_KEY >&2; exit 3",
        );
        hook(folder, "InstanceActivatedEvent", "kill -9 $$");
        hook(folder, "StartServers", "echo fine");
    })
    .await;
    let before = member.application();
    let asked = run(&member, &["clean"]).await;
    assert_eq!(asked.status.code(), Some(1));
    assert_eq!(text(&asked.stdout), "out\nno end\n");
    let told = text(&asked.stderr);
    assert!(told.starts_with("err (secret)\n"), "{told}");
    assert!(
        told.contains("clean ended with exit code 3: err (secret)"),
        "{told}"
    );

    let asked = run(&member, &["clean", "--output", "json"]).await;
    let told: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(asked.status.code(), Some(1), "{told}");
    assert_eq!(
        (&told["exit"], &told["stderr"]),
        (&3.into(), &"err (secret)\n".into())
    );
    let asked = run(&member, &["InstanceActivatedEvent", "-o", "json"]).await;
    let told: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert!(
        told["exit"].is_null() && told["fault"].as_str().unwrap().contains("KILL"),
        "{told}"
    );
    let asked = run(&member, &["StartServers"]).await;
    assert_eq!(
        (asked.status.code(), text(&asked.stdout)),
        (Some(0), "fine\n".into())
    );

    assert_eq!(
        member.application(),
        before,
        "the clean-up hook of a request ends nothing"
    );
    let told = |b: &Batch| {
        let said = |n: &cartridge_protocol::link::Notice| {
            n.text
                .contains("clean, for which user 0 asked: ended with exit code 3")
        };
        is_active(b) && b.notices.iter().any(said)
    };
    member.fake.hear(0, "who asked", told).await;
}

#[tokio::test]
async fn much_is_cut_and_bytes_that_are_no_text_do_no_harm() {
    let member = active(|folder, _| {
        hook(
            folder,
            "clean",
            "head -c 1000000 /dev/zero; echo; head -c 300000 /dev/urandom >&2",
        );
    })
    .await;
    let asked = run(&member, &["clean"]).await;
    assert_eq!(asked.status.code(), Some(0), "{}", asked.stderr.len());
    let told = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(told.ends_with("(more was left out)\n"), "{}", told.len());
    assert!(
        told.len() <= (64 << 10) + 64 && told.len() > MAX_OUTPUT_BYTES,
        "{}",
        told.len()
    );
}

#[tokio::test]
async fn what_cannot_be_run_says_why_and_each_reason_has_its_exit_code() {
    let mut member = active(|folder, _| {
        hook(folder, "StartServers", "true");
        hook(folder, "member-activated", "true");
        let path = folder.join("hooks/clean.sh");
        std::fs::write(path, "#!/bin/sh\n").unwrap();
    })
    .await;
    let refused = async |arguments: &[&str]| {
        let asked = run(&member, arguments).await;
        assert!(asked.stdout.is_empty());
        (asked.status.code(), text(&asked.stderr))
    };
    let (code, told) = refused(&["StartServer"]).await;
    assert_eq!(code, Some(2));
    assert!(Hook::all().all(|hook| told.contains(hook.name())), "{told}");
    let (code, told) = refused(&["StartServers", "x"]).await;
    assert!(code == Some(2) && told.contains("takes no arguments"), "{told}");
    let (code, told) = refused(&["CopyArtifacts", "from"]).await;
    assert!(code == Some(2) && told.contains("two arguments"), "{told}");
    let (code, told) = refused(&["VolumeMount"]).await;
    assert!(code == Some(6) && told.contains("no VolumeMount"), "{told}");
    let (code, told) = refused(&["clean"]).await;
    assert!(code == Some(6) && told.contains("chmod +x"), "{told}");
    let (code, told) = refused(&["MemberActivatedEvent"]).await;
    assert!(
        code == Some(6) && told.contains("has not said what runs around"),
        "{told}"
    );
    member.agent.kill().await.unwrap();
    let asked = run(&member, &["StartServers"]).await;
    assert_eq!(asked.status.code(), Some(4));
    assert!(text(&asked.stderr).contains("no agent runs here"));
}

#[tokio::test]
async fn one_runs_at_a_time_few_may_wait_and_a_stop_wins_over_all() {
    let mut member = active(|folder, _| {
        let script =
            "echo $STRATOS_EVENT >> ../ran; touch ../runs; while [ ! -e ../go ]; do sleep 0.01; done";
        hook(folder, "CopyArtifacts", "echo $1 $STRATOS_DEST >> ../ran");
        hook(folder, "StartServers", "");
        hook(folder, "ArtifactUpdatedEvent", script);
        hook(folder, "clean", "echo clean >> ../ran");
    })
    .await;
    let first = begin(&member, &["ArtifactUpdatedEvent"]);
    until("the first runs", || file(&member, "runs").exists()).await;
    let second = begin(&member, &["CopyArtifacts", "/from", "/to"]);
    let waits = async || {
        let told = Command::new(env!("CARGO_BIN_EXE_cartridge-agent"))
            .args(["status", "--state-dir", file(&member, "state").to_str().unwrap()])
            .output()
            .await
            .unwrap();
        text(&told.stdout).contains("CopyArtifacts runs or waits")
    };
    let waiting = async { while !waits().await {} };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap();
    let third = run(&member, &["StartServers"]).await;
    assert_eq!(third.status.code(), Some(6));
    assert!(
        text(&third.stderr).contains("too many"),
        "{}",
        text(&third.stderr)
    );

    std::fs::write(file(&member, "go"), "").unwrap();
    for child in [first, second] {
        let ended = child.wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    }
    let path = file(&member, "ran");
    let ran = || std::fs::read_to_string(&path).unwrap();
    assert_eq!(ran(), "ArtifactUpdatedEvent\n/from /to\n");

    for name in ["go", "runs"] {
        std::fs::remove_file(file(&member, name)).unwrap();
    }
    let held = begin(&member, &["ArtifactUpdatedEvent"]);
    until("it runs again", || file(&member, "runs").exists()).await;
    let waits = begin(&member, &["CopyArtifacts", "/from", "/to"]);
    member.fake.want(|d| d.run = Run::Stop { within_ms: 8_000 });
    let held = held.wait_with_output().await.unwrap();
    assert_eq!(held.status.code(), Some(1));
    assert!(
        text(&held.stderr).contains("was ended because the member ends"),
        "{}",
        text(&held.stderr)
    );
    let waits = waits.wait_with_output().await.unwrap();
    assert!(
        matches!(waits.status.code(), Some(4..=6)),
        "{}",
        text(&waits.stderr)
    );
    assert_eq!(member.exits().await, Some(0));
    assert_eq!(
        ran(),
        "ArtifactUpdatedEvent\n/from /to\nArtifactUpdatedEvent\nclean\n"
    );
}

#[tokio::test]
async fn who_stops_waiting_does_not_end_the_hook_and_holds_up_nobody() {
    let member = active(|folder, launch| {
        launch.set(key::ON_RELEASE, "nothing");
        hook(
            folder,
            "clean",
            "touch ../runs; while [ ! -e ../go ]; do seq 2000; sleep 0.01; done; touch ../done",
        );
        hook(folder, "StartServers", "true");
    })
    .await;
    let mut first = begin(&member, &["clean"]);
    until("it runs", || file(&member, "runs").exists()).await;
    first.kill().await.unwrap();
    std::fs::write(file(&member, "go"), "").unwrap();
    let next = run(&member, &["StartServers"]).await;
    assert_eq!(next.status.code(), Some(0), "{}", text(&next.stderr));
    assert!(file(&member, "done").exists());
}

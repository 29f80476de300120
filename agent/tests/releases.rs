//! The real agent binary keeps a member's files in step with a real repository, and goes back when it must.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cartridge_protocol::CommitId;
use cartridge_protocol::launch::key;
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts, Phase};
use harness::{Member, desired, hook, is_active, start};
use support::{Repo, Server};

fn wanting(repo: &Repo, commit: Option<&CommitId>) -> Desired {
    let artifacts = DesiredArtifacts {
        url: repo.file_url(),
        branch: "main".into(),
        commit: commit.cloned(),
        ordered: false,
        username: None,
        password: None,
        poll_interval_ms: 60_000,
        look: 0,
        sharing: 1,
    };
    Desired {
        artifacts: Some(artifacts),
        ..desired()
    }
}

async fn member_with(repo: &Repo, commit: Option<&CommitId>) -> Member {
    start(wanting(repo, commit), |folder, launch| {
        launch.set(key::ALLOW_FILE_REPOSITORIES, "true");
        hook(
            folder,
            "ArtifactUpdatedEvent",
            "cat \"$STRATOS_APP_PATH/status\" >> ../updates",
        );
    })
    .await
}

fn repository(status: &str) -> (Repo, CommitId) {
    let repo = Repo::new();
    repo.write("status", status);
    let commit = repo.commit();
    (repo, commit)
}

fn serves(commit: &CommitId) -> impl Fn(&Batch) -> bool {
    move |b| is_active(b) && b.status.release.as_ref() == Some(commit)
}

fn order(member: &Member, commit: &CommitId) {
    member
        .fake
        .want(|d| d.artifacts.as_mut().unwrap().commit = Some(commit.clone()));
}

#[tokio::test]
async fn a_new_head_is_staged_ahead_and_served_once_it_is_ordered() {
    let (repo, first) = repository("200 One\n");
    let member = member_with(&repo, Some(&first)).await;
    let at = member.fake.hear(0, "the first release", serves(&first)).await;
    let before = member.application();

    repo.write("status", "201 Two\n");
    let second = repo.commit();
    member.fake.want(|d| d.artifacts.as_mut().unwrap().look = 1);
    let staged = |b: &Batch| b.status.head.as_ref() == Some(&second) && b.status.staged.contains(&second);
    let at = member.fake.hear(at, "the second release staged", staged).await;
    assert_eq!(
        member.fake.batches()[at - 1].status.release.as_ref(),
        Some(&first)
    );
    assert_eq!(member.application(), before, "restarted before it was ordered");

    order(&member, &second);
    let at = member.fake.hear(at, "the second release", serves(&second)).await;
    assert_ne!(member.application(), before);
    assert_eq!(member.fake.batches()[at - 1].status.restarts, 0);
    let updates = std::fs::read_to_string(member.folder.path().join("updates")).unwrap();
    assert_eq!(updates, "200 One\n201 Two\n");
}

#[tokio::test]
async fn a_release_that_does_not_answer_well_is_refused_and_the_old_one_serves_again() {
    let (repo, good) = repository("200 Good\n");
    let member = member_with(&repo, Some(&good)).await;
    let at = member.fake.hear(0, "the good release", serves(&good)).await;
    repo.write("status", "500 Broken\n");
    let bad = repo.commit();
    order(&member, &bad);
    let refused = |b: &Batch| {
        b.status
            .refused
            .iter()
            .any(|r| r.commit == bad && r.reason.contains("500"))
    };
    let at = member.fake.hear(at, "a refusal", refused).await;
    member
        .fake
        .hear(at, "the good release again", serves(&good))
        .await;
    let never = member.fake.batches();
    assert!(never.iter().all(|b| b.status.release.as_ref() != Some(&bad)));
    // A third commit that is fine is taken after all.
    repo.write("status", "200 Better\n");
    let better = repo.commit();
    order(&member, &better);
    member.fake.hear(at, "the better release", serves(&better)).await;
}

#[tokio::test]
async fn a_first_release_that_makes_the_application_end_fails_the_member_and_is_named() {
    let (repo, bad) = repository("200 Fine\n");
    let member = start(wanting(&repo, Some(&bad)), |_, launch| {
        launch.set(key::ALLOW_FILE_REPOSITORIES, "true");
        launch.set(key::COMMAND, r#"["/bin/sh","-c","exit 9"]"#);
    })
    .await;
    let failed = |b: &Batch| {
        matches!(&b.status.phase, Phase::Failed { .. }) && b.status.refused.iter().any(|r| r.commit == bad)
    };
    member.fake.hear(0, "Failed", failed).await;
}

#[tokio::test]
async fn without_an_order_the_head_is_told_and_the_member_waits() {
    let (repo, head) = repository("200 One\n");
    let member = member_with(&repo, None).await;
    let told = |b: &Batch| b.status.head.as_ref() == Some(&head) && b.status.phase == Phase::Starting;
    let at = member.fake.hear(0, "the head", told).await;
    order(&member, &head);
    member.fake.hear(at, "the release", serves(&head)).await;
}

#[tokio::test]
async fn a_repository_that_cannot_be_reached_is_named_and_stops_nothing() {
    let (repo, first) = repository("200 One\n");
    let member = member_with(&repo, Some(&first)).await;
    let at = member.fake.hear(0, "the first release", serves(&first)).await;
    let before = member.application();
    member.fake.want(|d| {
        let artifacts = d.artifacts.as_mut().unwrap();
        artifacts.url = "file:///nonexistent/repository".into();
        artifacts.commit = Some(support::id(&"a".repeat(40)));
    });
    let told = |b: &Batch| {
        b.notices
            .iter()
            .any(|n| n.kind == "artifact" && n.text.contains("nonexistent"))
    };
    let at = member.fake.hear(at, "a notice about the repository", told).await;
    member.fake.hear(at, "Active", serves(&first)).await;
    assert_eq!(member.application(), before);
}

#[tokio::test]
async fn a_server_that_refuses_who_asks_is_not_asked_again_until_the_credentials_are_others() {
    let (repo, commit) = repository("200 OK");
    let server = Server::with(repo.path(), |m| {
        m.credentials = Some(("deploy".into(), "right".into()))
    });
    let mut wanted = wanting(&repo, Some(&commit));
    let artifacts = wanted.artifacts.as_mut().unwrap();
    artifacts.url = server.url(".git");
    artifacts.poll_interval_ms = 500;
    let credentials =
        |password: &str| format!(r#"{{"127.0.0.1":{{"username":"deploy","password":"{password}"}}}}"#);
    let write = |folder: &Path, text: String| {
        let file = folder.join("credentials");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let member = start(wanted, |folder, launch| {
        write(folder, credentials("wrong-canary"));
        launch.set(
            "CARTRIDGE_GIT_CREDENTIALS",
            folder.join("credentials").to_str().unwrap(),
        );
        launch.set("CARTRIDGE_ALLOW_ADDRESSES", "loopback");
    })
    .await;
    let refused = |b: &Batch| {
        b.notices
            .iter()
            .any(|n| n.text.contains("refused the user name or password"))
    };
    let at = member.fake.hear(0, "that it was refused", refused).await;
    // Samples come every fifth of a second: three seconds, six polls.
    let at = member
        .fake
        .hear(at + 15, "it goes on", |b| b.sample.is_some())
        .await;
    let asked = server.manners.refused.load(Ordering::SeqCst);
    assert!(asked <= 2, "the server was asked {asked} times");
    write(member.folder.path(), credentials("right"));
    let begun = Instant::now();
    member.fake.hear(at, "the release", serves(&commit)).await;
    println!(
        "{asked} tries; {:?} after the credentials were others",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!member.log().contains("wrong-canary"));
}

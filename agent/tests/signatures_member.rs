//! The real agent binary and commits that are not signed as they should be: told once, never tried again, and the
//! release that worked serves on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod support;

use cartridge_protocol::CommitId;
use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts};
use harness::{Member, desired, is_active, start, start_as};
use support::Repo;
use support::keys::{Gpg, commit_signed, public, ssh_key};

fn wanting(repo: &Repo, commit: &CommitId) -> Desired {
    let artifacts = DesiredArtifacts {
        url: repo.file_url(),
        branch: "main".into(),
        commit: Some(commit.clone()),
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

fn signed_by(launch: &mut LaunchParameters, how: &str, signers: &std::path::Path) {
    launch.set(key::ALLOW_FILE_REPOSITORIES, "true");
    launch.set("CARTRIDGE_SIGNATURES", how);
    launch.set("CARTRIDGE_ALLOWED_SIGNERS", signers.to_str().unwrap());
}

fn serves(commit: &CommitId) -> impl Fn(&Batch) -> bool {
    move |b| is_active(b) && b.status.release.as_ref() == Some(commit)
}

fn refuses(commit: &CommitId, words: &'static str) -> impl Fn(&Batch) -> bool {
    move |b| {
        b.status
            .refused
            .iter()
            .any(|r| r.commit == *commit && r.reason.contains(words))
    }
}

fn notices(member: &Member, words: &str) -> usize {
    let batches = member.fake.batches();
    batches
        .iter()
        .flat_map(|b| &b.notices)
        .filter(|n| n.text.contains(words))
        .count()
}

#[tokio::test]
async fn a_commit_of_nobody_is_refused_once_and_told_and_the_signed_one_serves_on() {
    let (repo, keys) = (Repo::new(), tempfile::tempdir().unwrap());
    let key = ssh_key(keys.path(), "mine", &["ed25519"]);
    let signers = keys.path().join("signers");
    std::fs::write(&signers, format!("me {}\n", public(&key))).unwrap();
    repo.write("status", "200 One\n");
    let good = commit_signed(&repo, &key);
    let member = start(wanting(&repo, &good), |_, launch| {
        signed_by(launch, "ssh", &signers)
    })
    .await;
    let at = member.fake.hear(0, "the signed release", serves(&good)).await;
    let before = member.application();

    repo.write("status", "200 Two\n");
    let bad = repo.commit();
    // Ordering it does not help: signatures are not a person's to waive.
    member.fake.want(|d| {
        let artifacts = d.artifacts.as_mut().unwrap();
        (artifacts.commit, artifacts.ordered) = (Some(bad.clone()), true);
    });
    let at = member
        .fake
        .hear(at, "a refusal", refuses(&bad, "is not signed"))
        .await;
    // A look later, a signed commit is taken, and the other was not tried again.
    repo.write("status", "200 Three\n");
    let third = commit_signed(&repo, &key);
    member.fake.want(|d| d.artifacts.as_mut().unwrap().look = 1);
    let staged = |b: &Batch| b.status.staged.contains(&third) && b.status.release.as_ref() == Some(&good);
    let at = member.fake.hear(at, "the third release staged", staged).await;
    assert_eq!(member.application(), before, "the application was disturbed");
    member
        .fake
        .want(|d| d.artifacts.as_mut().unwrap().commit = Some(third.clone()));
    member.fake.hear(at, "the third release", serves(&third)).await;
    assert_eq!(notices(&member, "is not signed"), 1, "{}", member.log());
    let every = member.fake.batches();
    assert!(
        every
            .iter()
            .all(|b| b.status.release.as_ref() != Some(&bad) && !b.status.staged.contains(&bad))
    );
}

#[tokio::test]
async fn without_gpgv_nothing_counts_as_signed_and_that_is_said() {
    let (repo, folder) = (Repo::new(), tempfile::tempdir().unwrap());
    let gpg = Gpg::new();
    gpg.key("a@example.org", "ed25519", "never");
    let ring = folder.path().join("ring");
    gpg.ring(&ring, &["a@example.org"]);
    repo.write("status", "200 One\n");
    let commit = gpg.commit(&repo, "a@example.org");
    let fake = harness::Fake::start(wanting(&repo, &commit)).await;
    let member = start_as(
        fake,
        |_, launch| signed_by(launch, "openpgp", &ring),
        |command| {
            command.env("PATH", folder.path());
        },
    );
    let told = |b: &Batch| b.notices.iter().any(|n| n.text.contains("gpgv is not installed"));
    let at = member.fake.hear(0, "what is missing", told).await;
    assert!(member.fake.batches()[at - 1].status.staged.is_empty());
    // It is not the commit's fault: once the program is there, the release comes.
    let gpgv = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("gpgv"))
        .find(|file| file.is_file())
        .unwrap();
    std::os::unix::fs::symlink(gpgv, folder.path().join("gpgv")).unwrap();
    member.fake.hear(at, "the release", serves(&commit)).await;
    assert_eq!(notices(&member, "gpgv is not installed"), 1);
}

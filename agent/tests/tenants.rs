//! The real agent keeps the files of several tenants beside the member's own, each in its folder, and none is in
//! another's way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod support;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cartridge_protocol::CommitId;
use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts, TenantArtifacts, TenantStatus};
use cartridge_protocol::tenant::TenantId;
use harness::{Fake, Member, desired, hook, is_active, start, start_at};
use support::Repo;

fn artifacts(url: String, commit: &CommitId) -> DesiredArtifacts {
    DesiredArtifacts {
        url,
        branch: "main".into(),
        commit: Some(commit.clone()),
        ordered: false,
        username: None,
        password: None,
        poll_interval_ms: 60_000,
        look: 0,
        sharing: 1,
    }
}

fn of(tenant: i64, artifacts: DesiredArtifacts) -> TenantArtifacts {
    TenantArtifacts {
        tenant: TenantId::new(tenant).unwrap(),
        artifacts,
    }
}

/// A repository whose only page says this.
fn repository(page: &str) -> (Repo, CommitId) {
    let repo = Repo::new();
    repo.write("page", page);
    repo.write("status", "200 OK");
    let commit = repo.commit();
    (repo, commit)
}

fn multi_tenant(folder: &Path, launch: &mut LaunchParameters) {
    launch.set(key::ALLOW_FILE_REPOSITORIES, "true");
    launch.set(key::MULTITENANT, "true");
    launch.set(key::APPLICATION_PATH, folder.join("app").to_str().unwrap());
    hook(
        folder,
        "ArtifactUpdatedEvent",
        &format!(
            "page=$(cat \"${{CARTRIDGE_TENANT_FOLDER:-$CARTRIDGE_RELEASE}}/page\")\n\
             echo \"$STRATOS_ARTIFACT_UPDATED_TENANT_ID $page $STRATOS_ARTIFACT_UPDATED_REPO_URL\" >> {0}/told\n\
             case $page in bad*) exit 3;; esac",
            folder.display()
        ),
    );
}

fn page(member: &Member, tenant: i64) -> PathBuf {
    let below = if tenant == -1234 {
        "repository/deployment/server".to_owned()
    } else {
        format!("repository/tenants/{tenant}")
    };
    member.folder.path().join("app").join(below).join("page")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn status(batch: &Batch, tenant: i64) -> Option<&TenantStatus> {
    batch.status.tenants.iter().find(|one| one.tenant.get() == tenant)
}

fn has(tenant: i64, commit: &CommitId) -> impl Fn(&Batch) -> bool {
    move |b| status(b, tenant).is_some_and(|one| one.current.as_ref() == Some(commit))
}

fn notice(words: &str) -> impl Fn(&Batch) -> bool {
    move |b| b.notices.iter().any(|n| n.text.contains(words))
}

/// What the hook was told, once it was told so much.
async fn told(member: &Member, lines: usize) -> Vec<String> {
    let path = member.folder.path().join("told");
    for _ in 0..400 {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.lines().count() >= lines {
            return text.lines().map(str::to_owned).collect();
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!(
        "never told so much: {}",
        fs::read_to_string(&path).unwrap_or_default()
    );
}

#[tokio::test]
async fn each_tenants_files_are_in_its_folder_and_the_hook_is_told_whose_they_are() {
    let (own, first) = repository("own");
    let (one, one_first) = repository("one");
    let (two, two_first) = repository("two");
    let wanted = Desired {
        artifacts: Some(artifacts(own.file_url(), &first)),
        tenants: vec![
            of(1, artifacts(one.file_url(), &one_first)),
            of(2, artifacts(two.file_url(), &two_first)),
        ],
        ..desired()
    };
    let member = start(wanted, multi_tenant).await;
    let fake = &member.fake;
    let at = fake.hear(0, "Active", is_active).await;
    fake.hear(0, "tenant 1", has(1, &one_first)).await;
    fake.hear(0, "tenant 2", has(2, &two_first)).await;
    for (tenant, content) in [(-1234, "own"), (1, "one"), (2, "two")] {
        assert_eq!(read(&page(&member, tenant)), content);
    }
    let mut lines = told(&member, 3).await;
    assert!(lines[0].starts_with("-1234 own "), "{lines:?}");
    lines.sort();
    assert_eq!(lines[1], format!("1 one {}", one.file_url()));
    assert_eq!(lines[2], format!("2 two {}", two.file_url()));

    // A new release of one tenant: nobody else is told, and the application runs on.
    let before = member.application();
    one.write("page", "one more");
    let one_second = one.commit();
    fake.want(|d| d.tenants[0].artifacts.commit = Some(one_second.clone()));
    fake.hear(at, "tenant 1 again", has(1, &one_second)).await;
    let lines = told(&member, 4).await;
    assert_eq!(lines[3], format!("1 one more {}", one.file_url()));
    assert_eq!((lines.len(), member.application()), (4, before));
}

#[tokio::test]
async fn a_tenant_that_goes_takes_its_files_along_and_nobody_elses() {
    let (one, one_first) = repository("one");
    let (two, two_first) = repository("two");
    let wanted = Desired {
        tenants: vec![
            of(1, artifacts(one.file_url(), &one_first)),
            of(2, artifacts(two.file_url(), &two_first)),
        ],
        ..desired()
    };
    let mut member = start(wanted, multi_tenant).await;
    let fake = member.fake.clone();
    fake.hear(0, "tenant 1", has(1, &one_first)).await;
    let at = fake.hear(0, "tenant 2", has(2, &two_first)).await;
    let shelf = |tenant: i64| member.folder.path().join(format!("state/tenants/{tenant}"));
    fake.want(|d| d.tenants.retain(|t| t.tenant.get() == 2));
    let at = fake.hear(at, "tenant 1 gone", |b| status(b, 1).is_none()).await;
    assert!(!page(&member, 1).parent().unwrap().is_symlink() && !shelf(1).exists());
    assert_eq!(read(&page(&member, 2)), "two");
    // It signs up again, and is gone again while no agent is there.
    fake.want(|d| d.tenants.push(of(1, artifacts(one.file_url(), &one_first))));
    fake.hear(at, "tenant 1 again", has(1, &one_first)).await;
    assert_eq!(read(&page(&member, 1)), "one");
    member.agent.start_kill().unwrap();
    member.agent.wait().await.unwrap();
    let heard = fake.batches().len();
    fake.want(|d| d.tenants.retain(|t| t.tenant.get() == 2));
    let launch = fs::read(member.folder.path().join("launch-params")).unwrap();
    let mut again = std::process::Command::new(env!("CARGO_BIN_EXE_cartridge-agent"));
    let path = member.folder.path().join("launch-params-2");
    fs::write(&path, launch).unwrap();
    again
        .env("CARTRIDGE_LAUNCH_PARAMS", path)
        .stderr(std::process::Stdio::null());
    let mut again = tokio::process::Command::from(again)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    fake.hear(
        heard,
        "tenant 1 gone for good",
        notice("tenant 1: its files are gone"),
    )
    .await;
    fake.hear(heard, "tenant 2", has(2, &two_first)).await;
    assert!(!shelf(1).exists() && !page(&member, 1).parent().unwrap().is_symlink());
    assert_eq!(read(&page(&member, 2)), "two");
    again.kill().await.unwrap();
}

#[tokio::test]
async fn a_tenant_whose_server_is_silent_keeps_neither_the_member_nor_another_tenant_from_anything() {
    let (own, first) = repository("own");
    let (two, two_first) = repository("two");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/never", silent.local_addr().unwrap().port());
    let wanted = Desired {
        artifacts: Some(artifacts(own.file_url(), &first)),
        tenants: vec![
            of(1, artifacts(url, &first)),
            of(2, artifacts(two.file_url(), &two_first)),
        ],
        ..desired()
    };
    let member = start(wanted, |folder, launch| {
        multi_tenant(folder, launch);
        launch.set("CARTRIDGE_ALLOW_ADDRESSES", "loopback");
        launch.set("CARTRIDGE_ARTIFACT_LIMITS", r#"{"patience":2}"#);
    })
    .await;
    let fake = &member.fake;
    let at = fake.hear(0, "Active", is_active).await;
    // The member's own goes on at once, whatever is under way for tenants.
    own.write("page", "own again");
    let second = own.commit();
    fake.want(|d| d.artifacts.as_mut().unwrap().commit = Some(second.clone()));
    let switched = |b: &Batch| is_active(b) && b.status.release.as_ref() == Some(&second);
    fake.hear(at, "the member's second release", switched).await;
    fake.hear(0, "tenant 2", has(2, &two_first)).await;
    fake.hear(0, "what is wrong with tenant 1", notice("tenant 1: cannot reach"))
        .await;
    assert!(
        fake.batches()
            .iter()
            .all(|b| status(b, 1).is_none_or(|one| one.current.is_none()))
    );
}

#[tokio::test]
async fn a_release_that_a_tenants_hook_refuses_makes_way_for_the_one_before() {
    let (one, good) = repository("good");
    let wanted = Desired {
        tenants: vec![of(1, artifacts(one.file_url(), &good))],
        ..desired()
    };
    let member = start(wanted, multi_tenant).await;
    let fake = &member.fake;
    let at = fake.hear(0, "tenant 1", has(1, &good)).await;
    told(&member, 1).await;
    one.write("page", "bad");
    let bad = one.commit();
    fake.want(|d| d.tenants[0].artifacts.commit = Some(bad.clone()));
    let refused = |b: &Batch| {
        let one = status(b, 1);
        one.is_some_and(|one| {
            one.current.as_ref() == Some(&good) && one.refused.iter().any(|r| r.commit == bad)
        })
    };
    let at = fake.hear(at, "the way back", refused).await;
    assert_eq!(read(&page(&member, 1)), "good");
    assert!(fake.batches()[at - 1].status.phase == cartridge_protocol::link::Phase::Active);
}

#[tokio::test]
async fn a_member_of_one_tenant_leaves_others_out_and_says_so() {
    let (one, first) = repository("one");
    let wanted = Desired {
        tenants: vec![of(1, artifacts(one.file_url(), &first))],
        ..desired()
    };
    let member = start_at(Fake::start(wanted).await, |folder, launch| {
        multi_tenant(folder, launch);
        launch.set(key::MULTITENANT, "false");
    });
    member.fake.hear(0, "why", notice("--multitenant")).await;
    let at = member.fake.hear(0, "Active", is_active).await;
    assert!(member.fake.batches()[at - 1].status.tenants.is_empty());
    assert!(!member.folder.path().join("state/tenants").exists());
}

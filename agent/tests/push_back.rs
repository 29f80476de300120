//! What an application changes in its release goes back to the branch of a real Git server, exactly once, whatever
//! happens meanwhile; and nothing of it is lost where it cannot.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cartridge_protocol::CommitId;
use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts, TenantArtifacts};
use cartridge_protocol::tenant::TenantId;
use harness::{Fake, Member, agent_command, desired, hook, is_active, start_as};
use support::{Repo, Server, git_in, id};
use tempfile::TempDir;

/// A server with one repository that takes commits.
struct Scene {
    work: Repo,
    root: TempDir,
    server: Server,
}

impl Scene {
    fn new() -> Self {
        let work = Repo::new();
        work.write("page", "one\n");
        work.write("old", "old\n");
        work.write("status", "200 OK");
        work.write(".gitignore", "*.log\ncache/\n");
        work.commit();
        let root = TempDir::new().unwrap();
        let work_path = work.path().to_str().unwrap();
        git_in(root.path(), &["clone", "-q", "--bare", work_path, "app.git"], b"");
        let server = Server::start(root.path());
        let scene = Self { work, root, server };
        scene.takes_commits(true);
        scene
            .work
            .git(&["remote", "add", "origin", scene.bare().to_str().unwrap()]);
        scene
    }

    fn bare(&self) -> PathBuf {
        self.root.path().join("app.git")
    }

    fn takes_commits(&self, takes: bool) {
        self.git(&["config", "http.receivepack", if takes { "true" } else { "false" }]);
    }

    fn git(&self, args: &[&str]) -> String {
        git_in(&self.bare(), args, b"")
    }

    fn head(&self) -> CommitId {
        id(&self.git(&["rev-parse", "main"]))
    }

    fn commits(&self) -> usize {
        self.git(&["rev-list", "--count", "main"]).parse().unwrap()
    }

    fn show(&self, path: &str) -> String {
        self.git(&["show", &format!("main:{path}")])
    }

    fn files(&self) -> Vec<String> {
        let all = self.git(&["ls-tree", "-r", "--name-only", "main"]);
        all.lines().map(str::to_owned).collect()
    }

    /// Somebody else commits.
    fn somebody_writes(&self, path: &str, content: &str) -> CommitId {
        self.work.git(&["fetch", "-q", "origin"]);
        self.work.git(&["reset", "-q", "--hard", "origin/main"]);
        self.work.write(path, content);
        let commit = self.work.commit();
        self.work.git(&["push", "-q", "origin", "main"]);
        commit
    }

    fn wanting(&self) -> Desired {
        let artifacts = DesiredArtifacts {
            url: self.server.url("app.git"),
            branch: "main".into(),
            commit: Some(self.head()),
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

    async fn member(&self) -> Member {
        self.member_dying_at("").await
    }

    async fn member_dying_at(&self, point: &str) -> Member {
        let fake = Fake::start(self.wanting()).await;
        start_as(fake, settings, |command| {
            command.env("CARTRIDGE_FAILPOINT", point);
        })
    }
}

fn settings(folder: &Path, launch: &mut LaunchParameters) {
    launch.set("CARTRIDGE_PUSH_BACK", "true");
    launch.set("CARTRIDGE_ALLOW_ADDRESSES", "loopback");
    launch.set(key::APPLICATION_PATH, folder.join("app").to_str().unwrap());
    let log = folder.join("updates");
    hook(
        folder,
        "ArtifactUpdatedEvent",
        &format!("echo x >> {}", log.display()),
    );
}

fn app(member: &Member) -> PathBuf {
    member.folder.path().join("app")
}

fn serves(commit: &CommitId) -> impl Fn(&Batch) -> bool {
    move |b| is_active(b) && b.status.release.as_ref() == Some(commit)
}

fn notice(words: &str) -> impl Fn(&Batch) -> bool {
    move |b| b.notices.iter().any(|n| n.text.contains(words))
}

fn order(member: &Member, commit: &CommitId) {
    member
        .fake
        .want(|d| d.artifacts.as_mut().unwrap().commit = Some(commit.clone()));
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(40), "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn leave_what_is_nobodys_business(app: &Path) {
    fs::write(app.join("debug.log"), "noise\n").unwrap();
    fs::create_dir(app.join("cache")).unwrap();
    fs::write(app.join("cache/x"), "noise\n").unwrap();
    fs::create_dir(app.join(".git")).unwrap();
    fs::write(app.join(".git/config"), "[core]\n").unwrap();
    symlink("/etc/passwd", app.join("outside")).unwrap();
    symlink("../../../secret", app.join("uploads/outside")).unwrap();
    nix::unistd::mkfifo(&app.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::File::create(app.join("huge"))
        .unwrap()
        .set_len(9 << 20)
        .unwrap();
}

#[tokio::test]
async fn what_the_application_changes_goes_back_and_is_current_without_a_restart() {
    let scene = Scene::new();
    let first = scene.head();
    let member = scene.member().await;
    let at = member.fake.hear(0, "Active", serves(&first)).await;
    let (before, app) = (member.application(), app(&member));
    let inode = fs::metadata(&app).unwrap().ino();
    fs::write(app.join("page"), "two\n").unwrap();
    fs::create_dir_all(app.join("uploads/deep")).unwrap();
    fs::write(app.join("uploads/deep/new"), "new\n").unwrap();
    fs::remove_file(app.join("old")).unwrap();
    symlink("page", app.join("inside")).unwrap();
    leave_what_is_nobodys_business(&app);

    until("a commit", || scene.head() != first).await;
    let second = scene.head();
    let at = member.fake.hear(at, "the new commit", serves(&second)).await;
    assert_eq!(
        scene.files(),
        [".gitignore", "inside", "page", "status", "uploads/deep/new"]
    );
    assert_eq!(
        (scene.show("page"), scene.show("inside")),
        ("two".into(), "page".into())
    );
    assert_eq!(scene.git(&["rev-parse", "main^"]), first.as_str());
    assert!(
        scene
            .git(&["log", "-1", "--format=%an %ae %B"])
            .contains(harness::MEMBER)
    );
    scene.git(&["fsck", "--strict"]);
    member
        .fake
        .hear(0, "what was left out", notice("not everything"))
        .await;
    // The same process in the same folder, and no hook was run for what was there already.
    assert_eq!(
        (member.application(), fs::metadata(&app).unwrap().ino()),
        (before, inode)
    );
    let updates = || {
        fs::read_to_string(member.folder.path().join("updates"))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!(updates(), 1);

    // It comes back as an order, and is nothing new; the next change is.
    order(&member, &second);
    fs::write(app.join("page"), "three\n").unwrap();
    until("another commit", || scene.commits() == 3).await;
    let third = scene.head();
    let at = member.fake.hear(at, "the third commit", serves(&third)).await;
    assert_eq!(
        (scene.show("page"), updates(), member.application()),
        ("three".into(), 1, before)
    );
    // Somebody else's commit is a release as any other.
    let fourth = scene.somebody_writes("page", "four\n");
    order(&member, &fourth);
    member.fake.hear(at, "somebody's commit", serves(&fourth)).await;
    assert_eq!(fs::read_to_string(app.join("page")).unwrap(), "four\n");
    assert_ne!(member.application(), before);
    assert_eq!(scene.commits(), 4);
}

#[tokio::test]
async fn members_that_push_at_once_all_come_through_and_end_alike() {
    let scene = Scene::new();
    let first = scene.head();
    let (one, two) = tokio::join!(scene.member(), scene.member());
    tokio::join!(
        one.fake.hear(0, "one", serves(&first)),
        two.fake.hear(0, "two", serves(&first))
    );
    fs::write(app(&one).join("one"), "one\n").unwrap();
    fs::write(app(&two).join("two"), "two\n").unwrap();
    until("both commits", || scene.commits() == 3).await;
    assert_eq!(
        (scene.show("one"), scene.show("two")),
        ("one".into(), "two".into())
    );
    let head = scene.head();
    for member in [&one, &two] {
        order(member, &head);
        member.fake.hear(0, "both", serves(&head)).await;
        assert_eq!(fs::read_to_string(app(member).join("one")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(app(member).join("two")).unwrap(), "two\n");
    }
    // The same change in both is one commit.
    fs::write(app(&one).join("same"), "same\n").unwrap();
    fs::write(app(&two).join("same"), "same\n").unwrap();
    until("one more commit", || scene.commits() == 4).await;
    let head = scene.head();
    for member in [&one, &two] {
        order(member, &head);
        member.fake.hear(0, "the same", serves(&head)).await;
    }
    fs::write(app(&one).join("last"), "last\n").unwrap();
    until("the last", || scene.files().contains(&"last".to_owned())).await;
    assert_eq!(scene.commits(), 5, "something was pushed twice");
}

#[tokio::test]
async fn a_conflict_is_named_nothing_is_forced_and_the_local_change_is_kept() {
    let scene = Scene::new();
    let first = scene.head();
    let member = scene.member().await;
    let at = member.fake.hear(0, "Active", serves(&first)).await;
    let theirs = scene.somebody_writes("page", "theirs\n");
    fs::write(app(&member).join("page"), "ours\n").unwrap();
    member
        .fake
        .hear(at, "the conflict", notice("a person has to decide: page"))
        .await;
    assert_eq!(
        (scene.head(), scene.show("page")),
        (theirs.clone(), "theirs".into())
    );
    assert_eq!(fs::read_to_string(app(&member).join("page")).unwrap(), "ours\n");
    // A path that does not conflict goes onto the new head once the other is settled.
    fs::write(app(&member).join("page"), "theirs\n").unwrap();
    fs::write(app(&member).join("more"), "more\n").unwrap();
    until("what does not conflict", || scene.head() != theirs).await;
    assert_eq!(
        (scene.show("page"), scene.show("more")),
        ("theirs".into(), "more".into())
    );
    // And what conflicts when another release comes is set aside.
    let last = scene.somebody_writes("page", "theirs again\n");
    fs::write(app(&member).join("page"), "ours again\n").unwrap();
    order(&member, &last);
    member.fake.hear(at, "their release", serves(&last)).await;
    member
        .fake
        .hear(at - 1, "where it is", notice("are kept in"))
        .await;
    assert_eq!(
        fs::read_to_string(app(&member).join("page")).unwrap(),
        "theirs again\n"
    );
    let aside = fs::read_dir(member.folder.path().join("state/shelf/unpushed")).unwrap();
    let kept: Vec<PathBuf> = aside.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read_to_string(kept[0].join("page")).unwrap(), "ours again\n");
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_named_and_tried_again() {
    let scene = Scene::new();
    let first = scene.head();
    scene.takes_commits(false);
    let member = scene.member().await;
    let at = member.fake.hear(0, "Active", serves(&first)).await;
    fs::write(app(&member).join("page"), "two\n").unwrap();
    member.fake.hear(at, "why", notice("local changes wait: ")).await;
    assert_eq!(scene.head(), first);
    scene.takes_commits(true);
    until("the commit", || scene.head() != first).await;
    member
        .fake
        .hear(at, "the new commit", serves(&scene.head()))
        .await;
}

#[tokio::test]
async fn whatever_line_the_agent_dies_on_one_commit_goes_back_and_none_twice() {
    for point in [
        "push.before",
        "push.after",
        "given.after",
        "adopt.linked",
        "adopt.switched",
        "adopt.exchanged",
    ] {
        let scene = Scene::new();
        let first = scene.head();
        let mut member = scene.member_dying_at(point).await;
        member.fake.hear(0, "Active", serves(&first)).await;
        fs::write(app(&member).join("page"), "two\n").unwrap();
        assert_eq!(member.exits().await, None, "{point} was never reached");
        assert_eq!(
            fs::read_to_string(app(&member).join("page")).unwrap(),
            "two\n",
            "{point}"
        );
        let heard = member.fake.batches().len();
        let launch = again(&member);
        let mut agent = agent_command(member.folder.path(), &launch).spawn().unwrap();
        until("the commit", || scene.head() != first).await;
        let second = scene.head();
        member
            .fake
            .hear(heard, &format!("the new commit after {point}"), serves(&second))
            .await;
        assert_eq!(
            fs::read_to_string(app(&member).join("page")).unwrap(),
            "two\n",
            "{point}"
        );
        // One more change shows that nothing else waited.
        fs::write(app(&member).join("page"), "three\n").unwrap();
        until("the next commit", || scene.head() != second).await;
        assert_eq!(
            (scene.commits(), scene.show("page")),
            (3, "three".into()),
            "{point}"
        );
        agent.kill().await.unwrap();
    }
}

fn again(member: &Member) -> LaunchParameters {
    let mut launch = harness::parameters(&member.fake, member.port, member.folder.path());
    settings(member.folder.path(), &mut launch);
    launch
}

#[tokio::test]
async fn what_went_back_can_be_taken_back() {
    let scene = Scene::new();
    let first = scene.head();
    let member = scene.member().await;
    let at = member.fake.hear(0, "Active", serves(&first)).await;
    fs::write(app(&member).join("page"), "two\n").unwrap();
    until("a commit", || scene.head() != first).await;
    let at = member
        .fake
        .hear(at, "the new commit", serves(&scene.head()))
        .await;
    order(&member, &scene.head());
    let at = member
        .fake
        .hear(at, "its order", |b| b.status.revision == 2)
        .await;
    // Somebody rejected it: not a person, so its history counts.
    order(&member, &first);
    member.fake.hear(at, "the first again", serves(&first)).await;
    assert_eq!(fs::read_to_string(app(&member).join("page")).unwrap(), "one\n");
    assert_eq!(scene.commits(), 2);
}

#[tokio::test]
async fn a_tenants_changes_go_back_to_the_tenants_branch() {
    let scene = Scene::new();
    let first = scene.head();
    let wanted = scene.wanting();
    let tenant = TenantId::new(7).unwrap();
    let fake = Fake::start(Desired {
        artifacts: None,
        tenants: vec![TenantArtifacts {
            tenant,
            artifacts: wanted.artifacts.unwrap(),
        }],
        ..desired()
    })
    .await;
    let member = start_as(
        fake,
        |folder, launch| {
            settings(folder, launch);
            launch.set(key::MULTITENANT, "true");
        },
        |_| {},
    );
    let current = |b: &Batch| b.status.tenants.first().and_then(|one| one.current.clone());
    let updates = || fs::read_to_string(member.folder.path().join("updates")).unwrap_or_default();
    let at = member
        .fake
        .hear(0, "the tenant's files", |b| {
            is_active(b) && current(b).as_ref() == Some(&first)
        })
        .await;
    until("the hook", || updates() == "x\n").await;
    let folder = app(&member).join("repository/tenants/7");
    fs::write(folder.join("page"), "two\n").unwrap();
    until("a commit", || scene.head() != first).await;
    let second = scene.head();
    member
        .fake
        .hear(at, "the new commit", |b| current(b).as_ref() == Some(&second))
        .await;
    assert_eq!((scene.show("page"), updates()), ("two".into(), "x\n".into()));
    assert_eq!(scene.git(&["log", "-1", "--format=%an"]), "tenant 7");
}

#[tokio::test]
async fn without_the_option_nothing_goes_back() {
    let scene = Scene::new();
    let first = scene.head();
    let fake = Fake::start(scene.wanting()).await;
    let member = start_as(
        fake,
        |folder, launch| {
            settings(folder, launch);
            launch.set("CARTRIDGE_PUSH_BACK", "false");
        },
        |_| {},
    );
    let at = member.fake.hear(0, "Active", serves(&first)).await;
    fs::write(app(&member).join("added"), "x").unwrap();
    let second = scene.somebody_writes("page", "two\n");
    order(&member, &second);
    member.fake.hear(at, "the second", serves(&second)).await;
    assert_eq!(
        (scene.commits(), scene.files().contains(&"added".to_owned())),
        (2, false)
    );
}

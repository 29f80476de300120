//! The real agent binary with plugins: good ones, bad ones, and many at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod misbehaving;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use cartridge_protocol::CommitId;
use cartridge_protocol::launch::LaunchParameters;
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts, Phase, PluginState, Run};
use cartridge_protocol::sample::Scope;
use harness::{Member, desired, is_active, is_suspended, start};
use misbehaving::{binary, status};

const FOLDER: &str = "CARTRIDGE_PLUGINS";
const SETTINGS: &str = "CARTRIDGE_PLUGIN_SETTINGS";
const SOURCE: &str = "CARTRIDGE_ARTIFACT_SOURCE";

/// A reader in a shell script; `MEASURED` is what it answers.
const READER: &str = r#"#!/bin/sh
while read -r line; do
  id=${line#*:}; id=${id%%,*}; id=${id%\}}
  case $line in
    *describe*) echo "{\"id\":$id,\"ok\":{\"described\":{\"name\":\"sh\",\"version\":1,\"kind\":\"reader\"}}}" ;;
    *) echo "{\"id\":$id,\"ok\":{\"measured\":$(cat measured)}}" ;;
  esac
done
"#;

fn executable(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A plugin in the folder that says what is in a file; settings for it.
fn says(measured: &str, settings: &str) -> impl FnOnce(&Path, &mut LaunchParameters) {
    move |folder, launch| {
        let file = folder.join("measured");
        write(folder, measured);
        let script = READER.replace("measured)", &format!("{})", file.display()));
        let plugins = folder.join("plugins");
        executable(&plugins.join("queue.sh"), &script);
        // Of those that cannot be used, all are told.
        executable(&plugins.join("Wrong name"), &script);
        std::fs::write(plugins.join("notes"), "no program").unwrap();
        std::fs::set_permissions(&plugins, std::fs::Permissions::from_mode(0o755)).unwrap();
        launch.set(FOLDER, plugins.to_str().unwrap());
        launch.set(SETTINGS, settings);
    }
}

/// Whole at once: it is read meanwhile.
fn write(folder: &Path, measured: &str) {
    std::fs::write(folder.join("measured.new"), measured).unwrap();
    std::fs::rename(folder.join("measured.new"), folder.join("measured")).unwrap();
}

fn told(what: &str) -> impl Fn(&Batch) -> bool {
    move |b| {
        b.notices
            .iter()
            .any(|n| n.kind == "plugin" && n.text.contains(what))
    }
}

fn is_ready(batch: &Batch) -> bool {
    let ready = |state: &PluginState| matches!(state, PluginState::Ready { kind } if kind == "reader");
    batch.status.plugins.iter().any(|plugin| ready(&plugin.state))
}

#[tokio::test]
async fn a_reader_from_the_folder_replaces_and_adds_figures_until_it_falls_silent() {
    let measured = r#"{"load":[3,2,1],"in_flight":4,"figures":{"waiting":12}}"#;
    let member = start(
        desired(),
        says(measured, r#"{"queue":{"every_seconds":1,"read_seconds":1}}"#),
    )
    .await;
    let at = member.fake.hear(0, "a plugin that serves", is_ready).await;
    let has = |b: &Batch| {
        b.sample.as_ref().is_some_and(|s| {
            let reading = s.readers.first();
            s.scope == Scope::Reader
                && s.load == Some([3.0, 2.0, 1.0])
                && s.memory_used.is_some()
                && reading.is_some_and(|r| {
                    r.reader.as_str() == "queue" && r.in_flight == Some(4.0) && r.figures["waiting"] == 12.0
                })
        })
    };
    let at = member.fake.hear(at, "its figures", has).await;
    let all = member.fake.batches();
    let notices: Vec<&str> = all[..at]
        .iter()
        .flat_map(|b| &b.notices)
        .map(|n| n.text.as_str())
        .collect();
    for name in [
        "\"Wrong name\" is left out",
        "\"notes\" is left out: it is not executable",
    ] {
        assert!(notices.iter().any(|text| text.contains(name)), "{notices:?}");
    }
    // Not a number: the frame is none, again and again, until it is left alone; its figures go out of date.
    write(member.folder.path(), "nonsense");
    let at = member.fake.hear(at, "what is wrong", told("queue babbles")).await;
    let own = |b: &Batch| {
        b.sample
            .as_ref()
            .is_some_and(|s| s.scope != Scope::Reader && s.readers.is_empty())
    };
    member.fake.hear(at, "the agent's own figures", own).await;
    assert!(member.fake.batches()[at..].iter().all(is_active));
}

#[tokio::test]
async fn a_reader_that_says_that_things_are_not_well_suspends_the_member_until_they_are() {
    let member = start(
        desired(),
        says(r#"{"health":"ok"}"#, r#"{"queue":{"every_seconds":1}}"#),
    )
    .await;
    let at = member
        .fake
        .hear(0, "Active", |b| is_active(b) && is_ready(b))
        .await;
    write(
        member.folder.path(),
        r#"{"health":{"failing":"the queue is stuck"}}"#,
    );
    let why = |b: &Batch| match &b.status.phase {
        Phase::Suspended { reason } => reason.contains("the reader queue: the queue is stuck"),
        _ => false,
    };
    let at = member.fake.hear(at, "Suspended", why).await;
    write(member.folder.path(), r#"{"health":"ok"}"#);
    member.fake.hear(at, "Active again", is_active).await;
}

#[tokio::test]
async fn only_a_required_reader_that_is_broken_keeps_a_member_from_being_active() {
    let required = |required: bool| {
        let settings = format!(
            r#"{{"bad":{{"command":["{}","dies-at-start"],"required":{required}}}}}"#,
            binary()
        );
        move |_: &Path, launch: &mut LaunchParameters| launch.set(SETTINGS, settings)
    };
    let other = start(desired(), required(false)).await;
    let member = start(desired(), required(true)).await;
    other.fake.hear(0, "Active", is_active).await;
    other
        .fake
        .hear(0, "its name", told("bad ended (exit code 7)"))
        .await;
    // It takes six starts until it is left out.
    let left_out =
        |b: &Batch| matches!(&b.status.plugins[..], [p] if matches!(p.state, PluginState::LeftOut { .. }));
    let at = member.fake.hear(0, "left out", left_out).await;
    assert!(member.fake.batches()[..at].iter().all(|b| !is_active(b)));
    let at = other.fake.hear(0, "left out", left_out).await;
    assert!(!other.fake.batches()[..at].iter().any(is_suspended));
}

/// All of one thing at a time that a plugin can do wrong, beside each other.
const MODES: [&str; 31] = [
    "well",
    "never-describes",
    "never-answers",
    "deaf",
    "floods-stdout",
    "floods-with-lines",
    "floods-an-answer",
    "floods-stderr",
    "mutters",
    "huge-answer",
    "answers-another-question",
    "answers-twice",
    "speaks-unasked",
    "invalid-utf8",
    "invalid-json",
    "deep-nesting",
    "drips",
    "another-version",
    "unknown-kind",
    "another-kind",
    "another-answer",
    "impossible-figures",
    "too-many-figures",
    "refuses",
    "dies-at-start",
    "dies-when-asked",
    "closes-its-output",
    "leaves-children",
    "changes-its-group",
    "will-not-end",
    "hoards-memory",
];
/// Those of them that are no fault: they are bounded, and answer.
const TOLERATED: [&str; 6] = [
    "well",
    "mutters",
    "impossible-figures",
    "too-many-figures",
    "refuses",
    "will-not-end",
];
/// Hostile input never lifts the agent above this.
const MOST_KIB: u64 = 64 << 10;

#[tokio::test]
async fn thirty_hostile_plugins_at_once_are_all_named_and_the_member_stays_active() {
    let commands: Vec<String> = MODES
        .iter()
        .map(|mode| format!(r#""{mode}":{{"command":["{}","{mode}"],"every_seconds":1,"read_seconds":2,"memory_mib":64}}"#, binary()))
        .collect();
    let mut member = start(desired(), |_, launch| {
        launch.set(SETTINGS, format!("{{{}}}", commands.join(",")))
    })
    .await;
    let began = Instant::now();
    let active = member.fake.hear(0, "Active", is_active).await;
    let mut at = 0;
    for mode in MODES.iter().filter(|mode| !TOLERATED.contains(mode)) {
        let fault = |b: &Batch| {
            b.status.plugins.iter().any(|plugin| {
                plugin.name.as_str() == *mode
                    && matches!(
                        plugin.state,
                        PluginState::Down { .. } | PluginState::LeftOut { .. }
                    )
            })
        };
        at = at.max(member.fake.hear(0, mode, fault).await);
    }
    let took = began.elapsed();
    // From now on the good one's figures are in every sample, whatever the others do.
    let good = |b: &Batch| {
        let mut readers = b.sample.iter().flat_map(|s| &s.readers);
        readers.any(|r| r.reader.as_str() == "well" && r.in_flight == Some(7.0) && r.age_ms < 5_000)
    };
    let mut fresh = 0;
    for _ in 0..10 {
        fresh = member.fake.hear(fresh.max(at), "the good one", good).await;
    }
    let batches = member.fake.batches();
    assert!(
        batches[active - 1..].iter().all(is_active),
        "the member was disturbed"
    );
    let pid = member.agent.id().unwrap().to_string();
    let (now, peak) = (status(&pid, "VmRSS:"), status(&pid, "VmHWM:"));
    println!("named within {took:?}; agent {now} KiB, at most {peak} KiB");
    assert!(peak < MOST_KIB, "{peak} KiB");
    member.fake.want(|d| d.run = Run::Stop { within_ms: 2_000 });
    assert_eq!(member.exits().await, Some(0));
    let left = misbehaving::of(pid.parse().unwrap());
    assert_eq!(left, [], "left behind");
}

/// Files from the plugin of this mode.
fn brought(mode: &'static str) -> impl FnOnce(&Path, &mut LaunchParameters) {
    move |_, launch| {
        launch.set(
            SETTINGS,
            format!(
                r#"{{"{mode}":{{"command":["{}","{mode}"],"credentials":true}}}}"#,
                binary()
            ),
        );
        launch.set(SOURCE, mode);
    }
}

fn with_files(commit: Option<CommitId>) -> Desired {
    Desired {
        artifacts: Some(DesiredArtifacts {
            url: "https://files.example.org".into(),
            branch: "main".into(),
            commit,
            ordered: false,
            username: None,
            password: None,
            poll_interval_ms: 60_000,
            look: 0,
            sharing: 1,
        }),
        ..desired()
    }
}

#[tokio::test]
async fn an_artifact_source_is_looked_at_like_a_branch_and_brings_the_release() {
    let revision = CommitId::new("1".repeat(40)).unwrap();
    let member = start(with_files(None), brought("brings-files")).await;
    let seen = |b: &Batch| b.status.head.as_ref() == Some(&revision) && b.status.staged.contains(&revision);
    let at = member.fake.hear(0, "the revision, staged ahead", seen).await;
    member
        .fake
        .want(|d| d.artifacts.as_mut().unwrap().commit = Some(revision.clone()));
    let current = |b: &Batch| is_active(b) && b.status.release.as_ref() == Some(&revision);
    member.fake.hear(at, "the release", current).await;
    let page = member.folder.path().join("state/shelf/current/index.html");
    assert_eq!(std::fs::read(page).unwrap(), b"brought");
}

#[tokio::test]
async fn what_an_artifact_source_must_not_bring_is_refused_and_named_and_one_that_is_missing_too() {
    let revision = CommitId::new("1".repeat(40)).unwrap();
    let member = start(with_files(Some(revision.clone())), brought("brings-a-way-out")).await;
    let refused = |b: &Batch| {
        b.status
            .refused
            .iter()
            .any(|r| r.commit == revision && r.reason.contains("leaves the release"))
    };
    member.fake.hear(0, "a refusal", refused).await;
    let member = start(with_files(Some(revision.clone())), |_, launch| {
        launch.set(SOURCE, "nobody")
    })
    .await;
    let said = |b: &Batch| {
        b.notices
            .iter()
            .any(|n| n.text.contains("nobody does not look: there is no such plugin"))
    };
    member.fake.hear(0, "what is missing", said).await;
    assert!(!member.fake.batches().iter().any(is_active));
}

#[tokio::test]
async fn plugins_end_with_an_agent_that_is_killed() {
    let settings = format!(r#"{{"well":{{"command":["{}","well"]}}}}"#, binary());
    let mut member: Member = start(desired(), |_, launch| launch.set(SETTINGS, settings)).await;
    member.fake.hear(0, "a plugin that serves", is_ready).await;
    let pid = i32::try_from(member.agent.id().unwrap()).unwrap();
    assert_eq!(misbehaving::of(pid).len(), 1);
    member.agent.kill().await.unwrap();
    let gone = async {
        while !misbehaving::of(pid).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .expect("it lives on");
}

#[tokio::test]
async fn plugins_run_as_the_user_that_was_named_or_not_at_all() {
    let revision = CommitId::new("1".repeat(40)).unwrap();
    let as_nobody = |folder: &Path, launch: &mut LaunchParameters| {
        // Nobody has to come there.
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711)).unwrap();
        let program = folder.join("cartridge-plugin-misbehaving");
        std::fs::copy(binary(), &program).unwrap();
        let program = program.to_str().unwrap();
        launch.set(
            SETTINGS,
            format!(r#"{{"well":{{"command":["{program}","well"]}},"files":{{"command":["{program}","brings-files"]}}}}"#),
        );
        launch.set(SOURCE, "files");
        launch.set("APPLICATION_PATH", folder.join("shelf").to_str().unwrap());
        launch.set("CARTRIDGE_PLUGIN_USER", "65534:65534");
    };
    let mut member = start(with_files(Some(revision.clone())), as_nobody).await;
    if !nix::unistd::geteuid().is_root() {
        member
            .fake
            .hear(0, "why not", told("no plugin is started: the agent runs as user"))
            .await;
        return;
    }
    let current = |b: &Batch| is_active(b) && is_ready(b) && b.status.release.as_ref() == Some(&revision);
    member.fake.hear(0, "the release", current).await;
    let page = member.folder.path().join("shelf/index.html");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(page).unwrap());
    assert_eq!(owner, 0, "a release is the agent's");
    let pid = i32::try_from(member.agent.id().unwrap()).unwrap();
    let plugins = misbehaving::of(pid);
    assert_eq!(plugins.len(), 2, "{plugins:?}");
    for (pid, mode) in plugins {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            status
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap()
                .to_owned()
        };
        assert_eq!(field("Uid:"), "Uid:\t65534\t65534\t65534\t65534", "{mode}");
        assert_eq!(field("Gid:"), "Gid:\t65534\t65534\t65534\t65534", "{mode}");
        assert_eq!(field("Groups:").trim(), "Groups:", "{mode}");
    }
    // Also those that have become somebody else end with an agent that is killed.
    member.agent.kill().await.unwrap();
    let gone = async {
        while !misbehaving::of(pid).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .expect("they live on");
}

/// The first program on the page.
fn of_the_documentation() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plugins.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```python\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_reader_of_the_documentation_serves_as_it_stands_there() {
    let example = of_the_documentation();
    assert!(example.lines().filter(|line| !line.is_empty()).count() <= 20);
    let member = start(desired(), |folder, launch| {
        executable(&folder.join("plugins/spool.py"), &example);
        let spool = folder.join("spool");
        std::fs::create_dir(&spool).unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(spool.join(name), "").unwrap();
        }
        let settings = serde_json::json!({"spool": {"every_seconds": 1, "environment": {"SPOOL": spool}}});
        launch.set(FOLDER, folder.join("plugins").to_str().unwrap());
        launch.set(SETTINGS, settings.to_string());
    })
    .await;
    let counts = |b: &Batch| {
        let readers = b.sample.iter().flat_map(|sample| &sample.readers);
        let mut of_spool = readers.filter(|reading| reading.reader.as_str() == "spool");
        of_spool.any(|reading| reading.in_flight == Some(3.0) && reading.figures["waiting"] == 3.0)
    };
    let at = member
        .fake
        .hear(0, "its figures", |b| is_active(b) && counts(b))
        .await;

    let spool = member.folder.path().join("spool");
    for number in 0..1_000 {
        std::fs::write(spool.join(number.to_string()), "").unwrap();
    }
    let unwell = |b: &Batch| match &b.status.phase {
        Phase::Suspended { reason } => reason.contains("1003 files wait"),
        _ => false,
    };
    let at = member.fake.hear(at, "that the member is not well", unwell).await;

    std::fs::remove_dir_all(&spool).unwrap();
    let refusal = told("spool gives no reading: [Errno 2]");
    member.fake.hear(at, "what it cannot read", refusal).await;
}

//! The crash table of the shelf (S15): a process is killed at every named place of every kind of change.
//!
//! For each row: a child process is told where to die, and dies of SIGKILL there; then what is visible is exactly
//! one whole commit, the old or the new; then the same work without a place to die reaches the new commit and
//! leaves nothing behind. A watcher looks at the current release all the time. Run with
//! `cargo test -p cartridge-agent --features failpoints --test crash_table`.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cartridge_agent::host::shelf::Shelf;
use cartridge_agent_plan::release::Wanted;
use cartridge_protocol::CommitId;
use support::{Repo, id};
use tempfile::TempDir;

const STAGING: [&str; 10] = [
    "fetch.before",
    "fetch.after",
    "stage.before",
    "stage.middle",
    "stage.after",
    "flush.before",
    "flush.after",
    "seal.before",
    "seal.middle",
    "seal.after",
];
const SWITCHING: [&str; 5] = [
    "link.before",
    "link.after",
    "switch.before",
    "switch.middle",
    "switch.after",
];
const REMAKING: [&str; 3] = ["remake.before", "remake.retired", "remake.moved"];
const PRUNING: [&str; 3] = ["prune.before", "prune.middle", "prune.after"];

/// One kind of change.
struct Scenario {
    name: &'static str,
    /// Made current one after the other before the change.
    before: Vec<CommitId>,
    to: CommitId,
    previous: Option<CommitId>,
    keep: usize,
    points: Vec<&'static str>,
}

fn settle(root: &Path, url: &str, to: &CommitId, previous: Option<&CommitId>, keep: usize) {
    support::use_the_agent();
    let shelf = Shelf::open(root).expect("a shelf");
    let remote = support::remote(url);
    let wanted = Wanted {
        commit: Some(to.clone()),
        previous: previous.cloned(),
        keep,
        ..Wanted::default()
    };
    support::settle_to(&shelf, &remote, &wanted).expect("every move");
}

/// Not a test of its own: the child process of the table.
#[test]
fn child() {
    let Ok(root) = std::env::var("CRASH_ROOT") else {
        return;
    };
    let var = |name: &str| std::env::var(name).expect("set by the table");
    let previous = std::env::var("CRASH_PREVIOUS").ok().map(|text| id(&text));
    settle(
        Path::new(&root),
        &var("CRASH_URL"),
        &id(&var("CRASH_TO")),
        previous.as_ref(),
        var("CRASH_KEEP").parse().expect("a number"),
    );
}

fn run_child(root: &Path, url: &str, scenario: &Scenario, point: Option<&str>) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "child", "--quiet"])
        .env("CRASH_ROOT", root)
        .env("CRASH_URL", url);
    command.env("CRASH_TO", scenario.to.as_str());
    command.env("CRASH_KEEP", scenario.keep.to_string());
    if let Some(previous) = &scenario.previous {
        command.env("CRASH_PREVIOUS", previous.as_str());
    }
    if let Some(point) = point {
        command.env("CARTRIDGE_FAILPOINT", point);
    }
    let done = command.output().expect("a child");
    if point.is_none() {
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }
    done.status
}

/// Looks at the current release without pause: there is always one, and it is always whole.
struct Watcher {
    over: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Watcher {
    fn start(root: &Path) -> Self {
        let (over, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (current, end, count) = (root.join("current"), over.clone(), looks.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                let target = std::fs::read_link(&current).expect("there is always a current release");
                let text = std::fs::read_to_string(current.join("version")).expect("and its files are there");
                assert!(
                    ["one", "two", "three", "other"].contains(&text.as_str()),
                    "{target:?} holds {text:?}"
                );
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
            }
        });
        Self { over, looks, thread }
    }

    fn finish(self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        self.thread
            .join()
            .expect("the watcher saw nothing but whole releases");
        self.looks.load(Ordering::SeqCst)
    }
}

fn current(root: &Path) -> Option<CommitId> {
    let target = std::fs::read_link(root.join("current")).ok()?;
    Some(id(target
        .strip_prefix("releases")
        .expect("below releases")
        .to_str()
        .expect("text")))
}

/// What is visible is exactly one commit; returns which.
fn visible(root: &Path, repo: &Repo, allowed: &[Option<&CommitId>]) -> Option<CommitId> {
    let current = current(root);
    assert!(
        allowed.contains(&current.as_ref()),
        "{current:?} is current, of {allowed:?}"
    );
    if let Some(commit) = &current {
        assert_eq!(
            repo.tree_of_folder(&root.join("current")),
            repo.tree_of_commit(commit),
            "{commit} is torn"
        );
    }
    current
}

fn row(repo: &Repo, scenario: &Scenario, point: &str) -> u64 {
    let folder = TempDir::new().expect("a folder");
    let (root, url) = (folder.path(), repo.file_url());
    for (n, commit) in scenario.before.iter().enumerate() {
        settle(
            root,
            &url,
            commit,
            n.checked_sub(1).map(|n| &scenario.before[n]),
            1,
        );
    }
    let old = current(root);
    let watcher = old.is_some().then(|| Watcher::start(root));

    let status = run_child(root, &url, scenario, Some(point));
    assert_eq!(
        status.signal(),
        Some(9),
        "{}: nobody died at {point}",
        scenario.name
    );
    visible(root, repo, &[old.as_ref(), Some(&scenario.to)]);

    run_child(root, &url, scenario, None);
    visible(root, repo, &[Some(&scenario.to)]);
    let state = Shelf::open(root).expect("a shelf").state().expect("a state");
    assert!(
        state.parts.is_empty() && !state.leftover_link,
        "left behind: {state:?}"
    );
    if let Some(old) = old.filter(|old| scenario.previous.as_ref() == Some(old)) {
        assert!(state.whole.contains(&old), "the way back is gone");
        let release = root.join("releases").join(old.as_str());
        assert_eq!(
            repo.tree_of_folder(&release),
            repo.tree_of_commit(&old),
            "the way back was damaged"
        );
    }
    watcher.map_or(0, Watcher::finish)
}

fn scenarios(repo: &Repo) -> Vec<Scenario> {
    let commit = |text: &str| {
        repo.write("version", text);
        for n in 0..20 {
            repo.write(
                &format!("folder-{}/file-{n}", n % 4),
                format!("{n} {}", if n < 3 { text } else { "" }),
            );
        }
        repo.commit()
    };
    let (one, two, three) = (commit("one"), commit("two"), commit("three"));
    // Not in the history of the branch's first commits: what a forced push brings.
    repo.git(&["reset", "-q", "--hard", one.as_str()]);
    let other = commit("other");
    repo.git(&["branch", "-q", "keep", three.as_str()]);
    repo.git(&["merge", "-q", "-s", "ours", "-m", "join", "keep"]);
    let all = || [STAGING.as_slice(), SWITCHING.as_slice()].concat();
    vec![
        Scenario {
            name: "first release",
            before: vec![],
            to: one.clone(),
            previous: None,
            keep: 1,
            points: all(),
        },
        Scenario {
            name: "update",
            before: vec![one.clone(), two.clone()],
            to: three.clone(),
            previous: Some(two.clone()),
            keep: 1,
            points: [all(), REMAKING.to_vec()].concat(),
        },
        Scenario {
            name: "after a forced push",
            before: vec![two.clone(), three.clone()],
            to: other,
            previous: Some(three.clone()),
            keep: 1,
            points: [all(), REMAKING.to_vec()].concat(),
        },
        Scenario {
            name: "update with all releases kept",
            before: vec![one.clone(), two.clone()],
            to: three,
            previous: Some(two.clone()),
            keep: 3,
            points: all(),
        },
        Scenario {
            name: "making room",
            before: vec![one.clone(), two.clone()],
            to: two.clone(),
            previous: None,
            keep: 0,
            points: PRUNING.to_vec(),
        },
        Scenario {
            name: "rollback to a release on the shelf",
            before: vec![one.clone(), two.clone()],
            to: one,
            previous: Some(two),
            keep: 1,
            points: SWITCHING.to_vec(),
        },
    ]
}

#[test]
fn whatever_line_the_agent_dies_on_one_whole_commit_is_visible() {
    let repo = Repo::new();
    let scenarios = scenarios(&repo);
    let (mut rows, mut looks) = (0, 0);
    for scenario in &scenarios {
        for point in &scenario.points {
            looks += row(&repo, scenario, point);
            rows += 1;
            println!("ok  {:<36} {point}", scenario.name);
        }
    }
    println!("{rows} rows, {looks} looks at the current release in between");
    assert_eq!(rows, 15 + 18 + 18 + 15 + 3 + 5);
    assert!(looks > 1000, "the watcher saw too little: {looks}");
}

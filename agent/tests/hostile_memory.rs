//! Whatever a repository holds, agent and fetching process together stay below 64 MiB: the real binary, a real server,
//! and everything that is made to be large. Pass figure: 65536 KiB, the peaks of both added up, for what is shipped
//! (`CARTRIDGE_TEST_AGENT` names it); a build that is not optimised has 16 MiB more of code in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cartridge_protocol::CommitId;
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts};
use harness::{desired, is_active, start};
use support::{Repo, Server, id};

/// Most memory of both, KiB.
fn most() -> u64 {
    let is_shipped = std::env::var_os("CARTRIDGE_TEST_AGENT").is_some();
    if is_shipped { 64 << 10 } else { 80 << 10 }
}

/// Repeats a kibibyte so often, as a blob.
fn long_blob(repo: &Repo, kibibyte: &[u8], times: usize) -> String {
    let mut child = Command::new("git")
        .current_dir(repo.path())
        .args(["-c", "core.compression=1", "hash-object", "-w", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut into = child.stdin.take().unwrap();
    (0..times).for_each(|_| into.write_all(kibibyte).unwrap());
    drop(into);
    let done = child.wait_with_output().unwrap();
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn wide_tree(repo: &Repo, blob: &str, names: usize) -> String {
    let names: Vec<String> = (0..names)
        .map(|n| format!("name-of-some-length-{n:06}"))
        .collect();
    let entries: Vec<(&str, &[u8], &str)> = names
        .iter()
        .map(|name| ("100644", name.as_bytes(), blob))
        .collect();
    repo.tree(&entries)
}

fn nested(repo: &Repo, mut inner: String, mut mode: &'static str, deep: usize, wide: usize) -> String {
    for _ in 0..deep {
        let names: Vec<String> = (0..wide).map(|n| format!("f{n}")).collect();
        let entries: Vec<(&str, &[u8], &str)> = names
            .iter()
            .map(|name| (mode, name.as_bytes(), inner.as_str()))
            .collect();
        inner = repo.tree(&entries);
        mode = "40000";
    }
    inner
}

/// A megabyte that does not shrink.
fn noise(seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let words = (0..(1 << 18)).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    });
    words.flat_map(u32::to_le_bytes).collect()
}

/// What is made to be large, and its commit.
fn hostile(repo: &Repo) -> Vec<(&'static str, CommitId)> {
    let blob = repo.blob(b"x");
    let file = |name: &str, blob: &str| repo.tree(&[("100644", name.as_bytes(), blob)]);
    let half = wide_tree(repo, &blob, 75_000);
    let words = "words ".repeat(8 << 20);
    let tree = file("a", &blob);
    let text = format!("tree {tree}\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\n{words}\n");
    let arguments = ["hash-object", "--literally", "-w", "-t", "commit", "--stdin"];
    let mut trees = vec![
        (
            "ten to the tenth files",
            nested(repo, blob.clone(), "100644", 10, 10),
        ),
        (
            "fifteen hundred folders deep",
            nested(repo, blob.clone(), "100644", 1_500, 1),
        ),
        (
            "two folders of 75000 files",
            repo.tree(&[("40000", b"a", &half), ("40000", b"b", &half)]),
        ),
        ("a folder of 300000 files", wide_tree(repo, &blob, 300_000)),
        (
            "a file of 600 MiB of nothing",
            file("zeros", &long_blob(repo, &[0; 1024], 600 << 10)),
        ),
        (
            "a file of 200 MiB of nothing, which is accepted",
            file("zeros", &long_blob(repo, &[0; 1024], 200 << 10)),
        ),
    ];
    for (what, size) in [
        ("a file of 24 MiB, and another like it", 24),
        ("a file of 60 MiB, and another like it", 60),
    ] {
        let whole: Vec<u8> = (0..size).flat_map(noise).collect();
        let other = [whole.as_slice(), b"and a little more"].concat();
        let (whole, other) = (repo.blob(&whole), repo.blob(&other));
        trees.push((
            what,
            repo.tree(&[("100644", b"a", &whole), ("100644", b"b", &other)]),
        ));
    }
    let mut all: Vec<(&str, CommitId)> = trees
        .into_iter()
        .map(|(what, tree)| (what, repo.commit_tree(&tree)))
        .collect();
    all.push((
        "a commit of 48 MiB of words",
        id(&support::git_in(repo.path(), &arguments, text.as_bytes())),
    ));
    // So that what is alike is packed as differences.
    repo.git(&["tag", "-f", "keep"]);
    for (n, (_, commit)) in all.iter().enumerate() {
        repo.git(&["update-ref", &format!("refs/keep/{n}"), commit.as_str()]);
    }
    repo.git(&[
        "-c",
        "core.bigFileThreshold=1g",
        "-c",
        "pack.threads=1",
        "repack",
        "-q",
        "-a",
        "-d",
        "-f",
    ]);
    all
}

fn many_branches(repo: &Repo, commit: &CommitId) {
    let lines: String = (0..300_000)
        .map(|n| format!("{commit} refs/heads/a{n:06}\n"))
        .collect();
    let text = format!("# pack-refs with: peeled fully-peeled sorted \n{lines}");
    std::fs::write(repo.path().join(".git/packed-refs"), text).unwrap();
}

/// A line of a process's status, KiB.
fn status(folder: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':')
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Watches the fetching processes of this agent; the highest peak of any.
fn watch(agent: u32, peak: Arc<AtomicU64>, seen: Arc<AtomicU64>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::SeqCst) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let folder = entry.path();
            if status(&folder, "PPid") != Some(u64::from(agent)) {
                continue;
            }
            let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
            if line.windows(16).any(|part| part == b"fetching-process") {
                seen.fetch_add(1, Ordering::SeqCst);
                peak.fetch_max(status(&folder, "VmHWM").unwrap_or(0), Ordering::SeqCst);
            }
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn wanting(url: String, commit: &CommitId) -> Desired {
    let artifacts = DesiredArtifacts {
        url,
        branch: "main".into(),
        commit: Some(commit.clone()),
        ordered: false,
        username: None,
        password: None,
        poll_interval_ms: 3_600_000,
        look: 0,
        sharing: 1,
    };
    Desired {
        artifacts: Some(artifacts),
        ..desired()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_repository_holds_makes_the_agent_large() {
    let repo = Repo::new();
    repo.write("status", "200 Fine\n");
    let good = repo.commit();
    let server = Server::start(repo.path());
    let member = start(wanting(server.url(".git"), &good), |_, launch| {
        launch.set("CARTRIDGE_HISTORY", "any");
        launch.set("CARTRIDGE_LEAST_PERCENT", "0");
    })
    .await;
    let serves = |b: &Batch| is_active(b) && b.status.release.as_ref() == Some(&good);
    let mut at = member.fake.hear(0, "the good release", serves).await;
    let agent = member.agent.id().unwrap();
    let folder = Path::new("/proc").join(agent.to_string());
    let rest = status(&folder, "VmHWM").unwrap();

    let [peak, seen] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (peak, seen, over) = (peak.clone(), seen.clone(), over.clone());
        std::thread::spawn(move || watch(agent, peak, seen, over))
    };
    let (mut look, mut highest) = (0, 0);
    let mut shapes = hostile(&repo);
    // Last of all, a list of branches that is longer than all of that.
    shapes.push(("300000 branches", good.clone()));
    for (what, commit) in shapes {
        peak.store(0, Ordering::SeqCst);
        repo.git(&["update-ref", "refs/heads/main", commit.as_str()]);
        if commit == good {
            many_branches(&repo, &good);
        }
        look += 1;
        let heads = member.fake.batches().len();
        member.fake.want(|d| d.artifacts.as_mut().unwrap().look = look);
        let done = |b: &Batch| {
            let looked = b.status.head.as_ref() == Some(&commit);
            let judged =
                b.status.refused.iter().any(|r| r.commit == commit) || b.status.staged.contains(&commit);
            looked && judged
                || b.notices
                    .iter()
                    .any(|n| n.kind == "artifact" && !n.text.contains("is at"))
        };
        at = member
            .fake
            .hear_within(Duration::from_secs(120), at.max(heads), what, done)
            .await;
        let told = &member.fake.batches()[at - 1];
        let why = told
            .status
            .refused
            .iter()
            .find(|r| r.commit == commit)
            .map(|r| r.reason.as_str());
        let (mine, theirs) = (status(&folder, "VmHWM").unwrap(), peak.load(Ordering::SeqCst));
        println!(
            "{what}: agent {mine} KiB, fetching process {theirs} KiB: {}",
            why.unwrap_or("not refused")
        );
        highest = highest.max(mine + theirs);
        assert!(mine + theirs <= most(), "{what}: {mine} + {theirs} KiB");
        assert!(serves(told), "{what} disturbed the member");
    }
    over.store(true, Ordering::SeqCst);
    watcher.join().unwrap();
    assert!(
        seen.load(Ordering::SeqCst) > 20,
        "fetching processes were not seen"
    );
    println!("the agent alone, before: {rest} KiB; together at most {highest} KiB");
}

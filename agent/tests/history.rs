//! A commit follows the current release only if it descends from it and keeps enough of its files, or a person
//! ordered it; against a real server, shallow fetches included.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cartridge_agent::host::git::Remote;
use cartridge_agent::host::shelf::Shelf;
use cartridge_agent_plan::artifacts::{History, Rules};
use cartridge_protocol::CommitId;
use support::{Repo, Server, remote, rules, settle};
use tempfile::TempDir;

fn under(url: String, history: History, least_percent: u8) -> Remote {
    let rules = Rules {
        history,
        least_percent,
        ..rules()
    };
    Remote {
        rules: Arc::new(rules),
        ..remote(url)
    }
}

fn ordered(remote: &Remote, commit: &CommitId) -> Remote {
    Remote {
        ordered: Some(commit.clone()),
        ..remote.clone()
    }
}

fn next(repo: &Repo, text: &str) -> CommitId {
    repo.write("a", text);
    repo.commit()
}

/// So many commits; the last of them.
fn many(repo: &Repo, count: usize) -> CommitId {
    (1..count).for_each(|n| drop(next(repo, &n.to_string())));
    next(repo, "the last")
}

fn refused(shelf: &Shelf, remote: &Remote, commit: &CommitId, words: &str) {
    let before = shelf.state().unwrap();
    let error = settle(shelf, remote, commit).expect_err(words);
    assert!(error.is_refusal(), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(shelf.state().unwrap(), before);
}

#[test]
fn a_commit_descends_from_the_current_release_or_is_refused_unless_it_is_ordered() {
    for over_http in [true, false] {
        let repo = Repo::new();
        let first = next(&repo, "one");
        let server = Server::start(repo.path());
        let url = if over_http {
            server.url(".git")
        } else {
            repo.file_url()
        };
        let remote = under(url, History::Descend, 0);
        let root = TempDir::new().unwrap();
        let shelf = Shelf::open(root.path()).unwrap();
        settle(&shelf, &remote, &first).unwrap();
        settle(&shelf, &remote, &next(&repo, "two")).unwrap();
        // Over a merge, and over many commits at once.
        repo.git(&["checkout", "-q", "-b", "side", first.as_str()]);
        repo.write("b", "side");
        repo.commit();
        repo.git(&["checkout", "-q", "main"]);
        repo.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
        let merged = support::id(&repo.git(&["rev-parse", "HEAD"]));
        settle(&shelf, &remote, &merged).unwrap();
        let far = many(&repo, 40);
        settle(&shelf, &remote, &far).unwrap();

        // A branch that was pushed by force, and one that went back.
        repo.git(&["reset", "-q", "--hard", merged.as_str()]);
        let forced = next(&repo, "forced");
        refused(
            &shelf,
            &remote,
            &forced,
            "does not descend from the current release",
        );
        repo.git(&["reset", "-q", "--hard", first.as_str()]);
        refused(&shelf, &remote, &first, "does not descend");
        repo.git(&["checkout", "-q", "--orphan", "another"]);
        let other = next(&repo, "another root");
        repo.git(&["update-ref", "refs/heads/main", other.as_str()]);
        refused(&shelf, &remote, &other, &format!("the current release {far}"));
        assert_eq!(shelf.state().unwrap().current.as_ref(), Some(&far));

        // A person ordered this very commit, not another.
        refused(&shelf, &ordered(&remote, &far), &other, "does not descend");
        settle(&shelf, &ordered(&remote, &other), &other).unwrap();
        // What lies on the shelf is a way back.
        settle(&shelf, &remote, &far).unwrap();
        let anything = under(remote.url.clone(), History::Any, 0);
        repo.git(&["update-ref", "refs/heads/main", forced.as_str()]);
        settle(&shelf, &anything, &forced).unwrap();
    }
}

#[test]
fn history_is_fetched_no_further_than_it_takes() {
    let repo = Repo::new();
    let noise = |seed: u32| -> Vec<u8> {
        (0u32..25_000)
            .flat_map(|n| (n + seed).wrapping_mul(2_654_435_761).to_le_bytes())
            .collect()
    };
    // A megabyte that later commits do not need.
    for n in 0..10 {
        repo.write("noise", noise(n * 7_777_777));
        repo.commit();
    }
    repo.git(&["rm", "-q", "noise"]);
    let first = next(&repo, "one");
    let server = Server::start(repo.path());
    let remote = under(server.url(".git"), History::Descend, 0);
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &remote, &first).unwrap();
    let sent = || server.manners.sent.swap(0, Ordering::SeqCst);
    sent();
    settle(&shelf, &remote, &next(&repo, "two")).unwrap();
    let one = sent();
    assert!(one < 3_000, "{one} bytes for a commit whose parent is current");
    let far = many(&repo, 600);
    settle(&shelf, &remote, &far).unwrap();
    println!("{one} bytes for one commit, {} for six hundred", sent());
    // Also where what was fetched is gone meanwhile.
    std::fs::remove_dir_all(root.path().join("repository")).unwrap();
    let near = many(&repo, 20);
    settle(&shelf, &remote, &near).unwrap();
    let again = sent();
    assert!(again < 40_000, "{again} bytes for twenty commits");
    assert_eq!(shelf.state().unwrap().current, Some(near));
}

#[test]
fn a_commit_that_lost_most_files_is_refused_unless_it_is_ordered() {
    let repo = Repo::new();
    for n in 0..30 {
        repo.write(&format!("d{}/f{n}", n % 3), "x");
    }
    let full = repo.commit();
    let server = Server::start(repo.path());
    let remote = under(server.url(".git"), History::Any, 50);
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &remote, &full).unwrap();
    repo.git(&["rm", "-q", "-r", "d0"]);
    let most = repo.commit();
    settle(&shelf, &remote, &most).unwrap();
    repo.git(&["rm", "-q", "-r", "d1"]);
    repo.git(&["rm", "-q", "d2/f2"]);
    let few = repo.commit();
    for forgotten in [false, true] {
        if forgotten {
            std::fs::remove_dir_all(root.path().join("repository")).unwrap();
        }
        refused(
            &shelf,
            &remote,
            &few,
            "has 9 files where the current release has 20",
        );
    }
    settle(&shelf, &ordered(&remote, &few), &few).unwrap();
    // A small one may change altogether.
    repo.git(&["rm", "-q", "-r", "."]);
    settle(&shelf, &remote, &next(&repo, "alone")).unwrap();
}

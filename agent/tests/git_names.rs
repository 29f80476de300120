//! What is followed: a branch, a tag of either kind, a full name, or one commit; over every way to a repository.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use cartridge_agent::host::git::{self, GitError, Remote, Stop};
use cartridge_agent::host::shelf::Shelf;
use cartridge_protocol::CommitId;
use support::sshd::Sshd;
use support::{Repo, Server, remote, settle};
use tempfile::TempDir;

#[test]
fn branches_tags_full_names_and_commits_are_followed_over_http_ssh_and_files() {
    let repo = Repo::new();
    let commits: Vec<CommitId> = ["one", "two", "three", "four"]
        .iter()
        .map(|text| {
            repo.write("a", text);
            repo.commit()
        })
        .collect();
    let [one, two, three, four] = commits.as_slice() else {
        unreachable!()
    };
    repo.git(&["tag", "v1", one.as_str()]);
    repo.git(&["tag", "-a", "-m", "words", "v2", two.as_str()]);
    repo.git(&["tag", "-a", "-m", "of a tag", "v3", "v2"]);
    // A branch goes before a tag of the same name.
    repo.git(&["tag", "side", one.as_str()]);
    repo.git(&["branch", "side", three.as_str()]);
    let (server, sshd) = (Server::start(repo.path()), Sshd::start());
    let mut ways = vec![
        remote(server.url(".git")),
        remote(repo.file_url()),
        sshd.remote(repo.path(), sshd.port),
    ];
    for way in &mut ways {
        let named = |name: &str| Remote {
            branch: name.to_owned(),
            ..way.clone()
        };
        for (name, commit) in [
            ("main", four),
            ("v1", one),
            ("v2", two),
            ("v3", two),
            ("refs/tags/v2", two),
            ("refs/heads/main", four),
            ("side", three),
            ("refs/tags/side", one),
            (three.as_str(), three),
        ] {
            let stop = Stop::within(Duration::from_secs(20));
            let found = git::head(&named(name), &stop);
            assert_eq!(
                found.as_ref().ok(),
                Some(commit),
                "{name} at {}: {found:?}",
                way.url
            );
            let root = TempDir::new().unwrap();
            let shelf = Shelf::open(root.path()).unwrap();
            settle(&shelf, &named(name), commit)
                .unwrap_or_else(|error| panic!("{name} at {}: {error}", way.url));
            assert_eq!(
                repo.tree_of_folder(&shelf.current_path()),
                repo.tree_of_commit(commit)
            );
        }
        for name in ["nothing", "refs/tags/main", "heads/main", "HEAD^"] {
            let error = git::head(&named(name), &Stop::within(Duration::from_secs(20))).unwrap_err();
            assert!(
                matches!(error, GitError::UnknownBranch { .. }),
                "{name}: {error:?}"
            );
        }
    }
}

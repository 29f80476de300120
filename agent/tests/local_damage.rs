//! An application that writes into its release, as root and without asking, damages no other release: the next one
//! and the way back are the commit's bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use cartridge_agent::host::git::{Remote, Stop};
use cartridge_agent::host::shelf::Shelf;
use cartridge_agent_plan::release::{Move, ReleaseFiles, Wanted};
use cartridge_protocol::CommitId;
use support::Repo;
use tempfile::TempDir;

const NAMES: [&str; 5] = ["page", "folder/program", "folder/deep/data", "config", "unshared"];

fn remote(repo: &Repo) -> Remote {
    support::remote(repo.file_url())
}

/// Until nothing is left to do.
fn settle(shelf: &Shelf, repo: &Repo, commit: &CommitId, previous: Option<&CommitId>) {
    let wanted = Wanted {
        commit: Some(commit.clone()),
        previous: previous.cloned(),
        ..Wanted::default()
    };
    support::settle_to(shelf, &remote(repo), &wanted).unwrap();
}

/// Three commits in which all but one file are the same.
fn commits(repo: &Repo) -> [CommitId; 3] {
    for name in NAMES {
        repo.write(name, format!("content of {name}"));
    }
    let program = repo.path().join("folder/program");
    fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
    [1, 2, 3].map(|n| {
        repo.write("unshared", format!("{n}"));
        repo.commit()
    })
}

/// Writes into the file that is there, as its owner can: the name keeps its inode.
fn overwrite(file: &Path) {
    let before = fs::metadata(file).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    let mut open = OpenOptions::new().write(true).open(file).unwrap();
    open.write_all(b"DAMAGED").unwrap();
    drop(open);
    fs::set_permissions(file, before.permissions()).unwrap();
    assert_eq!(fs::metadata(file).unwrap().ino(), before.ino());
}

fn damage(release: &Path) {
    overwrite(&release.join("page"));
    overwrite(&release.join("folder/program"));
    overwrite(&release.join("folder/deep/data"));
}

fn is_the_commit(shelf: &Shelf, repo: &Repo, commit: &CommitId) {
    let folder = shelf.current_path();
    assert_eq!(repo.tree_of_folder(&folder), repo.tree_of_commit(commit));
    assert_eq!(
        fs::read_to_string(folder.join("page")).unwrap(),
        "content of page"
    );
}

fn share(one: &Path, two: &Path) -> bool {
    fs::metadata(one).unwrap().ino() == fs::metadata(two).unwrap().ino()
}

#[test]
fn the_way_back_leads_to_the_commits_bytes_whatever_was_written_through_shared_files() {
    let (repo, root) = (Repo::new(), TempDir::new().unwrap());
    let [one, two, _] = commits(&repo);
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &one, None);
    settle(&shelf, &repo, &two, Some(&one));
    let old = shelf.release_path(&one);
    assert!(share(&old.join("page"), &shelf.release_path(&two).join("page")));
    damage(&shelf.current_path());
    assert!(
        fs::read_to_string(old.join("page"))
            .unwrap()
            .starts_with("DAMAGED"),
        "the old release is hit, too: that is what this test is about"
    );
    fs::remove_file(old.join("config")).unwrap();
    fs::write(old.join("folder/litter"), "litter").unwrap();
    fs::set_permissions(&old, Permissions::from_mode(0o700)).unwrap();
    settle(&shelf, &repo, &one, Some(&two));
    is_the_commit(&shelf, &repo, &one);
    assert_eq!(fs::metadata(&old).unwrap().mode() & 0o7777, 0o755);
    // And forward again: the same files were damaged there.
    settle(&shelf, &repo, &two, Some(&one));
    is_the_commit(&shelf, &repo, &two);
}

#[test]
fn a_release_that_waits_is_right_when_its_time_comes() {
    let (repo, root) = (Repo::new(), TempDir::new().unwrap());
    let [one, two, _] = commits(&repo);
    let shelf = Shelf::open(root.path()).unwrap().with_fresh(Duration::ZERO);
    settle(&shelf, &repo, &one, None);
    let stop = Stop::within(Duration::from_secs(60));
    shelf
        .carry_out(&Move::Stage(two.clone()), &remote(&repo), &stop)
        .unwrap();
    damage(&shelf.current_path());
    settle(&shelf, &repo, &two, Some(&one));
    is_the_commit(&shelf, &repo, &two);
}

#[test]
fn damage_does_not_reach_the_next_release_nor_one_made_out_of_a_damaged_one() {
    let (repo, root) = (Repo::new(), TempDir::new().unwrap());
    let [one, two, three] = commits(&repo);
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &one, None);
    damage(&shelf.current_path());
    settle(&shelf, &repo, &two, Some(&one));
    is_the_commit(&shelf, &repo, &two);
    damage(&shelf.current_path());
    let stop = Stop::within(Duration::from_secs(60));
    let step = Move::Remake {
        old: one.clone(),
        new: three.clone(),
    };
    shelf.carry_out(&step, &remote(&repo), &stop).unwrap();
    settle(&shelf, &repo, &three, Some(&two));
    is_the_commit(&shelf, &repo, &three);
}

#[test]
fn releases_with_files_of_their_own_share_none() {
    for files in [ReleaseFiles::Own, ReleaseFiles::Writable] {
        let (repo, root) = (Repo::new(), TempDir::new().unwrap());
        let [one, two, three] = commits(&repo);
        // What an earlier life shared is not shared any longer.
        let shelf = Shelf::open(root.path()).unwrap();
        settle(&shelf, &repo, &one, None);
        settle(&shelf, &repo, &two, Some(&one));
        let shelf = shelf.with_files(files);
        settle(&shelf, &repo, &three, Some(&two));
        let [old, new] = [&two, &three].map(|c| shelf.release_path(c));
        for name in NAMES {
            assert!(!share(&old.join(name), &new.join(name)), "{name}, {files:?}");
        }
        let writable = fs::metadata(new.join("page")).unwrap().mode() & 0o200 != 0;
        assert_eq!(writable, files == ReleaseFiles::Writable);
        damage(&shelf.current_path());
        assert_eq!(fs::read_to_string(old.join("page")).unwrap(), "content of page");
        assert_eq!(repo.tree_of_folder(&old), repo.tree_of_commit(&two));
        settle(&shelf, &repo, &two, Some(&three));
        is_the_commit(&shelf, &repo, &two);
    }
}

#[test]
fn without_the_commits_objects_the_way_back_is_still_there() {
    let (repo, root) = (Repo::new(), TempDir::new().unwrap());
    let [one, two, _] = commits(&repo);
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &one, None);
    settle(&shelf, &repo, &two, Some(&one));
    // A repository of this machine that is gone, and a server's whose copy here is empty.
    for (to, url) in [(&one, "file:///nonexistent"), (&two, "http://127.0.0.1:1/x")] {
        let gone = Remote {
            url: url.into(),
            ..remote(&repo)
        };
        shelf
            .carry_out(&Move::Switch(to.clone()), &gone, &Stop::new())
            .unwrap();
        is_the_commit(&shelf, &repo, to);
    }
}

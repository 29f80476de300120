//! Disks that are full, have no inodes left, or may not be written to any more: the old release stays, what was begun
//! goes, and all is well again once there is room. Each file system is a real one, made for the test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod mounted;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cartridge_agent::host::shelf::{Shelf, ShelfError};
use cartridge_protocol::CommitId;
use cartridge_protocol::launch::key;
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts};
use harness::{desired, is_active, start};
use support::{Repo, remote};
use tempfile::TempDir;

/// Points at which a file system fills up, for each of its two limits.
const POINTS: usize = 250;
/// Files of a release.
const FILES: usize = 24;

fn settle(shelf: &Shelf, repo: &Repo, commit: &CommitId) -> Result<(), ShelfError> {
    support::settle(shelf, &remote(repo.file_url()), commit)
}

/// A commit that has no file in common with another.
fn commit(repo: &Repo, version: &str) -> CommitId {
    for number in 0..FILES {
        repo.write(&format!("{number}/page"), version.repeat(500 + number));
    }
    repo.commit()
}

fn two_commits(repo: &Repo) -> [CommitId; 2] {
    ["one", "two"].map(|version| commit(repo, version))
}

fn is_whole(repo: &Repo, shelf: &Shelf, commit: &CommitId) {
    assert_eq!(shelf.state().unwrap().current.as_ref(), Some(commit));
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(commit)
    );
}

/// Free blocks of 4 KiB, and free inodes.
fn free(folder: &Path) -> (usize, usize) {
    let stat = nix::sys::statvfs::statvfs(folder).unwrap();
    let bytes = stat.blocks_free() * stat.fragment_size();
    (
        usize::try_from(bytes / 4096).unwrap(),
        usize::try_from(stat.files_free()).unwrap(),
    )
}

/// Leaves room for so many blocks or inodes; tells how to give the rest back.
fn fill(root: &Path, blocks: Option<usize>, inodes: Option<usize>) -> PathBuf {
    let filler = root.join("filler");
    fs::create_dir(&filler).unwrap();
    if let Some(left) = blocks {
        let taken = free(root).0.saturating_sub(left + 1);
        fs::write(filler.join("blocks"), vec![1; taken * 4096]).unwrap();
    }
    if let Some(left) = inodes {
        for number in 0..free(root).1.saturating_sub(left) {
            fs::write(filler.join(number.to_string()), "").unwrap();
        }
    }
    filler
}

#[test]
fn whenever_a_disk_runs_full_the_old_release_stays_whole_and_the_next_try_with_room_succeeds() {
    let dir = TempDir::new().unwrap();
    mounted::run(
        "on_a_small_disk",
        dir.path(),
        "mount -t tmpfs -o size=4m,nr_inodes=700 tmpfs",
    );
}

#[test]
#[ignore = "is run by the test above, where a file system is mounted"]
fn on_a_small_disk() {
    let root = mounted::here();
    let repo = Repo::new();
    let [one, two] = two_commits(&repo);
    let mut failed = [0, 0];
    for (kind, failures) in failed.iter_mut().enumerate() {
        // From nothing at all to more than is needed.
        for point in 0..POINTS {
            let place = root.join("shelf");
            let _ = fs::remove_dir_all(&place);
            let shelf = Shelf::open(&place).unwrap();
            settle(&shelf, &repo, &one).unwrap();
            let (left, spare) = if kind == 0 {
                (point / 2, None)
            } else {
                (usize::MAX, Some(point / 2))
            };
            let filler = fill(&root, (kind == 0).then_some(left), spare);
            match settle(&shelf, &repo, &two) {
                Ok(()) => is_whole(&repo, &shelf, &two),
                Err(error) => {
                    *failures += 1;
                    assert!(
                        !error.is_refusal(),
                        "a full disk is no fault of the commit: {error}"
                    );
                    is_whole(&repo, &shelf, &one);
                }
            }
            fs::remove_dir_all(&filler).unwrap();
            settle(&shelf, &repo, &two).unwrap();
            is_whole(&repo, &shelf, &two);
            assert_eq!(shelf.state().unwrap().parts.len(), 0, "what was begun is gone");
        }
    }
    println!("{failed:?} of {POINTS} each failed for want of blocks and of inodes");
    assert!(
        failed.iter().all(|n| (5..POINTS).contains(n)),
        "{failed:?}: the points miss the edge"
    );
}

#[test]
fn what_an_application_left_in_a_release_makes_room_for_what_it_took_away() {
    let dir = TempDir::new().unwrap();
    mounted::run(
        "on_a_disk_full_of_litter",
        dir.path(),
        "mount -t tmpfs -o size=4m tmpfs",
    );
}

#[test]
#[ignore = "is run by the test above, where a file system is mounted"]
fn on_a_disk_full_of_litter() {
    /// Blocks that are free beside the litter, and of the file that is gone.
    const ROOM: usize = 40;
    const NEEDED: usize = 80;
    let root = mounted::here();
    let repo = Repo::new();
    repo.write("large", "l".repeat(NEEDED * 4096));
    let [one, two] = two_commits(&repo);
    let shelf = Shelf::open(&root.join("shelf")).unwrap();
    settle(&shelf, &repo, &one).unwrap();
    // As many names as before, and more than before.
    for names in [1, 2] {
        settle(&shelf, &repo, &two).unwrap();
        let old = shelf.release_path(&one);
        fs::remove_file(old.join("large")).unwrap();
        fs::remove_file(shelf.current_path().join("large")).unwrap();
        for name in 0..names {
            let bytes = vec![1; (free(&root).0 - ROOM) / (names - name) * 4096];
            fs::write(old.join(format!("litter{name}")), bytes).unwrap();
        }
        assert!(free(&root).0 < NEEDED, "there would be room anyway");
        settle(&shelf, &repo, &one).unwrap();
        is_whole(&repo, &shelf, &one);
    }
}

fn remount(folder: &Path, how: &str) {
    let done = Command::new("mount")
        .args(["-o", how])
        .arg(folder)
        .status()
        .unwrap();
    assert!(done.success(), "{how}");
}

#[test]
fn a_disk_that_may_not_be_written_to_any_more_is_named_and_used_again_when_it_may() {
    let dir = TempDir::new().unwrap();
    mounted::run(
        "on_a_disk_that_is_locked",
        dir.path(),
        "mount -t tmpfs -o size=16m tmpfs",
    );
}

#[test]
#[ignore = "is run by the test above, where a file system is mounted"]
fn on_a_disk_that_is_locked() {
    let root = mounted::here();
    let repo = Repo::new();
    let [one, two] = two_commits(&repo);
    let place = root.join("shelf");
    let shelf = Shelf::open(&place).unwrap();
    settle(&shelf, &repo, &one).unwrap();
    // A kernel locks a broken disk under open files; a person cannot, so the shelf is opened anew.
    drop(shelf);
    remount(&root, "remount,ro");
    let tried = Shelf::open(&place).and_then(|shelf| settle(&shelf, &repo, &two));
    let error = tried.expect_err("it was written to").to_string();
    assert!(error.contains("Read-only file system"), "{error}");
    let current = place.join("current");
    assert_eq!(repo.tree_of_folder(&current), repo.tree_of_commit(&one));
    remount(&root, "remount,rw");
    let shelf = support::open_again(&place);
    is_whole(&repo, &shelf, &one);
    settle(&shelf, &repo, &two).unwrap();
    is_whole(&repo, &shelf, &two);
}

fn serving(repo: &Repo, commit: &CommitId) -> Desired {
    Desired {
        artifacts: Some(DesiredArtifacts {
            url: repo.file_url(),
            branch: "main".to_owned(),
            commit: Some(commit.clone()),
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

fn serves(commit: &CommitId) -> impl Fn(&Batch) -> bool {
    move |b| is_active(b) && b.status.release.as_ref() == Some(commit)
}

#[test]
fn a_member_whose_disk_is_full_serves_on_and_has_the_new_release_soon_after_there_is_room() {
    let dir = TempDir::new().unwrap();
    mounted::run(
        "in_a_member_with_a_small_disk",
        dir.path(),
        "mount -t tmpfs -o size=4m tmpfs",
    );
}

#[test]
#[ignore = "is run by the test above, where a file system is mounted"]
fn in_a_member_with_a_small_disk() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let root = mounted::here();
        let repo = Repo::new();
        let one = commit(&repo, "one");
        let state = root.join("state");
        let member = start(serving(&repo, &one), |_, launch| {
            launch.set("CARTRIDGE_STATE_DIR", state.to_str().unwrap());
            launch.set(key::ALLOW_FILE_REPOSITORIES, "true");
        })
        .await;
        let fake = member.fake.clone();
        let at = fake.hear(0, "the first release", serves(&one)).await;
        let filler = fill(&root, Some(0), None);
        // Only now: what is there before is fetched ahead.
        let two = commit(&repo, "two");
        fake.want(|wanted| wanted.artifacts.as_mut().unwrap().commit = Some(two.clone()));
        let told = |b: &Batch| {
            b.notices
                .iter()
                .any(|notice| notice.text.contains("No space left"))
        };
        let at = fake.hear(at, "what is wrong", told).await;
        // It measures, tells and serves on.
        let at = fake
            .hear(at + 3, "a sample", |b| is_active(b) && b.sample.is_some())
            .await;
        assert!(member.application() > 0);
        fs::remove_dir_all(&filler).unwrap();
        let room = Instant::now();
        fake.hear(at, "the second release", serves(&two)).await;
        let took = room.elapsed();
        println!("{took:?} after there was room");
        assert!(took < Duration::from_secs(10), "{took:?}");
        let same = fake.batches().iter().all(|b| b.status.restarts == 0);
        assert!(same, "the full disk ended the application");
    });
}

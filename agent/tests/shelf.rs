//! What the shelf writes to a disk, and what it makes of a disk that somebody changed.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use cartridge_agent::host::git::{Remote, Stop};
use cartridge_agent::host::shelf::{Shelf, ShelfError};
use cartridge_agent_plan::release::{self, Move, ShelfState, Wanted};
use cartridge_protocol::CommitId;
use support::{Repo, Server};
use tempfile::TempDir;

fn remote(repo: &Repo) -> Remote {
    support::remote(repo.file_url())
}

fn try_settle(shelf: &Shelf, repo: &Repo, wanted: &Wanted) -> Result<ShelfState, ShelfError> {
    try_settle_from(shelf, &remote(repo), wanted)
}

fn try_settle_from(shelf: &Shelf, remote: &Remote, wanted: &Wanted) -> Result<ShelfState, ShelfError> {
    loop {
        let state = shelf.state()?;
        match release::next(&state, wanted) {
            Move::Nothing => return Ok(state),
            step => shelf.carry_out(&step, remote, &Stop::within(Duration::from_secs(60)))?,
        }
    }
}

fn settle(shelf: &Shelf, repo: &Repo, commit: &CommitId) -> ShelfState {
    let wanted = Wanted {
        commit: Some(commit.clone()),
        ..Wanted::default()
    };
    try_settle(shelf, repo, &wanted).expect("a settled shelf")
}

fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).expect("a file").ino()
}

#[test]
fn unchanged_files_are_shared_and_changed_ones_are_not() {
    let repo = Repo::new();
    repo.write("same/deep/file", "same");
    repo.write("script", "#!/bin/sh\n");
    repo.write("changed", "one");
    let one = repo.commit();
    repo.write("changed", "two");
    std::fs::set_permissions(repo.path().join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let two = repo.commit();
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &one);
    settle(&shelf, &repo, &two);
    let (old, new) = (shelf.release_path(&one), shelf.release_path(&two));
    assert_eq!(
        inode(&old.join("same/deep/file")),
        inode(&new.join("same/deep/file"))
    );
    for different in ["script", "changed"] {
        assert_ne!(
            inode(&old.join(different)),
            inode(&new.join(different)),
            "{different}"
        );
    }
    assert_eq!(new.join("script").metadata().unwrap().mode() & 0o7777, 0o555);
    assert_eq!(old.join("script").metadata().unwrap().mode() & 0o7777, 0o444);
    for commit in [one, two] {
        assert_eq!(
            repo.tree_of_folder(&shelf.release_path(&commit)),
            repo.tree_of_commit(&commit)
        );
    }
}

/// What [`what_an_application_did_to_an_old_release_is_gone_when_another_is_made_out_of_it`] starts from.
fn three_releases(repo: &Repo) -> [CommitId; 4] {
    for name in [
        "overwritten",
        "replaced",
        "removed",
        "relinked",
        "folder/x",
        "folder/deep/y",
        "same",
    ] {
        repo.write(name, format!("content of {name}"));
    }
    std::os::unix::fs::symlink("same", repo.path().join("link")).expect("a file system that works");
    [1, 2, 3, 4].map(|n| {
        repo.write("changing/number", format!("{n}"));
        repo.write(&format!("only-in-{n}"), format!("{n}"));
        if n > 1 {
            std::fs::remove_file(repo.path().join(format!("only-in-{}", n - 1)))
                .expect("a file system that works");
        }
        if n == 4 {
            // From a folder to a file, and the other way round.
            std::fs::remove_dir_all(repo.path().join("folder/deep")).expect("a file system that works");
            repo.write("folder/deep", "a file now");
            std::fs::remove_file(repo.path().join("same")).expect("a file system that works");
            repo.write("same/inner", "a folder now");
        }
        repo.commit()
    })
}

#[test]
fn what_an_application_did_to_an_old_release_is_gone_when_another_is_made_out_of_it() {
    let repo = Repo::new();
    let [one, two, three, four] = three_releases(&repo);
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    let mut inodes = Vec::new();
    for (commit, previous) in [(&one, None), (&two, Some(&one)), (&three, Some(&two))] {
        let wanted = Wanted {
            commit: Some(commit.clone()),
            previous: previous.cloned(),
            ..Wanted::default()
        };
        let state = try_settle(&shelf, &repo, &wanted).unwrap();
        assert!(state.whole.contains(&one), "{state:?}");
        inodes.push(inode(&shelf.release_path(commit).join("folder")));
    }
    let old = shelf.release_path(&one);
    let overwritten = old.join("overwritten");
    std::fs::set_permissions(&overwritten, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&overwritten, "content of OVERWRITTEN").unwrap();
    std::fs::set_permissions(&overwritten, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::remove_file(old.join("replaced")).unwrap();
    std::fs::write(old.join("replaced"), "content of REPLACED").unwrap();
    std::fs::remove_file(old.join("removed")).unwrap();
    std::fs::remove_file(old.join("relinked")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", old.join("relinked")).unwrap();
    std::fs::remove_file(old.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", old.join("link")).unwrap();
    std::fs::create_dir_all(old.join("litter/deep")).unwrap();
    std::fs::write(old.join("litter/deep/file"), "litter").unwrap();
    std::fs::write(old.join("folder/litter"), "litter").unwrap();
    std::fs::set_permissions(old.join("folder"), std::fs::Permissions::from_mode(0o700)).unwrap();

    let step = Move::Remake {
        old: one.clone(),
        new: four.clone(),
    };
    let stop = Stop::within(Duration::from_secs(60));
    shelf.carry_out(&step, &remote(&repo), &stop).unwrap();
    let state = shelf.state().unwrap();
    assert_eq!(
        state.whole,
        [two.clone(), three.clone(), four.clone()],
        "oldest first"
    );
    assert!(state.parts.is_empty() && !old.exists());
    assert_eq!(
        inode(&shelf.release_path(&four).join("folder")),
        inodes[0],
        "nothing was saved"
    );
    let folder = shelf.release_path(&four);
    assert_eq!(repo.tree_of_folder(&folder), repo.tree_of_commit(&four));
    assert_eq!(folder.join("folder").metadata().unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn the_current_release_is_never_made_into_another() {
    let repo = Repo::new();
    let [one, two, ..] = three_releases(&repo);
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &one);
    let step = Move::Remake {
        old: one.clone(),
        new: two,
    };
    let made = shelf.carry_out(&step, &remote(&repo), &Stop::within(Duration::from_secs(60)));
    assert!(matches!(made, Err(ShelfError::IsCurrent(_))));
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(&one)
    );
}

#[test]
fn what_an_application_did_to_its_release_does_not_spread_to_the_next() {
    let repo = Repo::new();
    for name in [
        "overwritten",
        "replaced",
        "removed",
        "relinked",
        "folder/x",
        "untouched",
    ] {
        repo.write(name, format!("content of {name}"));
    }
    let one = repo.commit();
    repo.write("new", "new");
    let two = repo.commit();
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &one);
    let live = shelf.current_path();
    let overwritten = live.join("overwritten");
    std::fs::set_permissions(&overwritten, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&overwritten, "content of OVERWRITTEN").unwrap();
    std::fs::set_permissions(&overwritten, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::remove_file(live.join("replaced")).unwrap();
    std::fs::write(live.join("replaced"), "content of REPLACED").unwrap();
    std::fs::remove_file(live.join("removed")).unwrap();
    std::fs::remove_file(live.join("relinked")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", live.join("relinked")).unwrap();
    std::fs::remove_dir_all(live.join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc", live.join("folder")).unwrap();
    std::fs::write(live.join("litter"), "litter").unwrap();
    settle(&shelf, &repo, &two);
    assert_eq!(repo.tree_of_folder(&live), repo.tree_of_commit(&two));
    assert!(!live.join("litter").exists());
}

#[test]
fn links_within_the_commit_work_and_submodules_are_left_out() {
    let repo = Repo::new();
    let blob = repo.blob(b"text");
    let (up, down) = (repo.blob(b"../file"), repo.blob(b"folder/link"));
    let folder = repo.tree(&[("120000", b"link", &up)]);
    let gitlink = "1".repeat(40);
    let tree = repo.tree(&[
        ("100644", b"file", &blob),
        ("40000", b"folder", &folder),
        ("160000", b"module", &gitlink),
        ("120000", b"way", &down),
    ]);
    let commit = repo.commit_tree(&tree);
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &commit);
    assert_eq!(
        std::fs::read_to_string(shelf.current_path().join("way")).unwrap(),
        "text"
    );
    assert!(!shelf.current_path().join("module").exists());
}

#[test]
fn a_damaged_local_repository_is_thrown_away_and_fetched_anew() {
    let repo = Repo::new();
    repo.write("a", "one");
    let one = repo.commit();
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    let server = Server::start(repo.path());
    let remote = support::remote(server.url(".git"));
    let wanted = |commit: &CommitId| Wanted {
        commit: Some(commit.clone()),
        keep: 0,
        ..Wanted::default()
    };
    try_settle_from(&shelf, &remote, &wanted(&one)).unwrap();
    repo.write("a", "two");
    let two = repo.commit();
    for damage in ["HEAD", "config", "objects", "refs"] {
        let path = root.path().join("repository").join(damage);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap()
        } else {
            std::fs::write(&path, "\0[[[").unwrap()
        }
        let tries: Vec<String> = (0..3)
            .map_while(|_| {
                try_settle_from(&shelf, &remote, &wanted(&two))
                    .err()
                    .map(|error| error.to_string())
            })
            .collect();
        let settled = tries.len() < 3;
        assert!(settled, "never recovers from a damaged {damage}: {tries:?}");
        assert_eq!(
            repo.tree_of_folder(&shelf.current_path()),
            repo.tree_of_commit(&two)
        );
        try_settle_from(&shelf, &remote, &wanted(&one)).unwrap();
    }
}

#[test]
fn whatever_was_done_to_the_disk_the_shelf_settles() {
    let repo = Repo::new();
    repo.write("a", "one");
    let one = repo.commit();
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &one);
    std::os::unix::fs::symlink("nowhere", root.path().join(".current.new")).unwrap();
    let part = root.path().join(format!("releases/{}.part", "1".repeat(40)));
    std::fs::create_dir_all(part.join("deep")).unwrap();
    std::fs::remove_file(shelf.current_path()).unwrap();
    std::os::unix::fs::symlink("releases/nowhere", shelf.current_path()).unwrap();
    std::fs::write(root.path().join("releases/note"), "not ours").unwrap();
    let state = settle(&shelf, &repo, &one);
    assert_eq!(
        state,
        ShelfState {
            current: Some(one.clone()),
            whole: vec![one],
            ..ShelfState::default()
        }
    );
    assert!(root.path().join("releases/note").exists());
}

#[test]
fn orders_that_would_do_harm_are_refused() {
    let repo = Repo::new();
    repo.write("a", "one");
    let one = repo.commit();
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &repo, &one);
    let none = CommitId::new("1".repeat(40)).unwrap();
    let run = |step: Move| shelf.carry_out(&step, &remote(&repo), &Stop::new());
    assert!(matches!(
        run(Move::Prune(one.clone())),
        Err(ShelfError::IsCurrent(_))
    ));
    assert!(matches!(run(Move::Switch(none)), Err(ShelfError::NotWhole(_))));
    assert!(matches!(Shelf::open(root.path()), Err(ShelfError::InUse(_))));
    assert_eq!(shelf.state().unwrap().current, Some(one));
}

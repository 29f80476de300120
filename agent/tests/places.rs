//! Files appear exactly where an existing cartridge expects them, whatever lies there before, and go again without a
//! trace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mounted;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cartridge_agent::host::shelf::{Place, Shelf, ShelfError};
use cartridge_agent_plan::layout::Existing;
use cartridge_protocol::CommitId;
use support::Repo;
use tempfile::TempDir;

struct Scene {
    repo: Repo,
    dir: TempDir,
    path: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("var/www");
        let repo = Repo::new();
        repo.write("index.php", "one");
        repo.write("lib/code.php", "one");
        Self { repo, dir, path }
    }

    fn shelf(&self, existing: Existing) -> Shelf {
        let path = self.path.clone();
        support::open_again(&self.dir.path().join("state/shelf")).with_place(Place { path, existing })
    }

    fn settle(&self, shelf: &Shelf, commit: &CommitId) -> Result<(), ShelfError> {
        support::settle(shelf, &support::remote(self.repo.file_url()), commit)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// A commit in which one name is gone and another new.
    fn second(&self) -> CommitId {
        self.repo.write("index.php", "two");
        self.repo.write("more/page", "two");
        fs::remove_dir_all(self.repo.path().join("lib")).unwrap();
        self.repo.commit()
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|m| m.is_symlink())
}

#[test]
fn an_absent_or_empty_path_becomes_a_link_and_the_files_are_exactly_there() {
    for make in [false, true] {
        let scene = Scene::new();
        if make {
            fs::create_dir_all(&scene.path).unwrap();
        }
        let one = scene.repo.commit();
        let shelf = scene.shelf(Existing::Refuse);
        scene.settle(&shelf, &one).unwrap();
        assert_eq!(scene.read("index.php"), "one");
        assert!(is_link(&scene.path));
        let two = scene.second();
        scene.settle(&shelf, &two).unwrap();
        assert_eq!(scene.read("index.php"), "two");
        assert!(!scene.path.join("lib").exists());
        // What somebody removed stands again with the next look.
        fs::remove_file(&scene.path).unwrap();
        scene.settle(&shelf, &two).unwrap();
        assert_eq!(scene.read("more/page"), "two");
        shelf.vacate().unwrap();
        assert!(!is_link(&scene.path) && !scene.dir.path().join("state/shelf").exists());
    }
}

#[test]
fn what_is_there_stays_beside_the_release_and_comes_back_when_it_goes() {
    let scene = Scene::new();
    for (name, content) in [
        ("manager/app", "theirs"),
        ("index.php", "theirs"),
        ("lib/own", "theirs"),
    ] {
        let path = scene.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let one = scene.repo.commit();
    let shelf = scene.shelf(Existing::Beside);
    scene.settle(&shelf, &one).unwrap();
    assert_eq!(
        (scene.read("index.php"), scene.read("lib/code.php")),
        ("one".into(), "one".into())
    );
    assert_eq!(scene.read("manager/app"), "theirs");
    let backup = scene.dir.path().join("var/www_backup");
    assert_eq!(fs::read_to_string(backup.join("index.php")).unwrap(), "theirs");
    assert_eq!(fs::read_to_string(backup.join("lib/own")).unwrap(), "theirs");
    // The application makes a file of its own, and the next release has other names.
    fs::write(scene.path.join("upload"), "new").unwrap();
    let two = scene.second();
    scene.settle(&shelf, &two).unwrap();
    assert_eq!(
        (
            scene.read("index.php"),
            scene.read("more/page"),
            scene.read("upload")
        ),
        ("two".into(), "two".into(), "new".into())
    );
    assert!(!is_link(&scene.path.join("lib")));
    // A life later all is as it should be, and nothing is to be done.
    drop(shelf);
    let shelf = scene.shelf(Existing::Beside);
    assert!(!shelf.state().unwrap().misplaced);
    scene.settle(&shelf, &one).unwrap();
    assert_eq!(scene.read("lib/code.php"), "one");
    shelf.vacate().unwrap();
    assert_eq!(
        (
            scene.read("index.php"),
            scene.read("lib/own"),
            scene.read("manager/app")
        ),
        ("theirs".into(), "theirs".into(), "theirs".into())
    );
    assert!(!backup.exists() && scene.path.join("upload").exists());
}

#[test]
fn content_is_backed_up_where_that_is_wished_and_restored_when_the_files_go() {
    let scene = Scene::new();
    fs::create_dir_all(&scene.path).unwrap();
    fs::write(scene.path.join("index.php"), "theirs").unwrap();
    let one = scene.repo.commit();
    let shelf = scene.shelf(Existing::Backup);
    scene.settle(&shelf, &one).unwrap();
    assert!(is_link(&scene.path));
    let backup = scene.dir.path().join("var/www_backup/index.php");
    assert_eq!(fs::read_to_string(&backup).unwrap(), "theirs");
    shelf.vacate().unwrap();
    assert_eq!(scene.read("index.php"), "theirs");
    assert!(!backup.exists() && !is_link(&scene.path));
}

#[test]
fn what_nobody_but_a_person_can_decide_is_refused_in_clear_words_and_nothing_is_touched() {
    let scene = Scene::new();
    let one = scene.repo.commit();
    let refused = |existing| {
        let shelf = scene.shelf(existing);
        let why = scene.settle(&shelf, &one).unwrap_err();
        assert!(matches!(why, ShelfError::Place { .. }), "{why}");
        assert_eq!(
            shelf.state().unwrap().current,
            None,
            "it became current all the same"
        );
        why.to_string()
    };
    fs::create_dir_all(&scene.path).unwrap();
    fs::write(scene.path.join("theirs"), "theirs").unwrap();
    let why = refused(Existing::Refuse);
    assert!(why.contains("var/www: it holds files already") && why.contains("--existing-files"));
    assert_eq!(scene.read("theirs"), "theirs");
    fs::remove_dir_all(&scene.path).unwrap();
    fs::write(&scene.path, "a file").unwrap();
    assert!(refused(Existing::Backup).contains("is not a folder"));
    fs::remove_file(&scene.path).unwrap();
    // Another member of the same machine has this path.
    let other = TempDir::new().unwrap();
    symlink(other.path(), &scene.path).unwrap();
    let why = refused(Existing::Beside);
    assert!(
        why.contains("is a link to") && why.contains("a path of its own"),
        "{why}"
    );
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    // And once the person has decided, it goes on.
    fs::remove_file(&scene.path).unwrap();
    scene.settle(&scene.shelf(Existing::Refuse), &one).unwrap();
    assert_eq!(scene.read("index.php"), "one");
}

#[test]
fn a_mount_point_becomes_a_folder_of_links() {
    let dir = TempDir::new().unwrap();
    mounted::run("on_a_mount_point", dir.path(), "mount -t tmpfs -o size=16m tmpfs");
}

#[test]
#[ignore = "is run by the test above, where a file system is mounted"]
fn on_a_mount_point() {
    let scene = Scene {
        path: mounted::here(),
        ..Scene::new()
    };
    let one = scene.repo.commit();
    let shelf = scene.shelf(Existing::Refuse);
    scene.settle(&shelf, &one).unwrap();
    assert_eq!(scene.read("lib/code.php"), "one");
    assert!(!is_link(&scene.path) && is_link(&scene.path.join("lib")));
    let two = scene.second();
    scene.settle(&shelf, &two).unwrap();
    assert_eq!(scene.read("more/page"), "two");
    assert!(!scene.path.join("lib").exists() && !is_link(&scene.path.join("lib")));
    shelf.vacate().unwrap();
    assert_eq!(fs::read_dir(&scene.path).unwrap().count(), 0);
}

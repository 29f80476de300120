//! A disk that fails (row 16 of the fault matrix): the system calls of a process that brings a release are answered with
//! an input/output error, each in its turn and many in a row, by `strace`.
//!
//! Whatever fails, what is visible is exactly one whole commit (S15), what is called whole is whole, nobody says that it
//! worked unless it did, and the next try on a sound disk succeeds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use cartridge_agent::host::shelf::Shelf;
use cartridge_protocol::CommitId;
use support::{Repo, id};
use tempfile::TempDir;

/// The calls that reach a disk; not `close`, which would not be made at all, where a disk's error leaves it made.
const CALLS: [&str; 15] = [
    "fsync,fdatasync,syncfs",
    "openat,openat2",
    "read,pread64",
    "write,pwrite64",
    "renameat,renameat2,rename",
    "linkat,symlinkat",
    "mkdirat,mkdir",
    "unlinkat,unlink,rmdir",
    "getdents64",
    "statx,fstat,newfstatat",
    "fchmod,fchmodat,chmod,fchown,fchownat",
    "utimensat,ftruncate",
    "mmap",
    "flock,fcntl",
    "copy_file_range,sendfile,fallocate",
];
/// How the child says what became of it, without writing anything.
const CAME: i32 = 77;
const REFUSED: i32 = 78;
/// Every call fails once, one in each run, until there is none that has not; more of one sort than these are not tried.
const MOST: usize = 200;
/// Errors again and again: from the first on, with so many calls in between.
const AGAIN: [(usize, usize); 6] = [(2, 2), (5, 3), (1, 7), (9, 11), (20, 29), (50, 61)];

/// Not a test of its own: the process whose disk fails.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "its exit code is all that a process can say whose disk fails"
)]
fn child() {
    let Ok(root) = std::env::var("ERRORS_ROOT") else {
        return;
    };
    let var = |name: &str| std::env::var(name).expect("set by the test");
    support::use_the_agent();
    let came = Shelf::open(Path::new(&root)).and_then(|shelf| {
        support::settle(
            &shelf,
            &support::remote(var("ERRORS_URL")),
            &id(&var("ERRORS_TO")),
        )
    });
    std::process::exit(if came.is_ok() { CAME } else { REFUSED });
}

fn child_of(program: &str, root: &Path, repo: &Repo, to: &CommitId) -> Command {
    let mut command = Command::new(program);
    command
        .env("ERRORS_ROOT", root)
        .env("ERRORS_URL", repo.file_url())
        .env("ERRORS_TO", to.as_str());
    command
}

fn sound(root: &Path, repo: &Repo, to: &CommitId) {
    let me = std::env::current_exe().unwrap();
    let done = child_of(me.to_str().unwrap(), root, repo, to)
        .args(["--exact", "child", "--quiet"])
        .output()
        .unwrap();
    assert_eq!(
        done.status.code(),
        Some(CAME),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

/// What is there now is whole; returns what is current.
fn whole(root: &Path, repo: &Repo, what: &str) -> CommitId {
    for entry in std::fs::read_dir(root.join("releases")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !name.contains(".part") {
            let tree = repo.tree_of_commit(&id(&name));
            assert_eq!(
                repo.tree_of_folder(&entry.path()),
                tree,
                "{name} is torn after {what}"
            );
        }
    }
    let target = std::fs::read_link(root.join("current")).expect("there is always a current release");
    id(target.file_name().unwrap().to_str().unwrap())
}

/// Two commits that differ in some files, and a shelf that has the first.
struct Before {
    repo: Repo,
    shelf: TempDir,
    old: CommitId,
    new: CommitId,
}

impl Before {
    fn new() -> Self {
        let repo = Repo::new();
        let commit = |text: &str| {
            for n in 0..6 {
                let text = if n < 3 { text } else { "same" };
                repo.write(&format!("folder-{}/file-{n}", n % 2), text.repeat(3000));
            }
            repo.commit()
        };
        let (old, new) = (commit("one"), commit("two"));
        let shelf = TempDir::new().unwrap();
        sound(shelf.path(), &repo, &old);
        Self {
            repo,
            shelf,
            old,
            new,
        }
    }

    /// Brings the second with such errors; returns how many there were.
    fn row(&self, calls: &str, when: &str) -> usize {
        let folder = TempDir::new().unwrap();
        let root = folder.path().join("shelf");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(self.shelf.path())
            .arg(&root)
            .status()
            .unwrap();
        assert!(copied.success());
        let told = folder.path().join("told");
        let what = format!("{calls} {when}");
        let done = child_of("timeout", &root, &self.repo, &self.new)
            .args(["60", "strace", "-f", "-qq", "-o", told.to_str().unwrap()])
            .args(["-e", "signal=none", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error=EIO:when={when}")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--quiet"])
            .output()
            .unwrap();
        let current = whole(&root, &self.repo, &what);
        if done.status.code() == Some(CAME) {
            assert_eq!(current, self.new, "it says that it worked, after {what}");
        } else {
            assert!(
                [&self.old, &self.new].contains(&&current),
                "{current} after {what}"
            );
        }
        sound(&root, &self.repo, &self.new);
        assert_eq!(whole(&root, &self.repo, &what), self.new);
        let state = Shelf::open(&root).unwrap().state().unwrap();
        assert!(
            state.parts.is_empty() && !state.leftover_link,
            "left behind after {what}: {state:?}"
        );
        let told = std::fs::read_to_string(told).unwrap_or_default();
        told.matches("(INJECTED)").count()
    }
}

#[test]
fn whichever_call_a_disk_fails_one_whole_commit_is_visible_and_the_next_try_succeeds() {
    let before = Before::new();
    let (next, errors, runs) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let count = |came: usize| {
        errors.fetch_add(came, Ordering::SeqCst);
        runs.fetch_add(usize::from(came > 0), Ordering::SeqCst);
        came
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some(calls) = CALLS.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let last = (1..MOST).find(|n| count(before.row(calls, &n.to_string())) == 0);
                    println!("{calls}: {last:?} is one too many");
                    for (first, step) in AGAIN {
                        count(before.row(calls, &format!("{first}+{step}")));
                    }
                }
            });
        }
    });
    let (errors, runs) = (errors.into_inner(), runs.into_inner());
    println!("{errors} errors in {runs} runs");
    assert!(errors > 300, "only {errors} errors");
}

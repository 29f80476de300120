//! Finds out, once and by trying, in which cgroup trees members may have cgroups of their own. Refuses to know members.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use cartridge_protocol::cgroup::{Tree, Version, trees};
use nix::errno::Errno;

/// Version 1 trees of use: what the agent measures, what bounds tasks, and what holds still while being ended.
const OF_USE: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "freezer"];
/// Version 2 controllers of use.
const PASSED_DOWN: [&str; 3] = ["cpu", "memory", "pids"];

const REMOVAL_TRIES: u32 = 1000;

/// In each tree where it is allowed, the cgroup below which ours may lie; and a line for people.
pub(super) fn bases(name: &str) -> (Vec<PathBuf>, String) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let trees = trees(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    let of_use = |tree: &&Tree| tree.version == Version::V2 || OF_USE.iter().any(|name| tree.has(name));
    let (mut bases, mut told, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for tree in trees.iter().filter(of_use) {
        let base = base(tree);
        match try_out(&base, name) {
            Ok(controllers) => {
                bases.push(base);
                told.push(describe(tree, &controllers));
            }
            Err(e) => refused.push(format!("{}: {e}", base.display())),
        }
    }
    (bases, sentence(&told, &refused))
}

fn describe(tree: &Tree, controllers: &str) -> String {
    match tree.version {
        Version::V1 => tree.controllers.join(","),
        Version::V2 if controllers.is_empty() => "version 2 without controllers".to_owned(),
        Version::V2 => format!("version 2 with {controllers}"),
    }
}

fn sentence(told: &[String], refused: &[String]) -> String {
    let why = match refused {
        [] => String::new(),
        refused => format!(" (refused: {})", refused.join("; ")),
    };
    if told.is_empty() {
        format!(
            "members of provider `process` share the orchestrator's cgroup: none of their own can be made{why}"
        )
    } else {
        let trees = told.join(", ");
        format!("each member of provider `process` gets a cgroup of its own: {trees}{why}")
    }
}

/// The orchestrator's own cgroup; or the one above where a service manager put the orchestrator into a part of what it
/// was given (systemd's `DelegateSubgroup=`): only there can controllers be passed down to members.
fn base(tree: &Tree) -> PathBuf {
    let own = PathBuf::from(&tree.folder);
    let given = |above: &&Path| tree.version == Version::V2 && tree.folder != tree.mount && is_given(above);
    let above = own.parent().filter(given).map(Path::to_owned);
    above.unwrap_or(own)
}

/// systemd marks what it gives away.
fn is_given(folder: &Path) -> bool {
    let Ok(path) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else {
        return false;
    };
    [c"user.delegate", c"trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        // SAFETY: two texts that end with zero, and a buffer of the length that is passed.
        let count = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), 1) };
        count == 1 && value == *b"1"
    })
}

/// Makes a cgroup, lets a process enter it, and removes it again. Returns the controllers of version 2 there.
fn try_out(base: &Path, name: &str) -> std::io::Result<String> {
    let all = base.join(name);
    super::make_folder(&all)?;
    pass_down(&all);
    let trial = all.join("trial");
    let tried = super::make_folder(&trial).and_then(|()| enter(&trial));
    let controllers = std::fs::read_to_string(trial.join("cgroup.controllers")).unwrap_or_default();
    // Whoever entered is gone and reaped; the kernel may need an instant more. What stays is removed at the next start.
    let _ = (0..REMOVAL_TRIES).find(|_| {
        std::thread::yield_now();
        super::remove_tree(&trial).is_ok()
    });
    tried.map(|()| controllers.trim().to_owned())
}

/// A process enters and ends without ever having become a program.
fn enter(folder: &Path) -> std::io::Result<()> {
    let entry = OpenOptions::new().write(true).open(folder.join("cgroup.procs"))?;
    let mut command = Command::new("/");
    // SAFETY: write(2) is async-signal-safe; an error made of a number allocates nothing.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::write(entry.as_fd(), b"0")?;
            Err(Errno::ECANCELED.into())
        });
    }
    match command.spawn() {
        Err(e) if e.raw_os_error() == Some(Errno::ECANCELED as i32) => Ok(()),
        Err(e) => Err(e),
        Ok(_) => Err(std::io::Error::other("it could not be tried out")),
    }
}

/// Version 2: what the folder of all members may use is passed down to each. Best effort: a cgroup without controllers
/// still holds its processes together.
pub(super) fn pass_down(all: &Path) {
    let folders = all.parent().into_iter().chain([all]);
    for folder in folders.filter(|folder| folder.join("cgroup.subtree_control").exists()) {
        let has = std::fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
        let passes = std::fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        let within = |text: &str, name: &str| text.split_ascii_whitespace().any(|word| word == name);
        for name in PASSED_DOWN {
            if within(&has, name) && !within(&passes, name) {
                let _ = std::fs::write(folder.join("cgroup.subtree_control"), format!("+{name}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_said_in_one_sentence() {
        let some = ["memory".to_owned(), "version 2 without controllers".to_owned()];
        assert_eq!(
            sentence(&some, &[]),
            "each member of provider `process` gets a cgroup of its own: memory, version 2 without controllers"
        );
        let none = sentence(
            &[],
            &["/sys/fs/cgroup: Permission denied (os error 13)".to_owned()],
        );
        assert!(
            none.contains("share") && none.contains("Permission denied"),
            "{none}"
        );
    }

    #[test]
    fn a_folder_that_is_no_cgroup_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert!(try_out(folder.path(), "cartridge-x").is_err());
        assert!(try_out(&folder.path().join("nowhere"), "cartridge-x").is_err());
        let left = folder.path().join("cartridge-x/trial");
        assert!(!left.exists());
    }
}

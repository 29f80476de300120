//! Who is in a cgroup and in those below it, and ending them. Refuses to know whose it is: callers pass what is ours.

use std::path::{Path, PathBuf};

use crate::provision::process::tagged::{self, Pid};

/// Deepest and most cgroups that members may have made in their own and that are looked at.
const DEEPEST: usize = 16;
const MOST: usize = 4096;

/// The cgroups below one, the deepest first.
pub(super) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((next, depth)) = waiting.pop() {
        if depth == DEEPEST || found.len() == MOST {
            continue;
        }
        let rows = std::fs::read_dir(&next).into_iter().flatten().flatten();
        for row in rows.filter(|row| row.file_type().is_ok_and(|kind| kind.is_dir())) {
            found.push(row.path());
            waiting.push((row.path(), depth + 1));
        }
    }
    // Found from the top down: whoever lies in another was found after it.
    found.reverse();
    found
}

fn pids(folder: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn everywhere(folder: &Path) -> impl Iterator<Item = PathBuf> {
    below(folder).into_iter().chain([folder.to_owned()])
}

/// Whether nobody is in it.
pub(in super::super) fn is_empty(folder: &Path) -> bool {
    everywhere(folder).all(|folder| pids(&folder).is_empty())
}

/// Kills whoever is in it; returns how many there were. Those that `again` finds start others as fast as they are killed,
/// so they are held still meanwhile where that can be.
pub(in super::super) fn end_once(folder: &Path, again: bool) -> usize {
    let mut alive = 0;
    let all: Vec<PathBuf> = everywhere(folder).collect();
    let found: Vec<(&PathBuf, Vec<Pid>)> = all.iter().map(|folder| (folder, pids(folder))).collect();
    if found.iter().all(|(_, pids)| pids.is_empty()) {
        return 0;
    }
    // Version 2 does it all at once.
    let at_once = std::fs::write(folder.join("cgroup.kill"), "1").is_ok();
    let freezer = folder.join("freezer.state");
    let holds = again && !at_once && std::fs::write(&freezer, "FROZEN").is_ok();
    for (folder, pids) in found {
        alive += pids.len();
        for pid in pids {
            // The number may be another's by now: being still in there, it is ours again.
            tagged::kill_if(pid, || self::pids(folder).contains(&pid));
        }
    }
    // Nobody dies while held still; and a member may have held itself.
    if holds || (!at_once && freezer.exists()) {
        let _ = std::fs::write(&freezer, "THAWED");
    }
    alive
}

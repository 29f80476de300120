//! A cgroup of its own for each life of a member, where the machine allows it: what runs in it is found and ended even
//! when it hides from the tag, and the agent can measure its member alone.
//!
//! `<the orchestrator's own cgroup>/cartridge-<installation>/<member>.<incarnation>`, in every tree where that is
//! allowed. Refuses to touch any cgroup outside such a folder.

mod allowed;
mod populated;

use std::io::ErrorKind::{AlreadyExists, NotFound};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

pub(super) use self::populated::{end_once, is_empty};
use super::Life;
use super::folder::life;

/// Tasks that a member may have: what a runaway application takes from the others stays bounded.
const MOST_TASKS: u32 = 4096;

/// Where members get cgroups of their own.
#[derive(Clone, Debug)]
pub(super) struct Cgroups {
    /// `cartridge-<installation>`.
    name: String,
    /// In each tree, the cgroup below which ours lie. None at all: it is not allowed.
    bases: Vec<PathBuf>,
    /// Makes and removals of the folder of all members, one at a time.
    changing: Arc<Mutex<()>>,
}

impl Cgroups {
    /// Finds out once what is allowed, says so, and clears what nobody lives in any more.
    pub(super) fn find(installation: &str) -> Self {
        let (bases, told) = allowed::bases(&name(installation));
        tracing::info!("{told}");
        let cgroups = Self {
            bases,
            ..Self::nowhere(installation)
        };
        for (_, folder) in cgroups.lives() {
            if is_empty(&folder) && remove_tree(&folder).is_err() {
                tracing::warn!("{} is left over and cannot be removed yet", folder.display());
            }
        }
        cgroups.tidy();
        cgroups
    }

    /// None are made.
    pub(super) fn nowhere(installation: &str) -> Self {
        Self {
            name: name(installation),
            bases: Vec::new(),
            changing: Arc::default(),
        }
    }

    /// Whether members get cgroups of their own.
    pub(super) const fn allowed(&self) -> bool {
        !self.bases.is_empty()
    }

    /// Where this life's cgroups are to be.
    pub(super) fn of(&self, life: &Life) -> Vec<PathBuf> {
        let last = format!("{}.{}", life.0, life.1);
        self.bases
            .iter()
            .map(|base| base.join(&self.name).join(&last))
            .collect()
    }

    /// Makes them, and opens where the agent enters. A tree in which it fails is left out: the member starts all the
    /// same, with less known of it.
    pub(super) fn make(&self, life: &Life) -> Vec<OwnedFd> {
        let one = |folder: PathBuf| {
            let entry = self.make_one(&folder);
            entry
                .inspect_err(|e| tracing::warn!(member = %life.0, "no cgroup {}: {e}", folder.display()))
                .ok()
        };
        self.of(life).into_iter().filter_map(one).collect()
    }

    fn make_one(&self, folder: &Path) -> std::io::Result<OwnedFd> {
        let _changing = self.changing.lock().expect("no holder of this lock panics");
        let all = folder.parent().ok_or(NotFound)?;
        make_folder(all)?;
        allowed::pass_down(all);
        make_folder(folder)?;
        // Absent where the tree does not count tasks.
        let limit = folder.join("pids.max");
        if limit.exists() {
            std::fs::write(&limit, MOST_TASKS.to_string())?;
        }
        let entry = std::fs::OpenOptions::new()
            .write(true)
            .open(folder.join("cgroup.procs"))?;
        Ok(entry.into())
    }

    /// Every life that has a cgroup here.
    pub(super) fn lives(&self) -> Vec<(Life, PathBuf)> {
        let folders = self.bases.iter().map(|base| base.join(&self.name));
        let rows = folders.filter_map(|all| std::fs::read_dir(all).ok()).flatten();
        rows.flatten()
            .filter_map(|row| Some((life(row.file_name().to_str()?)?, row.path())))
            .collect()
    }

    /// Those of `recorded` that are this life's for certain: a file may have been changed, and whoever is in a cgroup
    /// that is named here dies.
    pub(super) fn verified(&self, life: &Life, recorded: Vec<PathBuf>) -> Vec<PathBuf> {
        let end = Path::new(&self.name).join(format!("{}.{}", life.0, life.1));
        let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        let of_kernel = |folder: &Path| {
            statfs(folder)
                .is_ok_and(|at| [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&at.filesystem_type()))
        };
        recorded
            .into_iter()
            .filter(|folder| folder.is_absolute() && folder.components().all(plain))
            .filter(|folder| folder.ends_with(&end) && of_kernel(folder))
            .collect()
    }

    /// Removes the empty cgroups of a life.
    pub(super) fn remove(&self, folders: &[PathBuf]) -> std::io::Result<()> {
        for folder in folders {
            let named =
                |e: std::io::Error| std::io::Error::new(e.kind(), format!("{}: {e}", folder.display()));
            remove_tree(folder).map_err(named)?;
            if let Some(all) = folder.parent() {
                self.tidy_one(all);
            }
        }
        Ok(())
    }

    /// Removes the folders of all members that are empty.
    fn tidy(&self) {
        for base in &self.bases {
            self.tidy_one(&base.join(&self.name));
        }
    }

    fn tidy_one(&self, all: &Path) {
        let _changing = self.changing.lock().expect("no holder of this lock panics");
        // It fails as long as others are in it.
        let _ = std::fs::remove_dir(all);
    }
}

fn name(installation: &str) -> String {
    format!("cartridge-{installation}")
}

/// Version 1's cpuset lets nobody in before it was told which cores and memory may be used.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(e) if e.kind() != AlreadyExists => return Err(e),
        _ => {}
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        let above = folder.parent().map(read).unwrap_or_default();
        if read(folder).trim().is_empty()
            && !above.trim().is_empty()
            && !folder.join("cgroup.controllers").exists()
        {
            std::fs::write(folder.join(file), above.trim())?;
        }
    }
    Ok(())
}

/// Removes a cgroup and those that its members made in it.
fn remove_tree(folder: &Path) -> std::io::Result<()> {
    for below in populated::below(folder) {
        std::fs::remove_dir(&below).or_else(gone)?;
    }
    std::fs::remove_dir(folder).or_else(gone)
}

fn gone(e: std::io::Error) -> std::io::Result<()> {
    if e.kind() == NotFound { Ok(()) } else { Err(e) }
}

/// How long a cgroup has been there.
pub(super) fn age(folder: &Path) -> Option<Duration> {
    let made = std::fs::metadata(folder)
        .and_then(|folder| folder.modified())
        .ok()?;
    SystemTime::now().duration_since(made).ok()
}

#[cfg(test)]
mod tests {
    use cartridge_protocol::MemberId;

    use super::*;

    #[test]
    fn only_a_cgroup_of_this_very_life_is_ever_believed() {
        let cgroups = Cgroups::nowhere("here");
        let life = (MemberId::new("a.b.c.d-1").unwrap(), 2);
        for foreign in [
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/cartridge-here",
            "/sys/fs/cgroup/cartridge-there/a.b.c.d-1.2",
            "/sys/fs/cgroup/cartridge-here/a.b.c.d-1.3",
            "/sys/fs/cgroup/cartridge-here/a.b.c.d-1.2/..",
            "cartridge-here/a.b.c.d-1.2",
            "/tmp/cartridge-here/a.b.c.d-1.2",
        ] {
            assert!(
                cgroups.verified(&life, vec![foreign.into()]).is_empty(),
                "{foreign}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("cartridge-here/a.b.c.d-1.2");
        std::fs::create_dir_all(&made).unwrap();
        assert!(
            cgroups.verified(&life, vec![made]).is_empty(),
            "a folder of a disk"
        );
    }
}

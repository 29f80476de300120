//! What changes on the disk: one inotify instance for the whole agent, none before something is watched.
//!
//! ```text
//! let mut logs = watcher.folder(path, Duration::from_secs(2));  // the names in one folder
//! let mut tree = watcher.tree(path, Duration::from_secs(60));   // and everything below it
//! loop { let changes = logs.changed().await; … }                // at once, coalesced, cancel-safe
//! let changes = tree.settled(quiet, at_most).await;             // after a pause in the changes
//! ```
//!
//! A file is watched through its folder, so that a rename is seen. `changes.all` means "look for yourself": it
//! comes first of all once the watch stands, when more names changed than are kept, when the kernel's queue ran
//! over, when the folder went away and came back, and every so often (the second argument) where events cannot be
//! had; [`Watched::fault`] says why in the last case. A name that is told may be gone again.
//!
//! Nothing wakes while nothing changes. When much changes, the kernel gathers it for [`PACE`] between two looks.
//! Reading a file is no change. A watched path that is itself a link is followed once, when the watch is made. It
//! refuses to know what the files mean.

mod instance;
mod table;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statfs::{self, FsType};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use table::{Interest, Table};

/// Shortest time between two looks at what the kernel gathered.
pub const PACE: Duration = Duration::from_millis(100);
/// Most names kept until they are asked for; beyond, the whole is to be looked at.
pub const MOST_NAMES: usize = 256;
/// Most folders that one watched tree may have.
pub const MOST_FOLDERS: usize = 4096;
/// Time between looks where others can change files without this kernel's knowing.
const SHARED_LOOK: Duration = Duration::from_secs(60);

/// Why nothing is told of changes; they are looked for instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchFault {
    /// It is not there (yet), or it is not a folder.
    #[error("{} cannot be watched: {why}; it is looked at every {} s", path.display(), every.as_secs())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the machine said.
        why: String,
        /// Time between looks.
        every: Duration,
    },
    /// A limit of the kernel or ours.
    #[error("{} is looked at every {} s instead of watched: {what}", path.display(), every.as_secs())]
    Limit {
        /// Which.
        path: PathBuf,
        /// Which limit, and what to do.
        what: &'static str,
        /// Time between looks.
        every: Duration,
    },
}

/// What changed since it was last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Anything may have changed: look.
    pub all: bool,
    /// These, as far as they are known: full paths below the watched folder.
    pub names: BTreeSet<PathBuf>,
}

impl Changes {
    fn everything() -> Self {
        Self {
            all: true,
            names: BTreeSet::new(),
        }
    }

    fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }

    fn add(&mut self, name: PathBuf) {
        if self.names.len() < MOST_NAMES {
            self.names.insert(name);
        } else if !self.names.contains(&name) {
            self.all = true;
        }
    }

    /// This and that.
    pub fn merge(&mut self, other: Self) {
        self.all |= other.all;
        other.names.into_iter().for_each(|name| self.add(name));
    }
}

/// Clones are the same watcher.
#[derive(Clone, Debug, Default)]
pub struct Watcher {
    table: Arc<Table>,
}

impl Watcher {
    /// Nothing is opened until something is watched.
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches the names in one folder. Without events it is looked at `every` so often.
    pub fn folder(&self, path: &Path, every: Duration) -> Watched {
        self.watched(path, false, every)
    }

    /// Watches a folder and everything below it. Links are not followed.
    pub fn tree(&self, path: &Path, every: Duration) -> Watched {
        self.watched(path, true, every)
    }

    fn watched(&self, path: &Path, deep: bool, every: Duration) -> Watched {
        let wake = Arc::new(Notify::new());
        Watched {
            who: self.table.enter(wake.clone()),
            table: self.table.clone(),
            path: path.to_path_buf(),
            deep,
            every,
            wake,
            armed: false,
            look_at: None,
            fault: None,
        }
    }
}

/// One thing that is watched, until it is dropped.
#[derive(Debug)]
pub struct Watched {
    who: u64,
    table: Arc<Table>,
    path: PathBuf,
    deep: bool,
    every: Duration,
    wake: Arc<Notify>,
    armed: bool,
    /// When to look again whatever is told.
    look_at: Option<Instant>,
    fault: Option<WatchFault>,
}

impl Watched {
    /// Waits for the next change. Dropping the wait loses nothing.
    pub async fn changed(&mut self) -> Changes {
        loop {
            if !self.armed && self.look_at.is_none_or(|at| at <= Instant::now()) {
                return self.arm().await;
            }
            match self.table.take(self.who) {
                Some(told) if told.torn => {
                    // Folders came, went or moved: what is in new ones was not told.
                    self.armed = false;
                    self.look_at = None;
                    continue;
                }
                Some(told) if !told.changes.is_empty() => return told.changes,
                _ => {}
            }
            let woken = self.wake.notified();
            match self.look_at {
                None => woken.await,
                Some(at) => tokio::select! {
                    () = woken => {}
                    () = sleep_until(at) => {
                        if self.armed {
                            self.look_at = Some(Instant::now() + SHARED_LOOK);
                            return Changes::everything();
                        }
                    }
                },
            }
        }
    }

    /// Waits for the next change and then until nothing changed for `quiet`, or until `at_most` has passed since.
    pub async fn settled(&mut self, quiet: Duration, at_most: Duration) -> Changes {
        let mut changes = self.changed().await;
        let end = Instant::now() + at_most;
        while let Ok(more) = timeout_at(end.min(Instant::now() + quiet), self.changed()).await {
            changes.merge(more);
            if Instant::now() >= end {
                break;
            }
        }
        changes
    }

    /// Why it is looked at instead of watched, if it is.
    pub fn fault(&self) -> Option<&WatchFault> {
        self.fault.as_ref()
    }

    async fn arm(&mut self) -> Changes {
        let (table, who, path, deep) = (self.table.clone(), self.who, self.path.clone(), self.deep);
        let interest = Interest { who, deep };
        let armed = tokio::task::spawn_blocking(move || {
            table.arm(interest, &path)?;
            Ok(is_shared(&path))
        })
        .await
        .unwrap_or_else(|error| Err(table::Unarmed::Io(io::Error::other(error))));
        let now = Instant::now();
        (self.armed, self.look_at, self.fault) = match armed {
            Ok(shared) => (true, shared.then(|| now + SHARED_LOOK), None),
            Err(why) => (false, Some(now + self.every), Some(self.explain(why))),
        };
        Changes::everything()
    }

    fn explain(&self, why: table::Unarmed) -> WatchFault {
        let (path, every) = (self.path.clone(), self.every);
        match why {
            table::Unarmed::Io(error) => WatchFault::Folder {
                path,
                why: error.to_string(),
                every,
            },
            table::Unarmed::Limit(what) => WatchFault::Limit { path, what, every },
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.table.leave(self.who);
    }
}

/// Whether another machine, or a program, may change files behind this kernel's back.
fn is_shared(path: &Path) -> bool {
    const OTHERS: [i64; 5] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0x0102_1997, // 9p
        0x6573_5546, // FUSE
    ];
    statfs::statfs(path).is_ok_and(|stat| {
        let FsType(kind) = stat.filesystem_type();
        OTHERS.contains(&kind)
    })
}

#[cfg(test)]
mod tests;

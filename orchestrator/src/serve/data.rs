//! The data folder: one orchestrator at a time, and nothing in it silently made anew.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::Millis;
use nix::fcntl::{Flock, FlockArg};

use super::ServeError;
use crate::clock::Clock;
use crate::identity::{Identity, random_hex};
use crate::journal::{Journal, Keep};

/// For the lock.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// The folder, ours as long as this lives.
pub(super) struct Data {
    pub(super) path: PathBuf,
    _lock: Flock<File>,
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> ServeError + '_ {
    move |source| ServeError::File {
        path: path.display().to_string(),
        source,
    }
}

impl Data {
    /// Makes the folder if need be (mode 0700) and locks it. A child of the orchestrator before us holds the lock until it
    /// has become an agent: a moment's patience.
    pub(super) async fn lock(path: &Path) -> Result<Self, ServeError> {
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(file(path))?;
        let path = path.canonicalize().map_err(file(path))?;
        let lock = path.join("lock");
        let opened = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock)
            .map_err(file(&lock))?;
        let mut opened = opened;
        for _ in 0..LOCK_TRIES {
            match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
                Ok(held) => return Ok(Self { path, _lock: held }),
                Err((again, nix::errno::Errno::EWOULDBLOCK)) => opened = again,
                Err((_, errno)) => return Err(file(&lock)(errno.into())),
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        Err(ServeError::Locked(path.display().to_string()))
    }

    /// Opens journal and key together: one without the other means that something was lost.
    pub(super) fn open(&self) -> Result<(Journal, World, Identity), ServeError> {
        let (journal, key) = (self.path.join("journal.redb"), self.path.join("installation.key"));
        let begun = |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
        if begun(&key) && !begun(&journal) {
            return Err(ServeError::Incomplete(format!(
                "{} is missing or empty, but this installation is not new; restore it from a backup, or begin anew in \
                 an empty folder",
                journal.display()
            )));
        }
        let (journal, world) = Journal::open(&journal, Keep::default())?;
        if world.epoch > 0 && !begun(&key) {
            return Err(ServeError::Incomplete(format!(
                "{} is missing, but this installation is not new; restore it from a backup: members and sealed \
                 passwords depend on it",
                key.display()
            )));
        }
        Ok((journal, world, Identity::open(&self.path)?))
    }
}

/// Writes that this orchestrator took over; the very first also names the installation.
pub(super) async fn begin(journal: &Journal, world: &mut World, clock: Clock) -> Result<(), ServeError> {
    let mut records = Vec::new();
    if world.seq == 0 {
        let installation = random_hex(8)?;
        records.push(Record::InstallationCreated { installation });
    }
    records.push(Record::OrchestratorStarted {
        epoch: world.epoch + 1,
    });
    let expected = world.seq;
    let entry = |(record, seq)| Entry {
        seq,
        at_unix_ms: clock.unix_ms(),
        record,
    };
    let entries: Vec<Entry> = records.into_iter().zip(expected + 1..).map(entry).collect();
    let mut next = world.clone();
    for entry in &entries {
        next.apply(entry, Millis::ZERO)?;
    }
    journal.append(expected, entries).await?;
    *world = next;
    Ok(())
}

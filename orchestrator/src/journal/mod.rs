//! The ordered, durable list of facts on one file: the asynchronous handle to it.
//!
//! Everything that touches the file runs on one thread of its own (`scribe.rs`) or on the blocking pool. This file
//! refuses to know what the facts mean.

mod fold;
mod scribe;
mod store;

use std::path::Path;
use std::sync::Arc;

use cartridge_orchestrator_plan::record::Entry;
use cartridge_orchestrator_plan::world::World;
use tokio::sync::{mpsc, oneshot};

use self::scribe::{Append, Work};
use self::store::Store;

/// Most entries in one answer of [`Journal::entries`].
pub const MAX_ENTRIES: usize = 1_000;
/// Appends that may wait for the disk.
const MAX_WAITING: usize = 256;

/// When snapshots are made and how much history stays for the timeline.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// A snapshot every so many entries.
    pub snapshot_every: u64,
    /// Entries kept behind the newest snapshot.
    pub history: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            snapshot_every: 10_000,
            history: 100_000,
        }
    }
}

/// Why the journal cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The store said no: a full disk, a broken one.
    #[error("the journal cannot be used: {0}")]
    Store(String),
    /// The file is not a journal, is damaged, or was written by a newer program.
    #[error("{path}: {problem}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Somebody else wrote in between: there must be one writer.
    #[error(
        "the journal is at {actual}, its writer believed {expected}: there are two writers; nothing was written"
    )]
    Conflict {
        /// Where the writer believed it was.
        expected: u64,
        /// Where it is.
        actual: u64,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// A handle to the journal; cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    store: Arc<Store>,
    work: mpsc::Sender<Work>,
}

impl Journal {
    /// Opens the journal, or begins one, and folds it. Everything in the answer happened at [`cartridge_protocol::Millis::ZERO`].
    /// Blocks.
    pub fn open(path: &Path, keep: Keep) -> Result<(Self, World), JournalError> {
        let store = Arc::new(Store::open(path)?);
        let world = fold::world(&store)?;
        let (work, waiting) = mpsc::channel(MAX_WAITING);
        scribe::spawn(Arc::clone(&store), keep, world.seq, waiting)
            .map_err(|e| JournalError::Store(format!("its thread does not start: {e}")))?;
        Ok((Self { store, work }, world))
    }

    /// Appends entries that follow position `expected`; they are on disk when this returns.
    pub async fn append(&self, expected: u64, entries: Vec<Entry>) -> Result<(), JournalError> {
        let (reply, answer) = oneshot::channel();
        let append = Append {
            expected,
            entries,
            reply,
        };
        self.work
            .send(Work::Append(append))
            .await
            .map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }

    /// Entries after position `after`, oldest first, at most `limit` (and at most [`MAX_ENTRIES`]).
    pub async fn entries(&self, after: u64, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let store = Arc::clone(&self.store);
        let limit = limit.min(MAX_ENTRIES);
        tokio::task::spawn_blocking(move || store.entries(after, limit))
            .await
            .map_err(|_| JournalError::Closed)?
    }

    /// Finishes what waits and ends the writing thread; later appends are refused.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.work.send(Work::Close(reply)).await.is_ok() {
            let _ = answer.await;
        }
    }
}

#[cfg(test)]
mod tests;

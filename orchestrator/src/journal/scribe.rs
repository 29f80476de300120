//! The one thread that writes the journal: what waits goes to disk in one flush, and snapshots are made in between.
//!
//! This file refuses to retry a failed write: nobody can know what the disk holds then. The journal is read anew at
//! the next start.

use std::sync::Arc;

use cartridge_orchestrator_plan::record::Entry;
use tokio::sync::{mpsc, oneshot};

use super::store::Store;
use super::{JournalError, Keep, fold};

/// Most appends in one flush.
const MAX_TOGETHER: usize = 64;

/// What the thread is asked for.
pub enum Work {
    /// Write.
    Append(Append),
    /// End.
    Close(oneshot::Sender<()>),
}

/// Entries to write, and where the answer goes.
pub struct Append {
    /// The position that they follow.
    pub expected: u64,
    /// In order, without gaps.
    pub entries: Vec<Entry>,
    /// Told once they are on disk.
    pub reply: oneshot::Sender<Result<(), JournalError>>,
}

struct Scribe {
    store: Arc<Store>,
    keep: Keep,
    last: u64,
    snapshot: u64,
    broken: Option<JournalError>,
}

/// Starts the thread.
pub fn spawn(
    store: Arc<Store>,
    keep: Keep,
    last: u64,
    mut waiting: mpsc::Receiver<Work>,
) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            let mut scribe = Scribe {
                store,
                keep,
                last,
                snapshot: last,
                broken: None,
            };
            scribe.begin();
            while let Some(first) = waiting.blocking_recv() {
                if let Some(reply) = scribe.work(first, &mut waiting) {
                    // Whoever waits may open the file again at once.
                    drop(scribe);
                    let _ = reply.send(());
                    return;
                }
            }
        })?;
    Ok(())
}

impl Scribe {
    fn begin(&mut self) {
        match self.store.snapshot() {
            Ok(newest) => self.snapshot = newest.map_or(0, |(seq, _)| seq),
            Err(e) => self.broken = Some(e),
        }
        self.snapshot_if_due();
    }

    fn work(&mut self, first: Work, waiting: &mut mpsc::Receiver<Work>) -> Option<oneshot::Sender<()>> {
        let mut together = Vec::new();
        let mut close = None;
        let mut next = Some(first);
        while let Some(work) = next {
            match work {
                Work::Append(append) => together.push(append),
                Work::Close(reply) => {
                    close = Some(reply);
                    waiting.close();
                    break;
                }
            }
            next = if together.len() < MAX_TOGETHER {
                waiting.try_recv().ok()
            } else {
                None
            };
        }
        self.write(together);
        self.snapshot_if_due();
        close
    }

    fn write(&mut self, together: Vec<Append>) {
        let mut last = self.last;
        let mut accepted = Vec::new();
        for append in together {
            if let Some(broken) = &self.broken {
                let _ = append.reply.send(Err(broken.clone()));
            } else if append.expected == last && follows(last, &append.entries) {
                last += append.entries.len() as u64;
                accepted.push(append);
            } else {
                let conflict = JournalError::Conflict {
                    expected: append.expected,
                    actual: last,
                };
                let _ = append.reply.send(Err(conflict));
            }
        }
        if accepted.is_empty() {
            return;
        }
        let written = self.store.append(accepted.iter().flat_map(|a| &a.entries));
        match &written {
            Ok(()) => self.last = last,
            Err(e) => self.broken = Some(e.clone()),
        }
        for append in accepted {
            let _ = append.reply.send(written.clone());
        }
    }

    fn snapshot_if_due(&mut self) {
        if self.broken.is_some() || self.last < self.snapshot + self.keep.snapshot_every {
            return;
        }
        if let Err(e) = self.make_snapshot() {
            tracing::error!("no snapshot of the journal could be made: {e}");
            self.broken = Some(e);
        }
    }

    fn make_snapshot(&mut self) -> Result<(), JournalError> {
        let made = self.fold_and_keep();
        // SAFETY: hands free memory back to the machine. A snapshot needs the whole world once more, and seldom.
        unsafe { libc::malloc_trim(0) };
        made
    }

    fn fold_and_keep(&mut self) -> Result<(), JournalError> {
        let world = fold::world(&self.store)?;
        let bytes = serde_json::to_vec(&world).map_err(|e| JournalError::Store(e.to_string()))?;
        let drop_to = world.seq.saturating_sub(self.keep.history);
        self.store.keep_snapshot(world.seq, &bytes, drop_to)?;
        tracing::info!(seq = world.seq, bytes = bytes.len(), "snapshot of the journal");
        self.snapshot = world.seq;
        Ok(())
    }
}

fn follows(last: u64, entries: &[Entry]) -> bool {
    entries
        .iter()
        .zip(last + 1..)
        .all(|(entry, seq)| entry.seq == seq)
}

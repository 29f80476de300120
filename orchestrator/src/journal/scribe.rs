//! The one thread that writes the journal: what waits goes to disk in one flush, and snapshots are kept in between. They are
//! made beside it, so that who waits for a flush does not wait for a whole world to be read and written down.
//!
//! This file refuses to retry a failed write: nobody can know what the disk holds then. The journal is read anew at
//! the next start.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

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

/// The world as of a position, written down.
struct Made {
    seq: u64,
    bytes: Vec<u8>,
}

struct Scribe {
    store: Arc<Store>,
    keep: Keep,
    last: u64,
    snapshot: u64,
    /// A snapshot on its way. It is kept with the work that comes after it was made.
    making: Option<JoinHandle<Result<Made, JournalError>>>,
    broken: Option<JournalError>,
}

/// Starts the thread.
pub fn spawn(
    store: Arc<Store>,
    keep: Keep,
    last: u64,
    mut waiting: mpsc::Receiver<Work>,
) -> std::io::Result<()> {
    thread::Builder::new().name("journal".to_owned()).spawn(move || {
        let mut scribe = Scribe {
            store,
            keep,
            last,
            snapshot: last,
            making: None,
            broken: None,
        };
        scribe.begin();
        while let Some(first) = waiting.blocking_recv() {
            if let Some(reply) = scribe.work(first, &mut waiting) {
                scribe.finish();
                // Whoever waits may open the file again at once.
                drop(scribe);
                let _ = reply.send(());
                return;
            }
        }
        scribe.finish();
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
        if let Some(making) = self.making.take_if(|making| making.is_finished()) {
            self.take(making);
        }
        let due = self.last >= self.snapshot + self.keep.snapshot_every;
        if !due || self.broken.is_some() || self.making.is_some() {
            return;
        }
        let store = Arc::clone(&self.store);
        let begun = thread::Builder::new().name("snapshot".to_owned());
        match begun.spawn(move || make(&store)) {
            Ok(making) => self.making = Some(making),
            Err(e) => {
                tracing::error!("no snapshot of the journal is made for now, its thread does not start: {e}");
                self.snapshot = self.last;
            }
        }
    }

    /// Waits for what is on its way: the file is free when this returns.
    fn finish(&mut self) {
        if let Some(making) = self.making.take() {
            self.take(making);
        }
    }

    fn take(&mut self, making: JoinHandle<Result<Made, JournalError>>) {
        let made = making
            .join()
            .unwrap_or_else(|_| Err(JournalError::Store("making a snapshot panicked".to_owned())));
        if let Err(e) = made.and_then(|made| self.keep(&made)) {
            tracing::error!("no snapshot of the journal could be made: {e}");
            self.broken = Some(e);
        }
        // SAFETY: hands free memory back to the machine. A snapshot needs the whole world once more, and seldom.
        unsafe { libc::malloc_trim(0) };
    }

    fn keep(&mut self, made: &Made) -> Result<(), JournalError> {
        let drop_to = made.seq.saturating_sub(self.keep.history);
        self.store.keep_snapshot(made.seq, &made.bytes, drop_to)?;
        tracing::info!(
            seq = made.seq,
            bytes = made.bytes.len(),
            "snapshot of the journal"
        );
        self.snapshot = made.seq;
        Ok(())
    }
}

/// Reads while the scribe goes on writing: nothing that is read here is dropped before the snapshot is kept.
fn make(store: &Store) -> Result<Made, JournalError> {
    let world = fold::world(store)?;
    let bytes = serde_json::to_vec(&world).map_err(|e| JournalError::Store(e.to_string()))?;
    Ok(Made {
        seq: world.seq,
        bytes,
    })
}

fn follows(last: u64, entries: &[Entry]) -> bool {
    entries
        .iter()
        .zip(last + 1..)
        .all(|(entry, seq)| entry.seq == seq)
}

//! What members' applications wrote, kept in files beside the journal so that it is there after a restart.
//!
//! Lines are worth less than the server: nothing waits for a disk, nothing is flushed to it line by line, and where it
//! does not take them they are counted, told in their place, and let go. This file refuses to be the newest truth: the
//! newest lines are in memory, and these come before them.

mod keeper;
mod row;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cartridge_protocol::MemberId;
use cartridge_protocol::link::LogLine;
use tokio::sync::{Semaphore, oneshot};

use crate::engine::FromMember;
use keeper::Keeper;
pub use row::joined;

/// Batches that may wait for the disk.
const MAX_WAITING: usize = 4096;
/// Bytes of text that may.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// Members read at one time: one may have a few megabytes.
const MAX_READERS: usize = 2;
/// Longest wait for what waits to be written before it is read.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// Longest wait for the rest to be written when the server stops.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// The stream of what is said about the lines themselves.
pub const OWN_STREAM: &str = "cartridge";
const KILLED: &str =
    "(the orchestrator ended here without notice: what was written in its last second may be missing)";

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one file.
    pub segment_bytes: u64,
    /// Files of one member.
    pub segments: usize,
    /// Bytes of all members.
    pub all_bytes: u64,
    /// A file that was not written to for so long is removed.
    pub age: Duration,
    /// The same where the member is gone.
    pub age_of_gone: Duration,
    /// Between two looks for what is too old or too much.
    pub prune_every: Duration,
    /// Lines wait so long for others to be written with them.
    pub write_every: Duration,
    /// After a failed write nothing is written for so long.
    pub freeze: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: 512 << 10,
            segments: 4,
            all_bytes: 1 << 30,
            age: Duration::from_secs(7 * 86_400),
            age_of_gone: Duration::from_secs(86_400),
            prune_every: Duration::from_secs(300),
            write_every: Duration::from_millis(500),
            freeze: Duration::from_secs(30),
        }
    }
}

/// A line with the life of its member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which life.
    pub incarnation: u64,
    /// The line.
    pub line: LogLine,
}

/// Everybody's handle; cheap to clone.
#[derive(Clone, Default)]
pub struct Lines(Option<Arc<Inner>>);

struct Inner {
    folder: PathBuf,
    queue: SyncSender<Work>,
    counts: Arc<Counts>,
    readers: Semaphore,
    limits: Limits,
    /// The server before this one did not end in order.
    was_killed: bool,
}

/// What the queue and the thread know of each other.
#[derive(Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
    wants_members: AtomicBool,
    /// Lines that found no room in the queue, by member.
    turned_away: Mutex<BTreeMap<MemberId, u64>>,
}

impl Counts {
    fn turned_away(&self) -> BTreeMap<MemberId, u64> {
        std::mem::take(&mut self.turned_away.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

enum Work {
    Keep(FromMember<LogLine>),
    /// Write what waits; answered with whether the member's files were written to since the start.
    Flush(MemberId, oneshot::Sender<bool>),
    Members(BTreeSet<MemberId>),
    Close(oneshot::Sender<()>),
}

fn bytes(rows: &[LogLine]) -> usize {
    rows.iter().map(|row| row.text.len() + row.stream.len()).sum()
}

impl Lines {
    /// Kept nowhere.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Kept in this folder, which is made if need be. Where that is impossible they are kept nowhere, and why is logged.
    pub fn open(folder: &Path, limits: Limits) -> Self {
        let begin = || {
            let (queue, work) = sync_channel(MAX_WAITING);
            let counts = Arc::<Counts>::default();
            let keeper = Keeper::open(folder, limits, Arc::clone(&counts))?;
            let was_killed = keeper.was_killed;
            std::thread::Builder::new()
                .name("lines".to_owned())
                .spawn(move || keeper.run(&work))?;
            Ok::<_, std::io::Error>(Inner {
                folder: folder.to_owned(),
                queue,
                counts,
                readers: Semaphore::new(MAX_READERS),
                limits,
                was_killed,
            })
        };
        match begin() {
            Ok(inner) => Self(Some(Arc::new(inner))),
            Err(error) => {
                let folder = folder.display();
                tracing::error!(%error, %folder, "what applications write is kept in memory only");
                Self::nowhere()
            }
        }
    }

    /// Hands lines over; never waits.
    pub(crate) fn offer(&self, new: FromMember<LogLine>) {
        let Some(inner) = &self.0 else { return };
        let counts = &inner.counts;
        let size = bytes(&new.rows);
        let waiting = counts.waiting_bytes.fetch_add(size, Relaxed);
        let taken = if waiting + size > MAX_WAITING_BYTES {
            Err(TrySendError::Full(Work::Keep(new)))
        } else {
            inner.queue.try_send(Work::Keep(new))
        };
        if let Err(TrySendError::Full(Work::Keep(new)) | TrySendError::Disconnected(Work::Keep(new))) = taken
        {
            counts.waiting_bytes.fetch_sub(size, Relaxed);
            counts.lost.fetch_add(new.rows.len() as u64, Relaxed);
            let mut turned_away = counts.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
            *turned_away.entry(new.member).or_default() += new.rows.len() as u64;
        }
    }

    /// Lines of a member on disk, oldest first, with what is to be said about them.
    pub async fn read(&self, member: &MemberId) -> Vec<Kept> {
        let Some(inner) = self.0.clone() else {
            return Vec::new();
        };
        let Ok(_one) = inner.readers.acquire().await else {
            return Vec::new();
        };
        let (reply, written) = oneshot::channel();
        let mut since_the_start = false;
        if inner.queue.try_send(Work::Flush(member.clone(), reply)).is_ok() {
            let written = tokio::time::timeout(FLUSH_WITHIN, written).await;
            since_the_start = matches!(written, Ok(Ok(true)));
        }
        let (folder, limits) = (inner.folder.join(member.as_str()), inner.limits);
        let tell_killed = inner.was_killed && !since_the_start;
        let read = tokio::task::spawn_blocking(move || {
            let mut all = segments::read(&folder, limits);
            if tell_killed && !all.is_empty() {
                all.say(KILLED);
            }
            all.finish()
        });
        read.await.unwrap_or_default()
    }

    /// Whether it is time to say which members there are.
    pub(crate) fn wants_members(&self) -> bool {
        let asked = |inner: &Arc<Inner>| inner.counts.wants_members.swap(false, Relaxed);
        self.0.as_ref().is_some_and(asked)
    }

    /// Those that there are; what others wrote goes after a while.
    pub(crate) fn members(&self, members: BTreeSet<MemberId>) {
        if let Some(inner) = &self.0 {
            // Asked for again before long.
            let _ = inner.queue.try_send(Work::Members(members));
        }
    }

    /// Lines that could not be kept since the start.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.counts.lost.load(Relaxed))
    }

    /// Writes what waits.
    pub async fn close(&self) {
        let Some(inner) = &self.0 else { return };
        let (reply, done) = oneshot::channel();
        if inner.queue.try_send(Work::Close(reply)).is_ok() {
            let _ = tokio::time::timeout(CLOSE_WITHIN, done).await;
        }
    }
}

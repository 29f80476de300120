//! The disk under the journal: what is flushed survives, what is not may not.

use cartridge_orchestrator_plan::record::Entry;

use super::ShellBug;

/// Where an orchestrator dies while it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// Between two passes.
    Idle,
    /// It decided, and wrote nothing.
    BeforeAppend,
    /// A part of the batch reached the disk.
    MidAppend,
    /// The batch is durable; nobody was told, nothing was begun.
    AfterAppend,
    /// Some of what follows from the batch was begun.
    DuringEffects,
}

/// See above.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: Vec<Entry>,
    /// Written, not flushed.
    cached: Vec<Entry>,
    pub bug: Option<ShellBug>,
}

impl Disk {
    /// The last entry that survives whatever happens, as far as it says.
    pub fn flushed(&self) -> u64 {
        let durable = self.durable.last().map_or(0, |entry| entry.seq);
        self.cached.last().map_or(durable, |entry| entry.seq)
    }

    /// Writes and flushes entries that follow `after`; false: something else was written meanwhile (S10).
    pub fn append(&mut self, after: u64, batch: &[Entry]) -> bool {
        if self.flushed() != after && self.bug != Some(ShellBug::NoFence) {
            return false;
        }
        self.cached.extend_from_slice(batch);
        if self.bug != Some(ShellBug::LostFsync) {
            self.flush();
        }
        true
    }

    pub fn flush(&mut self) {
        self.durable.append(&mut self.cached);
    }

    /// The power goes while this batch is written: frames are taken back that are not whole.
    pub fn tear(&mut self, batch: &[Entry], reached: usize) {
        if self.bug == Some(ShellBug::TornBatch) {
            let part = reached.min(batch.len().saturating_sub(1));
            self.durable.extend_from_slice(&batch[..part]);
        }
    }

    /// What is found after a crash, read back from its bytes.
    pub fn recover(&mut self) -> Vec<Entry> {
        self.cached.clear();
        let read = |entry: &Entry| {
            let bytes = serde_json::to_vec(entry).expect("it serialises");
            serde_json::from_slice(&bytes).expect("it reads back")
        };
        self.durable.iter().map(read).collect()
    }
}

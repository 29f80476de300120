//! The journal's tables in one redb file. Blocking. Refuses to know threads and what entries mean.

use std::path::{Path, PathBuf};

use cartridge_orchestrator_plan::record::Entry;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::JournalError;

/// What this program writes. A reader of another number refuses.
pub const FORMAT: u64 = 1;
/// Pages held in memory: the journal is written, and read by those who look back.
const CACHE: usize = 4 << 20;
/// How many snapshots stay.
const SNAPSHOTS: usize = 2;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const SNAPSHOT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshots");

/// The open file.
pub struct Store {
    path: PathBuf,
    database: Database,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.path.display())
    }
}

fn failed(error: impl Into<redb::Error>) -> JournalError {
    JournalError::Store(error.into().to_string())
}

impl Store {
    /// Opens the file or begins a new one.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let unreadable = |problem: String| JournalError::Unreadable {
            path: path.display().to_string(),
            problem,
        };
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create(path)
            .map_err(|e| unreadable(explain(&e)))?;
        let store = Self {
            path: path.to_owned(),
            database,
        };
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(|e| store.unreadable(e.to_string()))?;
        match store.format()? {
            Some(FORMAT) => Ok(store),
            Some(other) => Err(store.unreadable(format!(
                "format {other}; this program reads {FORMAT}. Use the version of cartridge that wrote it"
            ))),
            None => store.begin().map(|()| store),
        }
    }

    /// An error about this file.
    pub fn unreadable(&self, problem: String) -> JournalError {
        JournalError::Unreadable {
            path: self.path.display().to_string(),
            problem,
        }
    }

    fn format(&self) -> Result<Option<u64>, JournalError> {
        let read = self.database.begin_read().map_err(failed)?;
        match read.open_table(META) {
            Ok(meta) => {
                let format = meta.get("format").map_err(failed)?;
                Ok(Some(format.map_or(0, |row| row.value())))
            }
            Err(redb::TableError::TableDoesNotExist(_)) => {
                if read.list_tables().map_err(failed)?.next().is_some() {
                    return Err(self.unreadable("is a database of another program".to_owned()));
                }
                Ok(None)
            }
            Err(other) => Err(self.unreadable(format!("is a database of another program ({other})"))),
        }
    }

    fn begin(&self) -> Result<(), JournalError> {
        let write = self.database.begin_write().map_err(failed)?;
        write
            .open_table(META)
            .map_err(failed)?
            .insert("format", FORMAT)
            .map_err(failed)?;
        write.open_table(ENTRIES).map_err(failed)?;
        write.open_table(SNAPSHOT).map_err(failed)?;
        write.commit().map_err(failed)
    }

    /// Writes entries in one transaction; they are on disk when this returns.
    pub fn append<'a>(&self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), JournalError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(ENTRIES).map_err(failed)?;
            for entry in entries {
                let bytes = serde_json::to_vec(entry).map_err(|e| JournalError::Store(e.to_string()))?;
                table.insert(entry.seq, bytes.as_slice()).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// Entries after position `after`, oldest first, at most `limit`.
    pub fn entries(&self, after: u64, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(ENTRIES).map_err(failed)?;
        let rows = table.range(after.saturating_add(1)..).map_err(failed)?;
        rows.take(limit)
            .map(|row| {
                let (seq, bytes) = row.map_err(failed)?;
                self.decode(seq.value(), bytes.value())
            })
            .collect()
    }

    fn decode(&self, seq: u64, bytes: &[u8]) -> Result<Entry, JournalError> {
        let entry: Entry = serde_json::from_slice(bytes).map_err(|e| {
            self.unreadable(format!(
                "entry {seq} cannot be read ({e}). If a newer version of cartridge wrote it, use that one; \
                 if the file is damaged, restore it from a backup"
            ))
        })?;
        if entry.seq == seq {
            Ok(entry)
        } else {
            Err(self.unreadable(format!(
                "entry {seq} says that it is {}; restore the file from a backup",
                entry.seq
            )))
        }
    }

    /// The newest snapshot: position and bytes.
    pub fn snapshot(&self) -> Result<Option<(u64, Vec<u8>)>, JournalError> {
        let read = self.database.begin_read().map_err(failed)?;
        let table = read.open_table(SNAPSHOT).map_err(failed)?;
        let newest = table.last().map_err(failed)?;
        Ok(newest.map(|(seq, bytes)| (seq.value(), bytes.value().to_vec())))
    }

    /// Keeps a snapshot as of `seq`, and drops old snapshots and the entries up to `drop_to`.
    pub fn keep_snapshot(&self, seq: u64, bytes: &[u8], drop_to: u64) -> Result<(), JournalError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut snapshots = write.open_table(SNAPSHOT).map_err(failed)?;
            snapshots.insert(seq, bytes).map_err(failed)?;
            let held: Vec<u64> = snapshots
                .iter()
                .map_err(failed)?
                .map(|row| row.map(|(seq, _)| seq.value()))
                .collect::<Result<_, _>>()
                .map_err(failed)?;
            for old in held.iter().rev().skip(SNAPSHOTS) {
                snapshots.remove(*old).map_err(failed)?;
            }
            let mut entries = write.open_table(ENTRIES).map_err(failed)?;
            entries.retain_in(..=drop_to, |_, _| false).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }
}

fn explain(error: &redb::DatabaseError) -> String {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => "another orchestrator uses it".to_owned(),
        redb::DatabaseError::Storage(redb::StorageError::Io(e))
            if e.kind() == std::io::ErrorKind::InvalidData =>
        {
            format!("is no journal ({e})")
        }
        redb::DatabaseError::Storage(redb::StorageError::Io(e)) => e.to_string(),
        other => format!("is damaged or no journal ({other}); restore it from a backup"),
    }
}

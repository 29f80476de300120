//! How far files were taken, on disk: whole or not at all. Refuses to know what it means.
//!
//! It is not flushed: a crash of the agent loses nothing of it, and after a crash of the machine the newest lines of the
//! files themselves may be missing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cartridge_agent_plan::logs::follow::{Done, Place};
use serde::{Deserialize, Serialize};

/// Longest file, bytes.
const MOST: u64 = 1 << 20;
/// The form below.
const VERSION: u32 = 1;

/// What is kept of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Files that are not finished, oldest first.
    pub places: Vec<Place>,
    /// Files that are.
    pub done: Vec<Done>,
}

/// What is kept of all streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    version: u32,
    /// The last generation given to a file.
    pub generation: u64,
    /// By path.
    pub streams: BTreeMap<String, Stored>,
}

impl Places {
    /// With nothing in it.
    pub fn after(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }
}

/// Reads the file; one that is not there says nothing.
pub fn read(path: &Path) -> Result<Places, String> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Places::default()),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = Vec::new();
    file.take(MOST)
        .read_to_end(&mut text)
        .map_err(|e| e.to_string())?;
    let places: Places = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    match places.version {
        VERSION => Ok(places),
        other => Err(format!("it has version {other}; version {VERSION} is understood")),
    }
}

/// Replaces the file.
pub fn write(path: &Path, places: &Places) -> std::io::Result<()> {
    let text = serde_json::to_vec(&Places {
        version: VERSION,
        ..places.clone()
    })?;
    let aside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&aside)?;
    file.write_all(&text)?;
    std::fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_torn_or_newer_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs.json");
        assert_eq!(read(&path).unwrap(), Places::default());
        let mut places = Places::after(7);
        places.streams.insert("/a".into(), Stored::default());
        write(&path, &places).unwrap();
        let again = read(&path).unwrap();
        assert_eq!((again.generation, again.streams), (7, places.streams));
        for bad in ["", "{", r#"{"version":2,"generation":1,"streams":{}}"#] {
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path).is_err(), "{bad:?}");
        }
    }
}

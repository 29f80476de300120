//! How much is accepted from a repository. Refuses to know who counts.

use serde::Deserialize;

/// Every bound on what a repository may bring. The defaults keep agent and fetching process together below 64 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Files, links and folders in a release.
    pub entries: u64,
    /// Bytes in all files of a release.
    pub bytes: u64,
    /// Bytes in one file.
    pub file_bytes: u64,
    /// Folders within folders.
    pub depth: usize,
    /// Bytes that one fetch may bring.
    pub pack_bytes: u64,
    /// Objects that one fetch may bring.
    pub objects: u64,
    /// Bytes of the list of branches and tags.
    pub refs_bytes: u64,
    /// Branches and tags in that list.
    pub refs: u64,
    /// Bytes of memory that the fetching process may use.
    pub memory: u64,
    /// Seconds in which at least a kibibyte must arrive.
    pub patience: u64,
    /// Seconds of processor time that a fetch may use, besides one per mebibyte that it brings.
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            bytes: 4 << 30,
            file_bytes: 512 << 20,
            depth: 64,
            pack_bytes: 4 << 30,
            objects: 150_000,
            refs_bytes: 64 << 20,
            refs: 1_000_000,
            memory: 32 << 20,
            patience: 60,
            work: 15,
        }
    }
}

impl Limits {
    /// Least memory with which the fetching process does anything at all.
    const LEAST_MEMORY: u64 = 8 << 20;

    /// Reads a JSON object with any of the fields; the others keep their defaults.
    pub fn parse(text: &str) -> Result<Self, String> {
        let limits: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Self {
            entries,
            bytes,
            file_bytes,
            pack_bytes,
            objects,
            refs_bytes,
            refs,
            patience,
            work,
            ..
        } = limits;
        let counts = [
            entries, bytes, file_bytes, pack_bytes, objects, refs_bytes, refs, patience, work,
        ];
        if counts.contains(&0) || limits.depth == 0 {
            return Err("a limit of 0 lets nothing in".to_owned());
        }
        if limits.memory < Self::LEAST_MEMORY {
            return Err(format!("memory is at least {}", Self::LEAST_MEMORY));
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_keeps_its_default() {
        assert_eq!(Limits::parse("{}"), Ok(Limits::default()));
        let limits = Limits::parse(r#"{"entries": 7, "memory": 99999999}"#).unwrap();
        assert_eq!((limits.entries, limits.memory), (7, 99_999_999));
        assert_eq!(limits.bytes, Limits::default().bytes);
        for bad in [
            r#"{"entries":0}"#,
            r#"{"entry":1}"#,
            r#"{"memory":1}"#,
            r#"{"bytes":-1}"#,
            "7",
            "",
        ] {
            assert!(Limits::parse(bad).is_err(), "{bad}");
        }
    }
}

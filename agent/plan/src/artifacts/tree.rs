//! The bytes of one tree object, read strictly. Pure.
//!
//! Only the shapes that Git itself writes are accepted: files, executables, folders, links; a submodule is
//! noticed and left alone. It refuses to know objects and disks.

use super::names;
use super::object::{HASH_BYTES, ObjectId};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File {
        /// It may be run.
        executable: bool,
    },
    /// A folder: another tree.
    Folder,
    /// A link: its target is a blob.
    Link,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// UTF-8, without slashes and control characters.
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: Kind,
    /// Its contents.
    pub id: ObjectId,
}

/// Why a tree is refused: the name, as far as there is one, and the reason.
pub type Unacceptable = (Vec<u8>, String);

/// Reads a tree object into entries sorted by name, `most` of them at most. Submodules are left out; everything
/// unknown is refused.
pub fn parse(mut bytes: &[u8], most: u64) -> Result<Vec<Entry>, Unacceptable> {
    let mut entries = Vec::new();
    let mut names = 0;
    while !bytes.is_empty() {
        names += 1;
        if names > most {
            return Err(broken(&format!("has more than {most} files and folders")));
        }
        let [mode, name, hash, rest] = split(bytes).ok_or_else(|| broken("is not a tree"))?;
        bytes = rest;
        let refuse = |reason: &str| (name.to_vec(), reason.to_owned());
        if let Some(reason) = names::fault(name) {
            return Err(refuse(reason));
        }
        let kind = match mode {
            b"100644" => Kind::File { executable: false },
            b"100755" => Kind::File { executable: true },
            b"40000" => Kind::Folder,
            b"120000" if names::is_obeyed_by_git(name) => {
                return Err(refuse("is a link that Git would follow"));
            }
            b"120000" => Kind::Link,
            b"160000" => continue,
            other => {
                let mode = String::from_utf8_lossy(other);
                return Err(refuse(&format!(
                    "has the mode {mode}; only files, executables, folders and links are written"
                )));
            }
        };
        entries.push(Entry {
            name: name.into(),
            kind,
            id: ObjectId::from_bytes(hash.try_into().map_err(|_| broken("is not a tree"))?),
        });
    }
    entries.shrink_to_fit();
    entries.sort_unstable_by(|a, b| names::compare_folded(&a.name, &b.name));
    let alike = |pair: &&[Entry]| names::compare_folded(&pair[0].name, &pair[1].name).is_eq();
    if let Some([entry, _]) = entries.windows(2).find(alike) {
        let reason = "differs from another name in its folder by case only, or not at all";
        return Err((entry.name.to_vec(), reason.to_owned()));
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The entry of this name.
pub fn find<'a>(entries: &'a [Entry], name: &[u8]) -> Option<&'a Entry> {
    let at = entries.binary_search_by(|entry| (*entry.name).cmp(name)).ok()?;
    entries.get(at)
}

/// How many folders a link's target climbs from the link's own folder, or why it is refused.
///
/// After the first name nothing may climb: `a/..` is not `.` where `a` is itself a link. So the target is a
/// real folder above the link, and then a way down; by induction over links that way stays inside.
pub fn climb(target: &[u8]) -> Result<usize, &'static str> {
    let text = std::str::from_utf8(target).map_err(|_| "is a link whose target is not UTF-8")?;
    if text.is_empty() || text.starts_with('/') {
        return Err("is a link with an absolute target");
    }
    if text.chars().any(char::is_control) {
        return Err("is a link with control characters in its target");
    }
    let (mut ups, mut names) = (0, 0);
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if names > 0 => return Err("is a link that goes down and up again"),
            ".." => ups += 1,
            _ => names += 1,
        }
    }
    Ok(ups)
}

/// `mode SP name NUL hash rest`
fn split(bytes: &[u8]) -> Option<[&[u8]; 4]> {
    let space = bytes.iter().take(8).position(|b| *b == b' ')?;
    let (mode, rest) = (&bytes[..space], &bytes[space + 1..]);
    let end = rest.iter().position(|b| *b == 0)?;
    let (name, rest) = (&rest[..end], &rest[end + 1..]);
    let (hash, rest) = rest.split_at_checked(HASH_BYTES)?;
    Some([mode, name, hash, rest])
}

fn broken(reason: &str) -> Unacceptable {
    (Vec::new(), reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (mode, name) in entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(&[7; 20]);
        }
        bytes
    }

    #[test]
    fn only_modes_that_git_writes_are_accepted() {
        for mode in ["100644", "100755", "40000", "120000"] {
            assert_eq!(parse(&raw(&[(mode, "a")]), 9).unwrap().len(), 1, "{mode}");
        }
        assert_eq!(parse(&raw(&[("160000", "a")]), 9).unwrap().len(), 0);
        for mode in [
            "10000", "104755", "100664", "040000", "20000", "60000", "140000", "0", "", "100777",
        ] {
            assert!(parse(&raw(&[(mode, "a")]), 9).is_err(), "{mode} was accepted");
        }
    }

    #[test]
    fn names_are_counted_submodules_included() {
        let four = raw(&[("100644", "a"), ("160000", "b"), ("160000", "c"), ("40000", "d")]);
        assert_eq!(parse(&four, 4).unwrap().len(), 2);
        assert!(parse(&four, 3).is_err());
    }

    #[test]
    fn names_that_collide_are_refused() {
        assert!(parse(&raw(&[("40000", "A"), ("120000", "a")]), 9).is_err());
        assert!(parse(&raw(&[("120000", "a"), ("40000", "a")]), 9).is_err());
    }

    #[test]
    fn links_stay_below_real_folders() {
        assert_eq!(climb(b"a/b"), Ok(0));
        assert_eq!(climb(b"../../a"), Ok(2));
        assert_eq!(climb(b"./.././a/"), Ok(1));
        for bad in ["/etc", "", "a/../b", "a/b/../../..", "\u{1b}", "//x"] {
            assert!(climb(bad.as_bytes()).is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, 9);
            let _ = climb(&bytes);
        }
    }
}

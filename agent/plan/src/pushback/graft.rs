//! New trees from old ones: changed paths put in, everything else as it was, submodules included.
//!
//! Refuses to know where trees are read and hashed; what it makes is what the agent itself would accept.

use std::collections::BTreeMap;

use super::{Changes, Leaf, Path};
use crate::artifacts::object::{HASH_BYTES, ObjectId};
use crate::artifacts::tree::{self, Kind};

/// Deepest folder.
const MAX_DEPTH: usize = 128;
/// Most entries of one tree.
const MAX_ENTRIES: u64 = 1 << 20;

/// Why there is no new tree.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// A file would be where a folder is, or a folder where a file is, or a name would not be accepted.
    Conflict(Path, String),
    /// A tree is no tree.
    Broken(ObjectId),
    /// A tree could not be read.
    Unread(E),
}

/// One entry as it stands in a tree object, of whatever kind.
#[derive(Clone)]
struct Raw {
    mode: Vec<u8>,
    id: ObjectId,
}

impl Raw {
    fn is_folder(&self) -> bool {
        self.mode == b"40000"
    }
}

type Below<'a> = Vec<(&'a [u8], Option<Leaf>)>;

/// Reads and writes trees.
pub struct Graft<'a, E> {
    /// The bytes of a tree object.
    pub read: &'a mut dyn FnMut(ObjectId) -> Result<Vec<u8>, E>,
    /// Keeps the bytes of a new one, and says its hash.
    pub write: &'a mut dyn FnMut(Vec<u8>) -> ObjectId,
}

impl<E> Graft<'_, E> {
    /// The tree that `root` becomes.
    pub fn put(&mut self, root: ObjectId, changes: &Changes) -> Result<ObjectId, Fault<E>> {
        let all = changes
            .iter()
            .map(|(path, leaf)| (path.as_slice(), *leaf))
            .collect();
        let made = self.folder(Some(root), all, &mut Vec::new())?;
        Ok(made.unwrap_or_else(|| (self.write)(Vec::new())))
    }

    /// None: there is nothing in it any more.
    fn folder(
        &mut self,
        old: Option<ObjectId>,
        changes: Below<'_>,
        path: &mut Path,
    ) -> Result<Option<ObjectId>, Fault<E>> {
        let mut entries = match old {
            Some(id) => {
                let bytes = (self.read)(id).map_err(Fault::Unread)?;
                parse(&bytes).ok_or(Fault::Broken(id))?
            }
            None => BTreeMap::new(),
        };
        let mut groups: BTreeMap<&[u8], (Option<Option<Leaf>>, Below<'_>)> = BTreeMap::new();
        for (rest, leaf) in changes {
            match rest.iter().position(|byte| *byte == b'/') {
                None => groups.entry(rest).or_default().0 = Some(leaf),
                Some(at) => groups
                    .entry(&rest[..at])
                    .or_default()
                    .1
                    .push((&rest[at + 1..], leaf)),
            }
        }
        for (name, (own, below)) in groups {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let new = self.entry(entries.get(name).cloned(), own, below, path)?;
            path.truncate(length);
            match new {
                Some(raw) => entries.insert(name.to_vec(), raw),
                None => entries.remove(name),
            };
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let bytes = written(&entries);
        if let Err((name, reason)) = tree::parse(&bytes, MAX_ENTRIES) {
            let mut whole = path.clone();
            if !whole.is_empty() {
                whole.push(b'/');
            }
            whole.extend_from_slice(&name);
            return Err(Fault::Conflict(whole, reason));
        }
        Ok(Some((self.write)(bytes)))
    }

    /// What becomes of one name.
    fn entry(
        &mut self,
        old: Option<Raw>,
        own: Option<Option<Leaf>>,
        below: Below<'_>,
        path: &mut Path,
    ) -> Result<Option<Raw>, Fault<E>> {
        let conflict = |path: &Path, reason: &str| Fault::Conflict(path.clone(), reason.to_owned());
        let folder = old.as_ref().filter(|raw| raw.is_folder()).map(|raw| raw.id);
        let adds = below.iter().any(|(_, leaf)| leaf.is_some());
        let stays = old.as_ref().filter(|raw| !raw.is_folder() && own != Some(None));
        if adds && stays.is_some() {
            return Err(conflict(path, "is no folder there"));
        }
        if path.iter().filter(|byte| **byte == b'/').count() > MAX_DEPTH {
            return Err(conflict(path, "is too deep"));
        }
        let inside = if below.is_empty() || folder.is_none() && !adds {
            folder
        } else {
            self.folder(folder, below, path)?
        };
        match (own, inside) {
            (Some(Some(_)), Some(_)) => Err(conflict(path, "is a folder there")),
            (_, Some(id)) => Ok(Some(Raw {
                mode: b"40000".to_vec(),
                id,
            })),
            (Some(Some(leaf)), None) => Ok(Some(of_leaf(leaf))),
            (Some(None), None) => Ok(None),
            (None, None) => Ok(old.filter(|raw| !raw.is_folder())),
        }
    }
}

fn of_leaf(leaf: Leaf) -> Raw {
    let mode: &[u8] = match leaf.kind {
        Kind::File { executable: false } => b"100644",
        Kind::File { executable: true } => b"100755",
        Kind::Link => b"120000",
        Kind::Folder => b"40000",
    };
    Raw {
        mode: mode.to_vec(),
        id: leaf.id,
    }
}

fn parse(mut bytes: &[u8]) -> Option<BTreeMap<Vec<u8>, Raw>> {
    let mut all = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().take(8).position(|byte| *byte == b' ')?;
        let end = space + 1 + bytes[space + 1..].iter().position(|byte| *byte == 0)?;
        let (hash, rest) = bytes.get(end + 1..)?.split_at_checked(HASH_BYTES)?;
        let raw = Raw {
            mode: bytes[..space].to_vec(),
            id: ObjectId::from_bytes(hash.try_into().ok()?),
        };
        all.insert(bytes[space + 1..end].to_vec(), raw);
        bytes = rest;
    }
    Some(all)
}

/// In Git's order: folders as if their names ended with a slash.
fn written(entries: &BTreeMap<Vec<u8>, Raw>) -> Vec<u8> {
    let key = |(name, raw): &(&Vec<u8>, &Raw)| {
        let mut key = (*name).clone();
        if raw.is_folder() {
            key.push(b'/');
        }
        key
    };
    let mut all: Vec<(&Vec<u8>, &Raw)> = entries.iter().collect();
    all.sort_by_key(key);
    let mut bytes = Vec::new();
    for (name, raw) in all {
        bytes.extend_from_slice(&raw.mode);
        bytes.push(b' ');
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(raw.id.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Objects by a hash that is only a number.
    #[derive(Default)]
    struct Objects(Vec<Vec<u8>>);

    impl Objects {
        fn write(&mut self, bytes: Vec<u8>) -> ObjectId {
            let at = self
                .0
                .iter()
                .position(|known| *known == bytes)
                .unwrap_or_else(|| {
                    self.0.push(bytes);
                    self.0.len() - 1
                });
            let mut id = [0; 20];
            id[0] = 1;
            id[12..].copy_from_slice(&(at as u64).to_be_bytes());
            ObjectId::from_bytes(id)
        }

        fn read(&self, id: ObjectId) -> Result<Vec<u8>, ()> {
            let at = u64::from_be_bytes(id.as_bytes()[12..].try_into().unwrap());
            self.0.get(usize::try_from(at).unwrap()).cloned().ok_or(())
        }

        fn put(&mut self, root: ObjectId, changes: &Changes) -> Result<ObjectId, Fault<()>> {
            let objects = std::cell::RefCell::new(self);
            Graft {
                read: &mut |id| objects.borrow().read(id),
                write: &mut |bytes| objects.borrow_mut().write(bytes),
            }
            .put(root, changes)
        }

        /// All leaves.
        fn flat(&self, id: ObjectId, prefix: &str, all: &mut BTreeMap<String, u8>) {
            for (name, raw) in parse(&self.read(id).unwrap()).unwrap() {
                let path = format!("{prefix}{}", String::from_utf8(name).unwrap());
                if raw.is_folder() {
                    self.flat(raw.id, &format!("{path}/"), all);
                } else {
                    all.insert(path, raw.id.as_bytes()[19]);
                }
            }
        }
    }

    fn leaf(n: u8) -> Option<Leaf> {
        let mut id = [0; 20];
        id[19] = n;
        Some(Leaf {
            kind: Kind::File { executable: false },
            id: ObjectId::from_bytes(id),
        })
    }

    fn changes(all: &[(&str, Option<Leaf>)]) -> Changes {
        all.iter()
            .map(|(path, leaf)| (path.as_bytes().to_vec(), *leaf))
            .collect()
    }

    fn flat(objects: &Objects, id: ObjectId) -> Vec<(String, u8)> {
        let mut all = BTreeMap::new();
        objects.flat(id, "", &mut all);
        all.into_iter().collect()
    }

    #[test]
    fn changed_paths_are_put_in_and_empty_folders_go() {
        let mut objects = Objects::default();
        let empty = objects.write(Vec::new());
        let root = objects
            .put(
                empty,
                &changes(&[("a/b/c", leaf(1)), ("a.x", leaf(2)), ("d", leaf(3))]),
            )
            .unwrap();
        let next = objects
            .put(
                root,
                &changes(&[("a/b/c", None), ("a/e", leaf(4)), ("d", leaf(5))]),
            )
            .unwrap();
        let expected = [("a.x", 2), ("a/e", 4), ("d", 5)].map(|(p, n)| (p.to_owned(), n));
        assert_eq!(flat(&objects, next), expected);
        let last = objects
            .put(next, &changes(&[("a/e", None), ("a", leaf(6))]))
            .unwrap();
        assert_eq!(flat(&objects, last)[0], ("a".to_owned(), 6));
        let back = objects
            .put(last, &changes(&[("a", None), ("a/e", leaf(4))]))
            .unwrap();
        assert_eq!(back, next, "the same files are the same tree");
    }

    #[test]
    fn folders_and_files_do_not_silently_replace_each_other() {
        let mut objects = Objects::default();
        let empty = objects.write(Vec::new());
        let root = objects
            .put(empty, &changes(&[("a/b", leaf(1)), ("c", leaf(2))]))
            .unwrap();
        for (path, what) in [("a", "is a folder there"), ("c/d", "is no folder there")] {
            let fault = objects.put(root, &changes(&[(path, leaf(3))])).unwrap_err();
            assert!(
                matches!(&fault, Fault::Conflict(_, reason) if reason == what),
                "{path}: {fault:?}"
            );
        }
    }

    #[test]
    fn names_that_no_agent_would_accept_are_not_committed() {
        let mut objects = Objects::default();
        let empty = objects.write(Vec::new());
        let root = objects.put(empty, &changes(&[("x/README", leaf(1))])).unwrap();
        for bad in ["x/readme", ".git/config", "x/a\u{1b}"] {
            let fault = objects.put(root, &changes(&[(bad, leaf(3))]));
            assert!(matches!(fault, Err(Fault::Conflict(..))), "{bad}");
        }
    }

    #[test]
    fn submodules_stay_as_they_are() {
        let mut objects = Objects::default();
        let mut bytes = b"160000 sub\0".to_vec();
        bytes.extend_from_slice(&[9; 20]);
        let root = objects.write(bytes);
        let next = objects.put(root, &changes(&[("a", leaf(1))])).unwrap();
        assert!(String::from_utf8_lossy(&objects.read(next).unwrap()).contains("160000 sub\0"));
    }

    proptest! {
        #[test]
        fn whatever_is_put_in_is_there_and_nothing_else_changed(
            before in proptest::collection::btree_map("[ab](/[ab]){0,2}", 1u8..5, 0..6),
            after in proptest::collection::btree_map("[ab](/[ab]){0,2}", 1u8..5, 0..6),
        ) {
            let consistent = |all: &BTreeMap<String, u8>| {
                let mut kept = BTreeMap::new();
                for (path, n) in all {
                    let inside = |k: &String| path.starts_with(&format!("{k}/")) || k.starts_with(&format!("{path}/"));
                    if !kept.keys().any(inside) {
                        kept.insert(path.clone(), *n);
                    }
                }
                kept
            };
            let (before, after) = (consistent(&before), consistent(&after));
            let mut objects = Objects::default();
            let empty = objects.write(Vec::new());
            let of = |all: &BTreeMap<String, u8>| -> Changes {
                all.iter().map(|(path, n)| (path.clone().into_bytes(), leaf(*n))).collect()
            };
            let root = objects.put(empty, &of(&before)).unwrap();
            let mut change = of(&after);
            for path in before.keys() {
                change.entry(path.clone().into_bytes()).or_insert(None);
            }
            let next = objects.put(root, &change).unwrap();
            prop_assert_eq!(flat(&objects, next), after.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }
    }
}

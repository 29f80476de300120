//! The trees of a commit, each read once, counted against the limits before a byte is written.
//!
//! A tree that occurs ten thousand times is counted ten thousand times but looked at once, so the smallest bomb
//! costs nothing. It refuses to know the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::rc::Rc;

use cartridge_agent_plan::artifacts::Limits;
use cartridge_agent_plan::artifacts::object::{ObjectId, ObjectKind};
use cartridge_agent_plan::artifacts::tree::{self, Entry, Kind};

use super::fault::Trouble;
use crate::host::git::{NoObject, Store};

/// Longest path that programs can open.
const MAX_PATH_BYTES: u64 = 4000;
/// Largest single tree object.
const MAX_TREE_BYTES: u64 = 8 << 20;
/// Longest target of a link.
const MAX_LINK_BYTES: u64 = 4000;

/// What a tree amounts to, everything below it included.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    entries: u64,
    /// Those of them that are files or links.
    files: u64,
    /// Longest path below it, bytes.
    path: u64,
    /// How many folders above it a link below it reaches.
    climb: usize,
    depth: usize,
}

/// The trees of one repository, as far as they have been read.
pub(super) struct Forest<'store> {
    store: &'store Store,
    trees: BTreeMap<ObjectId, Rc<[Entry]>>,
    sizes: BTreeMap<ObjectId, Size>,
    /// Entries of trees that were read before it was known whether they are needed.
    ahead: u64,
    limits: Limits,
}

impl<'store> Forest<'store> {
    pub(super) fn new(store: &'store Store, limits: Limits) -> Self {
        Self {
            store,
            trees: BTreeMap::new(),
            sizes: BTreeMap::new(),
            ahead: 0,
            limits,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Refuses a tree that holds anything hostile or too much; says how many entries it has.
    pub(super) fn survey(&mut self, root: ObjectId) -> Result<u64, Trouble> {
        let size = self.size(root, &mut Vec::new())?;
        if size.climb > 0 {
            return Err(Trouble::refused(&[], "holds a link that leaves the commit"));
        }
        Ok(size.entries)
    }

    /// How many files and links a tree holds. It is surveyed for that.
    pub(super) fn files(&mut self, root: ObjectId) -> Result<u64, Trouble> {
        Ok(self.size(root, &mut Vec::new())?.files)
    }

    /// The entries of a tree, refused as a whole if one of them is unacceptable.
    pub(super) fn tree(&mut self, id: ObjectId, path: &[Vec<u8>]) -> Result<Rc<[Entry]>, Trouble> {
        if let Some(entries) = self.trees.get(&id) {
            return Ok(entries.clone());
        }
        let bytes = self.object(id, ObjectKind::Tree, MAX_TREE_BYTES, path)?;
        let parsed = tree::parse(&bytes, self.limits.entries);
        drop(bytes);
        let entries: Rc<[Entry]> = match parsed {
            Ok(entries) => entries.into(),
            Err((name, reason)) => {
                let path: Vec<_> = path.iter().cloned().chain([name]).collect();
                return Err(Trouble::refused(&path, reason));
            }
        };
        self.trees.insert(id, entries.clone());
        Ok(entries)
    }

    /// Reads the folders of a tree together, as many as a commit may have entries; nothing is said of what cannot be read.
    fn read_ahead(&mut self, entries: &[Entry]) {
        let folders = entries.iter().filter(|entry| entry.kind == Kind::Folder);
        let unknown = folders
            .map(|entry| entry.id)
            .filter(|id| !self.trees.contains_key(id));
        let unknown: Vec<ObjectId> = unknown.collect::<BTreeSet<_>>().into_iter().collect();
        if unknown.len() < 2 {
            return;
        }
        let (trees, ahead, most) = (&mut self.trees, &mut self.ahead, self.limits.entries);
        self.store.objects(&unknown, MAX_TREE_BYTES, |id, kind, bytes| {
            let room = most.saturating_sub(*ahead);
            let parsed = Some(kind).filter(|kind| *kind == ObjectKind::Tree);
            let Some(Ok(entries)) = parsed.map(|_| tree::parse(bytes, room)) else {
                return false;
            };
            *ahead += entries.len() as u64;
            trees.insert(id, entries.into());
            true
        });
    }

    /// The target of a link.
    pub(super) fn target(&self, entry: &Entry, path: &[Vec<u8>]) -> Result<Vec<u8>, Trouble> {
        self.object(entry.id, ObjectKind::Blob, MAX_LINK_BYTES, path)
    }

    /// Writes the bytes of a file, if they are no more than `room`; says how many they were.
    pub(super) fn copy(
        &self,
        entry: &Entry,
        room: u64,
        path: &[Vec<u8>],
        into: &mut File,
    ) -> Result<u64, Trouble> {
        let Limits {
            bytes, file_bytes, ..
        } = self.limits;
        let mut size = 0;
        let copied = self.store.copy(entry.id, file_bytes.min(room), |piece, whole| {
            size = whole as u64;
            into.write_all(piece)
        });
        match copied {
            Ok(ObjectKind::Blob) => Ok(size),
            Ok(found) => Err(is_another(path, ObjectKind::Blob, found)),
            Err(NoObject::Larger(size)) if size <= file_bytes => Err(Trouble::refused(
                path,
                format!("brings the commit over {bytes} bytes"),
            )),
            Err(error) => Err(trouble(error, entry.id, file_bytes, path)),
        }
    }

    fn object(
        &self,
        id: ObjectId,
        kind: ObjectKind,
        most: u64,
        path: &[Vec<u8>],
    ) -> Result<Vec<u8>, Trouble> {
        match self.store.object(id, most) {
            Ok((found, bytes)) if found == kind => Ok(bytes),
            Ok((found, _)) => Err(is_another(path, kind, found)),
            Err(error) => Err(trouble(error, id, most, path)),
        }
    }

    fn size(&mut self, id: ObjectId, path: &mut Vec<Vec<u8>>) -> Result<Size, Trouble> {
        if let Some(size) = self.sizes.get(&id) {
            return Ok(*size);
        }
        let mut size = Size::default();
        let entries = self.tree(id, path)?;
        self.read_ahead(&entries);
        for entry in entries.iter() {
            path.push(entry.name.to_vec());
            let below = self.entry_size(entry, path)?;
            size.entries = size.entries.saturating_add(1).saturating_add(below.entries);
            size.files = size.files.saturating_add(below.files);
            size.path = size.path.max(entry.name.len() as u64 + 1 + below.path);
            size.climb = size.climb.max(below.climb);
            size.depth = size.depth.max(below.depth);
            self.check(&size, path)?;
            path.pop();
        }
        self.sizes.insert(id, size);
        Ok(size)
    }

    fn entry_size(&mut self, entry: &Entry, path: &mut Vec<Vec<u8>>) -> Result<Size, Trouble> {
        match entry.kind {
            Kind::File { .. } => Ok(Size {
                files: 1,
                ..Size::default()
            }),
            Kind::Link => {
                let climb = tree::climb(&self.target(entry, path)?);
                let climb = climb.map_err(|reason| Trouble::refused(path, reason))?;
                if climb >= path.len() {
                    return Err(Trouble::refused(path, "is a link that leaves the commit"));
                }
                Ok(Size {
                    files: 1,
                    climb,
                    ..Size::default()
                })
            }
            Kind::Folder => {
                // Before going down: the stack is bounded too.
                if path.len() > self.limits.depth {
                    return Err(Trouble::refused(path, self.too_deep()));
                }
                let below = self.size(entry.id, path)?;
                Ok(Size {
                    climb: below.climb.saturating_sub(1),
                    depth: below.depth + 1,
                    ..below
                })
            }
        }
    }

    fn check(&self, size: &Size, path: &[Vec<u8>]) -> Result<(), Trouble> {
        if size.entries > self.limits.entries {
            let reason = format!("brings the commit over {} files and folders", self.limits.entries);
            return Err(Trouble::refused(path, reason));
        }
        if size.depth > self.limits.depth {
            return Err(Trouble::refused(path, self.too_deep()));
        }
        if size.path > MAX_PATH_BYTES {
            return Err(Trouble::refused(
                path,
                format!("has paths over {MAX_PATH_BYTES} bytes"),
            ));
        }
        Ok(())
    }

    fn too_deep(&self) -> String {
        format!("has folders more than {} deep", self.limits.depth)
    }
}

fn is_another(path: &[Vec<u8>], said: ObjectKind, found: ObjectKind) -> Trouble {
    Trouble::refused(
        path,
        format!("is said to be a {} but is a {}", said.name(), found.name()),
    )
}

fn trouble(error: NoObject, id: ObjectId, most: u64, path: &[Vec<u8>]) -> Trouble {
    match error {
        NoObject::Missing => Trouble::Damaged(format!("object {id} is missing")),
        NoObject::Forged => Trouble::Damaged(format!("object {id} is not what its hash says")),
        NoObject::Larger(bytes) => {
            Trouble::refused(path, format!("has {bytes} bytes; at most {most} are accepted"))
        }
        NoObject::Unwritten(error) => Trouble::Disk(error),
        NoObject::Git(error) => error.into(),
    }
}

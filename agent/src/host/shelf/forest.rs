//! The trees of a commit, each read once, counted against the limits before a byte is written.
//!
//! A tree that occurs ten thousand times is counted ten thousand times but looked at once, so the smallest bomb
//! costs nothing. It refuses to know the disk.

use std::collections::BTreeMap;
use std::rc::Rc;

use git2::{ObjectType, Odb, Oid};

use super::fault::Trouble;
use super::tree::{self, Entry, Kind};

/// Longest path that programs can open.
const MAX_PATH_BYTES: u64 = 4000;
/// Largest single tree object.
const MAX_TREE_BYTES: usize = 32 << 20;
/// Longest target of a link.
const MAX_LINK_BYTES: usize = 4000;

/// How large a release may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files, links and folders.
    pub entries: u64,
    /// Bytes in all files.
    pub bytes: u64,
    /// Bytes in one file: it is held in memory while it is verified.
    pub file_bytes: u64,
    /// Folders within folders.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            bytes: 4 << 30,
            file_bytes: 512 << 20,
            depth: 64,
        }
    }
}

/// What a tree amounts to, everything below it included.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    entries: u64,
    /// Longest path below it, bytes.
    path: u64,
    /// How many folders above it a link below it reaches.
    climb: usize,
    depth: usize,
}

/// The trees of one repository, as far as they have been read.
pub(super) struct Forest<'repository> {
    odb: Odb<'repository>,
    trees: BTreeMap<Oid, Rc<[Entry]>>,
    sizes: BTreeMap<Oid, Size>,
    limits: Limits,
}

impl<'repository> Forest<'repository> {
    pub(super) fn new(odb: Odb<'repository>, limits: Limits) -> Self {
        Self {
            odb,
            trees: BTreeMap::new(),
            sizes: BTreeMap::new(),
            limits,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Refuses a tree that holds anything hostile or too much; says how many entries it has.
    pub(super) fn survey(&mut self, root: Oid) -> Result<u64, Trouble> {
        let size = self.size(root, &mut Vec::new())?;
        if size.climb > 0 {
            return Err(Trouble::refused(&[], "holds a link that leaves the commit"));
        }
        Ok(size.entries)
    }

    /// The entries of a tree, refused as a whole if one of them is unacceptable.
    pub(super) fn tree(&mut self, oid: Oid, path: &[Vec<u8>]) -> Result<Rc<[Entry]>, Trouble> {
        if let Some(entries) = self.trees.get(&oid) {
            return Ok(entries.clone());
        }
        let parsed = tree::parse(self.object(oid, ObjectType::Tree, MAX_TREE_BYTES, path)?.data());
        let entries: Rc<[Entry]> = match parsed {
            Ok(entries) => entries.into(),
            Err((name, reason)) => {
                let path: Vec<_> = path.iter().cloned().chain([name]).collect();
                return Err(Trouble::refused(&path, reason));
            }
        };
        self.trees.insert(oid, entries.clone());
        Ok(entries)
    }

    /// The bytes of a file or of a link's target; libgit2 verifies their hash.
    pub(super) fn blob(&self, entry: &Entry, path: &[Vec<u8>]) -> Result<git2::OdbObject<'_>, Trouble> {
        let most = match entry.kind {
            Kind::Link => MAX_LINK_BYTES,
            _ => usize::try_from(self.limits.file_bytes).unwrap_or(usize::MAX),
        };
        self.object(entry.oid, ObjectType::Blob, most, path)
    }

    fn object(
        &self,
        oid: Oid,
        kind: ObjectType,
        most: usize,
        path: &[Vec<u8>],
    ) -> Result<git2::OdbObject<'_>, Trouble> {
        let (bytes, found) = self.odb.read_header(oid)?;
        if found != kind {
            return Err(Trouble::refused(
                path,
                format!("is said to be a {kind} but is a {found}"),
            ));
        }
        if bytes > most {
            return Err(Trouble::refused(
                path,
                format!("has {bytes} bytes; at most {most} are accepted"),
            ));
        }
        Ok(self.odb.read(oid)?)
    }

    fn size(&mut self, oid: Oid, path: &mut Vec<Vec<u8>>) -> Result<Size, Trouble> {
        if let Some(size) = self.sizes.get(&oid) {
            return Ok(*size);
        }
        let mut size = Size::default();
        for entry in self.tree(oid, path)?.iter() {
            path.push(entry.name.clone());
            let below = self.entry_size(entry, path)?;
            size.entries = size.entries.saturating_add(1).saturating_add(below.entries);
            size.path = size.path.max(entry.name.len() as u64 + 1 + below.path);
            size.climb = size.climb.max(below.climb);
            size.depth = size.depth.max(below.depth);
            self.check(&size, path)?;
            path.pop();
        }
        self.sizes.insert(oid, size);
        Ok(size)
    }

    fn entry_size(&mut self, entry: &Entry, path: &mut Vec<Vec<u8>>) -> Result<Size, Trouble> {
        match entry.kind {
            Kind::File { .. } => Ok(Size::default()),
            Kind::Link => {
                let climb = tree::climb(self.blob(entry, path)?.data());
                let climb = climb.map_err(|reason| Trouble::refused(path, reason))?;
                if climb >= path.len() {
                    return Err(Trouble::refused(path, "is a link that leaves the commit"));
                }
                Ok(Size {
                    climb,
                    ..Size::default()
                })
            }
            Kind::Folder => {
                // Before going down: the stack is bounded too.
                if path.len() > self.limits.depth {
                    return Err(Trouble::refused(path, self.too_deep()));
                }
                let below = self.size(entry.oid, path)?;
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

//! Makes a release out of an older one that is no longer needed: what did not change stays where it is.
//!
//! Linking ten thousand files costs a hundred times what looking at them costs. Nothing in the older release is
//! trusted that could not be taken over by a link too: a file stays only if the commit says the same as before and
//! it is still as it was written; everything else is removed and made anew. It refuses to know which release is
//! not needed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use cartridge_agent_plan::artifacts::object::ObjectId;
use cartridge_agent_plan::artifacts::tree::{Entry, Kind, find};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, fsync, syncfs, unlinkat};

use super::export::{Base, Export, FOLDER, Tally};
use super::failpoint::point;
use super::fault::Trouble;

/// Most files and folders that are flushed one by one; more are flushed with the whole file system.
const MOST_FLUSHED: usize = 64;

/// What has to reach the disk before the release is sealed.
#[derive(Default)]
pub(super) struct Unflushed {
    handles: Vec<OwnedFd>,
    many: bool,
}

impl Unflushed {
    /// Too much to count.
    pub(super) fn everything() -> Self {
        Self {
            handles: Vec::new(),
            many: true,
        }
    }

    pub(super) fn note(&mut self, handle: BorrowedFd<'_>) -> io::Result<()> {
        if !self.many && self.handles.len() < MOST_FLUSHED {
            self.handles.push(handle.try_clone_to_owned()?);
        } else {
            *self = Self::everything();
        }
        Ok(())
    }

    /// Blocks until all of it is on the disk; `root` is where it all lies.
    pub(super) fn flush(self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        if self.many {
            return syncfs(root);
        }
        self.handles.iter().try_for_each(fsync)?;
        fsync(root)
    }
}

impl Export<'_, '_> {
    /// Makes `root` in `into`, which is empty, out of what lies in `old`, which was `before`.
    pub(super) fn remake(
        mut self,
        root: ObjectId,
        into: &OwnedFd,
        (before, old): (ObjectId, &OwnedFd),
        base: Option<Base>,
    ) -> Result<(Tally, Unflushed), Trouble> {
        let wanted = self.forest.tree(root, &self.path)?;
        let known = self.forest.tree(before, &self.path)?;
        for entry in wanted.iter() {
            let alike = find(&known, &entry.name).is_some_and(|old| old.kind == entry.kind);
            // What is not there any more is made anew.
            if alike && let Err(error) = renameat(old, &*entry.name, into, &*entry.name) {
                tracing::debug!(%error, "a file of an older release is gone");
            }
        }
        point("remake.moved");
        self.unflushed = Unflushed::default();
        self.mend(root, Some(before), into.as_fd(), base.as_ref())?;
        self.finished()
    }

    /// Makes `folder`, which should be `root`, that again.
    pub(super) fn mend_all(
        mut self,
        root: ObjectId,
        folder: &OwnedFd,
    ) -> Result<(Tally, Unflushed), Trouble> {
        self.unflushed = Unflushed::default();
        readable(folder)?;
        self.mend(root, Some(root), folder.as_fd(), None)?;
        self.finished()
    }

    fn mend(
        &mut self,
        tree: ObjectId,
        before: Option<ObjectId>,
        folder: BorrowedFd<'_>,
        base: Option<&Base>,
    ) -> Result<(), Trouble> {
        let entries = self.forest.tree(tree, &self.path)?;
        let before = match before {
            Some(before) if before == tree => Some(entries.clone()),
            Some(before) => self.forest.tree(before, &self.path).ok(),
            None => None,
        };
        let of_base = base.and_then(|base| self.forest.tree(base.tree, &self.path).ok());
        // Counted only: where all that is wanted may stay and no name is left over, none is read. What is not wanted
        // goes before anything is made: a nearly full disk has room for one of the two.
        let mut cleared = std::fs::read_dir(by_handle(folder))?.count() != entries.len();
        let mut changed = cleared && self.remove_others(&entries, folder)?;
        for (at, entry) in entries.iter().enumerate() {
            self.next_entry()?;
            self.path.push(entry.name.to_vec());
            let was = before.as_deref().and_then(|before| named(before, at, entry));
            let old = of_base.as_deref().and_then(|old| named(old, at, entry));
            let base = base.zip(old);
            if !self.keep(entry, was, folder, base)? {
                if !std::mem::replace(&mut cleared, true) {
                    self.remove_others(&entries, folder)?;
                }
                remove(folder, &entry.name)?;
                self.make(entry, folder, base)?;
                self.tally.changed += 1;
                changed = true;
            }
            self.path.pop();
            self.tally.entries += 1;
        }
        if changed {
            self.unflushed.note(folder)?;
        }
        Ok(())
    }

    /// Removes what is not wanted; whether there was anything.
    fn remove_others(&mut self, wanted: &[Entry], folder: BorrowedFd<'_>) -> Result<bool, Trouble> {
        let mut names = names_in(folder)?;
        names.retain(|name| find(wanted, name).is_none());
        for name in &names {
            remove(folder, name)?;
            self.tally.changed += 1;
        }
        Ok(!names.is_empty())
    }

    /// Whether what is there may stay; a folder is looked into.
    fn keep(
        &mut self,
        entry: &Entry,
        was: Option<&Entry>,
        folder: BorrowedFd<'_>,
        base: Option<(&Base, &Entry)>,
    ) -> Result<bool, Trouble> {
        match entry.kind {
            Kind::File { executable } => {
                Ok(was == Some(entry) && self.count_untouched(entry, executable, folder))
            }
            Kind::Link => {
                let target = self.forest.target(entry, &self.path)?;
                Ok(readlinkat(folder, &*entry.name).is_ok_and(|there| there.as_bytes() == target.as_slice()))
            }
            Kind::Folder => {
                let Ok(inner) = openat(folder, &*entry.name, FOLDER, Mode::empty()) else {
                    return Ok(false);
                };
                readable(&inner)?;
                let before = was.filter(|was| was.kind == Kind::Folder).map(|was| was.id);
                let base = base.and_then(|(base, old)| base.inner(old));
                self.mend(entry.id, before, inner.as_fd(), base.as_ref())?;
                Ok(true)
            }
        }
    }
}

/// Whatever was done to it.
fn readable(folder: &OwnedFd) -> Result<(), Errno> {
    let mode = Mode::from_bits_truncate(0o755);
    if fstat(folder)?.st_mode != SFlag::S_IFDIR.bits() | mode.bits() {
        fchmod(folder, mode)?;
    }
    Ok(())
}

/// What another tree has of this name: mostly where this tree has it, too.
fn named<'a>(among: &'a [Entry], at: usize, entry: &Entry) -> Option<&'a Entry> {
    let there = among.get(at).filter(|there| there.name == entry.name);
    there.or_else(|| find(among, &entry.name))
}

/// A folder's names. It is open already: no name is followed to it.
fn names_in(folder: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    std::fs::read_dir(by_handle(folder))?
        .map(|entry| Ok(entry?.file_name().into_vec()))
        .collect()
}

fn by_handle(folder: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

/// Removes a name, whatever it is, if there is one; links are not followed.
fn remove(folder: BorrowedFd<'_>, name: &[u8]) -> Result<(), Trouble> {
    let stat = match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(()),
        stat => stat?,
    };
    if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR {
        let path = by_handle(folder).join(std::ffi::OsStr::from_bytes(name));
        return Ok(std::fs::remove_dir_all(path)?);
    }
    Ok(unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?)
}

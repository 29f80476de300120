//! Writes a surveyed tree into a fresh folder, one name at a time beneath open folder handles.
//!
//! Every name is created, never opened: an existing one is an error, a link is never followed (S16). A file that
//! the release before has too is taken over from there instead of written (`share`), unless somebody changed it
//! since. It refuses to know releases and the current link.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cartridge_agent_plan::artifacts::object::ObjectId;
use cartridge_agent_plan::artifacts::tree::{Entry, Kind, find};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fchmod, fstatat, mkdirat};
use nix::unistd::symlinkat;

use super::failpoint::point;
use super::fault::Trouble;
use super::forest::Forest;
use super::remake::Unflushed;
use super::share::{Share, Taken};
use crate::host::git::Stop;

pub(super) const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
pub(super) const NEW_FILE: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_CREAT)
    .union(OFlag::O_EXCL)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// What an export did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Files, links and folders made.
    pub entries: u64,
    /// Bytes in all files.
    pub bytes: u64,
    /// Files that stayed, or were taken over from the release before.
    pub linked: u64,
    /// Bytes in the files that were written.
    pub written: u64,
    /// Names that were there and not as wanted, or missing.
    pub changed: u64,
}

/// A release that files may be taken over from.
pub(super) struct Base {
    pub tree: ObjectId,
    pub folder: OwnedFd,
}

impl Base {
    /// The same of a folder in it.
    pub(super) fn inner(&self, of: &Entry) -> Option<Self> {
        if of.kind != Kind::Folder {
            return None;
        }
        let folder = openat(&self.folder, &*of.name, FOLDER, Mode::empty()).ok()?;
        Some(Self { tree: of.id, folder })
    }
}

/// One export in progress.
pub(super) struct Export<'a, 'store> {
    pub(super) forest: &'a mut Forest<'store>,
    stop: &'a Stop,
    share: Share,
    expected: u64,
    pub(super) path: Vec<Vec<u8>>,
    pub(super) tally: Tally,
    pub(super) unflushed: Unflushed,
}

impl<'a, 'store> Export<'a, 'store> {
    /// `expected` is what the survey counted.
    pub(super) fn new(forest: &'a mut Forest<'store>, expected: u64, share: Share, stop: &'a Stop) -> Self {
        Self {
            forest,
            stop,
            share,
            expected,
            path: Vec::new(),
            tally: Tally::default(),
            unflushed: Unflushed::everything(),
        }
    }

    /// Writes `root` into `into`, which is empty.
    pub(super) fn run(
        mut self,
        root: ObjectId,
        into: &OwnedFd,
        base: Option<Base>,
    ) -> Result<(Tally, Unflushed), Trouble> {
        self.folder(root, into.as_fd(), base.as_ref())?;
        self.finished()
    }

    pub(super) fn finished(self) -> Result<(Tally, Unflushed), Trouble> {
        if self.tally.entries != self.expected {
            return Err(Trouble::Damaged(format!(
                "{} entries were written and {} expected",
                self.tally.entries, self.expected
            )));
        }
        Ok((self.tally, self.unflushed))
    }

    fn folder(&mut self, tree: ObjectId, into: BorrowedFd<'_>, base: Option<&Base>) -> Result<(), Trouble> {
        let entries = self.forest.tree(tree, &self.path)?;
        let before = match base {
            Some(base) => self.forest.tree(base.tree, &self.path).ok(),
            None => None,
        };
        for entry in entries.iter() {
            self.next_entry()?;
            self.path.push(entry.name.to_vec());
            let old = before.as_ref().and_then(|old| find(old, &entry.name));
            self.make(entry, into, base.zip(old))?;
            self.path.pop();
            self.tally.entries += 1;
        }
        self.unflushed.note(into)?;
        Ok(())
    }

    pub(super) fn next_entry(&self) -> Result<(), Trouble> {
        if self.stop.is_raised() {
            return Err(Trouble::Stopped);
        }
        if self.tally.entries == self.expected / 2 {
            point("stage.middle");
        }
        Ok(())
    }

    /// Makes a name that is not there; `base` is the release to take it from, and what it has of this name.
    pub(super) fn make(
        &mut self,
        entry: &Entry,
        into: BorrowedFd<'_>,
        base: Option<(&Base, &Entry)>,
    ) -> Result<(), Trouble> {
        match entry.kind {
            Kind::Folder => self.subfolder(entry, into, base),
            Kind::Link => {
                let target = self.forest.target(entry, &self.path)?;
                Ok(symlinkat(target.as_slice(), into, &*entry.name)?)
            }
            Kind::File { executable } => {
                let same = base.filter(|(_, old)| *old == entry).map(|(base, _)| base);
                if same.is_some_and(|base| self.take_over(entry, executable, into, base)) {
                    return Ok(());
                }
                self.write(entry, executable, into)
            }
        }
    }

    fn subfolder(
        &mut self,
        entry: &Entry,
        into: BorrowedFd<'_>,
        base: Option<(&Base, &Entry)>,
    ) -> Result<(), Trouble> {
        let mode = Mode::from_bits_truncate(0o755);
        mkdirat(into, &*entry.name, mode)?;
        let folder = openat(into, &*entry.name, FOLDER, Mode::empty())?;
        // Whatever the umask says: the application may run as somebody else.
        fchmod(&folder, mode)?;
        let base = base.and_then(|(base, old)| base.inner(old));
        self.folder(entry.id, folder.as_fd(), base.as_ref())
    }

    /// Takes the file of the release before, if it is still as we wrote it. Anything odd: write it instead.
    fn take_over(&mut self, entry: &Entry, executable: bool, into: BorrowedFd<'_>, base: &Base) -> bool {
        match self.share.take(base.folder.as_fd(), into, entry, executable) {
            Taken::Not => false,
            Taken::Linked(bytes) => self.count(bytes),
            Taken::Cloned(bytes, file) => self.unflushed.note(file.as_fd()).is_ok() && self.count(bytes),
        }
    }

    /// Whether a file is still as we wrote it; if so, it counts as taken over.
    pub(super) fn count_untouched(&mut self, entry: &Entry, executable: bool, into: BorrowedFd<'_>) -> bool {
        fstatat(into, &*entry.name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .ok()
            .filter(|stat| self.share.is_untouched(stat, entry, executable))
            .is_some_and(|stat| self.count(u64::try_from(stat.st_size).unwrap_or(0)))
    }

    fn count(&mut self, bytes: u64) -> bool {
        let fits = self.tally.bytes + bytes <= self.forest.limits().bytes;
        if fits {
            self.tally.bytes += bytes;
            self.tally.linked += 1;
        }
        fits
    }

    fn write(&mut self, entry: &Entry, executable: bool, into: BorrowedFd<'_>) -> Result<(), Trouble> {
        let mode = self.share.mode(executable);
        let mut file = File::from(openat(into, &*entry.name, NEW_FILE, mode)?);
        let room = self.forest.limits().bytes.saturating_sub(self.tally.bytes);
        let bytes = self.forest.copy(entry, room, &self.path, &mut file)?;
        self.tally.bytes += bytes;
        self.tally.written += bytes;
        self.share.stamp(file.as_fd(), entry, executable)?;
        self.unflushed.note(file.as_fd())?;
        Ok(())
    }
}

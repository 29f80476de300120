//! Writes a surveyed tree into a fresh folder, one name at a time beneath open folder handles.
//!
//! Every name is created, never opened: an existing one is an error, a link is never followed (S16). A file that
//! the release before has too is linked from there instead of written, unless somebody changed it since. It
//! refuses to know releases and the current link.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use git2::Oid;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::failpoint::point;
use super::fault::Trouble;
use super::forest::Forest;
use super::remake::Unflushed;
use super::tree::{Entry, Kind, find};
use crate::host::git::Stop;

pub(super) const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
const NEW_FILE: OFlag = OFlag::O_WRONLY
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
    /// Files taken over from the release before.
    pub linked: u64,
}

/// A release that files may be taken over from.
pub(super) struct Base {
    pub tree: Oid,
    pub folder: OwnedFd,
}

impl Base {
    /// The same of a folder in it.
    pub(super) fn inner(&self, of: &Entry) -> Option<Self> {
        if of.kind != Kind::Folder {
            return None;
        }
        let folder = openat(&self.folder, &*of.name, FOLDER, Mode::empty()).ok()?;
        Some(Self { tree: of.oid, folder })
    }
}

/// One export in progress.
pub(super) struct Export<'a, 'repository> {
    pub(super) forest: &'a mut Forest<'repository>,
    stop: &'a Stop,
    /// Seconds that new files are stamped with.
    now: i64,
    expected: u64,
    pub(super) path: Vec<Vec<u8>>,
    pub(super) tally: Tally,
    pub(super) unflushed: Unflushed,
}

impl<'a, 'repository> Export<'a, 'repository> {
    /// `expected` is what the survey counted.
    pub(super) fn new(forest: &'a mut Forest<'repository>, expected: u64, stop: &'a Stop) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        Self {
            forest,
            stop,
            now,
            expected,
            path: Vec::new(),
            tally: Tally::default(),
            unflushed: Unflushed::everything(),
        }
    }

    /// Writes `root` into `into`, which is empty.
    pub(super) fn run(
        mut self,
        root: Oid,
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

    fn folder(&mut self, tree: Oid, into: BorrowedFd<'_>, base: Option<&Base>) -> Result<(), Trouble> {
        let entries = self.forest.tree(tree, &self.path)?;
        let before = match base {
            Some(base) => self.forest.tree(base.tree, &self.path).ok(),
            None => None,
        };
        for entry in entries.iter() {
            self.next_entry()?;
            self.path.push(entry.name.clone());
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
                let target = self.forest.blob(entry, &self.path)?;
                Ok(symlinkat(target.data(), into, &*entry.name)?)
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
        self.folder(entry.oid, folder.as_fd(), base.as_ref())
    }

    /// Links the file of the release before, if it is still as we wrote it. Anything odd: write it instead.
    fn take_over(&mut self, entry: &Entry, executable: bool, into: BorrowedFd<'_>, base: &Base) -> bool {
        if linkat(&base.folder, &*entry.name, into, &*entry.name, AtFlags::empty()).is_err() {
            return false;
        }
        if self.count_untouched(entry, executable, into) {
            return true;
        }
        // If this fails, creating the file fails too and says so.
        let _ = unlinkat(into, &*entry.name, UnlinkatFlags::NoRemoveDir);
        false
    }

    /// Whether a file is still as we wrote it; if so, it counts as taken over.
    pub(super) fn count_untouched(&mut self, entry: &Entry, executable: bool, into: BorrowedFd<'_>) -> bool {
        let untouched = fstatat(into, &*entry.name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .ok()
            .filter(|stat| {
                let expected = SFlag::S_IFREG.bits() | permissions(executable).bits();
                stat.st_mode == expected && stat.st_mtime_nsec == stamp(entry.oid)
            });
        let bytes = untouched.map(|stat| u64::try_from(stat.st_size).unwrap_or(0));
        match bytes.filter(|bytes| self.tally.bytes + bytes <= self.forest.limits().bytes) {
            Some(bytes) => {
                self.tally.bytes += bytes;
                self.tally.linked += 1;
                true
            }
            None => false,
        }
    }

    fn write(&mut self, entry: &Entry, executable: bool, into: BorrowedFd<'_>) -> Result<(), Trouble> {
        let blob = self.forest.blob(entry, &self.path)?;
        self.tally.bytes += blob.data().len() as u64;
        if self.tally.bytes > self.forest.limits().bytes {
            let reason = format!("brings the commit over {} bytes", self.forest.limits().bytes);
            return Err(Trouble::refused(&self.path, reason));
        }
        let mode = permissions(executable);
        let mut file = File::from(openat(into, &*entry.name, NEW_FILE, mode)?);
        file.write_all(blob.data())?;
        fchmod(&file, mode)?;
        let time = TimeSpec::new(self.now, stamp(entry.oid));
        futimens(&file, &time, &time)?;
        self.unflushed.note(file.as_fd())?;
        Ok(())
    }
}

/// Read-only: several releases share the file.
fn permissions(executable: bool) -> Mode {
    Mode::from_bits_truncate(if executable { 0o555 } else { 0o444 })
}

/// The nanoseconds of a file's time say which blob we wrote into it: writing to it in place loses them.
fn stamp(oid: Oid) -> i64 {
    let [a, b, c, d, ..] = *oid.as_bytes() else {
        return 0;
    };
    i64::from(u32::from_be_bytes([a, b, c, d]) % 1_000_000_000)
}

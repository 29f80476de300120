//! How a file gets from one release into another without being written again, and how it is known to be as it was.
//!
//! Where the file system can share the bytes of two files (XFS, Btrfs and others), each release has files of its
//! own all the same. Elsewhere a name is linked, unless releases are to have their own files. It refuses to know
//! trees and releases.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use cartridge_agent_plan::artifacts::object::ObjectId;
use cartridge_agent_plan::artifacts::tree::Entry;
use cartridge_agent_plan::release::ReleaseFiles;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::export::NEW_FILE;

const OLD_FILE: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// What came of taking a file over.
#[derive(Debug)]
pub(super) enum Taken {
    /// It has to be written; there is nothing of this name.
    Not,
    /// Another name of the same file, so many bytes long.
    Linked(u64),
    /// A file of its own, so many bytes long, that has to reach the disk.
    Cloned(u64, OwnedFd),
}

/// One release's way with files.
#[derive(Debug)]
pub(super) struct Share {
    files: ReleaseFiles,
    /// The file system has not refused to share bytes yet.
    clones: bool,
    /// Seconds that new files are stamped with.
    now: i64,
}

impl Share {
    pub(super) fn new(files: ReleaseFiles) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_secs());
        Self {
            files,
            clones: true,
            now: i64::try_from(now).unwrap_or(i64::MAX),
        }
    }

    /// Read-only, unless the application is meant to write: several releases may share the file.
    pub(super) fn mode(&self, executable: bool) -> Mode {
        Mode::from_bits_truncate(match (self.files, executable) {
            (ReleaseFiles::Writable, false) => 0o644,
            (ReleaseFiles::Writable, true) => 0o755,
            (_, false) => 0o444,
            (_, true) => 0o555,
        })
    }

    /// Marks a file that was written from this entry.
    pub(super) fn stamp(&self, file: BorrowedFd<'_>, entry: &Entry, executable: bool) -> Result<(), Errno> {
        fchmod(file, self.mode(executable))?;
        let time = TimeSpec::new(self.now, stamp(entry.id));
        futimens(file, &time, &time)
    }

    /// Whether a file is as [`Self::stamp`] left it, and shared with no other release if that is not wished.
    pub(super) fn is_untouched(&self, stat: &FileStat, entry: &Entry, executable: bool) -> bool {
        let expected = SFlag::S_IFREG.bits() | self.mode(executable).bits();
        let alone = self.files == ReleaseFiles::Shared || stat.st_nlink == 1;
        stat.st_mode == expected && stat.st_mtime_nsec == stamp(entry.id) && alone
    }

    /// Brings a file `from` one folder `into` another, if it is untouched there.
    pub(super) fn take(
        &mut self,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        entry: &Entry,
        executable: bool,
    ) -> Taken {
        if self.clones {
            match self.clone_file(from, into, entry, executable) {
                Ok(taken) => return taken,
                Err(errno) => {
                    tracing::debug!(%errno, "this file system does not share the bytes of two files");
                    self.clones = false;
                }
            }
        }
        if self.files != ReleaseFiles::Shared
            || linkat(from, &*entry.name, into, &*entry.name, AtFlags::empty()).is_err()
        {
            return Taken::Not;
        }
        // After linking: what was written to it before is seen.
        let stat = fstatat(into, &*entry.name, AtFlags::AT_SYMLINK_NOFOLLOW);
        match stat {
            Ok(stat) if self.is_untouched(&stat, entry, executable) => Taken::Linked(size(&stat)),
            _ => remove(into, entry),
        }
    }

    /// Err: the file system cannot do this at all.
    fn clone_file(
        &self,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        entry: &Entry,
        executable: bool,
    ) -> Result<Taken, Errno> {
        let Ok(old) = openat(from, &*entry.name, OLD_FILE, Mode::empty()) else {
            return Ok(Taken::Not);
        };
        if !fstat(&old).is_ok_and(|stat| self.is_untouched(&stat, entry, executable)) {
            return Ok(Taken::Not);
        }
        let Ok(new) = openat(into, &*entry.name, NEW_FILE, self.mode(executable)) else {
            return Ok(Taken::Not);
        };
        // SAFETY: both descriptors are open, and the request takes the second one by value.
        let cloned = Errno::result(unsafe { libc::ioctl(new.as_raw_fd(), libc::FICLONE, old.as_raw_fd()) });
        if let Err(errno) = cloned {
            remove(into, entry);
            return Err(errno);
        }
        // After cloning: what was written to it before is seen.
        let stat = fstat(&old).ok();
        let stat = stat.filter(|stat| self.is_untouched(stat, entry, executable));
        let stamped = self.stamp(new.as_fd(), entry, executable).is_ok();
        Ok(match stat.filter(|_| stamped) {
            Some(stat) => Taken::Cloned(size(&stat), new),
            None => remove(into, entry),
        })
    }
}

/// If this fails, creating the file fails too and says so.
fn remove(from: BorrowedFd<'_>, entry: &Entry) -> Taken {
    let _ = unlinkat(from, &*entry.name, UnlinkatFlags::NoRemoveDir);
    Taken::Not
}

fn size(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// The nanoseconds of a file's time say which blob we wrote into it: writing to it in place loses them.
fn stamp(id: ObjectId) -> i64 {
    let [a, b, c, d, ..] = *id.as_bytes();
    i64::from(u32::from_be_bytes([a, b, c, d]) % 1_000_000_000)
}

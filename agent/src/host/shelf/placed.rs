//! A release out of a folder that somebody else filled, and may still be writing to.
//!
//! Nothing of it is trusted: each name is judged by the rules for commits, each file is read once through a handle
//! beneath the folder's own, and what was read is what is written, hashed and sealed. No link is followed, no other
//! file system entered, and neither owners nor special modes are taken over. It refuses to know who filled it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use cartridge_agent_plan::artifacts::{names, tree};
use cartridge_protocol::CommitId;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{linkat, symlinkat, syncfs};
use ring::digest::{Context, SHA256};

use super::export::{FOLDER, NEW_FILE};
use super::fault::{ShelfError, Trouble};
use super::incoming::Incoming;
use super::share::Share;
use super::{Limits, Shelf};
use crate::host::git::Stop;

/// Longest path that programs can open.
const MAX_PATH_BYTES: usize = 4000;
/// Longest target of a link.
const MAX_LINK_BYTES: usize = 4000;
/// Read and written at a time.
const CHUNK: usize = 64 << 10;

/// What was taken from a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Files, links and folders.
    pub entries: u64,
    /// Bytes in all files.
    pub bytes: u64,
    /// Files that the current release has, too, taken over from there.
    pub linked: u64,
    /// SHA-256 over every kind, path and content, in the order of paths: hexadecimal.
    pub digest: String,
}

impl Shelf {
    /// Makes a whole release of what somebody brought; afterwards it is whole, or there is nothing of it.
    pub fn place(&self, commit: &CommitId, from: &Incoming, stop: &Stop) -> Result<Placed, ShelfError> {
        if self.release_path(commit).is_dir() {
            return Ok(Placed::default());
        }
        self.clear_part(commit)?;
        let part = self.part_path(commit);
        fs::create_dir(&part).map_err(ShelfError::disk("make", &part))?;
        let placed = self.copy(commit, from, stop).and_then(|placed| {
            self.seal(commit)?;
            Ok(placed)
        });
        match &placed {
            Ok(placed) => tracing::info!(
                %commit, files = placed.entries, bytes = placed.bytes, linked = placed.linked,
                sha256 = placed.digest, "release placed"
            ),
            // Make room at once. What cannot be removed now is the next move's work.
            Err(_) => self.clear_part(commit).unwrap_or_default(),
        }
        placed
    }

    fn copy(&self, commit: &CommitId, from: &Incoming, stop: &Stop) -> Result<Placed, ShelfError> {
        let part = self.part_path(commit);
        let into: OwnedFd = File::open(&part).map_err(ShelfError::disk("open", &part))?.into();
        let explain = |trouble| self.explain(trouble, commit, &part);
        fchmod(&into, Mode::from_bits_truncate(0o755)).map_err(|error| explain(error.into()))?;
        let base = self
            .linked()
            .and_then(|current| File::open(self.release_path(&current)).ok());
        let mut copy = Copy {
            limits: self.limits,
            share: Share::new(self.files),
            links: self.files == cartridge_agent_plan::release::ReleaseFiles::Shared,
            stop,
            path: Vec::new(),
            hash: Context::new(&SHA256),
            placed: Placed::default(),
        };
        let base = base.as_ref().map(AsFd::as_fd);
        copy.folder(from.handle(), into.as_fd(), base).map_err(explain)?;
        syncfs(&into).map_err(|error| ShelfError::disk("flush", &part)(error.into()))?;
        Ok(copy.finished())
    }
}

struct Copy<'a> {
    limits: Limits,
    share: Share,
    /// Releases share files.
    links: bool,
    stop: &'a Stop,
    path: Vec<Vec<u8>>,
    hash: Context,
    placed: Placed,
}

impl Copy<'_> {
    fn folder(
        &mut self,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        base: Option<BorrowedFd<'_>>,
    ) -> Result<(), Trouble> {
        let mut seen = BTreeSet::new();
        for name in self.names(from)? {
            if self.stop.is_raised() {
                return Err(Trouble::Stopped);
            }
            self.path.push(name.clone());
            if let Some(reason) = names::fault(&name) {
                return Err(self.refused(reason));
            }
            if !seen.insert(names::folded(&name)) {
                return Err(self.refused("differs from another name in its folder by case only"));
            }
            self.count()?;
            self.entry(&name, from, into, base)?;
            self.path.pop();
        }
        Ok(())
    }

    /// The names in a folder, in order; no more than may be there.
    fn names(&self, folder: BorrowedFd<'_>) -> Result<BTreeSet<Vec<u8>>, Trouble> {
        let most = self.limits.entries.saturating_sub(self.placed.entries);
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))? {
            if found.len() as u64 > most {
                return Err(self.too_many());
            }
            found.insert(entry?.file_name().into_vec());
        }
        Ok(found)
    }

    fn count(&mut self) -> Result<(), Trouble> {
        self.placed.entries += 1;
        if self.placed.entries > self.limits.entries {
            return Err(self.too_many());
        }
        if self.path.iter().map(|name| name.len() + 1).sum::<usize>() > MAX_PATH_BYTES {
            return Err(self.refused(format!("has a path over {MAX_PATH_BYTES} bytes")));
        }
        Ok(())
    }

    fn entry(
        &mut self,
        name: &[u8],
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        base: Option<BorrowedFd<'_>>,
    ) -> Result<(), Trouble> {
        let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        match kind(&stat) {
            SFlag::S_IFREG => self.file(name, from, into, base),
            SFlag::S_IFLNK => self.link(name, from, into),
            SFlag::S_IFDIR => {
                if self.path.len() > self.limits.depth {
                    return Err(self.refused(format!("has folders more than {} deep", self.limits.depth)));
                }
                self.note(b"folder", b"");
                let from = self.open(name, from, FOLDER)?;
                let mode = Mode::from_bits_truncate(0o755);
                mkdirat(into, name, mode)?;
                let into = openat(into, name, FOLDER, Mode::empty())?;
                // Whatever the umask says: the application may run as somebody else.
                fchmod(&into, mode)?;
                let base = base.and_then(|base| openat(base, name, FOLDER, Mode::empty()).ok());
                self.folder(from.as_fd(), into.as_fd(), base.as_ref().map(AsFd::as_fd))
            }
            _ => Err(self.refused("is neither a file nor a link nor a folder")),
        }
    }

    /// Opens one name of a folder, and nothing that lies elsewhere.
    fn open(&self, name: &[u8], folder: BorrowedFd<'_>, flags: OFlag) -> Result<OwnedFd, Trouble> {
        let beneath = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS
            | ResolveFlag::RESOLVE_NO_XDEV;
        let how = OpenHow::new().flags(flags).resolve(beneath);
        openat2(folder, name, how).map_err(|errno| match errno {
            Errno::ELOOP | Errno::EXDEV | Errno::ENOTDIR => self.refused("leads out of its folder"),
            Errno::EACCES => self.refused("cannot be read by the agent"),
            other => other.into(),
        })
    }

    fn link(&mut self, name: &[u8], from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> Result<(), Trouble> {
        if names::is_obeyed_by_git(name) {
            return Err(self.refused("is a link that Git would follow"));
        }
        let target = readlinkat(from, name)?;
        let target = target.as_bytes();
        if target.len() > MAX_LINK_BYTES {
            return Err(self.refused(format!("is a link of {} bytes", target.len())));
        }
        let climbs = tree::climb(target).map_err(|reason| self.refused(reason))?;
        if climbs >= self.path.len() {
            return Err(self.refused("is a link that leaves the release"));
        }
        self.note(b"link", target);
        Ok(symlinkat(target, into, name)?)
    }

    fn file(
        &mut self,
        name: &[u8],
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        base: Option<BorrowedFd<'_>>,
    ) -> Result<(), Trouble> {
        const FILE: OFlag = OFlag::O_RDONLY
            .union(OFlag::O_NOFOLLOW)
            .union(OFlag::O_NONBLOCK)
            .union(OFlag::O_CLOEXEC);
        let source = self.open(name, from, FILE)?;
        let stat = fstat(&source)?;
        if kind(&stat) != SFlag::S_IFREG {
            return Err(self.refused("changes while it is taken"));
        }
        let executable = stat.st_mode & 0o111 != 0;
        let mode = self.share.mode(executable);
        let mut source = File::from(source);
        if let Some(base) = base.filter(|_| self.links)
            && let Some((bytes, digest)) = self.same(&mut source, base, name, mode)?
            && linkat(base, name, into, name, AtFlags::empty()).is_ok()
        {
            self.placed.linked += 1;
            return self.took(bytes, executable, &digest);
        }
        std::io::Seek::rewind(&mut source)?;
        let mut target = File::from(openat(into, name, NEW_FILE, mode)?);
        let (bytes, digest) =
            self.read(&mut source, |chunk| Ok(target.write_all(chunk).map(|()| true)?))?;
        fchmod(&target, mode)?;
        self.took(bytes, executable, &digest)
    }

    /// Size and hash of a file that the current release has to the byte and with the same mode.
    fn same(
        &self,
        source: &mut File,
        base: BorrowedFd<'_>,
        name: &[u8],
        mode: Mode,
    ) -> Result<Option<(u64, Vec<u8>)>, Trouble> {
        let Ok(old) = openat(
            base,
            name,
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        ) else {
            return Ok(None);
        };
        let stat = fstat(&old)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if stat.st_mode != SFlag::S_IFREG.bits() | mode.bits() || source.metadata()?.len() != size {
            return Ok(None);
        }
        let mut old = File::from(old);
        let mut buffer = vec![0; CHUNK];
        let mut differs = false;
        let (bytes, digest) = self.read(source, |chunk| {
            let before = &mut buffer[..chunk.len()];
            differs = old.read_exact(before).is_err() || before != chunk;
            Ok(!differs)
        })?;
        Ok((!differs && bytes == size).then_some((bytes, digest)))
    }

    /// Reads to the end, or until `take` has enough: how much, and its hash.
    fn read(
        &self,
        source: &mut File,
        mut take: impl FnMut(&[u8]) -> Result<bool, Trouble>,
    ) -> Result<(u64, Vec<u8>), Trouble> {
        let mut hash = Context::new(&SHA256);
        let (mut buffer, mut bytes) = (vec![0; CHUNK], 0_u64);
        loop {
            let count = source.read(&mut buffer)?;
            if count == 0 {
                return Ok((bytes, hash.finish().as_ref().to_vec()));
            }
            bytes += count as u64;
            if bytes > self.limits.file_bytes {
                let most = self.limits.file_bytes;
                return Err(self.refused(format!("has more than {most} bytes")));
            }
            if self.placed.bytes + bytes > self.limits.bytes {
                let most = self.limits.bytes;
                return Err(self.refused(format!("brings the release over {most} bytes")));
            }
            if self.stop.is_raised() {
                return Err(Trouble::Stopped);
            }
            hash.update(&buffer[..count]);
            if !take(&buffer[..count])? {
                return Ok((bytes, Vec::new()));
            }
        }
    }

    fn took(&mut self, bytes: u64, executable: bool, digest: &[u8]) -> Result<(), Trouble> {
        self.placed.bytes += bytes;
        self.note(if executable { b"executable" } else { b"file" }, digest);
        Ok(())
    }

    /// Lengths go before texts, so that no two releases look alike.
    fn note(&mut self, kind: &[u8], content: &[u8]) {
        let path = self.path.join(&b'/');
        for part in [kind, &path, content] {
            self.hash.update(&(part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
    }

    fn finished(self) -> Placed {
        let digest = self.hash.finish();
        Placed {
            digest: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            ..self.placed
        }
    }

    fn refused(&self, reason: impl Into<String>) -> Trouble {
        Trouble::refused(&self.path, reason)
    }

    fn too_many(&self) -> Trouble {
        let most = self.limits.entries;
        self.refused(format!("brings the release over {most} files and folders"))
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

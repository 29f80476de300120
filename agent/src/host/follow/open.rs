//! Folders and files that an application may have prepared: opened so that nothing else than a log can be read.
//!
//! A file is a regular file under its very name: links, FIFOs, devices and sockets are refused, and opening never waits.
//! On the way to its folder only links count that belong to root or to the agent's own user, because whoever can put
//! a link there chooses what is read. Refuses to know what is read.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::geteuid;

/// Most names of a folder that are looked at.
const MOST_NAMES: usize = 4096;
/// Most links on the way to a folder.
const MOST_LINKS: usize = 40;

/// A folder, opened.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Nothing.
    Nothing,
    /// A regular file: its inode and length.
    File { inode: u64, size: u64 },
    /// Something that is never read.
    Other(&'static str),
}

impl Folder {
    /// Opens a folder by its absolute path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut links = 0;
        let mut at = root()?;
        let mut way: VecDeque<OsString> = parts(path);
        let mut above: Vec<OwnedFd> = Vec::new();
        while let Some(part) = way.pop_front() {
            if part == ".." {
                at = above.pop().map_or_else(root, Ok)?;
                continue;
            }
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let next = openat(&at, &*part, flags, Mode::empty())?;
            let stat = fstat(&next)?;
            if kind(&stat) == SFlag::S_IFLNK {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
                    return Err(io::Error::other(format!(
                        "{} on the way to it is a link of user {}, whom the agent does not follow",
                        part.display(),
                        stat.st_uid
                    )));
                }
                let target = PathBuf::from(readlinkat(&next, "")?);
                if target.is_absolute() {
                    at = root()?;
                    above.clear();
                }
                for part in parts(&target).into_iter().rev() {
                    way.push_front(part);
                }
            } else {
                above.push(std::mem::replace(&mut at, next));
            }
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(openat(&at, ".", flags, Mode::empty())?))
    }

    /// Its names, as far as they are text; at most so many.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let listed = std::fs::read_dir(format!("/proc/self/fd/{}", self.0.as_raw_fd()))?;
        let names = listed.take(MOST_NAMES).filter_map(Result::ok);
        Ok(names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect())
    }

    /// What stands under a name.
    pub fn look(&self, name: &str) -> io::Result<Stands> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(stands(&stat)),
            Err(Errno::ENOENT) => Ok(Stands::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a regular file for reading; none if something else stands there.
    pub fn file(&self, name: &str) -> io::Result<Option<File>> {
        let flags =
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        // A FIFO or a device could be changed by being opened.
        if !matches!(self.look(name)?, Stands::File { .. }) {
            return Ok(None);
        }
        match openat(&self.0, name, flags, Mode::empty()) {
            Ok(opened) => {
                let file = File::from(opened);
                let regular = file.metadata()?.is_file();
                Ok(regular.then_some(file))
            }
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// When a file was last written to: nanoseconds.
pub fn modified(meta: &std::fs::Metadata) -> u64 {
    let nanos = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
}

fn root() -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(open("/", flags, Mode::empty())?)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some(OsStr::from_bytes(b"..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn stands(stat: &FileStat) -> Stands {
    match kind(stat) {
        SFlag::S_IFREG => Stands::File {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
        },
        SFlag::S_IFLNK => Stands::Other("a link"),
        SFlag::S_IFDIR => Stands::Other("a folder"),
        SFlag::S_IFIFO => Stands::Other("a FIFO"),
        SFlag::S_IFSOCK => Stands::Other("a socket"),
        _ => Stands::Other("a device"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::write(path.join("log"), "x").unwrap();
        symlink("log", path.join("link")).unwrap();
        nix::unistd::mkfifo(&path.join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        std::fs::create_dir(path.join("dir")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
        let opened = Folder::open(path).unwrap();
        assert!(opened.file("log").unwrap().is_some());
        for (name, what) in [
            ("link", "a link"),
            ("fifo", "a FIFO"),
            ("dir", "a folder"),
            ("socket", "a socket"),
        ] {
            assert!(opened.file(name).unwrap().is_none(), "{name}");
            assert_eq!(opened.look(name).unwrap(), Stands::Other(what));
        }
        assert_eq!(opened.look("none").unwrap(), Stands::Nothing);
        assert!(opened.file("none").unwrap().is_none());
        let mut names = opened.names().unwrap();
        names.sort();
        assert_eq!(names, ["dir", "fifo", "link", "log", "socket"]);
        drop(socket);
        let device = Folder::open(Path::new("/dev")).unwrap();
        assert_eq!(device.look("null").unwrap(), Stands::Other("a device"));
    }

    #[test]
    fn links_on_the_way_count_if_they_are_ours_and_only_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir_all(path.join("real/logs")).unwrap();
        std::fs::write(path.join("real/logs/log"), "x").unwrap();
        symlink("real/../real", path.join("linked")).unwrap();
        symlink(path.join("linked"), path.join("absolute")).unwrap();
        symlink("round", path.join("round")).unwrap();
        for way in ["real/logs", "linked/logs", "absolute/logs"] {
            let opened = Folder::open(&path.join(way)).unwrap();
            assert!(opened.file("log").unwrap().is_some(), "{way}");
        }
        let round = Folder::open(&path.join("round")).unwrap_err();
        assert_eq!(round.raw_os_error(), Some(Errno::ELOOP as i32));
        assert!(
            Folder::open(&path.join("real/logs/log")).is_err(),
            "a file is no folder"
        );
        if geteuid().is_root() {
            symlink("real", path.join("theirs")).unwrap();
            std::os::unix::fs::lchown(path.join("theirs"), Some(12_345), None).unwrap();
            let refused = Folder::open(&path.join("theirs/logs")).unwrap_err().to_string();
            assert!(refused.contains("link of user 12345"), "{refused}");
        }
    }
}

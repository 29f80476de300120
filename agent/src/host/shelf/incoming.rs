//! A folder for somebody else to fill. What is in it is nobody's release yet; see `placed`.
//!
//! It refuses to look inside.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cartridge_protocol::CommitId;
use nix::fcntl::open;
use nix::sys::stat::Mode;

use super::Shelf;
use super::export::FOLDER;
use super::fault::ShelfError;

/// Where such folders are: on the shelf's file system.
const INCOMING: &str = "incoming";

/// Removes what a crash left.
pub(super) fn clear(root: &Path) {
    if let Err(error) = remove(&root.join(INCOMING)) {
        tracing::warn!(%error, "what a plugin brought before is still there");
    }
}

/// One folder, gone when this is dropped.
pub struct Incoming {
    path: PathBuf,
    /// Opened before anybody else knew of it: whatever is put in its place later is not looked at.
    handle: OwnedFd,
}

impl Shelf {
    /// A new empty folder for this revision; what an earlier try left is removed.
    /// `owner`: user and group that it is to belong to, where that is not the agent.
    pub fn incoming(&self, commit: &CommitId, owner: Option<(u32, u32)>) -> Result<Incoming, ShelfError> {
        let all = self.root.join(INCOMING);
        remove(&all)?;
        let path = all.join(commit.as_str());
        for (folder, mode) in [(&all, 0o711), (&path, 0o700)] {
            fs::create_dir(folder).map_err(ShelfError::disk("make", folder))?;
            fs::set_permissions(folder, fs::Permissions::from_mode(mode))
                .map_err(ShelfError::disk("close to others", folder))?;
        }
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid))
                .map_err(ShelfError::disk("give away", &path))?;
        }
        let handle = open(&path, FOLDER, Mode::empty())
            .map_err(|error| ShelfError::disk("open", &path)(error.into()))?;
        Ok(Incoming { path, handle })
    }
}

impl Incoming {
    /// What whoever fills it is told.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            // The next try removes it.
            tracing::debug!(%error, "what a plugin brought is not removed yet");
        }
    }
}

/// Links are not followed. What others closed is opened first, as far as the agent may.
fn remove(path: &Path) -> Result<(), ShelfError> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            fs::remove_file(path).map_err(ShelfError::disk("remove", path))
        }
        // Root needs no rights; and whoever else the folder belongs to could lead it astray meanwhile.
        Err(error) if nix::unistd::geteuid().is_root() => Err(ShelfError::disk("remove", path)(error)),
        Err(_) => {
            open_up(path, 0);
            fs::remove_dir_all(path).map_err(ShelfError::disk("remove", path))
        }
    }
}

/// Makes folders removable that somebody made unreadable.
fn open_up(path: &Path, depth: usize) {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    if !is_folder || depth > 256 {
        return;
    }
    let opened = File::open(path).or_else(|_| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        File::open(path)
    });
    let Ok(folder) = opened else { return };
    let _ = folder.set_permissions(fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        open_up(&entry.path(), depth + 1);
    }
}

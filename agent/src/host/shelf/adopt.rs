//! A release becomes that of another commit where it lies, because its files are that commit's already. Whoever has
//! it open keeps it open, and at every instant the current link leads to it.
//!
//! It refuses to know how the commit came about.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cartridge_protocol::CommitId;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::failpoint::point;
use super::fault::ShelfError;
use super::{RELEASES, Shelf, flush_folder};

impl Shelf {
    /// Makes the current release `old` that of `new`; one that was staged of it makes room. False: the file system
    /// cannot; then nothing has changed.
    pub(super) fn adopt(&self, old: &CommitId, new: &CommitId) -> Result<bool, ShelfError> {
        let (from, to) = (self.release_path(old), self.release_path(new));
        if self.linked().as_ref() != Some(old) || !is_folder(&from) {
            return Ok(false);
        }
        if is_folder(&to) {
            self.retire(new)?;
        }
        self.clear_part(new)?;
        // First the new name leads to the old folder, then the current link to the new name, then both change places.
        std::os::unix::fs::symlink(old.as_str(), &to).map_err(ShelfError::disk("make the link", &to))?;
        flush_folder(&self.root.join(RELEASES))?;
        point("adopt.linked");
        self.lead_to(new)?;
        point("adopt.switched");
        match exchange(&from, &to) {
            Ok(()) => {}
            Err(errno) => {
                tracing::debug!(%errno, "this file system does not exchange two names");
                self.lead_to(old)?;
                self.remove_link(&to)?;
                return Ok(false);
            }
        }
        point("adopt.exchanged");
        self.remove_link(&from)?;
        flush_folder(&self.root.join(RELEASES))?;
        Ok(true)
    }

    /// Ends what a crash has left of that.
    pub(super) fn settle_adoption(&self) -> Result<(), ShelfError> {
        let releases = self.root.join(RELEASES);
        for entry in fs::read_dir(&releases).map_err(ShelfError::disk("list", &releases))? {
            let entry = entry.map_err(ShelfError::disk("list", &releases))?;
            let path = entry.path();
            let Ok(name) = CommitId::new(entry.file_name().to_string_lossy()) else {
                continue;
            };
            let Ok(target) = fs::read_link(&path) else {
                continue;
            };
            let folder: PathBuf = releases.join(&target);
            let is_ours = CommitId::new(target.to_string_lossy()).is_ok() && is_folder(&folder);
            let leftover = if self.linked().as_ref() == Some(&name) && is_ours {
                exchange(&path, &folder)
                    .map_err(|errno| ShelfError::disk("exchange", &path)(errno.into()))?;
                folder
            } else {
                path
            };
            self.remove_link(&leftover)?;
            flush_folder(&releases)?;
        }
        Ok(())
    }

    fn remove_link(&self, path: &Path) -> Result<(), ShelfError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(ShelfError::disk("remove", path)(error)),
            _ => Ok(()),
        }
    }
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|stat| stat.is_dir())
}

fn exchange(one: &Path, other: &Path) -> Result<(), Errno> {
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)
}

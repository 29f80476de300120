//! The place where a repository's files appear: looks at it, and makes of it what the plan says.
//!
//! Names are made and moved, never opened: what others put there is never followed or written to. Refuses to decide
//! (`agent_plan::layout` does) and to know why a release is current.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use cartridge_agent_plan::layout::{self, Existing, Found, Ground, Layout, Name, Whose};
use nix::unistd::{AccessFlags, access};

use super::failpoint::point;
use super::fault::ShelfError;

/// A place, and what it leads to.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where the files appear.
    pub path: PathBuf,
    /// What is done about what is there already.
    pub existing: Existing,
}

/// One place and the link of its shelf.
pub(super) struct Stand<'a> {
    pub place: &'a Place,
    /// The shelf's link to its current release.
    pub current: &'a Path,
}

impl Stand<'_> {
    /// Whether the names of a release appear as they should. What cannot be decided does not.
    pub(super) fn stands(&self, release: &Path) -> Result<bool, ShelfError> {
        let wanted = names_in(release)?;
        let decided = layout::decide(&self.ground()?, self.place.existing, &wanted);
        Ok(decided.is_ok_and(|layout| layout.stands()))
    }

    /// Makes the names of a release appear, as far as that is done before it is current; the rest is
    /// [`Self::tidy`]'s.
    pub(super) fn prepare(&self, release: &Path) -> Result<Layout, ShelfError> {
        let wanted = names_in(release)?;
        let path = &self.place.path;
        if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
            fs::create_dir_all(parent).map_err(ShelfError::disk("make", parent))?;
        }
        let decided = layout::decide(&self.ground()?, self.place.existing, &wanted);
        let layout = decided.map_err(|why| ShelfError::Place {
            path: path.clone(),
            why,
        })?;
        match &layout {
            Layout::Stands => {}
            Layout::Link { empty, aside } => self.link(*empty, *aside)?,
            Layout::Folder { aside, add, .. } => {
                self.set_aside(aside)?;
                for name in add {
                    let link = join(path, name);
                    symlink(join(self.current, name), &link)
                        .map_err(ShelfError::disk("make the link", &link))?;
                }
            }
        }
        Ok(layout)
    }

    /// Removes what only the release before had.
    pub(super) fn tidy(&self, layout: &Layout) -> Result<(), ShelfError> {
        let Layout::Folder { drop, .. } = layout else {
            return Ok(());
        };
        for name in drop {
            let link = join(&self.place.path, name);
            fs::remove_file(&link).map_err(ShelfError::disk("remove", &link))?;
        }
        Ok(())
    }

    /// Takes away all that is ours; what was set aside comes back.
    pub(super) fn remove(&self) -> Result<(), ShelfError> {
        let path = &self.place.path;
        match self.ground()?.found {
            Found::Ours => fs::remove_file(path).map_err(ShelfError::disk("remove", path))?,
            Found::Folder(names) => {
                for name in names.iter().filter(|(_, w)| **w == Whose::Ours).map(|(n, _)| n) {
                    let link = join(path, name);
                    fs::remove_file(&link).map_err(ShelfError::disk("remove", &link))?;
                }
            }
            _ => {}
        }
        self.bring_back()
    }

    fn bring_back(&self) -> Result<(), ShelfError> {
        let (path, backup) = (&self.place.path, layout::backup_of(&self.place.path));
        if !is_folder(&backup) {
            return Ok(());
        }
        if !exists(path) {
            return fs::rename(&backup, path).map_err(ShelfError::disk("bring back", &backup));
        }
        for name in names_in(&backup)? {
            let (from, to) = (join(&backup, &name), join(path, &name));
            if !exists(&to) {
                fs::rename(&from, &to).map_err(ShelfError::disk("bring back", &from))?;
            }
        }
        // What could not come back stays there.
        let _ = fs::remove_dir(&backup);
        Ok(())
    }

    fn ground(&self) -> Result<Ground, ShelfError> {
        let path = &self.place.path;
        let backup = layout::backup_of(path);
        let aside = match is_folder(&backup) {
            true => Some(names_in(&backup)?),
            false => None,
        };
        Ok(Ground {
            found: self.found()?,
            replaceable: is_replaceable(path),
            aside,
        })
    }

    fn found(&self) -> Result<Found, ShelfError> {
        let path = &self.place.path;
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(ShelfError::disk("look at", path)(error)),
        };
        if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(ShelfError::disk("read the link", path))?;
            return Ok(if target == self.current {
                Found::Ours
            } else {
                Found::Link(target)
            });
        }
        if !metadata.is_dir() {
            return Ok(Found::File);
        }
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(path).map_err(ShelfError::disk("list", path))? {
            let entry = entry.map_err(ShelfError::disk("list", path))?;
            let name = entry.file_name().into_vec();
            // A volume of its own kind has this, and it is nobody's content.
            if name == b"lost+found" {
                continue;
            }
            let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            let ours =
                link && fs::read_link(entry.path()).is_ok_and(|target| target == join(self.current, &name));
            names.insert(name, if ours { Whose::Ours } else { Whose::Others });
        }
        Ok(Found::Folder(names))
    }

    /// Each step leaves something that the plan goes on from: a folder, nothing, or the link.
    fn link(&self, empty: bool, aside: bool) -> Result<(), ShelfError> {
        let path = &self.place.path;
        point("place.before");
        if empty {
            // Refused by the system if it is empty no longer.
            fs::remove_dir(path).map_err(ShelfError::disk("replace", path))?;
        }
        if aside {
            let backup = layout::backup_of(path);
            fs::rename(path, &backup).map_err(ShelfError::disk("set aside", path))?;
        }
        point("place.middle");
        symlink(self.current, path).map_err(ShelfError::disk("make the link", path))?;
        if let Some(parent) = path.parent() {
            super::flush_folder(parent)?;
        }
        point("place.after");
        Ok(())
    }

    fn set_aside(&self, names: &[Name]) -> Result<(), ShelfError> {
        let (path, backup) = (&self.place.path, layout::backup_of(&self.place.path));
        if !names.is_empty() && !is_folder(&backup) {
            fs::create_dir(&backup).map_err(ShelfError::disk("make", &backup))?;
            let mode = fs::metadata(path).map_or(0o755, |m| m.permissions().mode() & 0o777);
            fs::set_permissions(&backup, fs::Permissions::from_mode(mode))
                .map_err(ShelfError::disk("make", &backup))?;
        }
        for name in names {
            let from = join(path, name);
            fs::rename(&from, join(&backup, name)).map_err(ShelfError::disk("set aside", &from))?;
        }
        Ok(())
    }
}

/// Whether its name can be given to something else.
fn is_replaceable(path: &Path) -> bool {
    let Some(parent) = path.parent() else { return false };
    if access(parent, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        return false;
    }
    match (fs::symlink_metadata(path), fs::metadata(parent)) {
        (Ok(there), Ok(parent)) => there.dev() == parent.dev() && !is_mounted(path),
        (Err(_), Ok(_)) => true,
        _ => false,
    }
}

/// A folder mounted over one of the same file system: the system would refuse to rename it.
fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let wanted = path.as_os_str().as_bytes();
    mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .any(|mounted| mounted == wanted)
}

fn names_in(folder: &Path) -> Result<BTreeSet<Name>, ShelfError> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|e| Ok(e?.file_name().into_vec())).collect())
        .map_err(ShelfError::disk("list", folder))
}

fn join(folder: &Path, name: &Name) -> PathBuf {
    folder.join(std::ffi::OsStr::from_bytes(name))
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

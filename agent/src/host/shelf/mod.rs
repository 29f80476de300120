//! The shelf: complete releases on disk, and one link to the current one.
//!
//! ```text
//! <root>/repository/               bare, never checked out
//! <root>/releases/<commit>.part/   unfinished, or half removed
//! <root>/releases/<commit>/        whole: every file is the commit's
//! <root>/current -> releases/<commit>
//! <root>/accepted/<commit>         it was current, and its signature was checked then
//! ```
//!
//! What to do next is `agent_plan::release`'s answer; this file carries out one move, and may die on any line
//! of it: whatever is left is either invisible or whole (S15). It refuses to know why a release is wanted.

mod accept;
mod adopt;
mod changes;
mod export;
mod failpoint;
mod fault;
mod forest;
mod heal;
mod incoming;
mod place;
mod placed;
mod push;
mod remake;
mod share;
mod stage;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use cartridge_agent_plan::artifacts::Limits;
use cartridge_agent_plan::layout::Layout;
use cartridge_agent_plan::release::{Move, ReleaseFiles, ShelfState};
use cartridge_protocol::CommitId;

use super::git::{Remote, Stop};
use failpoint::point;
pub use fault::{Refusal, ShelfError};
pub use incoming::Incoming;
pub use place::Place;
use place::Stand;
pub use placed::Placed;
pub use push::{Pushed, Pushing};

const RELEASES: &str = "releases";
const REPOSITORY: &str = "repository";
const CURRENT: &str = "current";
const NEW_LINK: &str = ".current.new";
const LOCK: &str = ".lock";
const PART: &str = ".part";

/// One shelf. Clones are the same shelf; only one process at a time can have it open.
#[derive(Clone, Debug)]
pub struct Shelf {
    root: PathBuf,
    /// The link to the current release.
    current: PathBuf,
    limits: Limits,
    files: ReleaseFiles,
    place: Option<Place>,
    fresh: Duration,
    verified: heal::Verified,
    _lock: Arc<File>,
}

impl Shelf {
    /// Opens the shelf at `root`, making the folders it needs.
    pub fn open(root: &Path) -> Result<Self, ShelfError> {
        Self::with_limits(root, Limits::default())
    }

    /// Opens the shelf, refusing commits beyond `limits`.
    pub fn with_limits(root: &Path, limits: Limits) -> Result<Self, ShelfError> {
        for folder in [root.to_path_buf(), root.join(RELEASES)] {
            if !folder.is_dir() {
                fs::create_dir_all(&folder).map_err(ShelfError::disk("make", &folder))?;
                // Whatever the umask says: the application may run as somebody else.
                fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
                    .map_err(ShelfError::disk("open to readers", &folder))?;
            }
        }
        let path = root.join(LOCK);
        let lock = File::create(&path).map_err(ShelfError::disk("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(ShelfError::InUse(root.to_path_buf())),
            Err(fs::TryLockError::Error(error)) => return Err(ShelfError::disk("lock", &path)(error)),
        }
        incoming::clear(root);
        let shelf = Self {
            root: root.to_path_buf(),
            current: root.join(CURRENT),
            limits,
            files: ReleaseFiles::default(),
            place: None,
            fresh: heal::FRESH,
            verified: heal::Verified::default(),
            _lock: Arc::new(lock),
        };
        shelf.settle_adoption()?;
        Ok(shelf)
    }

    /// The same shelf, from now on within these limits.
    pub fn limited(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same shelf, from now on with such files in its releases.
    pub fn with_files(mut self, files: ReleaseFiles) -> Self {
        self.files = files;
        self
    }

    /// The same shelf, whose files appear elsewhere too.
    pub fn with_place(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same shelf, which looks over every release before it becomes current unless it was written this recently.
    pub fn with_fresh(mut self, fresh: Duration) -> Self {
        self.fresh = fresh;
        self
    }

    /// Where the current release is to be found: a link whose target changes in one instant.
    pub fn current_path(&self) -> PathBuf {
        self.current.clone()
    }

    /// Where a release is, or would be.
    pub fn release_path(&self, commit: &CommitId) -> PathBuf {
        self.root.join(RELEASES).join(commit.as_str())
    }

    /// Looks at the disk.
    pub fn state(&self) -> Result<ShelfState, ShelfError> {
        let releases = self.root.join(RELEASES);
        let mut whole: Vec<(SystemTime, CommitId)> = Vec::new();
        let mut parts = Vec::new();
        for entry in fs::read_dir(&releases).map_err(ShelfError::disk("list", &releases))? {
            let entry = entry.map_err(ShelfError::disk("list", &releases))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if let Some(commit) = name.strip_suffix(PART).and_then(|n| CommitId::new(n).ok()) {
                parts.push(commit);
            } else if let Ok(commit) = CommitId::new(name) {
                let metadata = fs::symlink_metadata(&path).map_err(ShelfError::disk("look at", &path))?;
                if metadata.is_dir() {
                    // The time of birth: nothing that happens inside a release changes it.
                    let born = metadata.created().or_else(|_| metadata.modified());
                    whole.push((born.unwrap_or(SystemTime::UNIX_EPOCH), commit));
                }
            }
        }
        whole.sort();
        parts.sort();
        let whole: Vec<CommitId> = whole.into_iter().map(|(_, commit)| commit).collect();
        let current = self.linked().filter(|commit| whole.contains(commit));
        let leftover_link = self.root.join(NEW_LINK).symlink_metadata().is_ok();
        let misplaced = match current
            .as_ref()
            .and_then(|current| self.stand().zip(Some(current)))
        {
            Some((stand, current)) => !stand.stands(&self.release_path(current))?,
            None => false,
        };
        Ok(ShelfState {
            current,
            misplaced,
            whole,
            parts,
            leftover_link,
        })
    }

    /// Carries out one move. Blocks: call it where blocking is allowed.
    pub fn carry_out(&self, step: &Move, remote: &Remote, stop: &Stop) -> Result<(), ShelfError> {
        match step {
            Move::Stage(commit) => self.stage(commit, None, remote, stop),
            Move::Remake { old, new } => self.stage(new, Some(old), remote, stop),
            Move::Switch(commit) => {
                self.accept_again(commit, remote, stop)?;
                self.heal(commit, remote, stop)?;
                self.tidy(step)?;
                self.was_current(commit, remote)
            }
            other => self.tidy(other),
        }
    }

    /// Carries out a move for which nothing has to be fetched, and nothing is looked over.
    pub fn tidy(&self, step: &Move) -> Result<(), ShelfError> {
        match step {
            Move::ClearLink => self.clear_link(),
            Move::ClearPart(commit) => self.clear_part(commit),
            Move::Switch(commit) => {
                let layout = self.prepare(commit)?;
                self.switch(commit)?;
                self.clear_names(layout)
            }
            Move::Place(commit) => {
                let layout = self.prepare(commit)?;
                self.clear_names(layout)
            }
            Move::Prune(commit) => self.prune(commit),
            Move::Stage(commit) | Move::Remake { new: commit, .. } => {
                Err(ShelfError::NotWhole(commit.clone()))
            }
            Move::Nothing => Ok(()),
        }
    }

    /// Removes everything: the place first, so that nobody sees half of it; what was set aside there comes back.
    /// Safe to be interrupted in and repeated.
    pub fn vacate(self) -> Result<(), ShelfError> {
        point("vacate.before");
        if let Some(stand) = self.stand() {
            stand.remove()?;
        }
        point("vacate.middle");
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ShelfError::disk("remove", &self.root)(error))
            }
            _ => Ok(()),
        }
    }

    fn stand(&self) -> Option<Stand<'_>> {
        let place = self.place.as_ref()?;
        let current = &self.current;
        Some(Stand { place, current })
    }

    fn prepare(&self, commit: &CommitId) -> Result<Option<Layout>, ShelfError> {
        let release = self.release_path(commit);
        if !release.is_dir() {
            return Err(ShelfError::NotWhole(commit.clone()));
        }
        self.stand().map(|stand| stand.prepare(&release)).transpose()
    }

    fn clear_names(&self, layout: Option<Layout>) -> Result<(), ShelfError> {
        match (self.stand(), layout) {
            (Some(stand), Some(layout)) => stand.tidy(&layout),
            _ => Ok(()),
        }
    }

    /// The commit that the link names, whole or not.
    fn linked(&self) -> Option<CommitId> {
        let target = fs::read_link(self.current_path()).ok()?;
        let name = target.strip_prefix(RELEASES).ok()?;
        CommitId::new(name.to_str()?).ok()
    }

    fn part_path(&self, commit: &CommitId) -> PathBuf {
        self.root.join(RELEASES).join(format!("{commit}{PART}"))
    }

    fn clear_link(&self) -> Result<(), ShelfError> {
        let link = self.root.join(NEW_LINK);
        match fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ShelfError::disk("remove", &link)(error))
            }
            _ => Ok(()),
        }
    }

    fn clear_part(&self, commit: &CommitId) -> Result<(), ShelfError> {
        let part = self.part_path(commit);
        match fs::remove_dir_all(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ShelfError::disk("remove", &part)(error))
            }
            _ => Ok(()),
        }
    }

    fn switch(&self, commit: &CommitId) -> Result<(), ShelfError> {
        if !self.state()?.whole.contains(commit) {
            return Err(ShelfError::NotWhole(commit.clone()));
        }
        self.lead_to(commit)
    }

    /// The current link leads to that release from now on.
    fn lead_to(&self, commit: &CommitId) -> Result<(), ShelfError> {
        let (new, current) = (self.root.join(NEW_LINK), self.current_path());
        self.clear_link()?;
        point("link.before");
        std::os::unix::fs::symlink(Path::new(RELEASES).join(commit.as_str()), &new)
            .map_err(ShelfError::disk("make the link", &new))?;
        flush_folder(&self.root)?;
        point("link.after");
        point("switch.before");
        fs::rename(&new, &current).map_err(ShelfError::disk("replace", &current))?;
        point("switch.middle");
        flush_folder(&self.root)?;
        point("switch.after");
        Ok(())
    }

    /// Renames first: a release that is half removed must not look whole.
    fn prune(&self, commit: &CommitId) -> Result<(), ShelfError> {
        if self.linked().as_ref() == Some(commit) {
            return Err(ShelfError::IsCurrent(commit.clone()));
        }
        point("prune.before");
        self.retire(commit)?;
        point("prune.middle");
        self.clear_part(commit)?;
        point("prune.after");
        Ok(())
    }

    /// From now on it is not whole any more, whatever happens to it.
    fn retire(&self, commit: &CommitId) -> Result<(), ShelfError> {
        let (release, part) = (self.release_path(commit), self.part_path(commit));
        self.clear_part(commit)?;
        fs::rename(&release, &part).map_err(ShelfError::disk("retire", &release))?;
        self.forget(commit)?;
        flush_folder(&self.root.join(RELEASES))
    }
}

fn flush_folder(path: &Path) -> Result<(), ShelfError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(ShelfError::disk("flush", path))
}

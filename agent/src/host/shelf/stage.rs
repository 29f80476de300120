//! Staging: fetch a commit, survey it, write it beside the others, flush, and seal it with one rename.
//!
//! It refuses to know whether the release will ever be current.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use cartridge_protocol::CommitId;
use git2::{Oid, Repository};
use nix::sys::stat::{Mode, fchmod};

use super::export::{Base, Export, Tally};
use super::failpoint::point;
use super::fault::{ShelfError, Trouble};
use super::forest::Forest;
use super::{RELEASES, REPOSITORY, Shelf, flush_folder};
use crate::host::git::{self, Remote, Stop};

/// Packs in the local repository before it is fetched anew instead of growing.
const MAX_PACKS: usize = 40;

impl Shelf {
    /// Fetches and writes `commit`; afterwards it is whole, or there is nothing of it. It is made out of `old`
    /// if that is still there; whatever comes of it, `old` may be gone then.
    pub(super) fn stage(
        &self,
        commit: &CommitId,
        old: Option<&CommitId>,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<(), ShelfError> {
        if let Some(old) = old.filter(|old| self.linked().as_ref() == Some(*old)) {
            return Err(ShelfError::IsCurrent(old.clone()));
        }
        if self.release_path(commit).is_dir() {
            return Ok(());
        }
        self.clear_part(commit)?;
        let sealed = self.fetch_write_seal(commit, old, remote, stop);
        // SAFETY: hands free memory back to the machine. A fetch needs much, and the next may be days away.
        unsafe { libc::malloc_trim(0) };
        sealed
    }

    fn fetch_write_seal(
        &self,
        commit: &CommitId,
        old: Option<&CommitId>,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<(), ShelfError> {
        point("fetch.before");
        let repository = self.fetched(commit, remote, stop)?;
        point("fetch.after");
        let written = self.write(&repository, commit, old, stop);
        let sealed = written.and_then(|tally| self.seal(commit).map(|()| tally));
        match &sealed {
            Ok(tally) => tracing::info!(
                %commit, files = tally.entries, bytes = tally.bytes, linked = tally.linked, "release staged"
            ),
            // Make room at once: the disk may be full. What cannot be removed now is the next move's work.
            Err(_) => self.clear_part(commit).unwrap_or_default(),
        }
        if let Some(old) = old {
            // What was of no use; if it cannot be removed now, that is the next move's work.
            self.clear_part(old).unwrap_or_default();
        }
        sealed.map(|_| ())
    }

    fn fetched(&self, commit: &CommitId, remote: &Remote, stop: &Stop) -> Result<Repository, ShelfError> {
        let path = self.root.join(REPOSITORY);
        let repository = match git::open_bare(&path) {
            Ok(repository) => repository,
            Err(error) => return Err(self.throw_away(&error.to_string())),
        };
        if git::has(&repository, commit) {
            return Ok(repository);
        }
        drop(repository);
        if tidy(&path.join("objects/pack")) > MAX_PACKS {
            fs::remove_dir_all(&path).map_err(ShelfError::disk("remove", &path))?;
        }
        let repository = git::open_bare(&path)?;
        match git::fetch(&repository, remote, commit, stop) {
            Ok(()) => Ok(repository),
            Err(error) => {
                if error.may_be_local() {
                    tracing::warn!(%error, "the local repository is removed, to be fetched anew");
                    self.throw_away("it could not take a fetch");
                }
                Err(error.into())
            }
        }
    }

    fn write(
        &self,
        repository: &Repository,
        commit: &CommitId,
        old: Option<&CommitId>,
        stop: &Stop,
    ) -> Result<Tally, ShelfError> {
        let part = self.part_path(commit);
        let explain = |trouble| match trouble {
            Trouble::Refused(refusal) => ShelfError::Refused {
                commit: commit.clone(),
                refusal,
            },
            Trouble::Damaged(reason) => self.throw_away(&reason),
            Trouble::Disk(source) => ShelfError::Disk {
                what: "write a release to",
                path: part.clone(),
                source,
            },
            Trouble::Stopped => ShelfError::Stopped,
        };
        let odb = |error: git2::Error| explain(error.into());
        let root = tree_of(repository, commit).map_err(odb)?;
        let mut forest = Forest::new(repository.odb().map_err(odb)?, self.limits);
        let expected = forest.survey(root).map_err(explain)?;

        fs::create_dir(&part).map_err(ShelfError::disk("make", &part))?;
        point("stage.before");
        let folder: OwnedFd = File::open(&part).map_err(ShelfError::disk("open", &part))?.into();
        fchmod(&folder, Mode::from_bits_truncate(0o755)).map_err(|error| explain(error.into()))?;
        let base = self.base(repository);
        let export = Export::new(&mut forest, expected, stop);
        let (tally, unflushed) = match self.retired(repository, old)? {
            Some((tree, old)) => export.remake(root, &folder, (tree, &old), base),
            None => export.run(root, &folder, base),
        }
        .map_err(explain)?;
        point("stage.after");
        point("flush.before");
        let flushed = unflushed.flush(folder.as_fd());
        flushed.map_err(|error| ShelfError::disk("flush", &part)(error.into()))?;
        point("flush.after");
        Ok(tally)
    }

    /// The release to make another one out of, no longer whole, if its commit is still known.
    fn retired(
        &self,
        repository: &Repository,
        old: Option<&CommitId>,
    ) -> Result<Option<(Oid, OwnedFd)>, ShelfError> {
        let Some(old) = old.filter(|old| self.release_path(old).is_dir()) else {
            return Ok(None);
        };
        let Ok(tree) = tree_of(repository, old) else {
            return Ok(None);
        };
        point("remake.before");
        self.retire(old)?;
        point("remake.retired");
        let part = self.part_path(old);
        let folder = File::open(&part).map_err(ShelfError::disk("open", &part))?;
        Ok(Some((tree, folder.into())))
    }

    /// The release to take files over from: the current one, else the newest whose commit is still known.
    fn base(&self, repository: &Repository) -> Option<Base> {
        let state = self.state().ok()?;
        let candidates = state.current.iter().chain(state.whole.iter().rev());
        candidates.into_iter().find_map(|commit| {
            let tree = tree_of(repository, commit).ok()?;
            let folder = File::open(self.release_path(commit)).ok()?.into();
            Some(Base { tree, folder })
        })
    }

    fn seal(&self, commit: &CommitId) -> Result<(), ShelfError> {
        let release = self.release_path(commit);
        point("seal.before");
        fs::rename(self.part_path(commit), &release).map_err(ShelfError::disk("seal", &release))?;
        point("seal.middle");
        flush_folder(&self.root.join(RELEASES))?;
        point("seal.after");
        Ok(())
    }

    /// The repository is only a cache: when it is damaged, it goes.
    fn throw_away(&self, reason: &str) -> ShelfError {
        let path = self.root.join(REPOSITORY);
        match fs::remove_dir_all(&path) {
            Ok(()) => ShelfError::Damaged {
                reason: reason.to_owned(),
            },
            Err(error) => ShelfError::disk("remove the damaged repository", &path)(error),
        }
    }
}

fn tree_of(repository: &Repository, commit: &CommitId) -> Result<Oid, git2::Error> {
    Ok(repository.find_commit(Oid::from_str(commit.as_str())?)?.tree_id())
}

/// Removes what interrupted fetches left among the packs; says how many packs there are.
fn tidy(packs: &Path) -> usize {
    let Ok(entries) = fs::read_dir(packs) else {
        return 0;
    };
    let mut count = 0;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".pack") {
            count += 1;
        } else if !name.ends_with(".idx") && !name.ends_with(".keep") {
            // A leftover that cannot be removed only takes room.
            let _ = fs::remove_file(entry.path());
        }
    }
    count
}

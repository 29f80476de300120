//! Staging: fetch a commit, survey it, write it beside the others, flush, and seal it with one rename.
//!
//! It refuses to know whether the release will ever be current.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use cartridge_agent_plan::artifacts::commit::{self, Commit};
use cartridge_agent_plan::artifacts::object::{ObjectId, ObjectKind};
use cartridge_protocol::CommitId;
use nix::sys::stat::{Mode, fchmod};

use super::export::{Base, Export, Tally};
use super::failpoint::point;
use super::fault::{ShelfError, Trouble};
use super::forest::Forest;
use super::share::Share;
use super::{RELEASES, REPOSITORY, Shelf, flush_folder};
use crate::host::git::{GitError, NoObject, Remote, Stop, Store};

/// Packs in the local repository before it is fetched anew instead of growing.
const MAX_PACKS: u64 = 40;
/// Longest commit.
const MAX_COMMIT_BYTES: u64 = 1 << 20;

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
        let mut sealed = self.fetch_write_seal(commit, old, remote, stop);
        if let Err(ShelfError::Git(GitError::TooMuch { reason, .. })) = &sealed
            && self.has_packs()
        {
            // Into an empty repository large files come whole, not as differences that take much memory to read.
            tracing::info!(reason, "the commit is fetched anew, as a whole");
            self.throw_away(reason);
            sealed = self.fetch_write_seal(commit, old, remote, stop);
        }
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
        let store = self.fetched(commit, remote, stop)?;
        point("fetch.after");
        self.accept(&store, commit, remote, stop)?;
        let written = self.write(&store, commit, old, remote, stop);
        // Its memory, too, is given back before anything else happens.
        drop(store);
        let sealed = written.and_then(|tally| self.seal(commit).map(|()| tally));
        match &sealed {
            Ok(tally) => {
                self.verified(commit);
                tracing::info!(
                    %commit, files = tally.entries, bytes = tally.bytes, kept = tally.linked,
                    written = tally.written, "release staged"
                );
            }
            // Make room at once: the disk may be full. What cannot be removed now is the next move's work.
            Err(_) => self.clear_part(commit).unwrap_or_default(),
        }
        if let Some(old) = old {
            // What was of no use; if it cannot be removed now, that is the next move's work.
            self.clear_part(old).unwrap_or_default();
        }
        sealed.map(|_| ())
    }

    pub(super) fn fetched(
        &self,
        commit: &CommitId,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<Store, ShelfError> {
        let path = self.root.join(REPOSITORY);
        let mut store = match Store::open(&path, remote, stop) {
            Ok(store) => store,
            Err(error) => return Err(self.judge(error)),
        };
        let known = store.knows(commit, remote).map_err(|error| self.judge(error))?;
        if known {
            return Ok(store);
        }
        if store.packs() > MAX_PACKS {
            drop(store);
            fs::remove_dir_all(&path).map_err(ShelfError::disk("remove", &path))?;
            store = Store::open(&path, remote, stop)?;
        }
        match store.fetch(remote, commit, stop) {
            Ok(()) => Ok(store),
            Err(error) => Err(self.judge(error)),
        }
    }

    /// Whether anything was ever fetched.
    fn has_packs(&self) -> bool {
        let packs = self.root.join(REPOSITORY).join("objects/pack");
        fs::read_dir(packs).is_ok_and(|mut packs| packs.next().is_some())
    }

    /// If our own copy may be what is damaged, it goes.
    fn judge(&self, error: GitError) -> ShelfError {
        if error.may_be_local() {
            tracing::warn!(%error, "the local repository is removed, to be fetched anew");
            self.throw_away("it could not be used");
        }
        error.into()
    }

    fn write(
        &self,
        store: &Store,
        commit: &CommitId,
        old: Option<&CommitId>,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<Tally, ShelfError> {
        let part = self.part_path(commit);
        let explain = |trouble| self.explain(trouble, commit, &part);
        let root = tree_of(store, commit).map_err(explain)?;
        let mut forest = Forest::new(store, self.limits);
        let expected = forest.survey(root).map_err(explain)?;
        self.keeps_enough(&mut forest, root, commit, store, remote)?;

        fs::create_dir(&part).map_err(ShelfError::disk("make", &part))?;
        point("stage.before");
        let folder: OwnedFd = File::open(&part).map_err(ShelfError::disk("open", &part))?.into();
        fchmod(&folder, Mode::from_bits_truncate(0o755)).map_err(|error| explain(error.into()))?;
        let base = self.base(store);
        let export = Export::new(&mut forest, expected, Share::new(self.files), stop);
        let (tally, unflushed) = match self.retired(store, old)? {
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

    pub(super) fn explain(&self, trouble: Trouble, commit: &CommitId, place: &Path) -> ShelfError {
        match trouble {
            Trouble::Refused(refusal) => ShelfError::Refused {
                commit: commit.clone(),
                refusal,
            },
            Trouble::Damaged(reason) => self.throw_away(&reason),
            Trouble::Git(error) => self.judge(error),
            Trouble::Disk(source) => ShelfError::Disk {
                what: "write a release to",
                path: place.to_path_buf(),
                source,
            },
            Trouble::Stopped => ShelfError::Stopped,
        }
    }

    /// The release to make another one out of, no longer whole, if its commit is still known.
    fn retired(
        &self,
        store: &Store,
        old: Option<&CommitId>,
    ) -> Result<Option<(ObjectId, OwnedFd)>, ShelfError> {
        let Some(old) = old.filter(|old| self.release_path(old).is_dir()) else {
            return Ok(None);
        };
        let Ok(tree) = tree_of(store, old) else {
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
    fn base(&self, store: &Store) -> Option<Base> {
        let state = self.state().ok()?;
        let candidates = state.current.iter().chain(state.whole.iter().rev());
        candidates.into_iter().find_map(|commit| {
            let tree = tree_of(store, commit).ok()?;
            let folder = File::open(self.release_path(commit)).ok()?.into();
            Some(Base { tree, folder })
        })
    }

    pub(super) fn seal(&self, commit: &CommitId) -> Result<(), ShelfError> {
        let release = self.release_path(commit);
        point("seal.before");
        fs::rename(self.part_path(commit), &release).map_err(ShelfError::disk("seal", &release))?;
        point("seal.middle");
        flush_folder(&self.root.join(RELEASES))?;
        point("seal.after");
        Ok(())
    }

    /// The repository is only a cache: when it is damaged, it goes.
    pub(super) fn throw_away(&self, reason: &str) -> ShelfError {
        let path = self.root.join(REPOSITORY);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                ShelfError::disk("remove the damaged repository", &path)(error)
            }
            _ => ShelfError::Damaged {
                reason: reason.to_owned(),
            },
        }
    }
}

pub(super) fn tree_of(store: &Store, commit: &CommitId) -> Result<ObjectId, Trouble> {
    Ok(read(store, commit)?.tree)
}

/// The commit itself.
pub(super) fn read(store: &Store, commit: &CommitId) -> Result<Commit, Trouble> {
    let unusable = |reason: &str| Trouble::Damaged(format!("commit {commit}: {reason}"));
    let id = commit
        .as_str()
        .parse()
        .map_err(|_| unusable("is not named by SHA-1"))?;
    let (kind, bytes) = match store.object(id, MAX_COMMIT_BYTES) {
        Ok(found) => found,
        Err(NoObject::Git(error)) => return Err(error.into()),
        Err(NoObject::Larger(bytes)) => {
            return Err(Trouble::refused(&[], format!("is a commit of {bytes} bytes")));
        }
        Err(_) => return Err(unusable("is not there, or not what its hash says")),
    };
    if kind != ObjectKind::Commit {
        return Err(Trouble::refused(
            &[],
            format!("is a {} and no commit", kind.name()),
        ));
    }
    commit::parse(&bytes).map_err(|reason| Trouble::refused(&[], reason))
}

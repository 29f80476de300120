//! Whether a commit may become a release: signed by somebody who may, descended from the current one, not suddenly
//! without most of its files. Asked before a byte of it is written; the signature once more before a release that was
//! never current becomes so, because the signers may have changed since. The way back is not closed by that: what was
//! current with a checked signature may be again.
//!
//! It refuses to know what a release is wanted for.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cartridge_agent_plan::artifacts::history::{DEPTHS, Descent, Walk};
use cartridge_agent_plan::artifacts::object::ObjectId;
use cartridge_agent_plan::artifacts::{History, Signatures, keep};
use cartridge_protocol::CommitId;

use super::fault::{ShelfError, Trouble};
use super::forest::Forest;
use super::stage::{read, tree_of};
use super::{RELEASES, Shelf, flush_folder};
use crate::host::git::{self, GitError, Remote, Stop, Store, UNSHALLOW, Unsigned};

const ACCEPTED: &str = "accepted";

impl Shelf {
    /// Refuses a commit that must not become a release.
    pub(super) fn accept(
        &self,
        store: &Store,
        commit: &CommitId,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<(), ShelfError> {
        self.forget(commit)?;
        self.is_signed(store, commit, remote, stop)?;
        let is_free = remote.ordered.as_ref() == Some(commit) || self.was_base(commit);
        let free = remote.rules.history == History::Any || is_free;
        match self.linked().filter(|current| !free && current != commit) {
            None => Ok(()),
            Some(current) => self.descends(store, commit, &current, remote, stop),
        }
    }

    /// Checks the signature of a release that was never current. The rules may be stricter than when it was written.
    pub(super) fn accept_again(
        &self,
        commit: &CommitId,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<(), ShelfError> {
        let Some(kind) = kind(&remote.rules.signatures) else {
            return Ok(());
        };
        let is_accepted = fs::read(self.accepted_path(commit)).is_ok_and(|found| found == kind);
        if is_accepted || self.is_fresh(commit) || self.linked().as_ref() == Some(commit) {
            return Ok(());
        }
        let store = self.fetched(commit, remote, stop)?;
        self.is_signed(&store, commit, remote, stop)
    }

    /// From now on the way back to this release is open, whoever may sign then.
    pub(super) fn was_current(&self, commit: &CommitId, remote: &Remote) -> Result<(), ShelfError> {
        let Some(kind) = kind(&remote.rules.signatures) else {
            return Ok(());
        };
        let path = self.accepted_path(commit);
        let folder = self.root.join(ACCEPTED);
        let write = || {
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            fs::write(&path, kind)?;
            File::open(&path)?.sync_all()
        };
        write().map_err(ShelfError::disk("write", &path))?;
        flush_folder(&folder)
    }

    /// What is known of a release goes with it.
    pub(super) fn forget(&self, commit: &CommitId) -> Result<(), ShelfError> {
        let path = self.accepted_path(commit);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(ShelfError::disk("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn accepted_path(&self, commit: &CommitId) -> PathBuf {
        self.root.join(ACCEPTED).join(commit.as_str())
    }

    fn is_signed(
        &self,
        store: &Store,
        commit: &CommitId,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<(), ShelfError> {
        let rules = &remote.rules;
        if kind(&rules.signatures).is_none() {
            return Ok(());
        }
        let explain = |trouble| self.explain(trouble, commit, &self.root);
        let found = read(store, commit).map_err(explain)?;
        match git::signer(&found, &rules.signatures, rules.confinement, stop) {
            Ok(signer) => {
                tracing::info!(%commit, signer = signer.unwrap_or_default(), "the commit is signed");
                Ok(())
            }
            Err(Unsigned::Commit(why)) => Err(explain(Trouble::refused(&[], why))),
            Err(Unsigned::Stopped) => Err(ShelfError::Stopped),
            Err(Unsigned::Unknown(why)) => Err(ShelfError::Unknown {
                commit: commit.clone(),
                why,
            }),
        }
    }

    /// Refuses a commit that does not descend from the current one. History is fetched as far as that takes.
    fn descends(
        &self,
        store: &Store,
        commit: &CommitId,
        current: &CommitId,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<(), ShelfError> {
        let explain = |trouble| self.explain(trouble, commit, &self.root);
        let refuse = |why: &str| {
            let how = "order this commit if that is meant (--history)";
            explain(Trouble::refused(
                &[],
                format!("{why} the current release {current}; {how}"),
            ))
        };
        let mut depths = DEPTHS.into_iter().chain([UNSHALLOW]);
        loop {
            match descent(store, commit, current).map_err(explain)? {
                Descent::Descends => return Ok(()),
                Descent::Other => return Err(refuse("does not descend from")),
                Descent::TooLong => {
                    return Err(refuse("has a history too long to tell whether it descends from"));
                }
                Descent::Hidden => {}
            }
            let Some(depth) = depths.next() else {
                return Err(refuse("hides whether it descends from"));
            };
            match store.deepen(remote, commit, depth, stop) {
                Ok(()) => {}
                Err(GitError::TooMuch { .. }) => {
                    return Err(refuse("has a history too large to tell whether it descends from"));
                }
                Err(error) => return Err(explain(error.into())),
            }
        }
    }

    /// Refuses a commit that has lost too many of the current release's files.
    pub(super) fn keeps_enough(
        &self,
        forest: &mut Forest<'_>,
        root: ObjectId,
        commit: &CommitId,
        store: &Store,
        remote: &Remote,
    ) -> Result<(), ShelfError> {
        let percent = remote.rules.least_percent;
        let free = percent == 0 || remote.ordered.as_ref() == Some(commit) || self.was_base(commit);
        let Some(current) = self.linked().filter(|current| !free && current != commit) else {
            return Ok(());
        };
        let there = match tree_of(store, &current).and_then(|tree| forest.files(tree)) {
            Ok(files) => files,
            // The repository was fetched anew since.
            Err(_) => count(
                &self.root.join(RELEASES).join(current.as_str()),
                self.limits.depth,
            ),
        };
        let explain = |trouble| self.explain(trouble, commit, &self.root);
        let here = forest.files(root).map_err(explain)?;
        match keep::fault(there, here, percent) {
            None => Ok(()),
            Some(why) => Err(explain(Trouble::refused(&[], why))),
        }
    }
}

/// How signatures are checked, if they are.
fn kind(signatures: &Signatures) -> Option<&'static [u8]> {
    match signatures {
        Signatures::None => None,
        Signatures::Ssh(_) => Some(b"ssh\n"),
        Signatures::OpenPgp(_) => Some(b"openpgp\n"),
    }
}

fn descent(store: &Store, commit: &CommitId, current: &CommitId) -> Result<Descent, Trouble> {
    let id = |commit: &CommitId| {
        let id = commit.as_str().parse::<ObjectId>();
        id.map_err(|_| Trouble::Damaged(format!("commit {commit} is not named by SHA-1")))
    };
    let first = id(commit)?;
    let Ok(current) = id(current) else {
        // What a plugin brought: nothing of Git's descends from it.
        return Ok(Descent::Other);
    };
    let mut walk = Walk::new(first, current);
    while let Some(next) = walk.step() {
        match read(store, &next.commit()) {
            Ok(found) => walk.parents(Some(&found.parents)),
            // Where history was cut off. The commit itself has been read before.
            Err(Trouble::Damaged(_)) if next != first => walk.parents(None),
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(walk.end())
}

/// Files and links in a folder of ours.
fn count(folder: &Path, deeper: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() && deeper > 0 => count(&entry.path(), deeper - 1),
        Ok(kind) if kind.is_dir() => 0,
        _ => 1,
    });
    sizes.sum()
}

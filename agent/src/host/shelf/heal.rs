//! A release is looked over before it becomes current: what an application did to it, or through a shared file to
//! all releases, is undone. So a way back leads to the commit's own bytes.
//!
//! The look costs a few milliseconds for ten thousand files, and is left out where the release was written just
//! now. It refuses to know why the release is wanted.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cartridge_protocol::CommitId;

use super::export::Export;
use super::failpoint::point;
use super::fault::{ShelfError, Trouble};
use super::forest::Forest;
use super::share::Share;
use super::stage::tree_of;
use super::{REPOSITORY, Shelf};
use crate::host::git::{GitError, Remote, Stop, Store};

/// How long a release that was written counts as looked over. The application of the release before can write into
/// shared files for longer than that: until it ends.
pub(super) const FRESH: Duration = Duration::from_secs(2);

/// The release that was looked over last, and when.
pub(super) type Verified = Arc<Mutex<Option<(CommitId, Instant)>>>;

impl Shelf {
    /// This release is the commit's to the byte, now.
    pub(super) fn verified(&self, commit: &CommitId) {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((commit.clone(), Instant::now()));
    }

    pub(super) fn is_fresh(&self, commit: &CommitId) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified
            .as_ref()
            .is_some_and(|(c, at)| c == commit && at.elapsed() < self.fresh)
    }

    /// Makes a whole release the commit's again, whatever was done to it.
    pub(super) fn heal(&self, commit: &CommitId, remote: &Remote, stop: &Stop) -> Result<(), ShelfError> {
        let release = self.release_path(commit);
        if self.is_fresh(commit) || self.linked().as_ref() == Some(commit) || !release.is_dir() {
            return Ok(());
        }
        let store = match Store::open(&self.root.join(REPOSITORY), remote, stop) {
            Ok(store) => store,
            Err(error @ GitError::Stopped { .. }) => return Err(error.into()),
            Err(error) => {
                // The way back must not depend on anything but the release itself.
                tracing::warn!(%commit, %error, "its files cannot be looked over");
                return Ok(());
            }
        };
        let Ok(root) = tree_of(&store, commit) else {
            tracing::warn!(%commit, "its files cannot be looked over: the repository was fetched anew since");
            return Ok(());
        };
        let mend = || -> Result<_, Trouble> {
            let mut forest = Forest::new(&store, self.limits);
            let expected = forest.survey(root)?;
            let folder: OwnedFd = File::open(&release)?.into();
            point("heal.before");
            let export = Export::new(&mut forest, expected, Share::new(self.files), stop);
            let (tally, unflushed) = export.mend_all(root, &folder)?;
            point("heal.middle");
            if tally.changed > 0 {
                unflushed.flush(folder.as_fd())?;
            }
            Ok(tally)
        };
        match mend() {
            Ok(tally) if tally.changed > 0 => {
                tracing::warn!(%commit, mended = tally.changed, "files of this release were not as written");
                self.verified(commit);
                Ok(())
            }
            Ok(_) => {
                self.verified(commit);
                Ok(())
            }
            Err(Trouble::Damaged(reason)) => {
                // Not whole any more: the plan fetches and writes it anew.
                self.retire(commit)?;
                Err(self.throw_away(&reason))
            }
            Err(trouble) => Err(self.explain(trouble, commit, &release)),
        }
    }
}

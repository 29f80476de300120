//! Why a move failed, in words that let a person act. It refuses to know what is done about it.

use std::io;
use std::path::{Path, PathBuf};

use cartridge_protocol::CommitId;

use crate::host::git::GitError;

/// Why a move was not carried out. The current release is untouched in every case.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The repository could not be used.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The commit holds what must not be written to a disk. Trying again cannot help.
    #[error("commit {commit} is refused: {refusal}")]
    Refused {
        /// The commit.
        commit: CommitId,
        /// What it holds.
        refusal: Refusal,
    },
    /// Whether the commit may be used cannot be found out here, so it is not. The commit may be good.
    #[error("whether commit {commit} may be used cannot be found out, so it is not used: {why}")]
    Unknown {
        /// The commit.
        commit: CommitId,
        /// What is missing or wrong.
        why: String,
    },
    /// The disk is full, read-only, broken, or not ours.
    #[error("could not {what} {}: {source}", path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
    /// The local copy of the repository is damaged; it was thrown away and the next try fetches it anew.
    #[error("the local repository was damaged and has been removed ({reason}); the next try fetches it anew")]
    Damaged {
        /// What was found.
        reason: String,
    },
    /// The plugin that brings files did not.
    #[error("the artifact source {source_name} does not bring {commit}: {why}")]
    NotBrought {
        /// Which plugin.
        source_name: String,
        /// Which revision.
        commit: CommitId,
        /// Why, in its own words or the agent's.
        why: String,
    },
    /// Another process has the shelf.
    #[error("{} is in use by another agent; give each member its own folder", .0.display())]
    InUse(PathBuf),
    /// Asked to switch to something unfinished.
    #[error("there is no whole release of {0} to switch to")]
    NotWhole(CommitId),
    /// Asked to remove the current release.
    #[error("{0} is the current release and is not removed")]
    IsCurrent(CommitId),
    /// What lies where the files are to appear is not to be touched.
    #[error("the files cannot appear at {}: it {why}", path.display())]
    Place {
        /// Where.
        path: PathBuf,
        /// What is in the way, and what to do.
        why: String,
    },
    /// Told to give up, or out of time.
    #[error("stopped before the release was complete")]
    Stopped,
}

impl ShelfError {
    /// Whether this commit will never be accepted, however often it is tried.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Git(GitError::TooMuch { .. }))
    }

    /// Whether the server refused who asked.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Git(error) if error.is_denial())
    }

    pub(super) fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Disk { what, path, source }
    }
}

/// What a commit holds that is not written to a disk, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", shown(path))]
pub struct Refusal {
    /// From the root of the commit; empty where it is about the commit as a whole.
    pub path: Vec<Vec<u8>>,
    /// What is wrong with it.
    pub reason: String,
}

fn shown(path: &[Vec<u8>]) -> String {
    if path.is_empty() {
        return "it ".to_owned();
    }
    format!("{:?} ", String::from_utf8_lossy(&path.join(&b'/')))
}

/// What can stop the reading and writing of a tree.
#[derive(Debug)]
pub(super) enum Trouble {
    Refused(Refusal),
    Damaged(String),
    Disk(io::Error),
    Git(GitError),
    Stopped,
}

impl Trouble {
    pub(super) fn refused(path: &[Vec<u8>], reason: impl Into<String>) -> Self {
        Self::Refused(Refusal {
            path: path.to_vec(),
            reason: reason.into(),
        })
    }
}

impl From<nix::Error> for Trouble {
    fn from(error: nix::Error) -> Self {
        Self::Disk(error.into())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        match error {
            GitError::Stopped { .. } => Self::Stopped,
            error => Self::Git(error),
        }
    }
}

//! What can go wrong with a repository, in words that let a person act. It refuses to know how it was found out.

use std::path::PathBuf;

use cartridge_protocol::CommitId;

/// Why a repository could not be used. Addresses are shown without credentials.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The address is not one that the agent will use.
    #[error("the repository address {url} is refused: {reason}")]
    Address {
        /// The address.
        url: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Nobody answered, or the answer broke off. Worth another try.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The repository is there, the branch is not.
    #[error("{url} has no {} {branch:?}{}", if branch.starts_with("refs/") { "reference" } else { "branch" }, if *.empty { "; it is empty" } else { "" })]
    UnknownBranch {
        /// The address.
        url: String,
        /// The branch asked for.
        branch: String,
        /// There is no branch at all.
        empty: bool,
    },
    /// The commit is nowhere to be had.
    #[error(
        "{url} does not give out commit {commit}: it is not in the history of branch {branch:?}, and asking for it by hash did not help"
    )]
    UnknownCommit {
        /// The address.
        url: String,
        /// The branch searched.
        branch: String,
        /// The commit asked for.
        commit: CommitId,
    },
    /// The server wants other credentials.
    #[error("{url} {}", if *.given { "refused the user name or password" } else { "wants a user name and password, and none are set" })]
    Credentials {
        /// The address.
        url: String,
        /// Whether any were sent.
        given: bool,
    },
    /// The SSH server is not known, or not the one that is known.
    #[error("{url} is not believed to be itself: {reason}")]
    HostKey {
        /// The address.
        url: String,
        /// What its key is, and what is known.
        reason: String,
    },
    /// The SSH server wants another key.
    #[error("{url} {}", if *.given { "refused the key that --git-credentials names for this host" } else { "wants a key, and --git-credentials names none for this host" })]
    Key {
        /// The address.
        url: String,
        /// Whether one was shown.
        given: bool,
    },
    /// Something answered, but it does not speak Git there.
    #[error("{url} is not a Git repository: {reason}")]
    NotARepository {
        /// The address.
        url: String,
        /// What was found instead.
        reason: String,
    },
    /// More came than is accepted.
    #[error("{url} sent too much: {reason}")]
    TooMuch {
        /// The address.
        url: String,
        /// Which limit was reached.
        reason: String,
    },
    /// The answer is damaged or breaks the rules.
    #[error("{url} sent something unusable: {reason}")]
    Damaged {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The process that reads what strangers send did not do its work.
    #[error("the process that fetches {url} {reason}")]
    Fetcher {
        /// The address.
        url: String,
        /// What it did.
        reason: String,
    },
    /// It cannot be confined, and is required to be.
    #[error("fetching is not confined as --fetch-sandbox required wants it: {reason}")]
    Unconfined {
        /// What does not work.
        reason: String,
    },
    /// The agent's own repository, or its settings, are in the way.
    #[error("{path:?} cannot be used: {reason}")]
    Local {
        /// What cannot be used.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file or program that the settings name, or need.
    #[error("{path:?} cannot be used: {reason}")]
    Setting {
        /// What cannot be used.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Told to give up, or out of time.
    #[error("stopped while talking to {url}")]
    Stopped {
        /// The address.
        url: String,
    },
}

impl GitError {
    /// Whether our own copy may be what is damaged.
    pub(crate) fn may_be_local(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Local { .. })
    }

    /// Whether the server refused who asked, or we refused it: asking again as the same cannot help soon.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::Credentials { .. } | Self::Key { .. } | Self::HostKey { .. }
        )
    }

    /// Whether asking the same server differently cannot help.
    pub(super) fn is_about_access(&self) -> bool {
        !matches!(self, Self::Damaged { .. } | Self::UnknownCommit { .. })
    }
}

/// What was found out on the way to a server.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Unreachable(String),
    Credentials { given: bool },
    NotARepository(String),
    TooMuch(String),
    HostKey(String),
    Key,
    Setting(PathBuf, String),
    Stopped,
}

impl Fault {
    pub(super) fn at(self, url: String) -> GitError {
        match self {
            Self::Unreachable(reason) => GitError::Unreachable { url, reason },
            Self::Credentials { given } => GitError::Credentials { url, given },
            Self::NotARepository(reason) => GitError::NotARepository { url, reason },
            Self::TooMuch(reason) => GitError::TooMuch { url, reason },
            Self::HostKey(reason) => GitError::HostKey { url, reason },
            Self::Key => GitError::Key { url, given: true },
            Self::Setting(path, reason) => GitError::Setting { path, reason },
            Self::Stopped => GitError::Stopped { url },
        }
    }
}

/// Foreign text, fit for a log line: no control characters, bounded.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect()
}

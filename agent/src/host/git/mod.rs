//! The agent's only use of Git: ask a branch for its head, have a commit's objects, and give a commit back.
//!
//! The agent itself speaks with servers and reads lists of branches, in Rust; packs are read by libgit2 in a process
//! that is confined (`fetcher`). It refuses to know working trees: nothing is ever checked out, no hook, filter,
//! submodule or user configuration of Git takes part (reliability T09). What a commit holds is written out by
//! `shelf`.

mod address;
mod carrier;
mod channel;
pub mod confined;
pub(crate) mod credentials;
mod fault;
pub mod fetcher;
mod http;
mod patient;
mod process;
mod push;
mod signed;
mod ssh;
mod stop;
mod store;
mod trust;
mod wire;

use std::path::Path;
use std::sync::Arc;

use cartridge_agent_plan::artifacts::Rules;
use cartridge_agent_plan::artifacts::advertisement::{full_name, tag_name};
use cartridge_protocol::{CommitId, Secret};

pub use fault::GitError;
pub use process::fetch_with;
pub(crate) use push::Receiver;
pub(crate) use signed::{Unsigned, signer};
pub use stop::Stop;
pub(crate) use store::{NoObject, Store, UNSHALLOW};

use address::Address;
use carrier::Carrier;

/// Where the branch is kept in the bare repository, and a commit that was asked for by its hash.
const BRANCH_REF: &str = "refs/cartridge/branch";
const COMMIT_REF: &str = "refs/cartridge/commit";

/// A repository as the orchestrator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// An address of a kind that the rules accept.
    pub url: String,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// User name, where the repository wants one.
    pub username: Option<String>,
    /// Password or token, where the repository wants one.
    pub password: Option<Secret>,
    /// The commit that a person ordered, whatever its history and size.
    pub ordered: Option<CommitId>,
    /// What is accepted from it.
    pub rules: Arc<Rules>,
}

impl Remote {
    /// The usual rules, no credentials.
    pub fn new(url: impl Into<String>, branch: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            branch: branch.into(),
            username: None,
            password: None,
            ordered: None,
            rules: Arc::default(),
        }
    }
}

/// The commit that the branch names now: a branch, else a tag, or another name that begins with `refs/`, or a commit's
/// own hash.
/// Blocks: call it where blocking is allowed.
pub fn head(remote: &Remote, stop: &Stop) -> Result<CommitId, GitError> {
    let address = address::accept(remote)?;
    if let Ok(commit) = CommitId::new(remote.branch.clone()) {
        return Ok(commit);
    }
    if address.url.scheme() == "file" {
        let store = Store::open(Path::new("/"), remote, stop)?;
        let mut named = store.named(full_name(&remote.branch))?;
        if let (None, Some(tag)) = (named, tag_name(&remote.branch)) {
            named = store.named(tag)?;
        }
        return named
            .map(|id| id.commit())
            .ok_or_else(|| no_such_branch(remote, &address, false));
    }
    let mut carrier = Carrier::new(remote, &address, stop)?;
    let list = carrier
        .list()
        .map_err(|fault| fault.at(address::shown(address.url.as_str())))?;
    let (tip, empty) = (list.tip(), list.is_empty());
    tip.map(|id| id.commit())
        .ok_or_else(|| no_such_branch(remote, &address, empty))
}

fn no_such_branch(remote: &Remote, address: &Address, empty: bool) -> GitError {
    GitError::UnknownBranch {
        url: address::shown(address.url.as_str()),
        branch: remote.branch.clone(),
        empty,
    }
}

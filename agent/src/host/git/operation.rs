//! One conversation with one repository: whom to talk to, how long, and what went wrong on the way.
//!
//! libgit2 makes transports from a process-wide table without telling them for whom; the current operation is
//! therefore kept per thread while it lasts. This file refuses to know the protocol.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use cartridge_protocol::Secret;
use reqwest::{Client, Url};

use super::address::{self, Address};
use super::fault::{Fault, GitError, plain};
use super::{MAX_FETCH_BYTES, MAX_PACK_OBJECTS, Remote, Stop, wire};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Talk>>> = const { RefCell::new(None) };
}

/// What the transport needs to know of the operation it serves.
pub(super) struct Talk {
    /// None: the repository is a folder, and nothing is sent.
    pub client: Option<Client>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub stop: Stop,
    fault: Mutex<Option<Fault>>,
}

impl Talk {
    /// The talk of the operation that runs on this thread.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Keeps the first fault: later ones are its consequences.
    pub(super) fn note(&self, fault: Fault) {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(fault);
    }

    fn take_fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// While it lives, libgit2 calls on this thread talk to its repository.
pub(super) struct Operation {
    url: Url,
    branch: String,
    talk: Arc<Talk>,
}

impl Operation {
    pub(super) fn begin(remote: &Remote, stop: &Stop) -> Result<Self, GitError> {
        let refuse = |reason| GitError::Address {
            url: address::shown(&remote.url),
            reason,
        };
        let Address {
            url,
            username,
            password,
        } = address::parse(&remote.url, remote.allow_file).map_err(refuse)?;
        if !git2::Reference::is_valid_name(&format!("refs/heads/{}", remote.branch))
            || remote.branch.starts_with('-')
        {
            let (url, branch) = (address::shown(&remote.url), remote.branch.clone());
            return Err(GitError::UnknownBranch { url, branch });
        }
        let client = match url.scheme() {
            "file" => None,
            _ => Some(wire::client(remote.roots.as_deref())?),
        };
        let talk = Arc::new(Talk {
            client,
            username: remote.username.clone().or(username),
            password: remote.password.clone().or(password),
            stop: stop.clone(),
            fault: Mutex::new(None),
        });
        CURRENT.set(Some(talk.clone()));
        Ok(Self {
            url,
            branch: remote.branch.clone(),
            talk,
        })
    }

    /// The address that libgit2 is given: no credentials in it.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The address for people.
    pub(super) fn shown(&self) -> String {
        address::shown(self.url.as_str())
    }

    pub(super) fn branch(&self) -> &str {
        &self.branch
    }

    pub(super) fn is_file(&self) -> bool {
        self.url.scheme() == "file"
    }

    /// Called by libgit2 again and again while a pack comes in; false ends the fetch.
    pub(super) fn goes_on(&self, bytes: u64, objects: usize) -> bool {
        let fault = if self.talk.stop.is_raised() {
            Fault::Stopped
        } else if bytes > MAX_FETCH_BYTES {
            Fault::TooMuch(format!("more than {MAX_FETCH_BYTES} bytes"))
        } else if objects > MAX_PACK_OBJECTS {
            Fault::TooMuch(format!("{objects} objects in one pack"))
        } else {
            return true;
        };
        self.talk.note(fault);
        false
    }

    /// What really went wrong when libgit2 says `error`.
    pub(super) fn explain(&self, error: &git2::Error) -> GitError {
        let url = self.shown();
        if let Some(fault) = self.talk.take_fault() {
            return fault.at(url);
        }
        let reason = plain(error.message());
        match (error.class(), error.code()) {
            (git2::ErrorClass::Os, _) => GitError::Local {
                path: "repository".into(),
                reason,
            },
            (_, git2::ErrorCode::NotFound) | (git2::ErrorClass::Repository, _) if self.is_file() => {
                GitError::NotARepository { url, reason }
            }
            _ => GitError::Damaged { url, reason },
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

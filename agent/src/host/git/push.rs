//! Gives a commit to a Git server: asks where the branch is, and moves it from exactly there to the new commit, or not
//! at all. Nothing is ever forced. It refuses to know what the commit holds.

use std::time::Duration;

use cartridge_agent_plan::artifacts::advertisement::{Reader, full_name};
use cartridge_agent_plan::artifacts::object::ObjectId;
use cartridge_agent_plan::pushback::wire::{self as words, MOST_REPORT, Report};

use super::address;
use super::carrier::Meter;
use super::fault::{Fault, GitError, plain};
use super::http::Http;
use super::wire::{self, Patience};
use super::{Remote, Stop, credentials};

/// How this program calls itself.
const AGENT: &str = concat!("cartridge-agent/", env!("CARGO_PKG_VERSION"));

/// A branch on a server that takes commits.
pub(crate) struct Receiver {
    http: Http,
    branch: String,
    shown: String,
    tip: ObjectId,
}

impl Receiver {
    /// Asks the server for the branch. Blocks.
    pub(crate) fn ask(remote: &Remote, stop: &Stop) -> Result<Self, GitError> {
        let address = address::accept(remote)?;
        let shown = address::shown(address.url.as_str());
        let refuse = |reason| GitError::Address {
            url: shown.clone(),
            reason,
        };
        if !matches!(address.url.scheme(), "http" | "https") {
            return Err(refuse("changes are given back over http and https only"));
        }
        let branch = full_name(&remote.branch);
        if !branch.starts_with("refs/heads/") {
            return Err(refuse("changes are given back to branches only"));
        }
        let limits = remote.rules.limits;
        let patience = Patience {
            stop: stop.clone(),
            silence: Duration::from_secs(limits.patience),
        };
        let login = credentials::choose(remote, &address)?;
        let client = wire::client(&remote.rules)?;
        let mut http = Http::new(client, address.url.clone(), login, patience).that_takes();
        let mut reader = Reader::new(&remote.branch, &limits);
        let list = http
            .list(&mut reader, &mut Meter::new(&limits))
            .and_then(|()| Ok(reader.finish()?))
            .map_err(|fault| fault.at(shown.clone()))?;
        let tip = list
            .tip()
            .ok_or_else(|| super::no_such_branch(remote, &address, list.is_empty()))?;
        Ok(Self {
            http,
            branch,
            shown,
            tip,
        })
    }

    /// Where the branch is.
    pub(crate) fn tip(&self) -> ObjectId {
        self.tip
    }

    /// Moves the branch from there to `new`, which is in the pack. Blocks.
    pub(crate) fn give(&mut self, new: ObjectId, pack: &[u8]) -> Result<Report, GitError> {
        let at = |fault: Fault| fault.at(self.shown.clone());
        self.http
            .send(&words::command(&self.branch, self.tip, new, AGENT));
        self.http.send(pack);
        let mut answer = Vec::new();
        loop {
            let piece = self.http.take().map_err(at)?;
            if piece.is_empty() {
                break;
            }
            answer.extend_from_slice(&piece);
            if answer.len() > MOST_REPORT {
                return Err(at(Fault::TooMuch("a report without end".to_owned())));
            }
        }
        Ok(match words::report(&answer, &self.branch) {
            Report::Refused(why) => Report::Refused(plain(&why)),
            other => other,
        })
    }

    /// The address, without credentials.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

//! Carries bytes between a Git server and whoever reads them, counted. The list of branches is read here; packs are
//! passed on unread. It refuses to know objects.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cartridge_agent_plan::artifacts::Limits;
use cartridge_agent_plan::artifacts::advertisement::{Advertisement, BadList, Reader};
use cartridge_agent_plan::artifacts::pace::{LEAST, Pace};
use cartridge_protocol::Millis;

use super::address::Address;
use super::credentials;
use super::fault::{Fault, GitError};
use super::http::Http;
use super::ssh::Ssh;
use super::wire::{self, Patience};
use super::{Remote, Stop};

/// Counts what comes in.
pub(super) struct Meter {
    begun: Instant,
    pace: Pace,
    patience: u64,
    bytes: u64,
    most: u64,
}

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            begun: Instant::now(),
            pace: Pace::begin(limits.patience, Millis::ZERO),
            patience: limits.patience,
            bytes: 0,
            most: limits.pack_bytes,
        }
    }

    /// So many bytes more.
    pub(super) fn came(&mut self, bytes: usize) -> Result<(), Fault> {
        let bytes = bytes as u64;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.most {
            return Err(Fault::TooMuch(format!(
                "more than {} bytes in one fetch",
                self.most
            )));
        }
        let now = Millis(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        if self.pace.came(bytes, now) {
            return Ok(());
        }
        Err(Fault::Unreachable(format!(
            "it is too slow: less than {LEAST} bytes in {} s",
            self.patience
        )))
    }
}

enum Way {
    Http(Box<Http>),
    Ssh(Box<Ssh>),
}

/// A way to one repository on a server.
pub(super) struct Carrier {
    way: Way,
    name: String,
    limits: Limits,
    meter: Meter,
    list: Option<Advertisement>,
    rest: Bytes,
}

impl Carrier {
    pub(super) fn new(remote: &Remote, address: &Address, stop: &Stop) -> Result<Self, GitError> {
        let limits = remote.rules.limits;
        let patience = Patience {
            stop: stop.clone(),
            silence: Duration::from_secs(limits.patience),
        };
        let login = credentials::choose(remote, address)?;
        let way = if address.url.scheme() == "ssh" {
            Way::Ssh(Box::new(Ssh::new(address, login, &remote.rules, patience)?))
        } else {
            let client = wire::client(&remote.rules)?;
            Way::Http(Box::new(Http::new(client, address.url.clone(), login, patience)))
        };
        Ok(Self {
            way,
            name: remote.branch.clone(),
            limits,
            meter: Meter::new(&limits),
            list: None,
            rest: Bytes::new(),
        })
    }

    /// What the server has of what is wanted.
    pub(super) fn list(&mut self) -> Result<&Advertisement, Fault> {
        self.meter = Meter::new(&self.limits);
        let mut reader = Reader::new(&self.name, &self.limits);
        match &mut self.way {
            Way::Http(http) => http.list(&mut reader, &mut self.meter)?,
            Way::Ssh(ssh) => ssh.list(&mut reader, &mut self.meter)?,
        }
        Ok(self.list.insert(reader.finish()?))
    }

    /// The same for the fetching process, which then goes on from there.
    pub(super) fn list_again(&mut self) -> Result<Vec<u8>, Fault> {
        self.rest = Bytes::new();
        let is_spent = match &self.way {
            Way::Http(_) => false,
            // A connection is good for one fetch.
            Way::Ssh(ssh) => ssh.is_spent(),
        };
        if self.list.is_none() || is_spent {
            self.list()?;
        }
        let list = self.list.as_ref().expect("it was read above");
        Ok(list.again(self.is_stateless()))
    }

    /// Whether the server has no branch at all, as far as it was asked.
    pub(super) fn is_empty(&self) -> bool {
        self.list.as_ref().is_some_and(Advertisement::is_empty)
    }

    /// Whether each request stands for itself.
    pub(super) fn is_stateless(&self) -> bool {
        match self.way {
            Way::Http(_) => true,
            Way::Ssh(_) => false,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.rest = Bytes::new();
        match &mut self.way {
            Way::Http(http) => {
                http.send(bytes);
                Ok(())
            }
            Way::Ssh(ssh) => ssh.send(bytes),
        }
    }

    /// The next piece of the answer, at most so long; none is its end.
    pub(super) fn take(&mut self, most: usize) -> Result<Bytes, Fault> {
        if self.rest.is_empty() {
            self.rest = match &mut self.way {
                Way::Http(http) => http.take()?,
                Way::Ssh(ssh) => ssh.take()?,
            };
            self.meter.came(self.rest.len())?;
        }
        Ok(self.rest.split_to(most.min(self.rest.len())))
    }
}

impl From<BadList> for Fault {
    fn from(bad: BadList) -> Self {
        match bad {
            BadList::TooMuch(_) => Self::TooMuch(bad.to_string()),
            _ => Self::NotARepository(super::fault::plain(&bad.to_string())),
        }
    }
}

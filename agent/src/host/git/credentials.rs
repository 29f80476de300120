//! Which credentials go to which host: those of the orchestrator, else those in the address, else those of the file.
//!
//! The file is read each time, so that a changed secret is used at the next look. It refuses to know protocols.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cartridge_agent_plan::artifacts::credentials::{self, Entry, MAX_BYTES};
use cartridge_agent_plan::artifacts::ssh_place::PORT;
use cartridge_protocol::Secret;

use super::Remote;
use super::address::Address;
use super::fault::GitError;

/// Who one is to a server.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub key: Option<PathBuf>,
}

impl Login {
    /// Whether anything is sent.
    pub(super) fn is_given(&self) -> bool {
        self.username.is_some() || self.password.is_some()
    }
}

/// What a file looks like from outside: another one, or another content, looks different.
pub(crate) type Mark = Option<(u64, i64, i64, u64)>;

/// Of the file of credentials.
pub(crate) fn mark(path: Option<&Path>) -> Mark {
    let found = std::fs::metadata(path?).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
}

/// For this repository.
pub(super) fn choose(remote: &Remote, address: &Address) -> Result<Login, GitError> {
    let entry = match &remote.rules.credentials {
        Some(path) => entry(path, address).map_err(|reason| GitError::Setting {
            path: path.clone(),
            reason,
        })?,
        None => Entry::default(),
    };
    let told = Login {
        username: remote.username.clone().or(address.username.clone()),
        password: remote.password.clone().or(address.password.clone()),
        key: entry.key.clone(),
    };
    if told.password.is_some() {
        return Ok(told);
    }
    // A secret goes with its own user name, never with another one.
    let fits = told.username.is_none() || entry.username.is_none() || told.username == entry.username;
    Ok(Login {
        password: entry.secret().filter(|_| fits).cloned(),
        username: told.username.or(entry.username),
        key: told.key,
    })
}

fn entry(path: &Path, address: &Address) -> Result<Entry, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if metadata.mode() & 0o077 != 0 {
        return Err(format!(
            "its mode is {:o}, and others than its owner may use it; make it 600",
            metadata.mode() & 0o7777
        ));
    }
    let owner = metadata.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Err(format!(
            "it belongs to user {owner}, who is neither root nor this agent"
        ));
    }
    let mut text = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    let host = address.url.host_str().unwrap_or_default();
    Ok(
        credentials::find(&text, host, address.url.port_or_known_default().or(Some(PORT)))?
            .unwrap_or_default(),
    )
}

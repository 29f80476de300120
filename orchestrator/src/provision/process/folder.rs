//! The folder of one life of a member. Refuses to know processes.

use std::io::ErrorKind::NotFound;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cartridge_protocol::MemberId;
use cartridge_protocol::launch::LaunchParameters;
use serde::{Deserialize, Serialize};

use super::Life;
use crate::identity::write_private;
use crate::provision::{Ensured, ProvisionError};

/// A log longer than this is put aside when the agent is started again.
const MAX_LOG_BYTES: u64 = 10 << 20;

/// The folder of one life of a member.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) life: Life,
    pub(super) path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Made {
    instance: String,
    address: std::net::IpAddr,
    ports: std::collections::BTreeMap<String, u16>,
    /// Where its cgroups are, were they ever made.
    #[serde(default)]
    cgroups: Vec<PathBuf>,
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> ProvisionError + '_ {
    move |e| ProvisionError(format!("{}: {e}", path.display()))
}

impl Folder {
    pub(super) fn of(members: &Path, life: &Life) -> Self {
        Self {
            life: life.clone(),
            path: members.join(format!("{}.{}", life.0, life.1)),
        }
    }

    pub(super) fn launch_params(&self) -> PathBuf {
        self.path.join("launch-params")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    pub(super) fn create(&self) -> Result<(), ProvisionError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(self.state()).map_err(at(&self.path))
    }

    /// What was decided for this life before, so that asking again gives the same answer; and its cgroups.
    pub(super) fn made(&self) -> Result<Option<(Ensured, Vec<PathBuf>)>, ProvisionError> {
        let path = self.path.join("instance.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == NotFound => return Ok(None),
            Err(e) => return Err(at(&path)(e)),
        };
        let made: Made =
            serde_json::from_slice(&text).map_err(|e| ProvisionError(format!("{}: {e}", path.display())))?;
        let ensured = Ensured {
            instance: made.instance,
            address: made.address,
            ports: made.ports,
        };
        Ok(Some((ensured, made.cgroups)))
    }

    /// How long nothing was added or removed here.
    pub(super) fn age(&self) -> Option<std::time::Duration> {
        let changed = std::fs::metadata(&self.path).and_then(|folder| folder.modified());
        changed.ok()?.elapsed().ok()
    }

    /// Durable before anything is started.
    pub(super) fn write_made(&self, made: &Ensured, cgroups: &[PathBuf]) -> Result<(), ProvisionError> {
        let made = Made {
            instance: made.instance.clone(),
            address: made.address,
            ports: made.ports.clone(),
            cgroups: cgroups.to_vec(),
        };
        let path = self.path.join("instance.json");
        let text = serde_json::to_vec(&made).expect("text, addresses and numbers are always JSON");
        write_private(&path, &text).map_err(at(&path))
    }

    pub(super) fn write_launch(&self, parameters: &LaunchParameters) -> Result<(), ProvisionError> {
        let path = self.launch_params();
        write_private(&path, parameters.to_json().as_bytes()).map_err(at(&path))
    }

    /// The agent's log, opened for appending.
    pub(super) fn log(&self) -> Result<std::fs::File, ProvisionError> {
        let path = self.path.join("agent.log");
        if std::fs::metadata(&path).is_ok_and(|log| log.len() > MAX_LOG_BYTES) {
            std::fs::rename(&path, self.path.join("agent.log.old")).map_err(at(&path))?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true).open(&path).map_err(at(&path))
    }

    pub(super) fn delete(&self) -> Result<(), ProvisionError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() != NotFound => Err(at(&self.path)(e)),
            _ => Ok(()),
        }
    }
}

/// Every folder below `members` whose name is that of a life.
pub(super) fn all(members: &Path) -> Result<Vec<Folder>, ProvisionError> {
    let rows = match std::fs::read_dir(members) {
        Ok(rows) => rows,
        Err(e) if e.kind() == NotFound => return Ok(Vec::new()),
        Err(e) => return Err(at(members)(e)),
    };
    let mut folders = Vec::new();
    for row in rows {
        let row = row.map_err(at(members))?;
        if let Some(life) = row.file_name().to_str().and_then(life) {
            folders.push(Folder {
                life,
                path: row.path(),
            });
        }
    }
    Ok(folders)
}

/// The life that a folder is named after.
pub(super) fn life(name: &str) -> Option<Life> {
    let (member, incarnation) = name.rsplit_once('.')?;
    Some((MemberId::new(member).ok()?, incarnation.parse().ok()?))
}

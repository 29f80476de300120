//! Starts an agent that outlives us: own session, no terminal, its output in a file.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::folder::Folder;
use super::tagged::{AGENT, TAG};
use super::{Life, Settings};
use crate::provision::ProvisionError;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts it, in the cgroups whose entries are given.
pub(super) fn agent(
    settings: &Settings,
    folder: &Folder,
    tag: &str,
    life: &Life,
    entries: Vec<OwnedFd>,
) -> Result<Child, ProvisionError> {
    let log = folder.log()?;
    let also = log.try_clone().map_err(|e| ProvisionError(e.to_string()))?;
    let mut command = Command::new(&settings.agent);
    command
        .arg0(format!("{AGENT}{tag}"))
        .arg("run")
        .current_dir(&folder.path)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .env(TAG, tag)
        .env("CARTRIDGE_LAUNCH_PARAMS", folder.launch_params())
        .env("CARTRIDGE_STATE_DIR", folder.state())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(also)
        .kill_on_drop(false);
    // SAFETY: setsid and write are async-signal-safe; an error made of a number allocates nothing.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setsid()?;
            // 0 stands for whoever writes it.
            for entry in &entries {
                nix::unistd::write(entry.as_fd(), b"0")?;
            }
            Ok(())
        });
    }
    command
        .spawn()
        .map_err(|e| ProvisionError(format!("{} for {}: {e}", settings.agent.display(), life.0)))
}

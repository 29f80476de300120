//! A rehearsal: a new binary is run beside the agent with everything that the agent was started with, looks at it, and
//! changes nothing. Refuses to decide what follows.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use cartridge_agent_plan::handover::Handover;
use cartridge_agent_plan::settings::Settings;
use cartridge_agent_plan::text::one_line;
use cartridge_agent_plan::upgrade::Slot;
use cartridge_protocol::Millis;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::exec;
use crate::host::{orphans, systemd};
use crate::link;
use crate::version::{misbehaves, version};

/// Name of the variable that makes a start a rehearsal.
pub const NAME: &str = "CARTRIDGE_AGENT_REHEARSAL";
/// Longest answer and longest complaint, bytes.
const MOST: u64 = 16 << 10;

/// What a rehearsal found.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    /// What it is.
    version: String,
    /// Why the orchestrator cannot be reached; none: it can.
    link: Option<String>,
}

/// Runs `place` as a rehearsal of `slot`; `reachable`: this agent reaches the orchestrator.
pub async fn rehearse(
    place: &Path,
    slot: &Slot,
    document: Vec<u8>,
    reachable: bool,
    within: Millis,
) -> Result<(), String> {
    match timeout(Duration::from_millis(within.0), run(place, document)).await {
        Err(_) => Err(format!("it took longer than {within}")),
        Ok(Err(why)) => Err(why),
        Ok(Ok(found)) if found.version != slot.version.to_string() => {
            Err(format!("it says that it is {}", one_line(&found.version, 64)))
        }
        Ok(Ok(Found { link: Some(why), .. })) if reachable => Err(format!(
            "it does not reach the orchestrator: {}",
            one_line(&why, 300)
        )),
        Ok(Ok(_)) => Ok(()),
    }
}

async fn run(place: &Path, document: Vec<u8>) -> Result<Found, String> {
    let mut command = Command::new(place);
    command
        .args(std::env::args_os().skip(1))
        .env(NAME, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in systemd::ENVIRONMENT.iter().chain(&exec::ENVIRONMENT) {
        command.env_remove(name);
    }
    // SAFETY: prctl is async-signal-safe and allocates nothing.
    unsafe { command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)) };
    let (mut child, _) = orphans::spawning(|| command.spawn()).map_err(|e| e.to_string())?;
    let (input, output, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut input) = input {
            // It may end before it has read all; then it says why.
            let _ = input.write_all(&document).await;
        }
    };
    let ((), said, complained) = tokio::join!(feed, all(output), all(complaint));
    let status = child.wait().await.map_err(|e| e.to_string())?;
    if !status.success() {
        let last = complained.lines().rev().find(|line| !line.trim().is_empty());
        let how = crate::host::child::how(Ok(status));
        return Err(format!("{how}: {}", one_line(last.unwrap_or_default(), 300)));
    }
    serde_json::from_str(&said).map_err(|_| "what it says cannot be understood".to_owned())
}

async fn all(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(MOST).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether this start is one.
pub fn is_asked_for() -> bool {
    std::env::var_os(NAME).is_some()
}

/// This process is the rehearsal.
pub fn perform(settings: &Settings) -> ExitCode {
    if misbehaves("hangs-in-rehearsal") {
        loop {
            std::thread::park();
        }
    }
    let mut document = Vec::new();
    let read = std::io::Read::read_to_end(&mut std::io::stdin(), &mut document);
    let taken = read
        .map_err(|e| e.to_string())
        .and_then(|_| {
            Handover::read(&document, &settings.member, settings.incarnation).map_err(|e| e.to_string())
        })
        .and_then(|_| std::fs::read_dir(&settings.state_dir).map_err(|e| e.to_string()));
    if let Err(why) = taken {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let link = match runtime {
        Ok(runtime) => runtime.block_on(link::knock(settings)),
        Err(error) => Err(error.to_string()),
    };
    let found = Found {
        version: version().to_owned(),
        link: link.err(),
    };
    match serde_json::to_string(&found) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

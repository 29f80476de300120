//! Children: each in a process group of its own that dies with the agent. Refuses to know what they are for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use cartridge_protocol::launch::{SECRET_KEYS, key};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getppid};
use tokio::process::{Child, Command};

use super::logs::Logs;
use super::orphans;

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Where.
    pub directory: PathBuf,
    /// Set beside what is inherited; secrets are never inherited.
    pub environment: BTreeMap<String, String>,
}

/// A process group that can be signalled.
#[derive(Clone, Copy, Debug)]
pub struct Group(Pid);

impl Group {
    /// Asks all of it to end.
    pub fn term(self) {
        let _ = killpg(self.0, Signal::SIGTERM);
    }

    /// Ends all of it.
    pub fn kill(self) {
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

/// Starts a program; standard output and error are pipes.
pub fn spawn(program: &Program, stdin: Stdio) -> std::io::Result<(Child, Group)> {
    let (name, arguments) = program
        .words
        .split_first()
        .ok_or_else(|| std::io::Error::other("names no program"))?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        .current_dir(&program.directory)
        .envs(&program.environment)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for secret in SECRET_KEYS {
        if !program.environment.contains_key(secret) {
            command.env_remove(secret);
        }
    }
    command.env_remove(key::JOIN_TOKEN);
    let agent = Pid::this();
    // SAFETY: prctl and getppid are async-signal-safe and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The agent may have died before the line above.
            if getppid() == agent {
                Ok(())
            } else {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
        });
    }
    let child = command.spawn()?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid.ok_or_else(|| std::io::Error::other("ended before it began"))?;
    orphans::is_awaited(pid);
    prefer_for_oom(pid);
    Ok((child, Group(Pid::from_raw(pid))))
}

/// Where memory runs out, the application goes first and the agent lives to tell. Best effort.
fn prefer_for_oom(pid: i32) {
    let _ = std::fs::write(
        Path::new("/proc").join(pid.to_string()).join("oom_score_adj"),
        "500",
    );
}

/// Sends everything that `child` writes into the ring.
pub fn pump(child: &mut Child, logs: &Logs, names: [&str; 2]) {
    let [out, err] = names.map(str::to_owned);
    if let Some(pipe) = child.stdout.take() {
        tokio::spawn(logs.clone().pump(pipe, out, usize::MAX));
    }
    if let Some(pipe) = child.stderr.take() {
        tokio::spawn(logs.clone().pump(pipe, err, usize::MAX));
    }
}

/// How a program ended, for people.
pub fn how(status: std::io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => {
                let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
                format!("signal {signal} ({name})")
            }
            (None, None) => "for an unknown reason".to_owned(),
        },
        Err(error) => format!("for an unknown reason: {error}"),
    }
}

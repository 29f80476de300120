//! Children: each in a process group of its own that dies with the agent. Refuses to know what they are for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use cartridge_agent_plan::ends::How;
use cartridge_protocol::launch::{SECRET_KEYS, key};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getppid};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::logs::Logs;
use super::upgrade::exec;
use super::{duty, leftovers, orphans, systemd};

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
    /// The group of a child that the agent before has started.
    pub fn of(pid: i32) -> Self {
        Self(Pid::from_raw(pid))
    }

    /// Its number, which is that of the process that was started.
    pub fn id(self) -> i32 {
        self.0.as_raw()
    }

    /// Asks all of it to end.
    pub fn term(self) {
        let _ = killpg(self.0, Signal::SIGTERM);
    }

    /// Passes a signal on to the one that was started, not to those that it started.
    pub fn pass(self, signal: i32) {
        if let Ok(signal) = Signal::try_from(signal) {
            let _ = kill(self.0, signal);
        }
    }

    /// Ends all of it.
    pub fn kill(self) {
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

/// Starts a program; standard output and error are pipes.
pub fn spawn(program: &Program, stdin: Stdio) -> std::io::Result<(Child, Group)> {
    spawn_with(program, stdin, |_| {})
}

/// The same; `change` has the last word on the command.
pub fn spawn_with(
    program: &Program,
    stdin: Stdio,
    change: impl FnOnce(&mut Command),
) -> std::io::Result<(Child, Group)> {
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
    // The service manager hears of the agent from the agent alone, and so does the next agent.
    for name in systemd::ENVIRONMENT.into_iter().chain(exec::ENVIRONMENT) {
        command.env_remove(name);
    }
    if let Some(tag) = leftovers::tag() {
        command.env(leftovers::NAME, tag);
    }
    let agent = Pid::this();
    let own = duty::of_children();
    // SAFETY: prctl, getppid and what `take_up` calls are async-signal-safe and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            own.take_up();
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The agent may have died before the line above.
            if getppid() == agent {
                Ok(())
            } else {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
        });
    }
    change(&mut command);
    let (child, pid) = orphans::spawning(|| command.spawn())?;
    Ok((child, Group(pid)))
}

/// Sends everything that `child` writes into the ring; the result ends with its standard error.
pub fn pump(child: &mut Child, logs: &Logs, names: [&str; 2]) -> Option<JoinHandle<()>> {
    let [out, err] = names.map(str::to_owned);
    if let Some(pipe) = child.stdout.take() {
        tokio::spawn(logs.clone().pump_pipe(pipe, out, usize::MAX));
    }
    let pipe = child.stderr.take()?;
    Some(tokio::spawn(logs.clone().pump_pipe(pipe, err, usize::MAX)))
}

/// How a program ended.
pub fn ended(status: std::io::Result<ExitStatus>) -> How {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => How::Code(code),
            (None, Some(signal)) => {
                let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
                How::Signal(signal, name.to_owned())
            }
            (None, None) => How::Unknown(format!("{status}")),
        },
        Err(error) => How::Unknown(error.to_string()),
    }
}

/// The same, for people.
pub fn how(status: std::io::Result<ExitStatus>) -> String {
    ended(status).to_string()
}

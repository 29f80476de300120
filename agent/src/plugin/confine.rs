//! The process of a plugin: what it inherits, which is little, and what it may use.
//!
//! Refuses to know what it is for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use cartridge_agent_plan::account::Account;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, getppid, setgid, setgroups, setuid};
use tokio::process::{Child, Command};

use crate::host::child::{self, Group, Program};

/// Marks all processes of one life of a plugin, for those that leave its process group.
const MARK: &str = "CARTRIDGE_PLUGIN_LIFE";
/// Most open files.
const MOST_FILES: u64 = 1024;
/// Inherited from the agent: nothing else is, so no secret is.
const INHERITED: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];

/// A program and its bounds.
#[derive(Clone, Debug)]
pub struct Confined {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Where it is started.
    pub directory: PathBuf,
    /// All of its environment, besides what it takes to find programs.
    pub environment: BTreeMap<String, String>,
    /// None: it may do and use whatever the agent may, and inherits all that is not secret.
    pub bounds: Option<Bounds>,
}

/// What a plugin may do and use.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Memory for data, bytes.
    pub memory: u64,
    /// Whom it runs as; none: as the agent.
    pub account: Option<Account>,
}

impl Confined {
    /// Starts it. The text marks everything that comes of it.
    pub(super) fn spawn(&self) -> std::io::Result<(Child, Group, String)> {
        static LIVES: AtomicU64 = AtomicU64::new(0);
        let life = format!("{}-{}", std::process::id(), LIVES.fetch_add(1, Ordering::Relaxed));
        let mut environment = self.environment.clone();
        environment.insert(MARK.to_owned(), life.clone());
        let program = Program {
            words: self.words.clone(),
            directory: self.directory.clone(),
            environment: environment.clone(),
        };
        let (child, group) = child::spawn_with(&program, Stdio::piped(), |command| {
            if let Some(bounds) = &self.bounds {
                clear(command, &environment);
                bound(command, bounds);
            }
        })?;
        Ok((child, group, format!("{MARK}={life}")))
    }
}

fn clear(command: &mut Command, environment: &BTreeMap<String, String>) {
    command.env_clear();
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(environment);
}

fn bound(command: &mut Command, bounds: &Bounds) {
    let memory = bounds.memory;
    let account = bounds.account.as_ref().map(|account| {
        let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        (Uid::from_raw(account.uid), Gid::from_raw(account.gid), groups)
    });
    let agent = Pid::this();
    // SAFETY: bare system calls on numbers and on memory that exists already: async-signal-safe, and nothing allocates.
    unsafe {
        command.pre_exec(move || {
            // Private memory that can be written: runtimes that only reserve addresses are not hit.
            setrlimit(Resource::RLIMIT_DATA, memory, memory)?;
            setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
            let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
            let files = most.min(MOST_FILES);
            setrlimit(Resource::RLIMIT_NOFILE, files, files)?;
            if let Some((uid, gid, groups)) = &account {
                setgroups(groups)?;
                setgid(*gid)?;
                setuid(*uid)?;
                // Forgotten with the change of user.
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                if getppid() != agent {
                    return Err(std::io::ErrorKind::BrokenPipe.into());
                }
            }
            prctl::set_no_new_privs()?;
            Ok(())
        });
    }
}

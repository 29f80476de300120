//! The real programs, started as an operator would start them, in a folder of their own; and everything ended when
//! the stack is dropped.
//!
//! It refuses to know what is deployed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::api::{Api, ApiFault, ClientFile, Member};
use crate::process;

/// Folder with the binaries; without it, that of the running program's profile.
pub const BIN_DIR: &str = "CARTRIDGE_BIN_DIR";
const START_DEADLINE: Duration = Duration::from_secs(20);
const STOP_DEADLINE: Duration = Duration::from_secs(15);
const MEMBER_DEADLINE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Why there is no stack.
#[derive(Debug, thiserror::Error)]
pub enum NoStack {
    /// A file or a process.
    #[error("{what}: {fault}")]
    Io {
        /// Doing what.
        what: String,
        /// Why.
        fault: io::Error,
    },
    /// A binary is missing.
    #[error("{0} is missing: build it (cargo build), or name its folder in {BIN_DIR}")]
    NoBinary(PathBuf),
    /// The server ended before it answered.
    #[error("cartridge serve ended with {status}; its log ends with:\n{log}")]
    Ended {
        /// How.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The server did not answer in time.
    #[error("cartridge serve does not answer after {START_DEADLINE:?}; its log ends with:\n{log}")]
    Silent {
        /// The end of its log.
        log: String,
    },
    /// Nothing that was deployed runs.
    #[error("no member became active within {MEMBER_DEADLINE:?}")]
    NoMember,
    /// The API cannot be used.
    #[error(transparent)]
    Api(#[from] ApiFault),
}

/// The folder that holds the binaries under test.
pub fn bin_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os(BIN_DIR) {
        return folder.into();
    }
    let mut folder = std::env::current_exe().unwrap_or_default();
    folder.pop();
    // Tests run from `deps`, one below.
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder
}

/// The binary `name`, if it has been built.
pub fn binary(name: &str) -> Result<PathBuf, NoStack> {
    let path = bin_dir().join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(NoStack::NoBinary(path))
    }
}

/// A running orchestrator with its folder.
pub struct Stack {
    program: PathBuf,
    data: PathBuf,
    arguments: Vec<String>,
    listen: String,
    child: Option<Child>,
    api: Api,
}

impl Stack {
    /// Starts `cartridge serve --data <data> --listen 127.0.0.1:0 <arguments>` and waits until it is well.
    pub async fn start(data: &Path, arguments: &[&str]) -> Result<Self, NoStack> {
        Self::start_program(&binary("cartridge")?, data, arguments).await
    }

    /// The same with another program in the place of `cartridge`.
    pub async fn start_program(program: &Path, data: &Path, arguments: &[&str]) -> Result<Self, NoStack> {
        let what = || format!("create {}", data.display());
        std::fs::create_dir_all(data).map_err(|fault| NoStack::Io { what: what(), fault })?;
        // What members tell of themselves names the folder without links.
        let data = data
            .canonicalize()
            .map_err(|fault| NoStack::Io { what: what(), fault })?;
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut child = Some(spawn(program, &data, "127.0.0.1:0", &arguments)?);
        let api = ready(&data, &mut child).await?;
        // After a restart the members must find the server where it was.
        let listen = api
            .server()
            .trim_start_matches("https://")
            .trim_start_matches("http://")
            .to_owned();
        Ok(Self {
            program: program.to_owned(),
            data,
            arguments,
            listen,
            child,
            api,
        })
    }

    /// A client with the administrator's credentials.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The server's folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The file with the address and the credentials.
    pub fn client_file(&self) -> PathBuf {
        self.data.join("client.json")
    }

    /// The file that the server's words go to.
    pub fn log(&self) -> PathBuf {
        log_path(&self.data)
    }

    /// The server's process, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.child
            .as_ref()
            .and_then(Child::id)
            .and_then(|pid| i32::try_from(pid).ok())
    }

    /// The agent's process of the only member, once that member is active.
    ///
    /// # Errors
    ///
    /// Where none becomes active, or the API cannot be used.
    pub async fn active_agent(&self) -> Result<i32, NoStack> {
        let deadline = Instant::now() + MEMBER_DEADLINE;
        loop {
            let active = self.api.members().await?.iter().any(Member::is_active);
            let agent = self.processes().into_iter().find(|process| process.is_agent());
            if let (true, Some(agent)) = (active, agent) {
                return Ok(agent.pid);
            }
            if Instant::now() > deadline {
                return Err(NoStack::NoMember);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The processes of all members.
    pub fn processes(&self) -> Vec<process::MemberProcess> {
        process::belonging_to(&self.data)
    }

    /// Ends the server as a crash would; members live on.
    pub async fn kill9(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Asks the server to end, and insists after a while; members live on.
    pub async fn stop(&mut self) -> io::Result<()> {
        let pid = self.pid();
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        if let Some(pid) = pid {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
        }
        match tokio::time::timeout(STOP_DEADLINE, child.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_) => child.kill().await,
        }
    }

    /// Starts the server again on the same folder and the same address, ending it first if it runs.
    pub async fn restart(&mut self) -> Result<(), NoStack> {
        self.stop().await.map_err(|fault| NoStack::Io {
            what: "stop the server".into(),
            fault,
        })?;
        self.child = Some(spawn(&self.program, &self.data, &self.listen, &self.arguments)?);
        self.api = ready(&self.data, &mut self.child).await?;
        Ok(())
    }

    /// The last lines of the server's log.
    pub fn log_end(&self) -> String {
        log_end(&self.data)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = process::kill9(pid);
        }
        // Agents first, so that none restarts what is ended next; twice, for what began meanwhile.
        for _ in 0..2 {
            let mut members = self.processes();
            members.sort_by_key(|p| !p.is_agent());
            for member in members {
                let _ = process::kill9(member.pid);
            }
        }
        process::remove_cgroups(&self.data);
    }
}

fn log_path(data: &Path) -> PathBuf {
    data.join("serve.log")
}

fn log_end(data: &Path) -> String {
    let log = std::fs::read(log_path(data)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log[log.len().saturating_sub(8 << 10)..]).into_owned();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn spawn(program: &Path, data: &Path, listen: &str, arguments: &[String]) -> Result<Child, NoStack> {
    let io = |what: String| move |fault| NoStack::Io { what, fault };
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(data))
        .map_err(io(format!("open {}", log_path(data).display())))?;
    let errors = log.try_clone().map_err(io("open the log twice".into()))?;
    Command::new(program)
        .arg("serve")
        .arg("--data")
        .arg(data)
        .args(["--listen", listen])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // A Ctrl-C at the terminal is for whoever started the stack, not for the server directly.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(io(format!("start {}", program.display())))
}

async fn ready(data: &Path, child: &mut Option<Child>) -> Result<Api, NoStack> {
    let deadline = Instant::now() + START_DEADLINE;
    let file = data.join("client.json");
    loop {
        if let Some(running) = child
            && let Ok(Some(status)) = running.try_wait()
        {
            *child = None;
            return Err(NoStack::Ended {
                status: status.to_string(),
                log: log_end(data),
            });
        }
        if let Ok(file) = ClientFile::read(&file) {
            let api = Api::new(file)?;
            if api.healthy().await {
                return Ok(api);
            }
        }
        if Instant::now() > deadline {
            return Err(NoStack::Silent { log: log_end(data) });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

mod people;
#[cfg(test)]
mod tests;

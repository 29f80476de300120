//! One fetching process: started, talked to with patience that ends, and ended. It refuses to know what is said.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use cartridge_agent_plan::artifacts::talk::{Ask, Say};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};

use super::Stop;
use super::channel::Channel;
use super::fault::{GitError, plain};
use super::fetcher;
use super::patient::Patient;
use crate::host::orphans;

/// Longest words of a process that are repeated.
const MOST_WORDS: u64 = 2 << 10;
/// Longest wait for a process that says nothing more to be over, milliseconds.
const MOMENT: u16 = 1000;
/// What a process needs for another user and a root of its own: CHOWN, SETGID, SETUID, SYS_CHROOT.
const NEEDED: u64 = 1 | 1 << 6 | 1 << 7 | 1 << 18;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Fetches with this program instead of the running one, which must answer to [`fetcher::asked`]. For tests.
pub fn fetch_with(program: &Path) {
    PROGRAM.get_or_init(|| program.to_path_buf());
}

/// The agent's own program.
pub(super) fn program() -> &'static Path {
    PROGRAM
        .get()
        .map_or(Path::new("/proc/self/exe"), PathBuf::as_path)
}

pub(super) struct Process {
    channel: Channel<Patient, Patient>,
    child: Child,
    words: fs::File,
    stop: Stop,
    silence: Duration,
    url: String,
    ended: Option<ExitStatus>,
}

impl Process {
    pub(super) fn start(
        folder: &Path,
        stop: &Stop,
        silence: Duration,
        url: String,
    ) -> Result<Self, GitError> {
        let begun = || -> io::Result<Self> {
            let (ours, theirs) = UnixStream::pair()?;
            let (words, spoken) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
            let child = Command::new(program())
                .arg0("cartridge-agent")
                .arg(fetcher::NAME)
                // Told rather than set: without it nothing has to be done between fork and exec, and the agent's pages
                // are neither copied nor marked to be.
                .arg(folder)
                .env_clear()
                .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
                .stdout(Stdio::from(OwnedFd::from(theirs)))
                // Who says more than the pipe holds is not heard, and does not wait.
                .stderr(Stdio::from(spoken))
                .spawn()?;
            if let Ok(pid) = i32::try_from(child.id()) {
                orphans::is_awaited(pid);
            }
            let reader = Patient::new(ours, stop, silence)?;
            let writer = reader.again()?;
            Ok(Self {
                channel: Channel::new(reader, writer),
                child,
                words: words.into(),
                stop: stop.clone(),
                silence,
                url: url.clone(),
                ended: None,
            })
        };
        begun().map_err(|error| GitError::Fetcher {
            url: url.clone(),
            reason: format!("cannot be started: {error}"),
        })
    }

    pub(super) fn say(&mut self, ask: &Ask) -> Result<(), GitError> {
        let said = self.channel.say(ask);
        said.map_err(|error| self.explain(&error))
    }

    /// One of several questions that are asked together.
    pub(super) fn say_with_others(&mut self, ask: &Ask) -> Result<(), GitError> {
        let said = self.channel.say_with_others(ask);
        said.map_err(|error| self.explain(&error))
    }

    pub(super) fn give(&mut self, ask: &Ask, bytes: &[u8]) -> Result<(), GitError> {
        let given = self.channel.give(ask, bytes);
        given.map_err(|error| self.explain(&error))
    }

    pub(super) fn hear(&mut self) -> Result<Say, GitError> {
        let heard = self.channel.hear();
        heard.map_err(|error| self.explain(&error))
    }

    pub(super) fn take(&mut self, bytes: u64) -> Result<Vec<u8>, GitError> {
        let taken = self.channel.take(bytes);
        taken.map_err(|error| self.explain(&error))
    }

    pub(super) fn stream(
        &mut self,
        bytes: u64,
        piece: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), GitError> {
        let streamed = self.channel.stream(bytes, piece);
        streamed.map_err(|error| self.explain(&error))
    }

    /// The fault that it tells, or that it told something that nobody asked for.
    pub(super) fn unexpected(&mut self, said: Say) -> GitError {
        match said {
            Say::Fault { kind, text } => super::store::told(self.url.clone(), kind, &text),
            _ => self.fault("answered something else than was asked".to_owned()),
        }
    }

    fn fault(&mut self, reason: String) -> GitError {
        self.end();
        GitError::Fetcher {
            url: self.url.clone(),
            reason,
        }
    }

    /// What it means that nothing more was heard.
    fn explain(&mut self, error: &io::Error) -> GitError {
        if self.stop.is_raised() {
            self.end();
            return GitError::Stopped {
                url: self.url.clone(),
            };
        }
        match error.kind() {
            ErrorKind::TimedOut => self.fault(format!("said nothing for {} s", self.silence.as_secs())),
            ErrorKind::InvalidData => self.fault(plain(&format!("is not understood: {error}"))),
            _ => self.gone(),
        }
    }

    /// It has ended by itself, or is about to.
    fn gone(&mut self) -> GitError {
        let mut words = Vec::new();
        // What is about to end has a moment: its socket closes a little before it is over.
        let mut over = [PollFd::new(self.words.as_fd(), PollFlags::empty())];
        let _ = poll(&mut over, MOMENT);
        self.end();
        let _ = (&mut self.words).take(MOST_WORDS).read_to_end(&mut words);
        let words = plain(String::from_utf8_lossy(&words).trim());
        let signal = self.ended.and_then(|status| status.signal());
        if words.contains("memory allocation of") {
            return GitError::TooMuch {
                url: self.url.clone(),
                reason: "what takes more memory to read than is allowed".to_owned(),
            };
        }
        if signal == Some(Signal::SIGXCPU as i32) {
            return GitError::TooMuch {
                url: self.url.clone(),
                reason: "what takes too long to read".to_owned(),
            };
        }
        let how = match (signal, self.ended.and_then(|status| status.code())) {
            (Some(signal), _) => Signal::try_from(signal)
                .map_or("a signal", Signal::as_str)
                .to_owned(),
            (None, Some(code)) => format!("exit code {code}"),
            (None, None) => "no exit code".to_owned(),
        };
        let said = if words.is_empty() {
            String::new()
        } else {
            format!(" ({words})")
        };
        self.fault(format!("ended with {how}{said}"))
    }

    /// Ends it, and whatever it may have started.
    fn end(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        self.ended = self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes the folder of the bare repository, and says which user the process takes there. What another user left is
/// only a copy, and goes.
pub(super) fn prepare(folder: &Path, wanted: u32) -> Result<Option<u32>, GitError> {
    let user = Some(wanted).filter(|id| *id != 0 && may_become_another());
    let make = || -> io::Result<Option<u32>> {
        let own = nix::unistd::geteuid().as_raw();
        let owner = user.unwrap_or(own);
        match fs::symlink_metadata(folder) {
            Ok(there) if there.is_dir() && there.uid() == owner => return Ok(user),
            Ok(there) if there.is_dir() => fs::remove_dir_all(folder)?,
            Ok(_) => fs::remove_file(folder)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        DirBuilder::new().mode(0o700).create(folder)?;
        match user {
            None => Ok(None),
            Some(id) => match chown(folder, Some(id), Some(id)) {
                Ok(()) => Ok(user),
                // A user that this namespace does not know.
                Err(_) => Ok(None),
            },
        }
    };
    make().map_err(|error| GitError::Local {
        path: folder.to_path_buf(),
        reason: error.to_string(),
    })
}

pub(super) fn may_become_another() -> bool {
    let held = fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    nix::unistd::geteuid().is_root() && held.is_some_and(|held| held & NEEDED == NEEDED)
}

/// Says once what confines fetching.
pub(super) fn tell_once(confined: &[String], is_folder: bool) {
    static FETCHING: Once = Once::new();
    static READING: Once = Once::new();
    let (once, what) = if is_folder {
        (
            &READING,
            "repositories of this machine are read by a process confined",
        )
    } else {
        (&FETCHING, "repositories are fetched by a process confined")
    };
    once.call_once(|| tracing::info!(by = confined.join(", "), "{what}"));
}

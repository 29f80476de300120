//! Programs of the machine (gpgv, ssh), run for one piece of work: found, confined before they begin, heard with an
//! end, and ended with all that they started.
//!
//! The agent starts itself again under a name of its own, gives up what the program does not need, and becomes it. It
//! refuses to know what the programs say.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};
use serde::{Deserialize, Serialize};

use super::process;
use crate::host::orphans;
use crate::host::sandbox::{self, Confinement, Reach};

/// The first argument of the agent that is to become a program.
pub const NAME: &str = "confined-program";
/// Where programs are when the agent was not told.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Files that a program is given, at most, beside its standard streams.
const MOST_GIVEN: usize = 2;
/// The first of them.
const FIRST_GIVEN: RawFd = 3;
/// A descriptor's number out of the way of those.
const OUT_OF_THE_WAY: RawFd = 64;
/// Longest wait for a program that says nothing more to be over, milliseconds.
const MOMENT: u16 = 1000;

/// What a program may use.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Room {
    /// The TCP port that it may connect to; without one, it has no network.
    pub port: Option<u16>,
    /// The user to become.
    pub user: Option<u32>,
    /// Most bytes of memory.
    pub memory: u64,
    /// Most seconds of processor time.
    pub processor: u64,
    /// End where the kernel cannot confine.
    pub required: bool,
}

/// Becomes a program, if this process was started for that. To be asked early in `main`.
pub fn asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next().as_deref() == Some(OsStr::new(NAME))).then(|| {
        let why = become_program(arguments);
        eprintln!("{why}");
        ExitCode::FAILURE
    })
}

/// Returns only if it does not work.
fn become_program(mut arguments: impl Iterator<Item = OsString>) -> String {
    // SAFETY: a plain call. What was not given is not wanted, whatever was inherited.
    unsafe { libc::close_range(FIRST_GIVEN.unsigned_abs() + MOST_GIVEN as u32, u32::MAX, 0) };
    let room = arguments.next().and_then(|text| text.into_string().ok());
    let room = room.and_then(|text| serde_json::from_str::<Room>(&text).ok());
    let (Some(room), Some(program)) = (room, arguments.next()) else {
        return "nothing to become".to_owned();
    };
    let confined = sandbox::confine(&Confinement {
        folder: Path::new("/"),
        reach: room.port.map_or(Reach::Program, Reach::Client),
        user: room.user,
        memory: room.memory,
        processor: room.processor,
        file_bytes: 0,
        required: room.required,
    });
    if let Err(why) = confined {
        return why.to_string();
    }
    let error = Command::new(&program).args(arguments).exec();
    format!("{}: {error}", program.display())
}

/// Where a program is.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    let is_program = |file: &PathBuf| {
        std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.mode() & 0o111 != 0)
    };
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(is_program)
}

/// The way to start a program: in an environment of its own, its standard streams to be set.
pub(super) fn command(program: &Path, room: &Room) -> Command {
    let mut command = Command::new(process::program());
    command
        .arg0("cartridge-agent")
        .arg(NAME)
        .arg(serde_json::to_string(room).expect("numbers can be written down"))
        .arg(program)
        .env_clear()
        .env("PATH", USUAL_PATH)
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .current_dir("/");
    command
}

/// A file in memory that holds this.
pub(super) fn memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("cartridge", MFdFlags::MFD_CLOEXEC)?);
    io::Write::write_all(&mut file, bytes)?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// What the program calls the file that it is given at this place.
pub(super) fn given(place: RawFd) -> String {
    format!("/proc/self/fd/{}", FIRST_GIVEN + place)
}

/// Gives files to the program, in this order.
pub(super) fn give(command: &mut Command, files: [File; MOST_GIVEN]) {
    let give = move || -> io::Result<()> {
        let mut away = [-1; MOST_GIVEN];
        for (file, away) in files.iter().zip(&mut away) {
            // SAFETY: a plain call on a descriptor that is open.
            *away = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, OUT_OF_THE_WAY) };
        }
        for (place, away) in (FIRST_GIVEN..).zip(away) {
            // SAFETY: as above; nothing of ours has these numbers in a child that is about to become a program.
            if away < 0 || unsafe { libc::dup2(away, place) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: fcntl and dup2 are async-signal-safe, and nothing is allocated.
    unsafe { command.pre_exec(give) };
}

/// A program at work, and what it says on standard error.
pub(super) struct Running {
    child: Child,
    words: File,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts it. Who says more on standard error than a pipe holds is not heard, and does not wait.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let (words, spoken) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let child = command.stderr(Stdio::from(spoken)).spawn()?;
        if let Ok(pid) = i32::try_from(child.id()) {
            orphans::is_awaited(pid);
        }
        Ok(Self {
            child,
            words: OwnedFd::into(words),
            ended: None,
        })
    }

    /// Gives it a moment to end by itself, and ends it.
    pub(super) fn wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            let mut over = [PollFd::new(self.words.as_fd(), PollFlags::empty())];
            let _ = poll(&mut over, MOMENT);
        }
        self.end()
    }

    /// Ends it and whatever it has started.
    pub(super) fn end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            if let Ok(pid) = i32::try_from(self.child.id()) {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
        self.ended
    }

    /// What it has said on standard error, the first of it.
    pub(super) fn words(&mut self, most: u64) -> String {
        let mut words = Vec::new();
        let _ = (&mut self.words).take(most).read_to_end(&mut words);
        String::from_utf8_lossy(&words).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

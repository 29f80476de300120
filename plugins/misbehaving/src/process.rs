//! Plugins that die, close pipes, fork, hide, hoard, and will not end. Refuses to say anything wrong.

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::unistd::{Pid, getpgid, getppid, setpgid, setsid};

use super::Mode;

pub(crate) const MODES: &[Mode] = &[
    ("dies-at-start", |_| {
        die(7);
    }),
    ("dies-when-asked", |talk| talk.go_on(|_| die(9))),
    ("dies-of-a-signal", |talk| {
        talk.go_on(|_| {
            let _ = raise(Signal::SIGKILL);
            true
        });
    }),
    ("dies-in-the-middle-of-a-word", |talk| {
        talk.go_on(|asked| {
            talk.say_bytes(format!("{{\"id\":{},\"ok\":{{\"meas", asked.id).as_bytes());
            die(3)
        });
    }),
    ("closes-its-output", |talk| {
        talk.describe("reader");
        close(1);
        talk.hang();
    }),
    ("closes-its-input", |talk| {
        talk.describe("reader");
        close(0);
        talk.hang();
    }),
    ("leaves-children", |talk| {
        talk.go_on(|_| {
            for mode in ["lingers", "lingers", "hides"] {
                child(mode);
            }
            die(9)
        });
    }),
    ("lingers", |talk| talk.hang()),
    // Out of the group and the session of the one that is watched.
    ("hides", |talk| {
        let _ = setsid();
        child("lingers");
        talk.hang();
    }),
    ("changes-its-group", |talk| {
        let parents = getpgid(Some(getppid())).unwrap_or(Pid::from_raw(0));
        let _ = setpgid(Pid::from_raw(0), parents);
        talk.describe("reader");
        talk.hang();
    }),
    ("will-not-end", |talk| {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            // SAFETY: to ignore is no code of ours.
            let _ = unsafe { sigaction(signal, &ignore) };
        }
        talk.go_on(|_| false);
        talk.hang();
    }),
    ("hoards-memory", |talk| {
        talk.go_on(|_| {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1_u8; 16 << 20]);
            }
        });
    }),
    ("hoards-files", |talk| {
        talk.go_on(|asked| {
            let mut hoard: Vec<File> = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                hoard.push(file);
            }
            talk.ok(
                asked.id,
                &format!("{{\"measured\":{{\"figures\":{{\"files\":{}}}}}}}", hoard.len()),
            );
            true
        });
    }),
];

/// Ends the process as it is.
fn die(code: i32) -> bool {
    // SAFETY: the process ends; nothing of it is left that could be in a wrong state.
    unsafe { nix::libc::_exit(code) }
}

/// Closes a pipe that the standard library thinks is its own.
fn close(number: i32) {
    // SAFETY: nothing of this process uses the handle after this.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
}

/// The same program, with this one's pipes.
fn child(mode: &str) {
    let Ok(own) = std::env::current_exe() else { return };
    let mut command = Command::new(own);
    command.arg(mode).stdin(Stdio::inherit()).stdout(Stdio::inherit());
    if mode == "hides" {
        // Not the leader of a group, so that it may make a session.
        command.process_group(0);
        // SAFETY: one bare system call.
        unsafe {
            command.pre_exec(|| {
                let _ = setsid();
                Ok(())
            });
        }
    }
    let _ = command.spawn();
}

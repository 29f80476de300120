//! One process, another program: what is handed over, and how it gets across.
//!
//! The process keeps its number, its children and the descriptors that are named in its environment. Refuses to know
//! what the document says.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use cartridge_agent_plan::handover::{Handover, MOST_BYTES, NotTaken};
use cartridge_agent_plan::settings::Settings;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use super::trap;

/// Descriptors: the document first, then all others that the document names.
const HANDOVER: &str = "CARTRIDGE_AGENT_HANDOVER";
/// The binary to return to: its descriptor, a colon, its slot.
const FALLBACK: &str = "CARTRIDGE_AGENT_FALLBACK";
/// The slot that this process runs from; absent for the installed binary.
const SLOT: &str = "CARTRIDGE_AGENT_SLOT";
/// What concerns the agent alone and is not passed on.
pub const ENVIRONMENT: [&str; 4] = [HANDOVER, FALLBACK, SLOT, trap::RETURNED];

/// Signals that must not be lost between two programs.
const HELD: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCHLD,
];

/// A binary, open, and the slot that it is in.
#[derive(Debug)]
pub struct Binary {
    /// The file.
    pub file: OwnedFd,
    /// Its hash; none: it is the installed one.
    pub slot: Option<String>,
}

/// What this process was started with by the agent before it.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The document.
    pub document: Option<Vec<u8>>,
    /// Where to return to.
    pub fallback: Option<Binary>,
    /// The slot that runs.
    pub slot: Option<String>,
    /// The signal that has led back here.
    pub returned: Option<i32>,
    /// Why this process could not become the agent that the document was written for.
    pub failed: Option<String>,
    /// Descriptors that the document names, and those of the way back.
    held: Vec<RawFd>,
}

impl Inherited {
    /// Looks at the environment, and prepares the way back. To be called first of all.
    pub fn take() -> Self {
        let text = |name: &str| std::env::var(name).ok();
        let fds: Vec<RawFd> = text(HANDOVER)
            .iter()
            .flat_map(|list| list.split(','))
            .filter_map(|fd| fd.parse().ok())
            .collect();
        let fallback = text(FALLBACK).and_then(|text| {
            let (fd, slot) = text.split_once(':')?;
            let slot = Some(slot.to_owned()).filter(|slot| !slot.is_empty());
            Some((fd.parse::<RawFd>().ok()?, slot))
        });
        let mut held = fds.clone();
        held.extend(fallback.iter().map(|(fd, _)| *fd));
        held.retain(|fd| close_on_exec(*fd));
        if let Some((exe, slot)) = fallback.as_ref().filter(|(exe, _)| held.contains(exe)) {
            let mut environment = environment(slot.as_deref());
            environment.extend(pair(HANDOVER, text(HANDOVER).filter(|_| !fds.is_empty())));
            trap::arm(*exe, arguments(), environment, held.clone());
        }
        Self {
            document: fds.first().and_then(|fd| read(*fd)),
            fallback: fallback
                .filter(|(exe, _)| held.contains(exe))
                .and_then(|(exe, slot)| {
                    Some(Binary {
                        file: copy(exe)?,
                        slot,
                    })
                }),
            slot: text(SLOT),
            returned: text(trap::RETURNED).and_then(|digits| digits.parse().ok()),
            failed: None,
            held,
        }
    }

    /// What another agent was to get, for this one: the process has stayed what it was.
    pub fn after(next: Next, why: String, slot: Option<String>) -> Self {
        Self {
            document: next.document,
            slot,
            failed: Some(why),
            held: next.keep.into_iter().map(IntoRawFd::into_raw_fd).collect(),
            ..Self::default()
        }
    }

    /// The document, if there is one.
    pub fn handover(&self, settings: &Settings) -> Result<Option<Handover>, NotTaken> {
        let read = |text: &Vec<u8>| Handover::read(text, &settings.member, settings.incarnation);
        self.document.as_ref().map(read).transpose()
    }

    /// A descriptor that the document names, to be kept beside the original, which the way back needs.
    pub fn descriptor(&self, fd: RawFd) -> Option<OwnedFd> {
        if self.held.contains(&fd) { copy(fd) } else { None }
    }

    /// The way back is not needed any more.
    pub fn settle(&mut self) {
        trap::disarm();
        self.fallback = None;
        for fd in self.held.drain(..) {
            // SAFETY: these came with the start of this program; nobody else here owns them.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}

/// Another program for this process.
#[derive(Debug)]
pub struct Next {
    /// Which.
    pub binary: Binary,
    /// What it is told; its descriptors follow.
    pub document: Option<Vec<u8>>,
    /// The descriptors that the document names.
    pub keep: Vec<OwnedFd>,
    /// Where it returns to, and the time that it has.
    pub fallback: Option<(Binary, Duration)>,
}

impl Next {
    /// Becomes it. Returns only if that fails, with why; to be called when no other thread runs that matters.
    pub fn begin(&self) -> std::io::Error {
        match self.try_begin() {
            Ok(never) => never,
            Err(error) => {
                // SAFETY: no pointers.
                unsafe { libc::alarm(0) };
                error
            }
        }
    }

    fn try_begin(&self) -> std::io::Result<std::io::Error> {
        let mut environment = environment(self.binary.slot.as_deref());
        let mut open: Vec<RawFd> = self.keep.iter().map(AsRawFd::as_raw_fd).collect();
        let document = self.document.as_deref().map(sealed).transpose()?;
        if let Some(document) = &document {
            let mut names = vec![document.as_raw_fd().to_string()];
            names.extend(open.iter().map(ToString::to_string));
            open.push(document.as_raw_fd());
            environment.extend(pair(HANDOVER, Some(names.join(","))));
        }
        if let Some((binary, within)) = &self.fallback {
            let fd = binary.file.as_raw_fd();
            let text = format!("{fd}:{}", binary.slot.as_deref().unwrap_or_default());
            environment.extend(pair(FALLBACK, Some(text)));
            open.push(fd);
            // It goes on in the next program: should that hang, it is what ends it.
            let seconds = u32::try_from(within.as_secs()).unwrap_or(u32::MAX).max(1);
            // SAFETY: no pointers.
            unsafe { libc::alarm(seconds) };
        } else {
            // SAFETY: no pointers.
            unsafe { libc::alarm(0) };
        }
        for fd in &open {
            // SAFETY: no pointers.
            if unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        hold_signals(SigmaskHow::SIG_BLOCK);
        let arguments = arguments();
        let pointers = |texts: &[CString]| {
            let mut all: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
            all.push(std::ptr::null());
            all
        };
        let (arguments, environment) = (pointers(&arguments), pointers(&environment));
        // SAFETY: both lists end with a null pointer, and what they point to outlives the call.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                self.binary.file.as_raw_fd(),
                c"".as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        let error = std::io::Error::last_os_error();
        for fd in open {
            close_on_exec(fd);
        }
        hold_signals(SigmaskHow::SIG_UNBLOCK);
        Err(error)
    }
}

/// What came between two programs is taken now: somebody listens.
pub fn release_signals() {
    hold_signals(SigmaskHow::SIG_UNBLOCK);
}

fn hold_signals(how: SigmaskHow) {
    let set: SigSet = HELD.into_iter().collect();
    let _ = sigprocmask(how, Some(&set), None);
}

fn arguments() -> Vec<CString> {
    std::env::args_os()
        .filter_map(|word| CString::new(word.into_vec()).ok())
        .collect()
}

/// The environment as it was, for a program in this slot.
fn environment(slot: Option<&str>) -> Vec<CString> {
    let own = |name: &OsString| ENVIRONMENT.iter().any(|own| name == own);
    let mut all: Vec<CString> = std::env::vars_os()
        .filter(|(name, _)| !own(name))
        .filter_map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect();
    all.extend(pair(SLOT, slot.map(str::to_owned)));
    all
}

fn pair(name: &str, value: Option<String>) -> Option<CString> {
    CString::new(format!("{name}={}", value?)).ok()
}

/// A document that can never be changed again.
fn sealed(document: &[u8]) -> std::io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create(c"cartridge-agent-handover", flags)?);
    file.write_all(document)?;
    file.rewind()?;
    let seals =
        SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

fn read(fd: RawFd) -> Option<Vec<u8>> {
    let mut file = File::from(copy(fd)?);
    file.rewind().ok()?;
    let mut all = Vec::new();
    let length = file.take(MOST_BYTES + 1).read_to_end(&mut all).ok()?;
    (u64::try_from(length).ok()? <= MOST_BYTES).then_some(all)
}

/// Whether it is open at all.
fn close_on_exec(fd: RawFd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd, libc::F_SETFD, FdFlag::FD_CLOEXEC.bits()) == 0 }
}

/// Another number for what this one names.
fn copy(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: no pointers; what comes back is new and ours alone.
    unsafe {
        let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3);
        (copy >= 0).then(|| OwnedFd::from_raw_fd(copy))
    }
}

//! The signals that a warden waits for, one at a time and with a deadline. Refuses to know what they mean.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, sigaction, sigprocmask,
};
use nix::unistd::Pid;

/// Signals that are not delivered but waited for.
pub(super) struct Signals(SigSet);

impl Signals {
    /// From now on they wait.
    pub fn block() -> nix::Result<Self> {
        let set: SigSet = [
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ]
        .into_iter()
        .collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        Ok(Self(set))
    }

    /// The next one; None: none came within this time. No time: as long as it takes.
    pub fn wait(&self, within: Option<Duration>) -> Option<Signal> {
        let Some(within) = within else {
            return self.0.wait().ok();
        };
        let time = nix::libc::timespec {
            tv_sec: within.as_secs().try_into().unwrap_or(1),
            tv_nsec: within.subsec_nanos().into(),
        };
        // SAFETY: the set is valid for reading; no information about the signal is asked for; the time outlives the call.
        let number =
            unsafe { nix::libc::sigtimedwait(self.0.as_ref(), std::ptr::null_mut(), &raw const time) };
        Signal::try_from(number).ok()
    }
}

/// The program gets its signals as usual; it leads a process group of its own.
pub(super) fn unblock_in(command: &mut Command) {
    command.process_group(0);
    // SAFETY: one bare system call on a set that lies on the stack: async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
            Ok(())
        });
    }
}

/// Ends this process by the signal that ended the hook; returns where that is impossible.
pub(super) fn die_of(number: i32) {
    let Ok(signal) = Signal::try_from(number) else {
        return;
    };
    // The hook's own dump is the one that people want.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action is no code of ours.
    let _ = unsafe { sigaction(signal, &default) };
    let _ = kill(Pid::this(), signal);
    let set: SigSet = [signal].into_iter().collect();
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
}

//! The way back for a new agent that crashes or hangs: the kernel's signals for both lead to the binary before, in the
//! same process, so that its children never notice.
//!
//! Armed before anything else in a new agent, and taken away once it has proved itself. Everything that the way back
//! needs is prepared when it is armed: in a signal handler nothing may be allocated, and nothing locked. Refuses to
//! know what went wrong.

use std::ffi::{CString, c_char, c_int};
use std::os::fd::RawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::libc;

/// A crash, an abort, or the timer that the agent before has set.
const SIGNALS: [c_int; 7] = [
    libc::SIGALRM,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
];
/// Name of the variable that says by which signal the way back was taken.
pub const RETURNED: &str = "CARTRIDGE_AGENT_RETURNED";

/// All that the way back needs.
struct Way {
    exe: RawFd,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// The two digits of the signal in the environment.
    digits: *mut u8,
    keep: Vec<RawFd>,
}

static WAY: AtomicPtr<Way> = AtomicPtr::new(null_mut());

/// Prepares the way to `exe` with these arguments and this environment; `keep` stay open.
pub fn arm(exe: RawFd, arguments: Vec<CString>, environment: Vec<CString>, keep: Vec<RawFd>) {
    let digits = format!("{RETURNED}=00");
    let place = CString::new(digits).expect("has no zero byte").into_raw();
    // SAFETY: the text is as long as that, and its last two bytes before the end are the digits.
    let digits = unsafe { place.cast::<u8>().add(RETURNED.len() + 1) };
    // Never freed: a handler may look at it at any instant.
    let leak = |texts: Vec<CString>| -> Vec<*const c_char> {
        texts
            .into_iter()
            .map(|text| text.into_raw().cast_const())
            .collect()
    };
    let mut environment = leak(environment);
    environment.extend([place.cast_const(), std::ptr::null()]);
    let mut arguments = leak(arguments);
    arguments.push(std::ptr::null());
    let way = Box::new(Way {
        exe,
        arguments,
        environment,
        digits,
        keep,
    });
    WAY.store(Box::into_raw(way), Ordering::SeqCst);
    for signal in SIGNALS {
        set(signal, sprung as extern "C" fn(c_int) as libc::sighandler_t);
    }
}

/// Takes it away: from now on a crash is a crash.
pub fn disarm() {
    if WAY.swap(null_mut(), Ordering::SeqCst).is_null() {
        return;
    }
    // SAFETY: no pointers.
    unsafe { libc::alarm(0) };
    for signal in SIGNALS {
        set(signal, libc::SIG_DFL);
    }
}

/// Whether there is a way back.
pub fn is_armed() -> bool {
    !WAY.load(Ordering::SeqCst).is_null()
}

/// Takes the way back now, if there is one; returns if there is none, or it does not lead anywhere.
pub fn take() {
    sprung(libc::SIGABRT);
}

fn set(signal: c_int, handler: libc::sighandler_t) {
    // SAFETY: the structure is complete; the handler calls async-signal-safe functions only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, null_mut());
    }
}

extern "C" fn sprung(signal: c_int) {
    // SAFETY: system calls and reads of what `arm` has prepared and nobody changes or frees.
    unsafe {
        let main = libc::getpid();
        if libc::syscall(libc::SYS_gettid) != libc::c_long::from(main) {
            // From another thread the kernel would make this one the first, and kill what the first has started.
            libc::syscall(libc::SYS_tgkill, main, main, libc::SIGALRM);
            loop {
                libc::pause();
            }
        }
        let way = WAY.swap(null_mut(), Ordering::SeqCst);
        if !way.is_null() {
            let way = &*way;
            *way.digits = b'0' + u8::try_from(signal / 10 % 10).unwrap_or(0);
            *way.digits.add(1) = b'0' + u8::try_from(signal % 10).unwrap_or(0);
            libc::alarm(0);
            // A mask outlives a change of the program; so does what is ignored, but not what is handled.
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, null_mut());
            for fd in &way.keep {
                libc::fcntl(*fd, libc::F_SETFD, 0);
            }
            libc::syscall(
                libc::SYS_execveat,
                way.exe,
                c"".as_ptr(),
                way.arguments.as_ptr(),
                way.environment.as_ptr(),
                libc::AT_EMPTY_PATH,
            );
        }
        if signal != libc::SIGABRT {
            libc::_exit(128 + signal);
        }
    }
}

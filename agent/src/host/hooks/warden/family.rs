//! Everything below this process: found by walking down, asked, stopped, ended, reaped. Refuses to know why.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Most rounds of looking for processes that were made while others were being stopped.
const MOST_ROUNDS: usize = 16;
/// Most processes looked at in one round.
const MOST: usize = 65_536;

/// What the kernel answers when asked for a child that has ended.
pub(super) enum Reaped {
    /// This one, and how.
    One(i32, ExitStatus),
    /// There are children; none has ended.
    NoneEnded,
    /// There are no children, hence no descendants.
    NobodyLeft,
}

/// Takes the exit code of one child that has ended; never waits.
pub(super) fn reap_one() -> Reaped {
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for writing; any child may be meant, for all children are this process's to reap.
        match unsafe { nix::libc::waitpid(-1, &raw mut status, nix::libc::WNOHANG) } {
            0 => return Reaped::NoneEnded,
            pid if pid > 0 => return Reaped::One(pid, ExitStatus::from_raw(status)),
            _ if nix::errno::Errno::last() == nix::errno::Errno::EINTR => {}
            _ => return Reaped::NobodyLeft,
        }
    }
}

/// How many descendants run, zombies left out.
pub(super) fn count() -> usize {
    descendants().into_iter().filter(|pid| runs(*pid)).count()
}

/// Asks all to end.
pub(super) fn ask() {
    signal(&descendants(), Signal::SIGTERM);
    // What is stopped does not hear.
    signal(&descendants(), Signal::SIGCONT);
}

/// Ends all that are there: stopped first, so that none makes another meanwhile.
pub(super) fn force() {
    let mut stopped = BTreeSet::new();
    for _ in 0..MOST_ROUNDS {
        let fresh: BTreeSet<i32> = descendants().difference(&stopped).copied().collect();
        if fresh.is_empty() {
            break;
        }
        signal(&fresh, Signal::SIGSTOP);
        stopped.extend(fresh);
    }
    signal(&stopped, Signal::SIGKILL);
}

fn signal(pids: &BTreeSet<i32>, signal: Signal) {
    for pid in pids {
        // Gone meanwhile is as good; what is refused is seen by its being left.
        let _ = kill(Pid::from_raw(*pid), signal);
    }
}

/// Walks down from this process. Between the look and the signal a number could in theory pass to a stranger; the kernel
/// hands them out in a circle of thousands, and the two are microseconds apart.
fn descendants() -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut waiting = children(std::process::id().try_into().unwrap_or(0));
    while let Some(pid) = waiting.pop() {
        if found.len() < MOST && found.insert(pid) {
            waiting.extend(children(pid));
        }
    }
    found
}

/// The children of all threads of a process.
fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let texts = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    texts
        .flat_map(|text| {
            text.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

//! Processes that nobody waits for: a hook's server whose parent has ended, and what such servers leave behind.
//!
//! The agent adopts them, so that they are measured, reaped and ended with the member. Refuses to touch children
//! that somebody awaits: taking away their exit code would make an end look like nothing.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// Children whose exit code somebody awaits. A process has one set of children, hence one of these.
static AWAITED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Longest wait for orphans that were asked to end.
const GRACE: Duration = Duration::from_secs(2);

/// Makes the agent the parent of every descendant whose own parent ends.
pub fn adopt() {
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::warn!(%error, "servers that hooks leave behind will not be measured");
    }
}

/// Somebody awaits this child. To be called before anything else can run on this thread.
pub fn is_awaited(pid: i32) {
    with(|awaited| awaited.insert(pid));
}

fn with<T>(change: impl FnOnce(&mut BTreeSet<i32>) -> T) -> T {
    change(&mut AWAITED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Reaps orphans that have ended, of all the agent's `children` at this moment; never waits.
pub fn reap(children: impl Iterator<Item = i32>) {
    for pid in among(children.collect()) {
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
}

fn children() -> BTreeSet<i32> {
    let agent = std::process::id();
    std::fs::read_to_string(format!("/proc/self/task/{agent}/children"))
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Those of all `children` that nobody awaits. Awaited ones that are gone are forgotten on the way.
fn among(children: BTreeSet<i32>) -> Vec<i32> {
    // None at all is what a file that could not be read looks like, too.
    if children.is_empty() {
        return Vec::new();
    }
    with(|awaited| {
        awaited.retain(|pid| children.contains(pid));
        children.difference(awaited).copied().collect()
    })
}

/// Ends all orphans: asks, waits a little, forces.
pub async fn end() {
    signal_all(Signal::SIGTERM);
    let deadline = Instant::now() + GRACE;
    while !none_left() && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    // Children of those that are ended become orphans in turn; a few rounds reach them all.
    for _ in 0..50 {
        if none_left() {
            return;
        }
        signal_all(Signal::SIGKILL);
        sleep(Duration::from_millis(10)).await;
    }
}

fn none_left() -> bool {
    reap(children().into_iter());
    among(children()).is_empty()
}

fn signal_all(signal: Signal) {
    for pid in among(children()) {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::debug!(pid, %error, "cannot be ended"),
        }
    }
}

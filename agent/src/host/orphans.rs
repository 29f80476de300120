//! Processes that nobody waits for: a hook's server whose parent has ended, and what such servers leave behind.
//!
//! The agent adopts them, so that they are measured, reaped at once, and ended with the member. Refuses to touch
//! children that somebody awaits: taking away their exit code would make an end look like nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cartridge_agent_plan::ends::How;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// Children whose exit code somebody awaits. A process has one set of children, hence one of these.
static AWAITED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Children of the agent before, and who waits for their end.
static WATCHED: Mutex<BTreeMap<i32, oneshot::Sender<How>>> = Mutex::new(BTreeMap::new());

/// Longest wait for orphans that were asked to end.
const GRACE: Duration = Duration::from_secs(2);
/// Reaped in one go, before everybody else has a turn.
const AT_ONCE: usize = 256;
/// Time that somebody who awaits a child has to notice its end before it is looked again; doubled each time.
const NOTICE: Duration = Duration::from_millis(50);

/// Makes the agent the parent of every descendant whose own parent ends. (The first process of a container is.)
pub fn adopt() {
    if std::process::id() == 1 {
        return;
    }
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::warn!(%error, "servers that hooks leave behind will not be measured");
    }
}

/// Starts a child that somebody will await; nothing is reaped meanwhile, or a child that ends at once would be.
pub fn spawning(
    spawn: impl FnOnce() -> std::io::Result<tokio::process::Child>,
) -> std::io::Result<(tokio::process::Child, Pid)> {
    with(|awaited| {
        let child = spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.ok_or_else(|| std::io::Error::other("ended before it began"))?;
        awaited.insert(pid);
        Ok((child, Pid::from_raw(pid)))
    })
}

/// Somebody awaits this child. To be called before anything else can run on this thread.
pub fn is_awaited(pid: i32) {
    with(|awaited| awaited.insert(pid));
}

fn with<T>(change: impl FnOnce(&mut BTreeSet<i32>) -> T) -> T {
    change(&mut AWAITED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Tells the end of a child that the agent before has started. To be called before anything is reaped.
pub fn watch(pid: i32) -> oneshot::Receiver<How> {
    let (tell, told) = oneshot::channel();
    watched(|all| all.insert(pid, tell));
    told
}

fn watched<T>(change: impl FnOnce(&mut BTreeMap<i32, oneshot::Sender<How>>) -> T) -> T {
    change(&mut WATCHED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Reaps orphans as they end, for ever; sleeps where none does.
pub async fn reap_as_they_end(mut ended: unix::Signal) {
    let mut unnoticed = 0;
    loop {
        match reap() {
            Reaped::More => tokio::task::yield_now().await,
            // It will be gone soon, and its number may be another one's then.
            Reaped::AwaitedSeen => {
                let _ = tokio::time::timeout(NOTICE * (1 << unnoticed), ended.recv()).await;
                unnoticed = (unnoticed + 1).min(6);
            }
            Reaped::All => {
                unnoticed = 0;
                if ended.recv().await.is_none() {
                    return;
                }
            }
        }
    }
}

/// What a look at those who have ended came to.
#[derive(Debug, PartialEq, Eq)]
enum Reaped {
    /// There may be more.
    More,
    /// No orphan is left, but an awaited child that nobody has noticed yet.
    AwaitedSeen,
    /// None is left.
    All,
}

/// Reaps orphans that have ended; never waits.
fn reap() -> Reaped {
    with(|awaited| {
        awaited.retain(|pid| is_child(*pid));
        miss_watched();
        for _ in 0..AT_ONCE {
            match first_ended() {
                None => return Reaped::All,
                // It hides those behind it.
                Some(pid) if awaited.contains(&pid) => {
                    for orphan in children().difference(awaited) {
                        reap_one(*orphan);
                    }
                    return Reaped::AwaitedSeen;
                }
                Some(pid) => reap_one(pid),
            }
        }
        Reaped::More
    })
}

fn reap_one(pid: i32) {
    let how = match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => How::Code(code),
        Ok(WaitStatus::Signaled(_, signal, _)) => How::Signal(signal as i32, signal.as_str().to_owned()),
        _ => return,
    };
    if let Some(tell) = watched(|all| all.remove(&pid)) {
        let _ = tell.send(how);
    }
}

/// Those whose end somebody else has seen.
fn miss_watched() {
    let gone: Vec<_> = watched(|all| all.extract_if(.., |pid, _| !is_child(*pid)).collect());
    for (_, tell) in gone {
        let _ = tell.send(How::Unknown("it ended while the agent was replaced".to_owned()));
    }
}

const LOOK: WaitPidFlag = WaitPidFlag::WEXITED
    .union(WaitPidFlag::WNOHANG)
    .union(WaitPidFlag::WNOWAIT);

/// Some child that has ended and was not reaped.
fn first_ended() -> Option<i32> {
    waitid(Id::All, LOOK).ok()?.pid().map(Pid::as_raw)
}

fn is_child(pid: i32) -> bool {
    waitid(Id::Pid(Pid::from_raw(pid)), LOOK) != Err(Errno::ECHILD)
}

/// All the agent's children at this moment.
pub fn children() -> BTreeSet<i32> {
    let agent = std::process::id();
    std::fs::read_to_string(format!("/proc/self/task/{agent}/children"))
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Ends every child but these, with its group: a new agent that failed has started it.
pub fn end_others(known: &[i32]) {
    for pid in children().into_iter().filter(|pid| !known.contains(pid)) {
        let pid = Pid::from_raw(pid);
        let _ = killpg(pid, Signal::SIGKILL);
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// All children that nobody awaits.
fn orphans() -> Vec<i32> {
    with(|awaited| children().difference(awaited).copied().collect())
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

/// Ends the orphans that have this among the environment they were started with, and all below them. Returns when
/// none is left, or after a little while.
pub async fn end_marked(mark: &str) {
    for _ in 0..50 {
        let marked: Vec<i32> = orphans()
            .into_iter()
            .filter(|pid| is_marked(*pid, mark))
            .collect();
        if marked.is_empty() {
            return;
        }
        for pid in marked {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        sleep(Duration::from_millis(10)).await;
        let _ = reap();
    }
}

fn is_marked(pid: i32, mark: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == mark.as_bytes())
}

fn none_left() -> bool {
    let _ = reap();
    orphans().is_empty()
}

fn signal_all(signal: Signal) {
    for pid in orphans() {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::debug!(pid, %error, "cannot be ended"),
        }
    }
}

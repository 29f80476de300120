//! Processes that carry an instance's tag in their environment. Nothing else is signalled here (S5).

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use cartridge_protocol::MemberId;

use super::Life;
use crate::provision::ProvisionError;

/// Name of the variable that carries the tag.
pub(super) const TAG: &str = "CARTRIDGE_INSTANCE_TAG";
/// How an agent's first argument begins; the tag follows.
pub(super) const AGENT: &str = "cartridge-agent:";

/// A process id, good only as long as its tag was just read again.
pub(super) type Pid = i32;

fn pids() -> Result<Vec<Pid>, ProvisionError> {
    let rows = std::fs::read_dir("/proc").map_err(|e| ProvisionError(format!("/proc: {e}")))?;
    Ok(rows
        .filter_map(|row| row.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// The tag of a process; None: it has none, or it is over.
fn tag_of(pid: Pid) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut pairs = environment.split(|byte| *byte == 0);
    let tag = pairs.find_map(|pair| pair.strip_prefix(TAG.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(tag.to_vec()).ok()
}

/// Whether this is the agent of the instance with this tag.
pub(super) fn is_agent(pid: Pid, tag: &str) -> bool {
    let first = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = first.split(|byte| *byte == 0).next().unwrap_or_default();
    first.strip_prefix(AGENT.as_bytes()) == Some(tag.as_bytes())
}

/// How long ago a process began.
pub(super) fn age(pid: Pid) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it can hold anything, blanks and brackets too; the 22nd field is the 20th after it.
    let began: u64 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    // SAFETY: a question without pointers.
    let ticks = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let began = Duration::from_secs(began.checked_div(ticks)?);
    Some(Duration::try_from_secs_f64(uptime).ok()?.saturating_sub(began))
}

/// The agent of the instance with this tag.
pub(super) fn agent(tag: &str) -> Result<Option<Pid>, ProvisionError> {
    let found = pids()?
        .into_iter()
        .find(|pid| tag_of(*pid).as_deref() == Some(tag) && is_agent(*pid, tag));
    Ok(found)
}

/// All agents of an installation, and processes whose agent is gone as nobody's.
pub(super) fn agents(installation: &str) -> Result<BTreeMap<Life, Pid>, ProvisionError> {
    let mut agents = BTreeMap::new();
    for pid in pids()? {
        let Some(tag) = tag_of(pid) else { continue };
        if let Some(life) = life(&tag, installation)
            && is_agent(pid, &tag)
        {
            agents.insert(life, pid);
        }
    }
    Ok(agents)
}

fn life(tag: &str, installation: &str) -> Option<Life> {
    let (member, incarnation) = tag
        .strip_prefix(installation)?
        .strip_prefix('/')?
        .split_once('/')?;
    Some((MemberId::new(member).ok()?, incarnation.parse().ok()?))
}

/// Kills every process with this tag; returns how many there were.
pub(super) fn kill_once(tag: &str) -> Result<usize, ProvisionError> {
    let mut alive = 0;
    for pid in pids()? {
        if tag_of(pid).as_deref() == Some(tag) {
            alive += 1;
            kill_if(pid, || tag_of(pid).as_deref() == Some(tag));
        }
    }
    Ok(alive)
}

/// Kills a process if it is, for certain, one that may be killed.
pub(super) fn kill_if(pid: Pid, ours: impl FnOnce() -> bool) {
    // The descriptor pins the process; looking again proves that the number was not reused in between.
    let Ok(pinned) = open(pid) else { return };
    if ours() {
        // SAFETY: a system call on a descriptor that we own; no memory is passed.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                pinned.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            );
        }
    }
}

/// A descriptor that becomes readable when the process ends.
pub(super) fn open(pid: Pid) -> std::io::Result<OwnedFd> {
    // SAFETY: a system call without pointers; a non-negative answer is a new descriptor that nobody else owns.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd)
        .ok()
        .filter(|fd| *fd >= 0)
        .ok_or_else(std::io::Error::last_os_error)?;
    // SAFETY: see above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

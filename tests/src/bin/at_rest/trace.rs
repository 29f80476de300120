//! Which of its functions a process runs: each gets a breakpoint, which goes when it is hit. It refuses to know what
//! they are called.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::Failure;

/// The processor's own one-byte instruction for this.
const BREAKPOINT: u8 = 0xcc;
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// The functions at `addresses`, of the file, that `pid` calls within `length`. The process is as before then.
#[allow(
    clippy::disallowed_methods,
    reason = "waits for the kernel on a thread of its own, which has no clock to pause"
)]
pub fn run(pid: i32, addresses: &[u64], length: Duration) -> Result<BTreeSet<u64>, Failure> {
    let mut traced = Traced::begin(pid, addresses)?;
    let deadline = Instant::now() + length;
    while Instant::now() < deadline {
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => std::thread::sleep(LOOK_AGAIN),
            Ok(status) => traced.take(status)?,
            Err(fault) => return Err(format!("waiting for the agent: {fault}").into()),
        }
    }
    traced.end()?;
    Ok(traced.hit)
}

struct Traced {
    memory: File,
    /// Where the file lies in the process.
    base: u64,
    /// What was there instead of each breakpoint that is left.
    before: BTreeMap<u64, u8>,
    hit: BTreeSet<u64>,
}

impl Traced {
    fn begin(pid: i32, addresses: &[u64]) -> Result<Self, Failure> {
        let children = Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC;
        let mut threads = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = Pid::from_raw(task?.file_name().to_string_lossy().parse()?);
            ptrace::attach(thread)?;
            waitpid(thread, Some(WaitPidFlag::__WALL))?;
            ptrace::setoptions(thread, children)?;
            threads.push(thread);
        }
        let mut traced = Self {
            memory: OpenOptions::new()
                .read(true)
                .write(true)
                .open(format!("/proc/{pid}/mem"))?,
            base: base(pid)?,
            before: BTreeMap::new(),
            hit: BTreeSet::new(),
        };
        for &address in addresses {
            let mut there = [0];
            traced.memory.read_exact_at(&mut there, traced.base + address)?;
            traced.memory.write_all_at(&[BREAKPOINT], traced.base + address)?;
            traced.before.insert(address, there[0]);
        }
        for thread in threads {
            ptrace::cont(thread, None)?;
        }
        Ok(traced)
    }

    fn take(&mut self, status: WaitStatus) -> Result<(), Failure> {
        let done = match status {
            // What became another program has nothing of the agent's in it.
            WaitStatus::PtraceEvent(child, _, libc::PTRACE_EVENT_EXEC) => ptrace::detach(child, None),
            WaitStatus::PtraceEvent(thread, ..) => ptrace::cont(thread, None),
            WaitStatus::Stopped(thread, Signal::SIGTRAP) => {
                self.hit(thread)?;
                ptrace::cont(thread, None)
            }
            // A thread begins with this; it is not a signal for it.
            WaitStatus::Stopped(thread, Signal::SIGSTOP) => ptrace::cont(thread, None),
            WaitStatus::Stopped(thread, signal) => ptrace::cont(thread, signal),
            _ => Ok(()),
        };
        match done {
            // It ended meanwhile.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    fn hit(&mut self, thread: Pid) -> Result<(), Failure> {
        let mut registers = ptrace::getregs(thread)?;
        registers.rip -= 1;
        let address = registers.rip.wrapping_sub(self.base);
        // Another thread may have been first.
        if let Some(before) = self.before.remove(&address) {
            self.memory.write_all_at(&[before], self.base + address)?;
            self.hit.insert(address);
        } else if !self.hit.contains(&address) {
            return Err(format!("a trap at {address:#x} that nobody set").into());
        }
        Ok(ptrace::setregs(thread, registers)?)
    }

    /// Takes the breakpoints away that are left. The tracer's end lets the process go.
    fn end(&mut self) -> io::Result<()> {
        std::mem::take(&mut self.before)
            .into_iter()
            .try_for_each(|(address, before)| self.memory.write_all_at(&[before], self.base + address))
    }
}

/// The first mapping of its program.
fn base(pid: i32) -> Result<u64, Failure> {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"))?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let first = maps
        .lines()
        .find(|line| line.ends_with(&*program.to_string_lossy()))
        .and_then(|line| line.split('-').next())
        .ok_or("the agent's program is not in its mappings")?;
    Ok(u64::from_str_radix(first, 16)?)
}

//! The warden: a small process between the agent and one hook, so that no descendant of the hook can get away.
//!
//! It is the same binary under another first argument. The kernel gives it every process whose parent ends below it,
//! whatever session or group that process made for itself; so "it has no children" means "nothing of this hook is
//! left", with no guessing. When the hook has succeeded and may leave servers, the warden ends, and they go to the
//! agent; in every other case all of them are ended first. It ends them when it is told to, and when the agent dies.
//! Refuses to know which hook it is.

mod family;
mod orders;
mod signals;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

pub(super) use orders::{Orders, words};
use signals::Signals;

/// First argument of a process that is a warden.
pub const NAME: &str = "hook-warden";
/// End everything below: asks first.
pub(super) const END: Signal = Signal::SIGTERM;
/// The same, because the member ends: asks, and has less patience.
pub(super) const END_SOON: Signal = Signal::SIGINT;

/// Time to end by itself after being asked to.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// The same when the member ends.
const GRACE_OF_A_STOP: Duration = Duration::from_secs(1);
/// Time for the last of a hook's pipeline to end by itself after the hook did.
const TRAILING: Duration = Duration::from_millis(100);
/// The time after asking, for what a hook left behind.
const GRACE_OF_LEFTOVERS: Duration = Duration::from_secs(1);
/// Longest time that forcing may take: what cannot be ended then waits for the kernel.
pub(super) const FORCE: Duration = Duration::from_secs(10);
/// Between two rounds of forcing.
const ROUND: Duration = Duration::from_millis(5);

/// Exit code when the hook had not ended by itself when all of it was to be ended, as `timeout` has it.
pub(super) const CUT_SHORT: u8 = 124;
/// Exit code when the hook could not be started, as shells have it.
const CANNOT_START: u8 = 126;
/// Exit code when something is left that cannot be ended.
const CANNOT_END: u8 = 125;

/// Runs this process as a warden if that is what it was started as. To be called first of all.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != NAME {
        return None;
    }
    Some(run(arguments.collect()))
}

fn run(arguments: Vec<OsString>) -> ExitCode {
    let Some(orders) = Orders::read(&arguments) else {
        eprintln!("cartridge-agent: {NAME} is for the agent's own use");
        return ExitCode::from(2);
    };
    match ward(&orders) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cannot be started: {error}");
            ExitCode::from(CANNOT_START)
        }
    }
}

fn ward(orders: &Orders) -> std::io::Result<ExitCode> {
    prctl::set_child_subreaper(true)?;
    let signals = Signals::block()?;
    prctl::set_pdeathsig(Signal::SIGHUP)?;
    // The agent may have died before the line above.
    if getppid().as_raw() != orders.agent {
        return Ok(ExitCode::from(CANNOT_START));
    }
    let mut command = Command::new(&orders.program);
    command.args(&orders.arguments);
    signals::unblock_in(&mut command);
    orders.account.apply(&mut command);
    let hook = command.spawn()?;
    let pid = i32::try_from(hook.id()).unwrap_or(i32::MAX);
    Ok(Watch::new(orders, pid).until_the_end(&signals))
}

/// What the warden waits for.
struct Watch {
    leaves_servers: bool,
    hook: i32,
    ended: Option<(ExitStatus, Instant)>,
    /// Everything is being ended, and from then on forced.
    ending: Option<Instant>,
    /// The hook had not ended then.
    cut_short: bool,
}

impl Watch {
    fn new(orders: &Orders, hook: i32) -> Self {
        Self {
            leaves_servers: orders.leaves_servers,
            hook,
            ended: None,
            ending: None,
            cut_short: false,
        }
    }

    fn until_the_end(mut self, signals: &Signals) -> ExitCode {
        loop {
            let left = self.reap();
            if !left {
                return self.as_the_hook();
            }
            let now = Instant::now();
            if let (Some((status, at)), None) = (self.ended, self.ending) {
                if status.success() && self.leaves_servers {
                    return ExitCode::SUCCESS;
                }
                if now >= at + TRAILING {
                    self.end_leftovers();
                }
            }
            let wait = match self.ending {
                None => self.ended.map(|(_, at)| at + TRAILING - now),
                Some(force) if now < force => Some(force - now),
                Some(force) if now < force + FORCE => {
                    family::force();
                    Some(ROUND)
                }
                Some(_) => {
                    eprintln!("has processes that cannot be ended");
                    return ExitCode::from(CANNOT_END);
                }
            };
            match signals.wait(wait) {
                Some(END) => self.end_within(GRACE),
                Some(END_SOON) => self.end_within(GRACE_OF_A_STOP),
                Some(Signal::SIGHUP) => self.end_within(Duration::ZERO),
                _ => {}
            }
        }
    }

    /// Takes the exit codes of all that have ended; whether anything is left.
    fn reap(&mut self) -> bool {
        loop {
            match family::reap_one() {
                family::Reaped::One(pid, status) if pid == self.hook => {
                    self.ended = Some((status, Instant::now()))
                }
                family::Reaped::One(..) => {}
                family::Reaped::NoneEnded => return true,
                family::Reaped::NobodyLeft => return false,
            }
        }
    }

    fn end_within(&mut self, grace: Duration) {
        let force = Instant::now() + grace;
        self.cut_short |= self.ended.is_none();
        if self.ending.is_none() {
            family::ask();
        }
        self.ending = Some(self.ending.map_or(force, |before| before.min(force)));
    }

    fn end_leftovers(&mut self) {
        let count = family::count();
        if count > 0 {
            let what = if count == 1 { "process" } else { "processes" };
            eprintln!("({count} {what} that it left behind: ended with it)");
        }
        self.end_within(GRACE_OF_LEFTOVERS);
    }

    /// Ends as the hook did, so that whoever waits for the warden learns how.
    fn as_the_hook(&self) -> ExitCode {
        if self.cut_short {
            return ExitCode::from(CUT_SHORT);
        }
        let Some((status, _)) = self.ended else {
            return ExitCode::from(CANNOT_END);
        };
        if let Some(signal) = status.signal() {
            signals::die_of(signal);
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        ExitCode::from(code.unwrap_or(CANNOT_END))
    }
}

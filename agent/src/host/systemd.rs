//! Tells the service manager: ready, reloading, stopping, alive, and where the member stands.
//!
//! One datagram each to `NOTIFY_SOCKET`; nothing at all where there is none. Refuses to decide when.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use cartridge_agent_plan::notify::{self, Watchdog};
use cartridge_protocol::Millis;
use cartridge_protocol::link::Phase;
use nix::libc;

/// What concerns the agent alone and is not passed on.
pub const ENVIRONMENT: [&str; 5] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
];

/// The service manager, as far as there is one.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Watchdog>,
    said: String,
    ready: bool,
}

impl Manager {
    /// By what the environment says.
    pub fn of_environment() -> Self {
        let name = |name| std::env::var(name).ok();
        let Some(address) = name("NOTIFY_SOCKET") else {
            return Self::default();
        };
        match open(&address) {
            Ok(socket) => Self {
                socket: Some(socket),
                watchdog: Watchdog::read(
                    name("WATCHDOG_USEC").as_deref(),
                    name("WATCHDOG_PID").as_deref(),
                    std::process::id(),
                ),
                ..Self::default()
            },
            Err(error) => {
                tracing::warn!(address, %error, "the service manager cannot be told anything");
                Self::default()
            }
        }
    }

    /// The loop has turned, and the member stands there.
    pub fn turned(&mut self, now: Millis, phase: impl FnOnce() -> Phase) {
        if self.socket.is_none() {
            return;
        }
        if !self.ready {
            self.ready = true;
            self.say(&notify::ready(std::process::id()));
        }
        let phase = phase();
        let status = notify::status(&phase);
        if self.said != status {
            if phase == Phase::Stopping {
                self.say(notify::STOPPING);
            }
            self.say(&status);
            self.said = status;
        }
        if self.watchdog.as_mut().is_some_and(|dog| dog.turned(now)) {
            self.say(notify::ALIVE);
        }
    }

    /// When the loop has to turn for the manager's sake.
    pub fn due(&self) -> Option<Millis> {
        self.watchdog.as_ref().map(Watchdog::due)
    }

    /// Settings are read again; [`Manager::reloaded`] follows.
    pub fn reloading(&self) {
        self.say(&notify::reloading(monotonic_usec()));
    }

    /// That is done.
    pub fn reloaded(&self) {
        self.say(&notify::ready(std::process::id()));
    }

    /// Everything ends.
    pub fn stopping(&self) {
        self.say(notify::STOPPING);
    }

    fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::debug!(%error, text, "the service manager was not told");
        }
    }
}

fn open(address: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None if address.starts_with('/') => SocketAddr::from_pathname(address)?,
        None => return Err(std::io::Error::other("neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not listen must not hold up the loop.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

fn monotonic_usec() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure outlives the call, and this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let (seconds, nanoseconds) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000_000) + nanoseconds / 1000
}

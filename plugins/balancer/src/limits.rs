//! Every deadline and bound of the balancer, in one place.
//!
//! This file refuses to know what is being waited for.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Open files that are not connections: listeners, pipes, the runtime's own.
const OTHER_FILES: u64 = 64;

/// Deadlines and bounds. The defaults are meant for production; tests shorten them.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A client must have sent its whole request head within this time; also the longest idle time of a
    /// client's connection.
    pub request_head: Duration,
    /// A client that takes nothing of its answer for so long, or vanished without a word, is cut off.
    pub client_stall: Duration,
    /// A connection to a member must stand within this time.
    pub connect: Duration,
    /// A member must begin to answer within this time after the last byte of the request.
    pub response_head: Duration,
    /// Longest silence of a member in the middle of a body.
    pub response_idle: Duration,
    /// What is under way may go on for so long after its listener left the topology.
    pub listener_drain: Duration,
    /// What is under way may go on for so long after the plugin was told to end.
    pub stop_drain: Duration,
    /// A member that could not be connected to is skipped for this time.
    pub ejection: Duration,
    /// An idle connection to a member is closed after this time.
    pub pool_idle: Duration,
    /// Most idle connections kept per member.
    pub pool_size: usize,
    /// Most client connections at a time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Most members tried for one request.
    pub attempts: usize,
    /// Largest request head, bytes.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            client_stall: Duration::from_secs(60),
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(60),
            response_idle: Duration::from_secs(300),
            listener_drain: Duration::from_secs(30),
            stop_drain: Duration::from_secs(5),
            ejection: Duration::from_secs(1),
            pool_idle: Duration::from_secs(15),
            pool_size: 128,
            connections: 10_000,
            attempts: 3,
            head_bytes: 64 << 10,
        }
    }
}

impl Limits {
    /// Raises the limit of open files as far as allowed, and takes no more connections than it can hold: each
    /// needs one file on the client's side and one on the member's.
    #[must_use]
    pub fn within_open_files(mut self) -> Self {
        let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
            return self;
        };
        if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
        let Ok((open_files, _)) = getrlimit(Resource::RLIMIT_NOFILE) else {
            return self;
        };
        let room = usize::try_from(open_files.saturating_sub(OTHER_FILES) / 2).unwrap_or(usize::MAX);
        if room < self.connections {
            tracing::warn!(
                open_files,
                connections = room,
                "fewer connections: too few open files allowed"
            );
            self.connections = room.max(1);
        }
        self
    }
}

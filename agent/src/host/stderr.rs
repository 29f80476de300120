//! Standard error for the agent's own lines. A reader that stops reading stops nothing: what it does not take is
//! dropped and counted.
//!
//! Refuses to know what the lines say.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

/// What a pipe that has room at all takes at once; longer lines are cut.
const MOST: usize = 4096;

static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A writer that never waits and never fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if has_room() {
            let dropped = DROPPED.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                put(format!("({dropped} lines were dropped: nobody read them)\n").as_bytes());
            }
            put(line);
        } else {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn put(line: &[u8]) {
    let cut = line.get(..MOST - 1);
    let mut out = std::io::stderr().lock();
    // Nobody could be told that this has failed.
    let _ = out.write_all(cut.unwrap_or(line));
    if cut.is_some() {
        let _ = out.write_all(b"\n");
    }
}

fn has_room() -> bool {
    let mut out = libc::pollfd {
        fd: libc::STDERR_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one entry, which outlives the call; a time of 0 does not wait.
    let ready = unsafe { libc::poll(&raw mut out, 1, 0) };
    ready == 1 && out.revents & libc::POLLOUT != 0
}

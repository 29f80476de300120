//! What the agent makes of the process that it was given, and what its children get back of it.
//!
//! The agent goes last where memory runs out, and its files are nobody else's to write; what it starts has the mask
//! that the agent was started with. Refuses to know who the children are.

use std::sync::OnceLock;

use cartridge_agent_plan::handover::OfChildren;
use nix::libc;
use nix::sys::stat::{Mode, umask};

/// How the agent asks to be treated where memory runs out: after everybody else, but not never.
const LAST: i32 = -900;
const ADJ: &str = "/proc/self/oom_score_adj";
/// Longest number with its sign.
const MOST_DIGITS: usize = 5;

static OF_CHILDREN: OnceLock<Own> = OnceLock::new();
static FOUND: OnceLock<OfChildren> = OnceLock::new();

/// What a child has of its own.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    umask: libc::mode_t,
    adj: [u8; MOST_DIGITS],
    adj_length: usize,
}

/// Takes up the duty of a process that others depend on. To be called once, before anything is started. `least` is
/// the children's `oom_score_adj` unless what the agent was started with is higher; none: exactly that. `handed`: what
/// the agent before has found when it was started.
pub fn begin(least: Option<i32>, handed: Option<OfChildren>) {
    let found = handed.unwrap_or_else(|| OfChildren {
        umask: umask(Mode::empty()).bits(),
        oom_score_adj: std::fs::read_to_string(ADJ)
            .ok()
            .and_then(|text| text.trim().parse().ok()),
    });
    // Best effort: without the right to do so, the agent is treated as before.
    let _ = std::fs::write(ADJ, LAST.to_string());
    // Never more than others' reading, and never less than the agent itself needs.
    umask(Mode::from_bits_truncate((found.umask & 0o077) | 0o022));
    let _ = FOUND.set(found);
    let wanted = match (found.oom_score_adj, least) {
        (Some(inherited), least) => Some(least.map_or(inherited, |least| least.max(inherited))),
        (None, least) => least,
    };
    let _ = OF_CHILDREN.set(Own::new(found.umask, wanted));
}

/// What the first of all agents of this process has found, for the next.
pub fn handed() -> OfChildren {
    FOUND.get().copied().unwrap_or_default()
}

/// What a child is to have; as it is where [`begin`] was not called.
pub fn of_children() -> Own {
    OF_CHILDREN.get().copied().unwrap_or_else(|| {
        let now = umask(Mode::empty());
        umask(now);
        Own::new(now.bits(), None)
    })
}

impl Own {
    fn new(umask: libc::mode_t, adj: Option<i32>) -> Self {
        let mut own = Self {
            umask,
            adj: [0; MOST_DIGITS],
            adj_length: 0,
        };
        let text = adj.map(|number| number.to_string()).unwrap_or_default();
        if let Some(room) = own.adj.get_mut(..text.len()) {
            room.copy_from_slice(text.as_bytes());
            own.adj_length = text.len();
        }
        own
    }

    /// In the child, between its start and its program: nothing here allocates.
    pub fn take_up(&self) {
        // SAFETY: umask, open, write and close are async-signal-safe; the path ends with NUL, and the bytes are
        // within `adj`, whose length `new` has checked.
        unsafe {
            libc::umask(self.umask);
            if self.adj_length > 0 {
                let file = libc::open(
                    c"/proc/self/oom_score_adj".as_ptr(),
                    libc::O_WRONLY | libc::O_CLOEXEC,
                );
                if file >= 0 {
                    libc::write(file, self.adj.as_ptr().cast(), self.adj_length);
                    libc::close(file);
                }
            }
        }
    }
}

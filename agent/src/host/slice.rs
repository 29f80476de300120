//! That the agent runs soon after it wakes, however many others want to. Refuses to ask for more than its share.
//!
//! Linux gives the processor, among those who have had no more than their share, to whoever will have used up its slice
//! first (EEVDF, since 6.12 with a slice of one's own). The agent needs little of it and that at once: a member full of
//! busy processes would else answer, say and stop late. Share, nice value and class stay as they were given.

use nix::libc;

/// The shortest slice there is; the usual one is some milliseconds.
const SHORTEST_NANOS: u64 = 100_000;

/// Asks for it; false: not here, or not allowed, and it is as before. What the agent starts has the usual slice.
pub fn shorten() -> bool {
    let Some(mut now) = current() else {
        return false;
    };
    // Who gave the agent another class, or preferred it and what it starts, has decided.
    if now.sched_policy != libc::SCHED_OTHER.cast_unsigned() || now.sched_nice < 0 {
        return false;
    }
    now.sched_runtime = SHORTEST_NANOS;
    now.sched_flags |= libc::SCHED_FLAG_RESET_ON_FORK.cast_unsigned() as u64;
    // SAFETY: the structure is whole and outlives the call, which only reads it; 0 is the calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const now, 0) == 0 }
}

/// How the calling thread is scheduled.
fn current() -> Option<libc::sched_attr> {
    const SIZE: usize = size_of::<libc::sched_attr>();
    // SAFETY: numbers only, of which zero is a value.
    let mut now: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes no more than the size that it is told, which is the structure's; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, SIZE, 0) };
    (done == 0).then_some(now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_the_agent_starts_and_its_nice_value_are_as_before() {
        let before = current().unwrap();
        assert!(shorten());
        let after = current().unwrap();
        assert_eq!(
            (after.sched_nice, after.sched_policy),
            (before.sched_nice, before.sched_policy)
        );
        if after.sched_runtime != 0 {
            assert_eq!(after.sched_runtime, SHORTEST_NANOS, "a kernel that knows slices");
        }
        // A thread is started like a process.
        let child = std::thread::spawn(|| current().unwrap()).join().unwrap();
        assert_eq!(
            (child.sched_runtime, child.sched_nice),
            (before.sched_runtime, before.sched_nice)
        );
        assert_eq!(child.sched_flags, before.sched_flags);
    }
}

//! Burns CPU time, on a bounded number of threads.
//!
//! CPU time, not wall-clock time: on a busy machine a request must cost the same. This file refuses to know
//! why anybody wants that.

use std::time::Duration;

use tokio::sync::Semaphore;

/// Most requests that burn at the same time; others wait for their turn.
pub(crate) const THREADS: usize = 2;
/// Rounds of arithmetic between two looks at the clock.
const ROUNDS: u64 = 20_000;

/// Bounds how many burn at once.
#[derive(Debug)]
pub(crate) struct Burner(Semaphore);

impl Burner {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(THREADS))
    }

    /// Burns this much CPU time of one thread.
    pub(crate) async fn burn(&self, cpu: Duration) {
        if cpu.is_zero() {
            return;
        }
        let _turn = self.0.acquire().await.expect("the semaphore is never closed");
        // Cancelled when the runtime ends; then nobody waits for the heat.
        let _ = tokio::task::spawn_blocking(move || burn_here(cpu)).await;
    }
}

fn burn_here(cpu: Duration) {
    let start = thread_time();
    let mut state = 1_u64;
    while thread_time().saturating_sub(start) < cpu {
        for round in 0..ROUNDS {
            state = std::hint::black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round));
        }
    }
}

/// CPU time that this thread has used.
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result, and the clock exists on every Linux.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    if failed {
        // Ends the burning rather than never.
        return Duration::MAX;
    }
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burns_as_much_as_asked() {
        let start = thread_time();
        burn_here(Duration::from_millis(20));
        let burned = thread_time() - start;
        assert!(burned >= Duration::from_millis(20), "{burned:?}");
    }
}

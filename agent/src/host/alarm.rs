//! The loop's one timer. Refuses to know what it wakes for.
//!
//! The kernel's, not the runtime's: a wheel of slots wakes twice for a timer that is a second away, once to sort it
//! anew; and each new timer wakes the loop that makes it. At rest that was half of all wake-ups.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use cartridge_protocol::Millis;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::clock::Clock;

struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A timer that is set anew whenever it is waited for.
pub struct Alarm {
    clock: Clock,
    timer: AsyncFd<Timer>,
    set_to: Option<Millis>,
}

impl Alarm {
    /// Not set.
    pub fn new(clock: Clock) -> std::io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // SAFETY: the descriptor is owned by the value handed over, is the same at every call, and is closed only when
        // that value is dropped, which `AsyncFd` does after it has taken the descriptor off its poll.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) };
        Ok(Self {
            clock,
            timer: timer?,
            set_to: None,
        })
    }

    /// Waits until `at`, at once where that is past. Nothing is lost when the wait is given up.
    pub async fn until(&mut self, at: Millis) {
        let now = self.clock.now();
        if at <= now {
            return;
        }
        if self.set_to != Some(at) {
            // Up to a millisecond late: the clock cuts off what is less.
            let left = Expiration::OneShot(TimeSpec::from_duration(Duration::from_millis(at.0 - now.0)));
            if let Err(error) = self.timer.get_ref().0.set(left, TimerSetTimeFlags::empty()) {
                tracing::error!(%error, "the timer cannot be set");
                return tokio::time::sleep(Duration::from_millis((at.0 - now.0).min(1_000))).await;
            }
            self.set_to = Some(at);
        }
        // It is never read: being set again resets it, and the next end is told as a new event.
        // A wait that was given up may have left an event behind.
        while self.clock.now() < at
            && let Ok(mut ready) = self.timer.readable().await
        {
            ready.clear_ready();
        }
        self.set_to = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_rings_again_and_again_never_early_and_at_once_for_what_is_past() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock).unwrap();
        for round in 1..=5 {
            let at = clock.now().plus(Millis(20));
            alarm.until(at).await;
            assert!(clock.now() >= at, "round {round}");
        }
        alarm.until(Millis::ZERO).await;
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_neither_rings_early_nor_is_lost() {
        let clock = Clock::start();
        let mut alarm = Alarm::new(clock).unwrap();
        let far = clock.now().plus(Millis(3_600_000));
        tokio::select! {
            biased;
            () = alarm.until(far) => panic!("an hour passed"),
            () = tokio::task::yield_now() => {}
        }
        let near = clock.now().plus(Millis(30));
        alarm.until(near).await;
        assert!(clock.now() >= near);
        let early = clock.now().plus(Millis(10));
        tokio::select! {
            biased;
            () = alarm.until(early) => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("it was lost"),
        }
    }
}

//! What the service manager is told, word for word, and when the watchdog is due.
//!
//! Refuses to know about sockets and clocks.

use cartridge_protocol::Millis;
use cartridge_protocol::link::Phase;

use crate::text::one_line;

/// Longest text of a status line, bytes.
const MOST_STATUS: usize = 400;

/// What the state of the member looks like in `systemctl status`; always one line.
pub fn status(phase: &Phase) -> String {
    let text = match phase {
        Phase::Starting => "starting".to_owned(),
        Phase::Active => "active".to_owned(),
        Phase::Suspended { reason } => format!("suspended: {reason}"),
        Phase::Stopping => "stopping".to_owned(),
        Phase::Stopped => "stopped".to_owned(),
        Phase::Failed { reason } => format!("failed: {reason}"),
    };
    format!("STATUS={}", one_line(&text, MOST_STATUS))
}

/// The service runs; its main process is this one, whoever it was before.
pub fn ready(pid: u32) -> String {
    format!("READY=1\nMAINPID={pid}")
}

/// It reads its settings again, at this time of the monotonic clock, microseconds. Followed by [`ready`].
pub fn reloading(monotonic_usec: u64) -> String {
    format!("RELOADING=1\nMONOTONIC_USEC={monotonic_usec}")
}

/// It ends.
pub const STOPPING: &str = "STOPPING=1";
/// The loop turns.
pub const ALIVE: &str = "WATCHDOG=1";

/// Signs of life, given only when the loop has turned: on the first turn after a quarter of the time that is
/// allowed, or on one that is asked for after half of it, should nothing else happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchdog {
    allowed: Millis,
    last: Millis,
}

impl Watchdog {
    /// What the manager's environment says: microseconds, and the process that is meant if any is named.
    pub fn read(microseconds: Option<&str>, meant: Option<&str>, pid: u32) -> Option<Self> {
        let allowed: u64 = microseconds?.parse().ok().filter(|n| *n > 0)?;
        if meant.is_some_and(|meant| meant.parse() != Ok(pid)) {
            return None;
        }
        Some(Self {
            allowed: Millis((allowed / 1000).max(4)),
            last: Millis::ZERO,
        })
    }

    /// When the loop has to turn at the latest.
    pub fn due(&self) -> Millis {
        self.last.plus(Millis(self.allowed.0 / 2))
    }

    /// The loop has turned: whether a sign is to be given now.
    pub fn turned(&mut self, now: Millis) -> bool {
        let give = now >= self.last.plus(Millis(self.allowed.0 / 4));
        if give {
            self.last = now;
        }
        give
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_elsewhere_cannot_add_lines_of_its_own() {
        let phase = Phase::Failed {
            reason: "no\nREADY=1\nMAINPID=1".to_owned() + &"x".repeat(9000),
        };
        let text = status(&phase);
        assert!(!text.contains('\n') && text.len() < 500, "{text}");
        assert_eq!(status(&Phase::Active), "STATUS=active");
    }

    #[test]
    fn a_loop_with_a_beat_is_never_woken_for_the_watchdog() {
        let mut dog = Watchdog::read(Some("30000000"), None, 1).unwrap();
        let (mut now, mut signs) = (Millis::ZERO, Vec::new());
        for beat in (0..120).map(Millis::from_secs) {
            now = beat;
            assert!(
                dog.due() > now || dog.last == Millis::ZERO,
                "due at {} at {now}",
                dog.due()
            );
            if dog.turned(now) {
                signs.push(now);
            }
        }
        assert!(
            signs.windows(2).all(|two| two[1].since(two[0]) <= Millis(15_000)),
            "{signs:?}"
        );
        // Without a beat it is woken after half of the time.
        assert!(dog.due().since(now) <= Millis(15_000));
    }

    #[test]
    fn only_what_is_meant_for_this_process_is_a_watchdog() {
        assert_eq!(Watchdog::read(None, None, 7), None);
        assert_eq!(Watchdog::read(Some("0"), None, 7), None);
        assert_eq!(Watchdog::read(Some("soon"), None, 7), None);
        assert_eq!(Watchdog::read(Some("1000"), Some("8"), 7), None);
        assert!(Watchdog::read(Some("1000"), Some("7"), 7).is_some());
    }
}

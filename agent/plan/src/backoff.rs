//! How long to wait before the next try.
//!
//! Refuses to know what is tried; chance is an argument.

use cartridge_protocol::Millis;

/// Longest wait between two tries to reach the orchestrator.
pub const LINK_CAP: Millis = Millis(10_000);

/// The wait before try number `tries` (from 0) of something that many members try at once: anywhere between
/// nothing and the doubled bound, so that a thousand agents do not come back in step. `chance` is in 0..1.
pub fn jittered(first: Millis, cap: Millis, tries: u32, chance: f64) -> Millis {
    part(doubled(first, cap, tries), chance)
}

/// This share of a time. `chance` is in 0..1.
pub fn part(of: Millis, chance: f64) -> Millis {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time of hours at most, a chance within 0..1"
    )]
    let share = (of.0 as f64 * chance.clamp(0.0, 1.0)) as u64;
    Millis(share)
}

/// `first`, doubled `tries` times, at most `cap`.
pub fn doubled(first: Millis, cap: Millis, tries: u32) -> Millis {
    let factor = 1u64.checked_shl(tries).unwrap_or(u64::MAX);
    Millis(first.0.saturating_mul(factor).min(cap.0))
}

/// The wait before the application is started again after its `exits`-th end in the window (from 1): the first
/// time at once, then 200 ms, doubling, at most 10 s.
pub fn restart(exits: usize) -> Millis {
    match exits {
        0 | 1 => Millis::ZERO,
        more => doubled(
            Millis(200),
            Millis(10_000),
            u32::try_from(more - 2).unwrap_or(u32::MAX),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_double_up_to_ten_seconds() {
        let waits: Vec<u64> = (1..=9).map(|n| restart(n).0).collect();
        assert_eq!(waits, [0, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn jitter_never_leaves_its_bounds() {
        for tries in [0, 1, 5, 63, 64, 1000] {
            assert_eq!(jittered(Millis(200), LINK_CAP, tries, 0.0), Millis::ZERO);
            assert!(jittered(Millis(200), LINK_CAP, tries, 1.0) <= LINK_CAP);
        }
        assert_eq!(jittered(Millis(200), LINK_CAP, 1, 0.5), Millis(200));
    }
}

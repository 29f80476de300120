//! One beat for everything that is done again and again, so that the agent wakes once and not once for each.
//!
//! Refuses to know what is done.

use cartridge_protocol::Millis;

/// The next multiple of `interval` after `now`: never more than an interval away, and the same for all who ask.
pub const fn next(now: Millis, interval: Millis) -> Millis {
    let length = if interval.0 == 0 { 1 } else { interval.0 };
    Millis((now.0 / length).saturating_add(1).saturating_mul(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_beat_lies_ahead_and_less_than_an_interval_away(now in 0u64..1 << 50, interval in 0u64..100_000) {
            let at = next(Millis(now), Millis(interval));
            prop_assert!(at.0 > now && at.0 <= now + interval.max(1));
            prop_assert_eq!(at.0 % interval.max(1), 0);
        }
    }
}

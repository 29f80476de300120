//! How often one member of many asks a Git server, so that a thousand cost it little more than one.
//!
//! Whoever sees a new head tells the orchestrator, and all hear of it: members share the looks. Refuses to know clocks
//! and servers; chance is an argument.

use cartridge_protocol::Millis;

use crate::backoff::{doubled, part};

/// Shortest time between two looks of one member.
const LEAST_POLL: Millis = Millis(500);
/// First wait after a failed try, and the longest, of a member that shares with few.
const RETRY: (Millis, Millis) = (Millis(500), Millis(30_000));
/// Longest wait after a failed try for each member that shares, milliseconds: a thousand then try two or three times a
/// second, which with three requests each stays below ten requests a second when the server returns.
const RETRY_EACH: u64 = 700;
/// So few come at once, when they are called or when they fail for the first time.
const AT_ONCE: u32 = 8;
/// So far apart come more than these, milliseconds.
const APART: u64 = 100;

/// The time until the next look, a quarter either way so that members do not ask in step. `chance` is in 0..1.
pub fn poll(interval: Millis, sharing: u32, chance: f64) -> Millis {
    let all = interval
        .max(LEAST_POLL)
        .0
        .saturating_mul(u64::from(sharing.max(1)));
    let least = all - all / 4;
    Millis(least.saturating_add(part(Millis(all / 2), chance).0))
}

/// The wait after a try that failed, after `tries` others that did: doubling, anywhere in the upper half of the bound.
/// `chance` is in 0..1.
pub fn retry(tries: u32, sharing: u32, chance: f64) -> Millis {
    let (first, longest) = RETRY;
    let first = Millis(first.0.saturating_mul(u64::from((sharing / AT_ONCE).max(1))));
    let cap = longest.max(Millis(RETRY_EACH.saturating_mul(u64::from(sharing))));
    let bound = doubled(first, cap, tries);
    Millis(bound.0 - bound.0 / 2 + part(Millis(bound.0 / 2), chance).0)
}

/// The wait of a member that was called to look, with all who share: few look at once, many one after the other.
/// `chance` is in 0..1.
pub fn called(sharing: u32, chance: f64) -> Millis {
    if sharing <= AT_ONCE {
        return Millis::ZERO;
    }
    part(Millis(APART.saturating_mul(u64::from(sharing))), chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Even and always the same.
    fn chance(n: &mut u64) -> f64 {
        *n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(*n >> 33).expect("31 bits")) / f64::from(1u32 << 31)
    }

    #[test]
    fn alone_a_member_looks_at_its_interval_and_tries_again_within_half_a_minute() {
        for share in [0.0, 0.5, 1.0] {
            let poll = poll(Millis(15_000), 1, share);
            assert!((11_250..=18_750).contains(&poll.0), "{poll:?}");
            assert_eq!(called(1, share), Millis::ZERO);
            for tries in 0..40 {
                let wait = retry(tries, 1, share);
                assert!((250..=30_000).contains(&wait.0), "{tries}: {wait:?}");
            }
        }
        assert_eq!(poll(Millis::ZERO, 0, 0.5), Millis(500));
    }

    #[test]
    fn however_many_share_the_server_is_looked_at_as_often_as_by_one() {
        let mut seed = 1;
        for sharing in [1u32, 2, 16, 1000] {
            let hours = 6 * 3_600_000;
            let mut looks = 0u32;
            for _ in 0..sharing {
                let mut at = called(sharing, chance(&mut seed)).0;
                while at < hours {
                    looks += 1;
                    at += poll(Millis(15_000), sharing, chance(&mut seed)).0;
                }
            }
            let one = hours / 15_000;
            let least = u32::try_from(one - one / 10).expect("few");
            // Everybody's first look comes on top.
            let most = u32::try_from(one + one / 10).expect("few") + sharing;
            assert!(
                (least..=most).contains(&looks),
                "{sharing} share: {looks}, not about {one}"
            );
        }
    }

    /// F17: none of a thousand members could fetch for an hour; the server returns.
    #[test]
    fn a_thousand_members_that_return_to_a_server_stay_below_ten_requests_a_second() {
        const BACK: u64 = 3_600_000;
        const REQUESTS: u32 = 3;
        for seed in 1..=20 {
            let mut seed = seed;
            let mut asked = [0u32; 40];
            for _ in 0..1000 {
                let (mut at, mut tries) = (0, 0);
                while at < BACK {
                    at += retry(tries, 1000, chance(&mut seed)).0;
                    tries += 1;
                }
                let slot = usize::try_from((at - BACK) / 30_000).expect("few");
                asked[slot] += REQUESTS;
            }
            assert_eq!(
                asked.iter().sum::<u32>(),
                3000,
                "all have it within twenty minutes"
            );
            let most = asked.iter().max().expect("some");
            assert!(*most <= 300, "{most} requests in half a minute");
        }
    }

    #[test]
    fn a_web_hook_brings_the_first_look_at_once_and_not_all_looks_at_once() {
        let mut seed = 7;
        let mut at: Vec<u64> = (0..1000).map(|_| called(1000, chance(&mut seed)).0).collect();
        at.sort_unstable();
        assert!(at[0] < 1000, "the first looks after {} ms", at[0]);
        assert!(
            at.windows(30).all(|few| few[29] - few[0] > 300),
            "thirty within a third of a second"
        );
    }
}

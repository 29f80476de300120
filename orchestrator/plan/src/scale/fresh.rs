//! Who was heard lately (S8).
//!
//! It refuses to know what the figures say. "Lately" is three of the member's own publishing intervals as seen, but
//! at least three of those that it was told to keep: it publishes more often while its figures move.

use cartridge_protocol::Millis;

use super::{Freeze, HEARD_SHARE, Input, MemberLoad};
use crate::observe::Window;

const LEAST: Millis = crate::decide::limits::FRESH;
const MOST: Millis = Millis::from_secs(45);

/// Why nothing may shrink, if too little was heard.
pub(super) fn freeze(input: &Input<'_>) -> Option<Freeze> {
    let fresh = input
        .members
        .iter()
        .filter(|member| member_is_fresh(input, member))
        .count();
    let fresh = u32::try_from(fresh).unwrap_or(u32::MAX).min(input.active);
    let balancers = input.balancers_fresh && !input.in_flight.is_empty();
    if fresh == 0 && !balancers {
        Some(Freeze::Blind)
    } else if input.active == 0 || f64::from(fresh) < HEARD_SHARE * f64::from(input.active) {
        Some(Freeze::Silent {
            fresh,
            active: input.active,
        })
    } else if !input.balancers_fresh
        && (input.policy.requests_in_flight.is_some() || input.policy.arrivals.is_some())
    {
        Some(Freeze::BalancerStale)
    } else {
        None
    }
}

/// A member is fresh if each figure that the policy asks for and that it ever measured is.
fn member_is_fresh(input: &Input<'_>, member: &MemberLoad<'_>) -> bool {
    let asked = [
        input.policy.load_average.map(|_| member.load),
        input.policy.memory_consumption.map(|_| member.memory),
    ];
    let measured: Vec<&Window> = asked
        .into_iter()
        .flatten()
        .filter(|w| w.last().is_some())
        .collect();
    if measured.is_empty() {
        return input.now.since(member.heard) <= limit(member.load).max(limit(member.memory));
    }
    measured.into_iter().all(|window| is_fresh(window, input.now))
}

/// Whether the newest point is young enough to be believed.
pub(super) fn is_fresh(window: &Window, now: Millis) -> bool {
    window
        .last()
        .is_some_and(|(at, _)| now.since(at) <= limit(window))
}

/// Three of its publishing intervals (the middle one of those seen: one pause must not stretch it).
fn limit(window: &Window) -> Millis {
    let times: Vec<u64> = window.points().map(|(at, _)| at.0).collect();
    let mut gaps: Vec<u64> = times
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .collect();
    gaps.sort_unstable();
    let typical = gaps.get(gaps.len() / 2).copied().unwrap_or(0);
    Millis(typical.saturating_mul(3)).clamp(LEAST, MOST)
}

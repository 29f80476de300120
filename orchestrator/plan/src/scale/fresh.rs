//! Who was heard lately (S8).
//!
//! It refuses to know what the figures say. "Lately" is three of the publishing intervals that members are told to keep,
//! not three of those seen: who falls silent again and again would be taken for one who speaks rarely.

use cartridge_protocol::Millis;

use super::{Freeze, HEARD_SHARE, Input, MemberLoad};
use crate::decide::limits::FRESH;
use crate::observe::Window;

/// Why nothing may shrink, if too little was heard.
pub(super) fn freeze(input: &Input<'_>) -> Option<Freeze> {
    planted!(ScaleInOnSilence => return None);
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
    let measured = || {
        asked
            .into_iter()
            .flatten()
            .filter(|window| window.last().is_some())
    };
    if measured().next().is_none() {
        return input.now.since(member.heard) <= FRESH;
    }
    measured().all(|window| is_fresh(window, input.now))
}

/// Whether the newest point is young enough to be believed.
pub(super) fn is_fresh(window: &Window, now: Millis) -> bool {
    window.last().is_some_and(|(at, _)| now.since(at) <= FRESH)
}

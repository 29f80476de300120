//! How many members a cluster needs: requests in flight, load average and memory, now and predicted.
//!
//! The rule is that of Stratos (`scaling.drl`: the largest of three factors, each predicted by
//! s = s0 + u·t + ½·a·t²) with its faults removed: t is the policy's horizon in seconds as u and a are per second
//! (Stratos predicted one second ahead and meant a minute), the percentages multiply by the active members and not
//! by the minimum, stale figures do not count, and shrinking waits for a whole stabilisation time.
//!
//! **Growing and shrinking are not treated alike** (S8): any measured factor may ask for more at once; fewer are
//! wanted only while 80 % of the members and all balancers are heard, after the highest requirement of the whole
//! stabilisation time was lower, only if the smaller cluster would stay below 90 % of its thresholds, and by one
//! per decision.
//!
//! Where the policy sizes by arrivals, what [`crate::forecast`] wants counts beside the factors: the larger wins. It has
//! a rule of its own for shrinking, so it may go down at once, brakes and thresholds permitting.
//!
//! This file refuses to know where members go and how many network partitions there are.

mod arrivals;
mod demand;
mod figures;
mod fresh;
mod total;
mod trend;

use cartridge_protocol::Millis;

use crate::blueprint::AutoscalingPolicy;
use crate::observe::Window;

pub use arrivals::Arrivals;
pub use figures::{Factor, Forecast, Freeze};
pub(crate) use trend::Course;
pub use trend::SPAN;
#[cfg(test)]
pub(crate) use trend::trend_of;

/// All that the decision on one cluster's size depends on.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Thresholds, horizon, stabilisation time.
    pub policy: &'a AutoscalingPolicy,
    /// The caller's monotonic clock.
    pub now: Millis,
    /// Members that serve.
    pub active: u32,
    /// One entry per active member that ever reported.
    pub members: Vec<MemberLoad<'a>>,
    /// Requests in flight, one window per balancer.
    pub in_flight: Vec<&'a Window>,
    /// What the forecast of arrivals wants; None: the policy does not ask for it, or it is not known.
    pub arrivals: Option<Arrivals<'a>>,
    /// Every balancer's reading is fresh.
    pub balancers_fresh: bool,
    /// How many members are wanted at present, in all network partitions in use together.
    pub current: u32,
    /// Fewest.
    pub floor: u32,
    /// Most: all room that there is.
    pub ceiling: u32,
    /// `required` of earlier decisions.
    pub recommended: &'a Window,
    /// When this orchestrator began to listen.
    pub began: Millis,
}

/// What one member measured.
#[derive(Clone, Debug)]
pub struct MemberLoad<'a> {
    /// Load average, percent of its cores.
    pub load: &'a Window,
    /// Memory consumption, percent.
    pub memory: &'a Window,
    /// When it was last heard.
    pub heard: Millis,
}

/// What was decided about one cluster's size.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// Members that the load asks for, unbounded by floor and ceiling: the caller bursts by it.
    pub required: u32,
    /// What the thresholds ask for: the caller pushes it into `recommended`.
    pub remembered: u32,
    /// Members to want from now on, floor and ceiling kept.
    pub target: u32,
    /// What asked for most.
    pub factor: Factor,
    /// The figures of every factor that the policy names and that was measured.
    pub forecasts: Vec<Forecast>,
    /// Why nothing may shrink.
    pub frozen: Option<Freeze>,
    /// One line for people.
    pub reason: String,
}

/// A smaller size is taken only if each factor would stay below this share of its threshold there.
pub const DEAD_BAND: f64 = 0.9;
/// A single member's figure counts for at most so many times the threshold. With [`DEAD_BAND`] this keeps what f
/// lying members can move at 4·f members, in either direction (S25).
pub const MOST_PER_MEMBER: f64 = 4.0 * DEAD_BAND;
/// Below this share of members heard, nothing shrinks (S8).
const HEARD_SHARE: f64 = 0.8;

/// Decides how many members there should be.
///
/// Let n be the members wanted at present, P the larger of the present and the predicted total of a factor in units
/// of its threshold (requests in flight: Σ balancers / threshold; percentages: active · mean / threshold). Then the
/// factor asks for ⌈P⌉ if that is more than n, for ⌈P / 0.9⌉ if that is fewer, else for n. `required` is the largest
/// over the factors.
pub fn scale(input: &Input<'_>) -> Scaling {
    let mut forecasts = demand::forecasts(input);
    let names_factors = demand::thresholds(input.policy) > 0;
    let by_arrivals = input.policy.arrivals.is_some();
    let measured = !forecasts.is_empty() || (by_arrivals && input.balancers_fresh);
    let deaf = fresh::freeze(input).filter(|_| names_factors || by_arrivals);
    let deaf = if names_factors && !measured && deaf != Some(Freeze::Blind) {
        Some(Freeze::Unmeasured)
    } else {
        deaf
    };
    let asked = forecasts.iter().map(|f| f.required).max().unwrap_or(0);
    let frozen = deaf.clone().or_else(|| settling(input));
    let (floor, ceiling) = (input.floor, input.ceiling.max(input.floor));
    // What is not known must not look like calm later: while deaf, the present size goes into the window.
    let remembered = if deaf.is_some() && names_factors {
        asked.max(input.current)
    } else {
        asked
    };
    let lately = highest_lately(input).max(remembered);
    let wanted = match &frozen {
        Some(freeze) if freeze.holds_all() => input.current,
        _ if remembered >= input.current => remembered,
        Some(_) => input.current,
        None if lately >= input.current => input.current,
        None if by_arrivals => lately,
        None => input.current.saturating_sub(1),
    };
    let more = arrivals::forecast(input);
    let wanted = match &more {
        Some(more) if frozen.is_none() => wanted.max(more.required),
        Some(more) if input.balancers_fresh => wanted.max(more.required).max(input.current),
        _ if by_arrivals => wanted.max(input.current),
        _ => wanted,
    };
    forecasts.extend(more);
    let largest = forecasts
        .iter()
        .max_by_key(|f| (f.required, std::cmp::Reverse(f.factor)));
    let required = largest.map_or(0, |f| f.required).max(remembered);
    let target = wanted.clamp(floor, ceiling);
    let factor = match largest {
        Some(f) if f.required > floor => f.factor,
        _ => Factor::Minimum,
    };
    let mut scaling = Scaling {
        required,
        remembered,
        target,
        factor,
        forecasts,
        frozen,
        reason: String::new(),
    };
    scaling.reason = reason(input, &scaling, lately);
    scaling
}

/// Keeps what was required, so that [`Input::recommended`] covers the whole stabilisation time however often
/// decisions are made.
pub fn remember(recommended: &mut Window, now: Millis, required: u32, policy: &AutoscalingPolicy) {
    let slot = Millis(stabilization(policy).0 / 32);
    recommended.push_highest(now, f64::from(required), slot);
}

/// The time for which a lower requirement must hold before it is followed.
pub fn stabilization(policy: &AutoscalingPolicy) -> Millis {
    let seconds = policy.stabilization_seconds;
    let seconds = if seconds.is_finite() {
        seconds.clamp(0.0, 86_400.0)
    } else {
        120.0
    };
    Millis((seconds * 1000.0) as u64)
}

/// What is missing until requirements are known for the whole stabilisation time, in this life of the orchestrator.
fn settling(input: &Input<'_>) -> Option<Freeze> {
    let needed = stabilization(input.policy);
    let first = input
        .recommended
        .points()
        .map(|(at, _)| at)
        .find(|at| *at >= input.began);
    let known = first.map_or(Millis::ZERO, |at| input.now.since(at));
    let missing = Millis(needed.0.saturating_sub(known.0));
    (missing > Millis::ZERO).then(|| Freeze::Settling {
        seconds: missing.as_secs_f64(),
    })
}

/// The highest requirement of the stabilisation time.
fn highest_lately(input: &Input<'_>) -> u32 {
    let length = stabilization(input.policy);
    let lately = input
        .recommended
        .points()
        .rev()
        .take_while(|(at, _)| input.now.since(*at) <= length);
    lately.fold(0, |most, (_, value)| most.max(demand::whole(value)))
}

fn reason(input: &Input<'_>, scaling: &Scaling, lately: u32) -> String {
    if scaling.factor == Factor::Minimum && scaling.target > input.current {
        return format!("{} members stand, the minimum is {}", input.current, input.floor);
    }
    let leading = scaling.forecasts.iter().find(|f| f.factor == scaling.factor);
    let mut text = match leading {
        Some(forecast) => demand::in_words(input, forecast),
        None if scaling.forecasts.is_empty() => "nothing was measured that the policy names".to_owned(),
        None => format!("no factor asks for more than the minimum of {}", input.floor),
    };
    let more = if scaling.required > scaling.target && scaling.frozen.is_none() {
        format!("; there is room for {} only", input.ceiling)
    } else if scaling.required >= input.current && !scaling.frozen.as_ref().is_some_and(Freeze::holds_all) {
        String::new()
    } else if let Some(freeze) = &scaling.frozen {
        format!("; {freeze}")
    } else if scaling.target == input.current && lately >= input.current {
        let seconds = stabilization(input.policy).as_secs_f64();
        format!(
            "; {lately} were needed within the last {seconds:.0} s, so {} stay",
            input.current
        )
    } else {
        String::new()
    };
    text.push_str(&more);
    text
}

#[cfg(test)]
mod tests;

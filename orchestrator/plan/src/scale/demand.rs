//! What each factor asks for.
//!
//! It refuses to know what happens to the answer. A percentage is predicted per member and held at
//! [`MOST_PER_MEMBER`] thresholds before the mean is taken, so that one member cannot speak for many (S25).

use super::fresh::is_fresh;
use super::total::total;
use super::trend::{Room, Trend, trend};
use super::{DEAD_BAND, Factor, Forecast, Input, MOST_PER_MEMBER, MemberLoad};
use crate::blueprint::AutoscalingPolicy;
use crate::observe::Window;

/// The figures of every factor that the policy names and that was measured lately.
pub(super) fn forecasts(input: &Input<'_>) -> Vec<Forecast> {
    let in_flight = threshold(input.policy.requests_in_flight).and_then(|t| requests(input, t));
    let load = threshold(input.policy.load_average)
        .and_then(|t| percentage(input, Factor::LoadAverage, t, |member| member.load));
    let memory = threshold(input.policy.memory_consumption)
        .and_then(|t| percentage(input, Factor::MemoryConsumption, t, |member| member.memory));
    [in_flight, load, memory].into_iter().flatten().collect()
}

/// How many factors the policy names.
pub(super) fn thresholds(policy: &AutoscalingPolicy) -> usize {
    let named = [
        policy.requests_in_flight,
        policy.load_average,
        policy.memory_consumption,
    ];
    named.into_iter().filter_map(threshold).count()
}

/// A threshold that can be divided by.
fn threshold(value: Option<f64>) -> Option<f64> {
    value.filter(|threshold| threshold.is_finite() && *threshold >= 1e-3)
}

/// Requests in flight: the trend of the sum over the balancers heard lately, ⌈P / threshold⌉ members.
fn requests(input: &Input<'_>, threshold: f64) -> Option<Forecast> {
    let fresh = |window: &&&Window| is_fresh(window, input.now);
    let windows: Vec<&Window> = input.in_flight.iter().filter(fresh).copied().collect();
    let seen = trend(&total(&windows), input.policy.horizon_seconds, &mut Room::new())?;
    Some(Forecast {
        factor: Factor::RequestsInFlight,
        now: seen.now,
        gradient: seen.gradient,
        acceleration: seen.acceleration,
        predicted: seen.predicted,
        threshold,
        required: members_for(seen.now.max(seen.predicted) / threshold, input.current),
        outlook: None,
    })
}

/// Load average or memory consumption: mean over the members heard, ⌈active · P / threshold⌉ members.
fn percentage<'a>(
    input: &'a Input<'a>,
    factor: Factor,
    threshold: f64,
    figure: fn(&'a MemberLoad<'a>) -> &'a Window,
) -> Option<Forecast> {
    let windows = input
        .members
        .iter()
        .map(figure)
        .filter(|window| is_fresh(window, input.now));
    let (mut trends, mut room) = (Vec::with_capacity(input.members.len()), Room::new());
    trends.extend(windows.filter_map(|window| trend(window, input.policy.horizon_seconds, &mut room)));
    let count = trends.len() as f64;
    // The mean stands for those who are not heard as well; what one member moves must not grow by that.
    let heard = (count / f64::from(input.active.max(1))).min(1.0);
    #[allow(unused_mut, reason = "a planted fault changes it")]
    let mut most = MOST_PER_MEMBER * threshold * heard;
    planted!(LiarNotClamped => most = f64::MAX);
    let mean = |part: &dyn Fn(&Trend) -> f64| trends.iter().map(part).sum::<f64>() / count;
    let now = mean(&|t| t.now.min(most));
    let predicted = mean(&|t| t.predicted.min(most));
    let total = f64::from(input.active) * mean(&|t| t.now.max(t.predicted).min(most)) / threshold;
    (!trends.is_empty()).then(|| Forecast {
        factor,
        now,
        gradient: mean(&|t| t.gradient),
        acceleration: mean(&|t| t.acceleration),
        predicted,
        threshold,
        required: members_for(total, input.current),
        outlook: None,
    })
}

/// Members for a total of `thresholds` thresholds, seen from `current` members: see [`super::scale`].
fn members_for(thresholds: f64, current: u32) -> u32 {
    let (grow, shrink) = (whole(thresholds), whole(thresholds / DEAD_BAND));
    current.clamp(grow, shrink.max(grow))
}

/// The next whole number of members; what is whole but for a rounding error counts as whole.
pub(super) fn whole(value: f64) -> u32 {
    if value.is_nan() {
        0
    } else {
        (value - 1e-9).ceil().clamp(0.0, 1e9) as u32
    }
}

/// One line for people.
pub(super) fn in_words(input: &Input<'_>, forecast: &Forecast) -> String {
    if let Some(outlook) = &forecast.outlook {
        return super::arrivals::in_words(forecast, outlook);
    }
    let (name, unit) = match forecast.factor {
        Factor::RequestsInFlight => ("requests in flight", ""),
        Factor::LoadAverage => ("load average", " %"),
        Factor::MemoryConsumption => ("memory consumption", " %"),
        Factor::Arrivals => ("arrivals", "/s"),
        Factor::Minimum => ("minimum", ""),
    };
    let Forecast {
        now,
        predicted,
        gradient,
        threshold,
        required,
        ..
    } = forecast;
    let active = match forecast.factor {
        Factor::RequestsInFlight | Factor::Arrivals => String::new(),
        _ => format!(", {} active", input.active),
    };
    // What rounds to nothing has no sign.
    let gradient = (gradient * 10.0).round() / 10.0 + 0.0;
    let (now, predicted) = (now.round() + 0.0, predicted.round() + 0.0);
    format!(
        "{name} {now:.0}{unit} now, {predicted:.0}{unit} in {horizon:.0} s ({gradient:+.1}{unit}/s), threshold \
         {threshold}{unit} per member{active}: {required} {members}",
        horizon = input.policy.horizon_seconds,
        members = if *required == 1 { "member" } else { "members" },
    )
}

//! What arrivals ask for: the forecast's size, and members to work off what waits.
//!
//! It refuses to know how the forecast is made. Requests beyond those in service and those that may wait within the
//! promise are a queue; members that work it off within [`DRAIN`] are added, at most as many again as the forecast
//! wants: a queue that grows while members start must not wind the size up.

use super::total::total;
use super::{Factor, Forecast, Input, demand};
use crate::forecast::Outlook;

/// Within this many seconds a queue is to be worked off.
const DRAIN: f64 = 10.0;

/// What the forecast of one cluster's arrivals says.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals<'a> {
    /// The forecast.
    pub outlook: &'a Outlook,
    /// Mean time in service, seconds.
    pub service_seconds: f64,
    /// The wait that is promised, seconds.
    pub wait_seconds: f64,
}

/// The factor's figures; None: not asked for, or not known.
pub(super) fn forecast(input: &Input<'_>) -> Option<Forecast> {
    let arrivals = input.arrivals.filter(|arrivals| arrivals.outlook.wanted > 0)?;
    let outlook = arrivals.outlook;
    let horizon = outlook.horizon.max(1.0);
    Some(Forecast {
        factor: Factor::Arrivals,
        now: outlook.arrivals,
        gradient: (outlook.expected - outlook.level) / horizon,
        acceleration: 0.0,
        predicted: outlook.ready_for,
        threshold: outlook.capacity,
        required: outlook.wanted + waiting(input, &arrivals).min(outlook.wanted),
        outlook: Some(outlook.clone()),
    })
}

/// Members that work off within [`DRAIN`] what waits beyond the promise.
fn waiting(input: &Input<'_>, arrivals: &Arrivals<'_>) -> u32 {
    let present = total(&input.in_flight).last().map_or(0.0, |(_, value)| value);
    let usual = arrivals.outlook.arrivals * (arrivals.service_seconds + arrivals.wait_seconds);
    demand::whole((present - usual).max(0.0) / (arrivals.outlook.capacity * DRAIN).max(1e-9))
}

/// One line for people.
pub(super) fn in_words(forecast: &Forecast, outlook: &Outlook) -> String {
    let Outlook {
        arrivals,
        expected,
        ready_for,
        horizon,
        capacity,
        ..
    } = outlook;
    let mut text = format!(
        "{arrivals:.0} requests/s arrive, {expected:.0}/s are expected in {horizon:.0} s by {believed} ({mood}), ready \
         for {ready_for:.0}/s (more in {risk:.2} % of the time), {capacity:.0}/s per member: {required} {members}",
        believed = outlook.believed,
        mood = outlook.mood.as_str(),
        risk = 100.0 * outlook.risk,
        required = forecast.required,
        members = if forecast.required == 1 {
            "member"
        } else {
            "members"
        },
    );
    if outlook.wanted > outlook.needed {
        let more = outlook.wanted - outlook.needed;
        text.push_str(&format!(" ({more} of them kept: they were needed a moment ago)"));
    }
    if forecast.required > outlook.wanted {
        let more = forecast.required - outlook.wanted;
        text.push_str(&format!(" ({more} of them to work off what waits)"));
    }
    text
}

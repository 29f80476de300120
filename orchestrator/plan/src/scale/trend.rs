//! Where a figure goes: s = s0 + u·t + ½·a·t², t in seconds, u and a per second.
//!
//! It refuses to know what the figure means. s0 is the mean of the newest three seconds; u is the least-squares slope
//! of the newest 30 s; a is the difference of the slopes of the halves over the distance of their middles, as Stratos
//! defined it, halved because a difference of differences is mostly noise, and never worth more than u·t: it may
//! strengthen or weaken a trend, not turn it around.

use cartridge_protocol::Millis;

use crate::observe::Window;

/// How far back a trend looks.
pub const SPAN: Millis = Millis::from_secs(30);
/// How far back the present looks.
const PRESENT: Millis = Millis::from_secs(3);
/// Fewest points for a slope, and the shortest time between the outermost.
const SLOPE_POINTS: usize = 3;
const SLOPE_SPAN: f64 = 2.0;
/// Fewest points for an acceleration, and the shortest time between the outermost.
const CURVE_POINTS: usize = 6;
const CURVE_SPAN: f64 = 5.0;
/// What is believed of a measured acceleration.
const DAMPING: f64 = 0.5;
/// A prediction is at most so many times the highest figure seen.
const LEAP: f64 = 4.0;
/// No figure is larger: keeps sums finite.
const CAP: f64 = 1e9;

/// One figure's present, movement and expectation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    pub(super) now: f64,
    pub(super) gradient: f64,
    pub(super) acceleration: f64,
    pub(super) predicted: f64,
}

/// Room for the points of one window. Each member has one, each second: it is used again for the next.
pub(super) type Room = Vec<(f64, f64)>;

/// What does not depend on how far one looks ahead: it stays the same until there is another point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    now: f64,
    gradient: f64,
    acceleration: f64,
    highest: f64,
}

/// The trend of a window that nobody else asks for.
#[cfg(test)]
pub(crate) fn trend_of(window: &Window) -> impl std::fmt::Debug {
    trend(window, 15.0, &mut Room::new())
}

/// Predicts `horizon` seconds after the newest point; None: the window is empty.
pub(super) fn trend(window: &Window, horizon: f64, points: &mut Room) -> Option<Trend> {
    let course = window.course(|| course(window, points))?;
    let horizon = if horizon.is_finite() {
        horizon.clamp(0.0, 3600.0)
    } else {
        0.0
    };
    let step = course.gradient * horizon;
    let bend = (0.5 * course.acceleration * horizon * horizon).clamp(-step.abs(), step.abs());
    Some(Trend {
        now: course.now,
        gradient: course.gradient,
        acceleration: course.acceleration,
        predicted: (course.now + step + bend).clamp(0.0, LEAP * course.highest),
    })
}

fn course(window: &Window, points: &mut Room) -> Course {
    let newest = window.last().map_or(Millis::ZERO, |(at, _)| at);
    points.clear();
    let lately = window.points().map(|(at, value)| (newest.since(at), value));
    let lately = lately.filter(|(ago, _)| *ago <= SPAN);
    points.extend(lately.map(|(ago, value)| (-ago.as_secs_f64(), value.clamp(0.0, CAP))));
    let points = points.as_slice();
    let present = points.iter().filter(|(t, _)| -t <= PRESENT.as_secs_f64());
    let gradient = if long_enough(points, SLOPE_POINTS, SLOPE_SPAN) {
        line(points).0
    } else {
        0.0
    };
    let measured = if long_enough(points, CURVE_POINTS, CURVE_SPAN) {
        curve(points)
    } else {
        0.0
    };
    Course {
        now: mean(present.map(|(_, value)| *value)),
        gradient,
        acceleration: DAMPING * measured,
        highest: points.iter().fold(0.0_f64, |most, (_, value)| most.max(*value)),
    }
}

fn long_enough(points: &[(f64, f64)], fewest: usize, shortest: f64) -> bool {
    let span = match (points.first(), points.last()) {
        (Some((first, _)), Some((last, _))) => last - first,
        _ => 0.0,
    };
    points.len() >= fewest && span >= shortest
}

/// Least-squares slope, per second, and the time in the middle; 0 where all points lie at one time.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let sums = points.iter().fold((0.0, 0.0), |(times, values), (t, value)| {
        (times + t, values + value)
    });
    let count = points.len().max(1) as f64;
    let (middle, level) = (sums.0 / count, sums.1 / count);
    let (mut rise, mut run) = (0.0, 0.0);
    for (t, value) in points {
        rise += (t - middle) * (value - level);
        run += (t - middle) * (t - middle);
    }
    (if run > 0.0 { rise / run } else { 0.0 }, middle)
}

/// Change of the slope, per second squared: (g2 - g1) / (m2 - m1) over the two halves.
fn curve(points: &[(f64, f64)]) -> f64 {
    let (early, late) = points.split_at(points.len() / 2);
    let ((was, before), (is, after)) = (line(early), line(late));
    let distance = after - before;
    if distance > 0.0 {
        (is - was) / distance
    } else {
        0.0
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(window: &Window, horizon: f64) -> Option<Trend> {
        super::trend(window, horizon, &mut Room::new())
    }

    fn window(points: impl IntoIterator<Item = (u64, f64)>) -> Window {
        let mut window = Window::default();
        for (at, value) in points {
            window.push(Millis(at), value);
        }
        window
    }

    #[test]
    fn a_straight_line_is_continued_in_seconds() {
        let rising = window((0..20).map(|i| (i * 1000, 10.0 + 2.0 * i as f64)));
        let seen = trend(&rising, 15.0).unwrap();
        assert!((seen.gradient - 2.0).abs() < 1e-9, "{seen:?}");
        assert!(seen.acceleration.abs() < 1e-9, "{seen:?}");
        assert!(
            (seen.now - 45.0).abs() < 1e-9,
            "mean of the newest four points: {seen:?}"
        );
        assert!((seen.predicted - 75.0).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn a_parabola_is_bent_half_as_far_and_never_further_than_the_slope_leads() {
        let bending = window((0..20).map(|i| (i * 1000, (i * i) as f64)));
        let seen = trend(&bending, 15.0).unwrap();
        assert!(
            (seen.acceleration - 1.0).abs() < 1e-9,
            "half of the true 2/s²: {seen:?}"
        );
        let step = seen.gradient * 15.0;
        assert!(
            (seen.predicted - (seen.now + step + 112.5)).abs() < 1e-6,
            "{seen:?}"
        );
        let turning = window((0..20).map(|i| (i * 1000, 400.0 - ((i * i) as f64))));
        let seen = trend(&turning, 15.0).unwrap();
        assert!(
            seen.predicted <= seen.now,
            "a falling figure is not predicted to rise: {seen:?}"
        );
    }

    #[test]
    fn an_acceleration_never_turns_a_trend_around() {
        let valley = window((0..20).map(|i| (i * 1000, (i as f64 - 12.0).powi(2))));
        let seen = trend(&valley, 60.0).unwrap();
        assert!(seen.gradient < 0.0 && seen.acceleration > 0.5, "{seen:?}");
        assert!(seen.predicted <= seen.now, "{seen:?}");
    }

    #[test]
    fn a_spike_is_not_predicted_beyond_four_times_what_was_seen() {
        let spike = window((0..10).map(|i| (i * 1000, if i < 8 { 1.0 } else { 100.0 })));
        assert!(trend(&spike, 3600.0).unwrap().predicted <= 400.0);
        let falling = window((0..10).map(|i| (i * 1000, 100.0 - 10.0 * i as f64)));
        assert_eq!(trend(&falling, 3600.0).unwrap().predicted, 0.0);
    }

    #[test]
    fn two_points_have_no_slope_and_none_have_no_trend() {
        assert_eq!(
            trend(&window([(0, 1.0), (1000, 9.0)]), 15.0).unwrap().gradient,
            0.0
        );
        assert_eq!(trend(&Window::default(), 15.0), None);
    }
}

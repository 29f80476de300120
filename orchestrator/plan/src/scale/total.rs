//! The sum of several figures over time: requests in flight over all balancers of a cluster.
//!
//! Trends are taken of the sum, not summed: when a balancer joins and takes its share of the traffic, its own figure
//! rises steeply while the total stays what it was. It refuses to know what the figures mean.

use cartridge_protocol::Millis;

use crate::observe::Window;

/// Windows that begin within this of the earliest began together (a restart), not one after another (a burst).
const TOGETHER: Millis = Millis::from_secs(3);
/// Points of the sum lie at least this far apart, so that many balancers do not push history out of the window.
const APART: Millis = Millis(500);

/// At each point of any window the sum of the newest values by then; a window that has not begun counts nothing.
pub(super) fn total(windows: &[&Window]) -> Window {
    let begins = || {
        windows
            .iter()
            .filter_map(|window| window.points().next())
            .map(|(at, _)| at)
    };
    let earliest = begins().min().unwrap_or_default();
    let start = begins()
        .filter(|at| at.since(earliest) <= TOGETHER)
        .max()
        .unwrap_or_default();
    let mut times: Vec<Millis> = windows
        .iter()
        .flat_map(|window| window.points())
        .map(|(at, _)| at)
        .collect();
    times.retain(|at| *at >= start);
    times.sort_unstable();
    times.dedup();
    let newest = times.last().copied();
    let mut sum = Window::default();
    let mut before: Option<Millis> = None;
    // Times ascend: of each window, what lies before the next time, and its value by then.
    let mut walks: Vec<_> = windows
        .iter()
        .map(|window| (window.points().peekable(), 0.0))
        .collect();
    for at in times {
        if before.is_none_or(|before| at.since(before) >= APART) || Some(at) == newest {
            let values = walks.iter_mut().map(|(rest, value)| {
                while let Some((_, newer)) = rest.next_if(|(point, _)| *point <= at) {
                    *value = newer;
                }
                *value
            });
            sum.push(at, values.sum());
            before = Some(at);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(points: impl IntoIterator<Item = (u64, f64)>) -> Window {
        let mut window = Window::default();
        for (at, value) in points {
            window.push(Millis(at), value);
        }
        window
    }

    #[test]
    fn a_balancer_that_takes_its_share_does_not_look_like_growth() {
        let old = window((0..20).map(|i| (i * 1000, if i < 10 { 16.0 } else { 8.0 })));
        let new = window((10..20).map(|i| (i * 1000, 8.0)));
        let sum = total(&[&old, &new]);
        assert!(
            sum.points().all(|(_, value)| (value - 16.0).abs() < 1e-9),
            "{sum:?}"
        );
    }

    #[test]
    fn balancers_that_are_heard_again_one_after_another_do_not_look_like_growth() {
        let first = window((0..10).map(|i| (i * 1000, 5.0)));
        let second = window((0..10).map(|i| (900 + i * 1000, 7.0)));
        let sum = total(&[&first, &second]);
        assert!(
            sum.points().all(|(_, value)| (value - 12.0).abs() < 1e-9),
            "{sum:?}"
        );
    }

    #[test]
    fn nothing_adds_up_to_nothing() {
        assert_eq!(total(&[]).last(), None);
        assert_eq!(total(&[&Window::default()]).last(), None);
    }
}

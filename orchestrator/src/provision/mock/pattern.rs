//! Figures that follow a pattern, and faults that come when their time is there.
//!
//! This file refuses to know whose they are: texts and a time in, figures out.

use std::time::Duration;

/// Most values of one pattern.
const MAX_VALUES: usize = 1000;
/// How long each value holds, unless it is said.
const EACH: Duration = Duration::from_secs(60);

/// What comes after the last value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum After {
    /// It stays.
    #[default]
    Continue,
    /// The first again.
    Loop,
    /// Nothing is measured any more.
    Stop,
}

/// How values follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub each: Duration,
    pub after: After,
}

impl Pace {
    /// From `mock.seconds` and `mock.mode`; what cannot be read counts as absent.
    pub fn read(seconds: Option<&str>, mode: Option<&str>) -> Self {
        let each = seconds.and_then(number).filter(|seconds| *seconds >= 0.001);
        Self {
            each: each
                .and_then(|each| Duration::try_from_secs_f64(each).ok())
                .unwrap_or(EACH),
            after: match mode.map(str::trim) {
                Some("loop") => After::Loop,
                Some("stop") => After::Stop,
                _ => After::Continue,
            },
        }
    }
}

/// A number that is finite and not negative.
pub(super) fn number(text: &str) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// The value of `20,30,40` after so much time; None: nothing is measured. A pattern that cannot be read is `otherwise`.
pub(super) fn value(pattern: Option<&str>, otherwise: f64, pace: Pace, lived: Duration) -> Option<f64> {
    let Some(values) = pattern.and_then(values) else {
        return Some(otherwise);
    };
    let step = lived.as_millis() / pace.each.as_millis().max(1);
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    match pace.after {
        After::Loop => values.get(step % values.len()),
        After::Continue => values.get(step).or(values.last()),
        After::Stop => values.get(step),
    }
    .copied()
}

fn values(text: &str) -> Option<Vec<f64>> {
    let values: Option<Vec<f64>> = text.split(',').take(MAX_VALUES).map(number).collect();
    values.filter(|values| !values.is_empty())
}

/// When a member goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Faults {
    /// Its instance ends.
    pub fails_after: Option<Duration>,
    /// It says nothing any more, and obeys nothing.
    pub hangs_after: Option<Duration>,
    /// It never becomes ready.
    pub never_ready: bool,
}

impl Faults {
    /// From `mock.fails_after`, `mock.hangs_after` and `mock.never_ready`.
    pub fn read(fails: Option<&str>, hangs: Option<&str>, never_ready: Option<&str>) -> Self {
        let after = |text: Option<&str>| {
            let seconds = text.and_then(number)?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        Self {
            fails_after: after(fails),
            hangs_after: after(hangs),
            never_ready: never_ready.is_some_and(|text| text.trim() == "true"),
        }
    }
}

/// Whether faults are for the member with this id: `1,3` names numbers at the end of ids; nothing names all.
pub(super) fn is_faulty(which: Option<&str>, member: &str) -> bool {
    let number = member.rsplit('-').next().unwrap_or_default();
    which.is_none_or(|which| which.split(',').any(|one| one.trim() == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pattern: &str, mode: &str, seconds: u64) -> Option<f64> {
        let pace = Pace::read(Some("10"), Some(mode));
        value(Some(pattern), 7.0, pace, Duration::from_secs(seconds))
    }

    #[test]
    fn values_follow_each_other_and_the_mode_says_what_comes_then() {
        for (mode, after) in [("continue", Some(30.0)), ("loop", Some(10.0)), ("stop", None)] {
            let seen: Vec<_> = [0, 9, 10, 25]
                .map(|seconds| at("10, 20,30", mode, seconds))
                .to_vec();
            assert_eq!(seen, [Some(10.0), Some(10.0), Some(20.0), Some(30.0)], "{mode}");
            assert_eq!(at("10,20,30", mode, 30), after, "{mode}");
        }
        assert_eq!(at("42", "", 1_000_000), Some(42.0));
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_not_there() {
        for bad in ["", "x", "1,,2", "-1", "NaN", "1e999"] {
            assert_eq!(at(bad, "loop", 5), Some(7.0), "{bad:?}");
        }
        assert_eq!(Pace::read(Some("0"), None).each, EACH);
        assert_eq!(Pace::read(Some("1e300"), None).each, EACH);
        assert_eq!(
            Faults::read(Some("soon"), Some("1e300"), Some("yes")),
            Faults::default()
        );
    }

    #[test]
    fn faults_are_for_the_members_that_are_named() {
        assert!(is_faulty(None, "app.web.php.domain-7"));
        assert!(is_faulty(Some("1, 7"), "app.web.php.domain-7"));
        assert!(!is_faulty(Some("1,17"), "app.web.php.domain-7"));
    }
}

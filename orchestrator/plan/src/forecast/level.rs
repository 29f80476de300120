//! Where arrivals stand and where they go: smoothed levels, and trends that are believed as far as they held.
//!
//! It refuses to know what members are. A level is an exponential mean. A trend is the difference of two of them over
//! the difference of their ages, continued to the horizon (the `u·t` of the kinematic rule; the acceleration is left
//! out, at these horizons it is mostly noise). How far a trend is believed, φ, is measured: φ = Σ w·y·x / Σ w·x²,
//! the least-squares slope of what came (y, the change of the load until the horizon) on what the trend had promised
//! (x), weighted by 1/variance, over about a day. A trend that explains nothing has φ = 0, and the forecast falls
//! back to the present.

/// Age in seconds of the level that stands for the present.
const PRESENT: f64 = 15.0;
/// Ages of the levels that the trends compare with it.
const MINUTE: f64 = 75.0;
const MINUTES: f64 = 300.0;
/// How long a high level is remembered in the envelope.
const ENVELOPE: f64 = 300.0;
/// How long the trust in a trend is measured over.
const TRUST: f64 = 86_400.0;
/// Most that a trend is believed.
const MOST_TRUST: f64 = 1.2;
/// A forecast is at least this share of the present.
const LEAST: f64 = 0.3;
/// How long the typical restlessness is measured over.
const RESTLESS: f64 = 3_600.0;

/// The share that the newest value takes in an exponential mean of this age.
pub(super) fn share(step: f64, age: f64) -> f64 {
    1.0 - (-step / age).exp()
}

/// A trend and how far it is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Trust {
    promised: f64,
    kept: f64,
}

impl Trust {
    /// 0: not at all; 1: as it is.
    pub(super) fn factor(&self) -> f64 {
        if self.promised > 0.0 {
            (self.kept / self.promised).clamp(0.0, MOST_TRUST)
        } else {
            0.0
        }
    }

    fn learn(&mut self, promise: f64, change: f64, variance: f64, step: f64) {
        let take = share(step, TRUST);
        self.promised += take * (promise * promise / variance - self.promised);
        self.kept += take * (promise * change / variance - self.kept);
    }
}

/// What a trend said at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Promise {
    level: f64,
    minute: f64,
    minutes: f64,
}

/// Levels and trends of one cluster's arrivals, per second.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels {
    /// The present.
    pub(super) present: f64,
    minute: f64,
    minutes: f64,
    envelope: f64,
    /// Variance of single steps in units of what chance alone gives.
    restless: f64,
    pub(super) minute_trust: Trust,
    pub(super) minutes_trust: Trust,
}

/// Variance of the mean over five seconds of `rate` independent arrivals per second (Poisson), and a fiftieth of a
/// member, squared, so that silence is not certainty. `capacity` is what one member serves per second.
pub(super) fn chance(rate: f64, capacity: f64) -> f64 {
    rate / 5.0 + (0.02 * capacity).powi(2)
}

impl Levels {
    pub(super) fn new(rate: f64) -> Self {
        Self {
            present: rate,
            minute: rate,
            minutes: rate,
            envelope: rate,
            restless: 1.0,
            minute_trust: Trust::default(),
            minutes_trust: Trust::default(),
        }
    }

    /// After silence: the trends start anew, what was learned stays.
    pub(super) fn begin_at(&mut self, rate: f64) {
        (self.present, self.minute, self.minutes) = (rate, rate, rate);
        self.envelope = self.envelope.max(rate);
    }

    /// One step. Answers with the surprise: how far the present lies above the last minute, in typical deviations.
    pub(super) fn observe(&mut self, rate: f64, step: f64, capacity: f64) -> f64 {
        let before = self.present;
        self.present += share(step, PRESENT) * (rate - self.present);
        self.minute += share(step, MINUTE) * (rate - self.minute);
        self.minutes += share(step, MINUTES) * (rate - self.minutes);
        let fading = self.envelope + share(step, ENVELOPE) * (self.present - self.envelope);
        self.envelope = fading.max(self.present);
        let typical = self.minute / 5.0 * self.restless + (0.02 * capacity).powi(2);
        let surprise = (self.present - self.minute) / typical.sqrt();
        let moved = (rate - before).powi(2) / chance(before, capacity);
        self.restless = (self.restless + share(step, RESTLESS) * (moved - self.restless)).max(0.3);
        surprise
    }

    /// What the trends promise for the load in `ahead` seconds.
    pub(super) fn promise(&self, ahead: f64) -> Promise {
        Promise {
            level: self.present,
            minute: (self.present - self.minute) / (MINUTE - PRESENT) * ahead,
            minutes: (self.present - self.minutes) / (MINUTES - PRESENT) * ahead,
        }
    }

    /// Compares an earlier promise with what came.
    pub(super) fn learn(&mut self, promise: &Promise, rate: f64, step: f64, capacity: f64) {
        let (change, variance) = (rate - promise.level, chance(promise.level, capacity));
        self.minute_trust.learn(promise.minute, change, variance, step);
        self.minutes_trust.learn(promise.minutes, change, variance, step);
    }

    /// The load expected at the horizon, by place.
    pub(super) fn expected(&self, place: super::expert::Place, promise: &Promise) -> f64 {
        use super::expert::Place;
        let along = |promised: f64, trust: &Trust| {
            (self.present + trust.factor() * promised).max(LEAST * self.present)
        };
        match place {
            Place::Present => self.present,
            Place::MinuteTrend => along(promise.minute, &self.minute_trust),
            Place::MinutesTrend => along(promise.minutes, &self.minutes_trust),
            Place::Envelope => self.envelope,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::expert::Place;
    use super::*;

    const CAPACITY: f64 = 50.0;

    /// Feeds a series with steps of 5 s, 15 s ahead, and answers with the trust in both trends.
    fn trust(series: impl Iterator<Item = f64>) -> (f64, f64) {
        let mut levels = Levels::new(1_000.0);
        let mut promises = Vec::new();
        for rate in series {
            levels.observe(rate, 5.0, CAPACITY);
            if let Some(promise) = promises
                .len()
                .checked_sub(3)
                .and_then(|at| promises.get(at))
                .copied()
            {
                levels.learn(&promise, rate, 5.0, CAPACITY);
            }
            promises.push(levels.promise(15.0));
        }
        (levels.minute_trust.factor(), levels.minutes_trust.factor())
    }

    #[test]
    fn a_trend_that_holds_is_believed_and_one_that_never_does_is_not() {
        let wave = (0..4_000).map(|t| 1_000.0 + 500.0 * (f64::from(t) / 200.0).sin());
        let (minute, minutes) = trust(wave);
        assert!(minute > 0.7 && minutes > 0.5, "{minute} {minutes}");
        let zigzag = (0..4_000_u32).map(|t| if t % 6 < 3 { 800.0 } else { 1_200.0 });
        let (minute, minutes) = trust(zigzag);
        assert!(minute < 0.2 && minutes < 0.2, "{minute} {minutes}");
    }

    #[test]
    fn a_sudden_rise_is_a_surprise_and_calm_is_none() {
        let mut levels = Levels::new(100.0);
        let calm: Vec<f64> = (0..200).map(|_| levels.observe(100.0, 5.0, CAPACITY)).collect();
        assert!(calm.iter().all(|surprise| surprise.abs() < 0.1));
        assert!(levels.observe(300.0, 5.0, CAPACITY) > 6.0);
    }

    #[test]
    fn what_is_expected_never_falls_below_a_third_of_the_present_nor_the_envelope_below_the_present() {
        let mut levels = Levels::new(5_000.0);
        for rate in (0..60).map(|t| 5_000.0 - 80.0 * f64::from(t)) {
            levels.observe(rate, 5.0, CAPACITY);
        }
        let promise = levels.promise(600.0);
        for place in [
            Place::Present,
            Place::MinuteTrend,
            Place::MinutesTrend,
            Place::Envelope,
        ] {
            assert!(
                levels.expected(place, &promise) >= LEAST * levels.present,
                "{place:?}"
            );
        }
        assert!(levels.expected(Place::Envelope, &promise) >= levels.present);
    }
}

//! How many members the arrivals of later need: what comes within the start delay, not what is here now.
//!
//! A fold: state and one observation per step give the next state; no clock, no randomness, some 10 kB per cluster,
//! a few microseconds per step. This folder refuses to know members, balancers and policies.
//!
//! In each step of a few seconds the state takes in the arrivals per second and compares what was said one horizon
//! ago (start delay and one step: a member asked for now serves then) with what came. Then eight experts
//! (`expert`) say how many members they would want to be ready then, and the one whose sayings cost least lately
//! is believed. What was wanted within five sixths of the start delay is kept: a member that is needed again before
//! its successor could start was better kept, as in the ski-rental problem (Karlin et al. 1988).
//!
//! What moods are for: a load that has just outrun what was ready for it, or jumps, behaves unlike a calm one. So
//! distances are learned for each [`Mood`] apart, and a service with bursts learns how high they go.

mod expert;
mod feed;
mod level;
pub mod queue;
mod service;
mod spread;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::VecDeque;

use expert::{EXPERTS, Expert, Question, Saying};
pub use feed::{Feed, Step};
use level::{Levels, Promise};
use queue::{Limits, Server};
pub use service::ServiceTime;
use spread::BINS;
pub use watch::{Circumstances, Counted, Watch};

/// What a violation costs unless the policy says otherwise: see [`Terms::price`].
pub const PRICE: f64 = 130.0;
/// The price is divided by 1 + start delay / this: a member that is asked for is paid for while it starts.
const SPELL: f64 = 20.0;
/// Most steps between a saying and what came of it.
const MOST_AHEAD: usize = 64;
/// Surprise, in typical deviations, from which a load counts as rising, and from which as bursting.
const RISING: f64 = 6.0;
const BURSTING: f64 = 12.0;
/// How long the mean size is taken over.
const MEAN_SIZE: f64 = 3_600.0;
/// This share of the start delay is how long a higher size is kept.
const KEPT: f64 = 5.0 / 6.0;
/// No service has more arrivals per second: keeps sums finite.
const MOST_RATE: f64 = 1e9;

/// How the load behaves at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mood {
    /// As usual.
    #[default]
    Calm,
    /// Far above the last minute.
    Rising,
    /// More than what was to be ready by now.
    Overrun,
    /// Both.
    Bursting,
}

const MOODS: usize = 4;

impl Mood {
    const fn at(self) -> usize {
        self as usize
    }

    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Rising => "rising",
            Self::Overrun => "more than expected",
            Self::Bursting => "bursting",
        }
    }
}

/// What holds in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// What one member can do, and what is promised.
    pub server: Server,
    /// What one second of violation is worth, in seconds of a cluster of mean size. The one knob: dearer means more
    /// members and fewer violations.
    pub price: f64,
    /// From asking for a member until it serves, seconds.
    pub start_delay: f64,
    /// Seconds since the last step.
    pub step: f64,
    /// Most members that can be had.
    pub most: u32,
}

/// What is expected, and how many members that needs.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// Arrivals per second in the last step.
    pub arrivals: f64,
    /// Smoothed arrivals per second.
    pub level: f64,
    /// Arrivals per second expected at the horizon.
    pub expected: f64,
    /// Arrivals per second to be ready for.
    pub ready_for: f64,
    /// Seconds ahead.
    pub horizon: f64,
    /// Share of the time that more than that is to be expected, as far as was seen.
    pub risk: f64,
    /// Who is believed.
    pub believed: &'static str,
    /// How the load behaves.
    pub mood: Mood,
    /// How far the trends are believed (of the last minute, of the last five), 0 to 1.2.
    pub trust: (f64, f64),
    /// Requests per second that one member serves at most.
    pub capacity: f64,
    /// Members for [`Outlook::ready_for`].
    pub needed: u32,
    /// The highest of them that is kept: what to want.
    pub wanted: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Past {
    promise: Promise,
    mood: Mood,
    needed: u32,
    sayings: [Saying; EXPERTS.len()],
}

/// See above.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecaster {
    edges: [f64; BINS],
    levels: Levels,
    experts: Vec<Expert>,
    limits: Limits,
    past: VecDeque<Past>,
    mean_size: f64,
    outlook: Outlook,
}

impl Forecaster {
    /// Nothing is known but how much arrives now.
    pub fn new(rate: f64, terms: &Terms) -> Self {
        let edges = spread::edges();
        let mut limits = Limits::default();
        limits.serve(&terms.server);
        let rate = bounded(rate).unwrap_or(0.0);
        Self {
            experts: EXPERTS
                .iter()
                .map(|(place, scale, _)| Expert::new(*place, *scale, &edges))
                .collect(),
            edges,
            levels: Levels::new(rate),
            mean_size: f64::from(limits.needed(rate)),
            limits,
            past: VecDeque::new(),
            outlook: Outlook::default(),
        }
    }

    /// The last answer.
    pub fn outlook(&self) -> &Outlook {
        &self.outlook
    }

    /// Nothing was heard for a while: what was said in between cannot be judged, what was learned stays.
    pub fn missed(&mut self, rate: f64) {
        self.past.clear();
        if let Some(rate) = bounded(rate) {
            self.levels.begin_at(rate);
        }
    }

    /// One step. Figures that no service has change nothing.
    pub fn observe(&mut self, rate: f64, terms: &Terms) -> &Outlook {
        let Some(rate) = bounded(rate) else {
            return &self.outlook;
        };
        let terms = &terms.bounded();
        self.limits.serve(&terms.server);
        let capacity = terms.server.capacity();
        let surprise = self.levels.observe(rate, terms.step, capacity);
        let size = f64::from(self.limits.needed(rate));
        self.mean_size += level::share(terms.step, MEAN_SIZE) * (size - self.mean_size);
        let ahead = terms.ahead();
        let mut about = Question {
            edges: &self.edges,
            mood: Mood::Calm,
            capacity,
            price: terms.price / (1.0 + terms.start_delay / SPELL),
            mean: self.mean_size.max(1.0),
            most: terms.most,
        };
        let mut overrun = false;
        if let Some(at) = self.past.len().checked_sub(ahead)
            && let Some(past) = self.past.get(at)
        {
            overrun = rate > self.limits.of(past.needed);
            about.mood = past.mood;
            self.levels.learn(&past.promise, rate, terms.step, capacity);
            for (expert, said) in self.experts.iter_mut().zip(&past.sayings) {
                expert.learn(said, rate, self.limits.of(said.members), terms.step, &about);
            }
        }
        about.mood = mood(surprise, overrun);
        let promise = self.levels.promise(terms.step * ahead as f64);
        let mut sayings = [Saying::default(); EXPERTS.len()];
        for (said, expert) in sayings.iter_mut().zip(&self.experts) {
            *said = expert.say(&self.levels, &promise, &mut self.limits, &about);
        }
        let mood = about.mood;
        self.conclude(rate, terms, promise, sayings, mood);
        &self.outlook
    }

    /// Believes whom it cost least to believe, and keeps what was wanted lately.
    fn conclude(
        &mut self,
        rate: f64,
        terms: &Terms,
        promise: Promise,
        sayings: [Saying; EXPERTS.len()],
        mood: Mood,
    ) {
        let costs = self.experts.iter().map(|expert| expert.cost).enumerate();
        let best = costs.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at);
        let said = sayings[best];
        if self.past.len() == MOST_AHEAD {
            self.past.pop_front();
        }
        self.past.push_back(Past {
            promise,
            mood,
            needed: said.members,
            sayings,
        });
        let kept = self.past.iter().rev().take(terms.kept());
        let wanted = kept.map(|past| past.needed).max().unwrap_or(said.members);
        self.outlook = Outlook {
            arrivals: rate,
            level: self.levels.present,
            expected: said.expected,
            ready_for: said.ready_for,
            horizon: terms.step * terms.ahead() as f64,
            risk: said.risk,
            believed: EXPERTS[best].2,
            mood,
            trust: (
                self.levels.minute_trust.factor(),
                self.levels.minutes_trust.factor(),
            ),
            capacity: terms.server.capacity(),
            needed: said.members,
            wanted,
        };
    }
}

impl Terms {
    /// How long steps are to be for this start delay: short where members start fast, never so short that the
    /// horizon has more than `MOST_AHEAD` of them.
    pub fn step_for(start_delay: f64) -> f64 {
        (start_delay / 6.0).clamp(5.0, 60.0)
    }

    /// Figures that can be computed with.
    fn bounded(&self) -> Self {
        let within = |value: f64, least: f64, most: f64| {
            if value.is_finite() {
                value.clamp(least, most)
            } else {
                least
            }
        };
        Self {
            server: Server {
                workers: self.server.workers.clamp(1, 1_000_000),
                service_seconds: within(self.server.service_seconds, 1e-6, 3_600.0),
                wait_seconds: within(self.server.wait_seconds, 1e-6, 3_600.0),
            },
            price: within(self.price, 0.0, 1e6),
            start_delay: within(self.start_delay, 0.0, 3_600.0),
            step: within(self.step, 1.0, 3_600.0),
            most: self.most.clamp(1, queue::MOST_MEMBERS),
        }
    }

    /// Steps until a member that is asked for now has served for one.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "both are bounded"
    )]
    fn ahead(&self) -> usize {
        ((self.start_delay / self.step).floor() as usize + 1).min(MOST_AHEAD)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "both are bounded"
    )]
    fn kept(&self) -> usize {
        ((KEPT * self.start_delay / self.step).floor() as usize).clamp(1, MOST_AHEAD)
    }
}

fn mood(surprise: f64, overrun: bool) -> Mood {
    match (overrun, surprise) {
        (true, far) if far > BURSTING => Mood::Bursting,
        (true, _) => Mood::Overrun,
        (false, far) if far > RISING => Mood::Rising,
        (false, _) => Mood::Calm,
    }
}

fn bounded(rate: f64) -> Option<f64> {
    (rate.is_finite() && rate >= 0.0).then(|| rate.min(MOST_RATE))
}

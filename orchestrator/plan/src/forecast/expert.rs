//! One way to forecast: a place to expect the load at, and a measure for how far it strays from there.
//!
//! It refuses to know which of them is believed. Each expert keeps, for each mood of the load (see
//! [`super::Mood`]), the distances at which the load of later lay from where it was expected, counted in spreads:
//! b·v, where b is what chance alone gives (or the level itself, for loads whose swings grow with them) and v² the
//! mean squared distance over five minutes, an hour or a day.
//!
//! **How many members** is the newsvendor's question (Edgeworth 1888; Arrow, Harris and Marschak 1951): ask for the
//! n that makes n / n̄ + p · P(load > what n serve) least, where n̄ is the mean size and p the price of a violation.
//! **Whom to believe** is decided by that same cost, as it came out in the past: it is the pinball loss (Koenker and
//! Bassett 1978) of the quantile that the price chose.

use super::level::{Levels, Promise, chance, share};
use super::queue::Limits;
use super::spread::{BINS, Spread};
use super::{MOODS, Mood};

/// Where the load is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it is.
    Present,
    /// Along the trend of the last minute.
    MinuteTrend,
    /// Along the trend of the last five minutes.
    MinutesTrend,
    /// At the slowly fading highest of the last five minutes.
    Envelope,
}

/// What its straying is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Deviations of chance, over five minutes, an hour, a day.
    Chance(Memory),
    /// Shares of the level.
    Level(Memory),
}

/// How far back the mean squared distance reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Minutes,
    Hour,
    Day,
}

/// All that are asked.
pub(super) const EXPERTS: [(Place, Scale, &str); 8] = [
    (Place::Present, Scale::Chance(Memory::Hour), "the present"),
    (
        Place::MinuteTrend,
        Scale::Chance(Memory::Minutes),
        "the minute's trend, restless minutes",
    ),
    (
        Place::MinuteTrend,
        Scale::Chance(Memory::Hour),
        "the minute's trend",
    ),
    (
        Place::MinuteTrend,
        Scale::Chance(Memory::Day),
        "the minute's trend, a day's swings",
    ),
    (
        Place::MinutesTrend,
        Scale::Chance(Memory::Hour),
        "five minutes' trend",
    ),
    (
        Place::MinutesTrend,
        Scale::Chance(Memory::Day),
        "five minutes' trend, a day's swings",
    ),
    (Place::Envelope, Scale::Chance(Memory::Hour), "the recent highest"),
    (
        Place::Present,
        Scale::Level(Memory::Hour),
        "the present, in shares",
    ),
];

/// How long the cost of having believed an expert is remembered.
const COST_MEMORY: f64 = 86_400.0;
/// Part of the deviation that chance adds within one step, on top of what was seen of whole steps.
const WITHIN_STEP: f64 = 0.6;

/// What an expert said at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Saying {
    /// The load that it expected.
    pub(super) expected: f64,
    /// One spread.
    pub(super) spread: f64,
    /// The load that it wanted to be ready for.
    pub(super) ready_for: f64,
    /// Members for that.
    pub(super) members: u32,
    /// Share of the time in which it takes more load than that into account.
    pub(super) risk: f64,
}

/// What a question is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) edges: &'a [f64; BINS],
    pub(super) mood: Mood,
    /// Requests per second that one member serves at most.
    pub(super) capacity: f64,
    /// The price of a violation in sizes: see [`super::Terms::price`].
    pub(super) price: f64,
    /// Mean size.
    pub(super) mean: f64,
    /// Most members that can be had.
    pub(super) most: u32,
}

/// See above.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expert {
    place: Place,
    scale: Scale,
    square: f64,
    strayed: [Spread; MOODS],
    /// What believing it would have cost lately.
    pub(super) cost: f64,
}

impl Expert {
    pub(super) fn new(place: Place, scale: Scale, edges: &[f64; BINS]) -> Self {
        Self {
            place,
            scale,
            square: 1.0,
            strayed: std::array::from_fn(|_| Spread::prior(edges)),
            cost: 0.0,
        }
    }

    /// Compares what it said with what came.
    pub(super) fn learn(&mut self, said: &Saying, came: f64, served: f64, step: f64, about: &Question<'_>) {
        let distance = came - said.expected;
        let squared = (distance / self.unit(said.expected, about.capacity)).powi(2);
        let memory = match self.memory() {
            Memory::Minutes => 300.0,
            Memory::Hour => 3_600.0,
            Memory::Day => 86_400.0,
        };
        self.square += share(step, memory) * (squared - self.square);
        self.strayed[about.mood.at()].observe(distance / said.spread, step, about.edges);
        let violated = if came > served { about.price } else { 0.0 };
        let cost = f64::from(said.members) / about.mean + violated;
        self.cost += share(step, COST_MEMORY) * (cost - self.cost);
    }

    /// How many members, and why.
    pub(super) fn say(
        &self,
        levels: &Levels,
        promise: &Promise,
        limits: &mut Limits,
        about: &Question<'_>,
    ) -> Saying {
        let expected = levels.expected(self.place, promise);
        let spread = self.unit(expected, about.capacity) * self.square.max(self.least()).sqrt();
        let mut best = Saying {
            expected,
            spread,
            ready_for: expected,
            members: about.most,
            risk: 0.0,
        };
        let mut least = f64::INFINITY;
        for (distance, above) in self.strayed[about.mood.at()].tail(about.edges) {
            let risk = about.price * above;
            if risk > least {
                break;
            }
            let load = (expected + distance * spread).max(0.0);
            let ready_for = load + WITHIN_STEP * (load / 5.0).sqrt();
            let members = limits.needed(ready_for);
            let cost = f64::from(members) / about.mean + risk;
            if cost < least {
                least = cost;
                (best.ready_for, best.members, best.risk) = (ready_for, members.min(about.most), above);
            }
        }
        best
    }

    fn memory(&self) -> Memory {
        match self.scale {
            Scale::Chance(memory) | Scale::Level(memory) => memory,
        }
    }

    fn unit(&self, expected: f64, capacity: f64) -> f64 {
        match self.scale {
            Scale::Chance(_) => chance(expected, capacity).sqrt(),
            Scale::Level(_) => expected + 0.1 * capacity,
        }
    }

    fn least(&self) -> f64 {
        match self.scale {
            Scale::Chance(_) => 0.05,
            Scale::Level(_) => 1e-4,
        }
    }
}

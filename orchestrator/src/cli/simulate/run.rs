//! One simulation: arrivals, a cluster, a rule; tick by tick.
//!
//! This file refuses to know how a rule decides. What goes down is paced as the product paces it: of the members that
//! serve, a tenth (but one) may be taken out within a minute (`decide::limits::budget`); for other rules there is no
//! such brake.

use std::collections::VecDeque;

use cartridge_orchestrator_plan::blueprint::AutoscalingPolicy;
use cartridge_orchestrator_plan::decide::limits::{BUDGET_SPAN, budget};
use cartridge_orchestrator_plan::forecast::Terms;
use cartridge_orchestrator_plan::forecast::queue::Limits;

use super::model::{Model, Setting, TICK, Tick, ticks};
use super::pilot::{Pilot, Seen};
use super::rivals::Rival;

/// Who decides.
#[derive(Debug)]
pub enum Rule {
    /// The product, with or without its brake.
    Cartridge(Box<Pilot>, Brake),
    /// Another.
    Rival(Rival),
}

/// Whether members are taken out as slowly as the product does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// As the product does.
    On,
    /// At once.
    Off,
}

/// A change of the wanted size.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Seconds since the beginning.
    pub at: f64,
    /// Members wanted before.
    pub from: u32,
    /// Members wanted from now on.
    pub to: u32,
    /// What asked for most.
    pub factor: &'static str,
    /// One line for people.
    pub reason: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Tick by tick.
    pub ticks: Vec<Tick>,
    /// Fewest members that keep the promise, tick by tick.
    pub needed: Vec<u32>,
    /// In order.
    pub decisions: Vec<Decision>,
}

/// Most decisions kept: a year of one each half minute.
const MAX_DECISIONS: usize = 1 << 20;

/// The product's rule for this policy.
pub fn cartridge(policy: AutoscalingPolicy, setting: &Setting, brake: Brake) -> Rule {
    let pilot = Pilot::new(policy, setting.start_delay, (setting.min.max(1), setting.max));
    Rule::Cartridge(Box::new(pilot), brake)
}

/// Runs it. Begins with what the first start delay needs, so that no rule is judged by what it could not know.
pub fn run(arrivals: &[f64], setting: Setting, mut rule: Rule) -> Outcome {
    let needed = needed(arrivals, &setting);
    let soon = ticks(setting.start_delay) as usize + 4;
    let begin = needed.iter().take(soon).copied().max().unwrap_or(1);
    let begin = match &rule {
        Rule::Rival(Rival::Static(members)) => *members,
        _ => begin,
    };
    let mut model = Model::new(setting, begin);
    let every = match &rule {
        Rule::Cartridge(..) => Terms::step_for(setting.start_delay),
        Rule::Rival(rival) => rival.every(),
    };
    let every = ticks(every).max(1) as usize;
    let mut outcome = Outcome {
        needed,
        ..Outcome::default()
    };
    let mut gone: VecDeque<f64> = VecDeque::new();
    for (number, rate) in arrivals.iter().enumerate() {
        outcome.ticks.push(model.tick(*rate));
        if (number + 1) % every != 0 {
            continue;
        }
        let at = (number + 1) as f64 * TICK;
        let newest = &outcome.ticks[(number + 1).saturating_sub(every.max(18))..];
        let from = model.current();
        let (to, factor, reason, may_go) = match &mut rule {
            Rule::Cartridge(pilot, brake) => {
                let scaling = pilot.decide(&seen(
                    at,
                    &newest[newest.len() - every.min(newest.len())..],
                    &model,
                ));
                let may_go = match brake {
                    Brake::On => left(&mut gone, at, model.ready()),
                    Brake::Off => u32::MAX,
                };
                (scaling.target, scaling.factor.as_str(), scaling.reason, may_go)
            }
            Rule::Rival(rival) => {
                let to = rival.decide(at, newest, from, &setting);
                (to, "rule", String::new(), u32::MAX)
            }
        };
        for _ in 0..model.want(to, may_go) {
            gone.push_back(at);
        }
        let to = model.current();
        if to != from && outcome.decisions.len() < MAX_DECISIONS {
            outcome.decisions.push(Decision {
                at,
                from,
                to,
                factor,
                reason,
            });
        }
    }
    outcome
}

/// What the budget of destruction leaves.
fn left(gone: &mut VecDeque<f64>, at: f64, serving: u32) -> u32 {
    while gone
        .front()
        .is_some_and(|then| *then <= at - BUDGET_SPAN.as_secs_f64())
    {
        gone.pop_front();
    }
    let most = u32::try_from(budget(serving as usize)).unwrap_or(u32::MAX);
    most.saturating_sub(u32::try_from(gone.len()).unwrap_or(u32::MAX))
}

fn needed(arrivals: &[f64], setting: &Setting) -> Vec<u32> {
    let mut limits = Limits::default();
    limits.serve(&setting.server);
    arrivals.iter().map(|rate| limits.needed(*rate)).collect()
}

/// Means since the last decision.
fn seen(at: f64, since: &[Tick], model: &Model) -> Seen {
    let mean = |figure: fn(&Tick) -> f64| since.iter().map(figure).sum::<f64>() / since.len().max(1) as f64;
    Seen {
        at,
        ready: model.ready(),
        starting: model.starting(),
        rate: mean(|tick| tick.rate),
        in_flight: mean(|tick| tick.in_flight),
        load_average: since.last().map_or(0.0, |tick| tick.load_average),
        memory: mean(|tick| tick.memory),
    }
}

/// Member ticks that somebody pays who knows all arrivals beforehand: what is needed, an instance kept through a gap
/// not longer than the start delay, each paid from its launch on.
pub fn clairvoyant(needed: &[u32], start_delay: f64) -> u64 {
    let window = ticks(start_delay) as usize;
    let reversed: Vec<u32> = needed.iter().rev().copied().collect();
    let mut kept = ahead(&reversed, window, u32::max);
    kept.reverse();
    let ready = ahead(&kept, window, u32::min);
    ahead(&ready, window, u32::max).into_iter().map(u64::from).sum()
}

/// The extreme of each value and the next `window`.
fn ahead(values: &[u32], window: usize, extreme: fn(u32, u32) -> u32) -> Vec<u32> {
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut out = vec![0; values.len()];
    for at in (0..values.len()).rev() {
        while queue
            .back()
            .is_some_and(|last| extreme(values[at], values[*last]) == values[at])
        {
            queue.pop_back();
        }
        queue.push_back(at);
        while queue.front().is_some_and(|first| *first > at + window) {
            queue.pop_front();
        }
        out[at] = queue.front().map_or(values[at], |first| values[*first]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_ahead_are_those_that_looking_at_each_gives() {
        let values: Vec<u32> = (0..200_u32).map(|n| n * n % 37).collect();
        for window in [0, 1, 5, 300] {
            for extreme in [u32::max as fn(u32, u32) -> u32, u32::min] {
                let slow: Vec<u32> = (0..values.len())
                    .map(|at| {
                        let end = (at + window + 1).min(values.len());
                        values[at..end].iter().copied().reduce(extreme).unwrap()
                    })
                    .collect();
                assert_eq!(ahead(&values, window, extreme), slow, "{window}");
            }
        }
    }

    #[test]
    fn the_clairvoyant_pays_from_the_launch_and_through_short_gaps() {
        assert_eq!(clairvoyant(&[1, 1, 1, 3, 1, 1], 0.0), 8);
        // One tick of delay: paid one tick before.
        assert_eq!(clairvoyant(&[1, 1, 1, 3, 1, 1], 5.0), 10);
        // The gap of one tick is kept.
        assert_eq!(clairvoyant(&[1, 3, 1, 3, 1, 1, 1], 5.0), 15);
    }
}

//! Other rules to compare with, as their documentation says they work.
//!
//! This file refuses to know the product's own rule. `hpa` is the Kubernetes HorizontalPodAutoscaler v2 with its
//! defaults: 80 % processor use, every 15 s, a tolerance of a tenth, scale-in by the highest of five minutes, at most
//! twice as many or four more at once. `stratos` is the rule of Apache Stratos 4.1 as shipped: every 90 s, requests in
//! flight against 70 % of the workers, load average against 70 %, memory against 80 %, each one second ahead, one
//! member less after three quiet runs. `static` is what the highest demand needs, all the time, known beforehand.

use std::collections::VecDeque;

use super::model::{Setting, Tick};

/// Seconds over which the highest recommendation counts.
const CALM: f64 = 300.0;

/// A rule that looks at what was measured.
#[derive(Clone, Debug)]
pub enum Rival {
    /// Kubernetes.
    Hpa {
        /// When, and how many.
        recommended: VecDeque<(f64, u32)>,
    },
    /// Stratos.
    Stratos {
        /// Runs in a row that needed fewer.
        quiet: u32,
    },
    /// So many.
    Static(u32),
}

impl Rival {
    /// Seconds between decisions.
    pub fn every(&self) -> f64 {
        match self {
            Self::Hpa { .. } => 15.0,
            Self::Stratos { .. } => 90.0,
            Self::Static(_) => 3_600.0,
        }
    }

    /// The size to want. `ticks`: what was measured, newest last, at least since the last decision.
    pub fn decide(&mut self, at: f64, ticks: &[Tick], current: u32, setting: &Setting) -> u32 {
        match self {
            Self::Hpa { recommended } => hpa(recommended, at, ticks, current, setting),
            Self::Stratos { quiet } => stratos(quiet, ticks, current, setting),
            Self::Static(members) => *members,
        }
    }
}

fn hpa(
    recommended: &mut VecDeque<(f64, u32)>,
    at: f64,
    ticks: &[Tick],
    current: u32,
    setting: &Setting,
) -> u32 {
    let newest = &ticks[ticks.len().saturating_sub(3)..];
    let used = newest.iter().map(|tick| tick.utilisation).sum::<f64>() / newest.len().max(1) as f64;
    let ready = newest.last().map_or(current, |tick| tick.ready);
    let ratio = used / 0.8;
    let mut wanted = current;
    if current > ready && ratio > 1.0 {
        // Members under way count as idle on the way up.
        let diluted = ratio * f64::from(ready) / f64::from(current);
        if diluted > 1.1 {
            wanted = whole(diluted * f64::from(current));
        }
    } else if (ratio - 1.0).abs() > 0.1 {
        wanted = whole(ratio * f64::from(ready));
    }
    wanted = wanted.clamp(setting.min, setting.max);
    recommended.push_back((at, wanted));
    while recommended.front().is_some_and(|(then, _)| *then < at - CALM) {
        recommended.pop_front();
    }
    if wanted < current {
        let highest = recommended.iter().map(|(_, members)| *members).max();
        wanted = highest.unwrap_or(wanted).min(current);
    }
    wanted.min((2 * current).max(current + 4))
}

fn stratos(quiet: &mut u32, ticks: &[Tick], current: u32, setting: &Setting) -> u32 {
    let minute = &ticks[ticks.len().saturating_sub(12)..];
    let predicted = |figure: fn(&Tick) -> f64| {
        let mean = minute.iter().map(figure).sum::<f64>() / minute.len().max(1) as f64;
        let (Some(first), Some(last)) = (minute.first(), minute.last()) else {
            return 0.0;
        };
        mean + (figure(last) - figure(first)) / (minute.len() as f64 * super::model::TICK)
    };
    let workers = f64::from(setting.server.workers);
    let least = f64::from(setting.min);
    let requests = whole(predicted(|tick| tick.in_flight) / (0.7 * workers));
    let load = whole(least * predicted(|tick| tick.load_average) / 70.0);
    let memory = predicted(|tick| tick.memory);
    let memory = if memory < 80.0 {
        setting.min.saturating_sub(1)
    } else {
        whole(least + (memory - 80.0) * (f64::from(setting.max) - least) / 20.0)
    };
    let required = requests.max(load).max(memory);
    let ready = minute.last().map_or(current, |tick| tick.ready);
    if ready < required {
        *quiet = 0;
        return required.max(current).min(setting.max);
    }
    if ready > required || required == 1 {
        if current > setting.min && *quiet > 2 {
            return current - 1;
        }
        *quiet += 1;
    }
    current
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of members, clamped"
)]
fn whole(value: f64) -> u32 {
    value.ceil().clamp(0.0, 1e6) as u32
}

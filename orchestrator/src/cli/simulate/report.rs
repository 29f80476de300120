//! What a simulation came to: a summary for people, JSON and CSV for programs.
//!
//! This file refuses to know who decided.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::model::{Setting, TICK};
use super::run::{Outcome, clairvoyant};

/// The figures of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Share of the time in which the promise was broken, percent.
    pub violation: f64,
    /// Share of the requests that were lost, percent.
    pub lost: f64,
    /// Hours of members, those under way included.
    pub hours: f64,
    /// Hours over those of somebody who knows everything beforehand.
    pub of_clairvoyant: f64,
    /// Most members.
    pub most: u32,
    /// Mean members.
    pub mean: f64,
    /// Changes of the size.
    pub changes: usize,
}

impl Summary {
    /// Counts.
    pub fn of(outcome: &Outcome, setting: &Setting) -> Self {
        let ticks = outcome.ticks.len().max(1) as f64;
        let paid: u64 = outcome
            .ticks
            .iter()
            .map(|tick| u64::from(tick.ready + tick.starting))
            .sum();
        let least = clairvoyant(&outcome.needed, setting.start_delay);
        let came: f64 = outcome.ticks.iter().map(|tick| tick.rate * TICK).sum();
        let lost: f64 = outcome.ticks.iter().map(|tick| tick.lost).sum();
        let violated = outcome.ticks.iter().filter(|tick| tick.violated).count();
        Self {
            violation: 100.0 * violated as f64 / ticks,
            lost: 100.0 * lost / came.max(1e-9),
            hours: paid as f64 * TICK / 3_600.0,
            of_clairvoyant: paid as f64 / (least.max(1)) as f64,
            most: outcome
                .ticks
                .iter()
                .map(|tick| tick.ready + tick.starting)
                .max()
                .unwrap_or(0),
            mean: paid as f64 / ticks,
            changes: outcome.decisions.len(),
        }
    }

    /// One object.
    pub fn json(&self, rule: &str) -> Value {
        json!({
            "rule": rule,
            "violationPercent": round(self.violation, 4),
            "lostPercent": round(self.lost, 4),
            "memberHours": round(self.hours, 2),
            "timesClairvoyant": round(self.of_clairvoyant, 4),
            "mostMembers": self.most,
            "meanMembers": round(self.mean, 2),
            "changes": self.changes,
        })
    }

    /// The cells of one row.
    pub fn cells(&self, rule: &str) -> Vec<String> {
        vec![
            rule.to_owned(),
            format!("{:.3} %", self.violation),
            format!("{:.3} %", self.lost),
            format!("{:.1}", self.hours),
            format!("{:.3}", self.of_clairvoyant),
            format!("{:.1}", self.mean),
            self.most.to_string(),
            self.changes.to_string(),
        ]
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// One row per tick.
pub fn csv(outcome: &Outcome) -> String {
    let mut text = String::from("seconds,requests_per_second,needed,ready,starting,in_flight,violation\n");
    for (number, (tick, needed)) in outcome.ticks.iter().zip(&outcome.needed).enumerate() {
        let _ = writeln!(
            text,
            "{},{:.2},{needed},{},{},{:.1},{}",
            number as f64 * TICK,
            tick.rate,
            tick.ready,
            tick.starting,
            tick.in_flight,
            u8::from(tick.violated),
        );
    }
    text
}

//! A run that fails is made as small as it can be and still fail: fewer seconds, fewer faults (delta debugging).

#![allow(dead_code, reason = "two test binaries use parts of it")]

use serde::{Deserialize, Serialize};

use super::run::{Failed, Setting, Twist, run};
use crate::harness::Violation;

/// Most runs spent on it.
const MOST_RUNS: usize = 600;

/// What is saved of a run that failed: as a file below `saved/` it is replayed by a test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// Where it came from: `simple 17`.
    pub found: String,
    /// The planted fault without which it holds; None: it was a fault of the product, and holds since.
    pub planted: Option<String>,
    /// What did not hold.
    pub invariant: String,
    /// What was so, for people.
    pub problem: String,
    #[serde(flatten)]
    pub setting: Setting,
    /// The last entries of the journal, for people.
    #[serde(default)]
    pub journal: Vec<String>,
}

/// A smaller run with the same violation.
pub fn shrink(setting: &Setting, twist: Twist, failed: Failed) -> (Setting, Failed) {
    let mut least = Shrinking {
        setting: setting.clone(),
        failed,
        twist,
        runs: 0,
    };
    least.cut_time();
    least.cut_faults();
    least.cut_time();
    (least.setting, least.failed)
}

struct Shrinking {
    setting: Setting,
    failed: Failed,
    twist: Twist,
    runs: usize,
}

impl Shrinking {
    /// Takes the smaller one if it fails alike.
    fn try_one(&mut self, smaller: Setting) -> bool {
        self.runs += 1;
        if self.runs > MOST_RUNS {
            return false;
        }
        match run(&smaller, self.twist) {
            Err(failed) if same(&failed.violation, &self.failed.violation) => {
                self.setting = smaller;
                self.failed = *failed;
                true
            }
            _ => false,
        }
    }

    /// Nothing after the second in which it failed matters.
    fn cut_time(&mut self) {
        let second = self.failed.second;
        if second >= self.setting.seconds {
            let last = self.setting.faults.last().map_or(1, |injected| injected.at);
            let mut smaller = self.setting.clone();
            smaller.seconds = last.min(smaller.seconds);
            self.try_one(smaller);
            return;
        }
        let mut smaller = self.setting.clone();
        smaller.seconds = second;
        smaller.faults.retain(|injected| injected.at <= second);
        self.try_one(smaller);
    }

    /// Leaves out ever smaller parts of the faults.
    fn cut_faults(&mut self) {
        let mut size = self.setting.faults.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            let mut smaller_once = false;
            while from < self.setting.faults.len() {
                let mut smaller = self.setting.clone();
                let to = (from + size).min(smaller.faults.len());
                smaller.faults.drain(from..to);
                if self.try_one(smaller) {
                    smaller_once = true;
                } else {
                    from = to;
                }
            }
            if size == 1 && !smaller_once {
                return;
            }
            size = if smaller_once {
                size.min(self.setting.faults.len())
            } else {
                size / 2
            };
            if smaller_once && size > 1 {
                size = size.div_ceil(2);
            }
        }
    }
}

fn same(one: &Violation, other: &Violation) -> bool {
    one.invariant == other.invariant
}

/// All that a person needs to understand and keep it.
pub fn report(found: &str, planted: Option<&str>, setting: &Setting, failed: &Failed) -> String {
    let saved = Saved {
        found: found.to_owned(),
        planted: planted.map(str::to_owned),
        invariant: failed.violation.invariant.clone(),
        problem: failed.violation.problem.chars().take(400).collect(),
        setting: setting.clone(),
        journal: failed.journal.clone(),
    };
    format!(
        "{found}: {} (second {})\n{}\nto keep it: save this below orchestrator/plan/tests/simulation/saved/\n{}",
        failed.violation,
        failed.second,
        failed.picture,
        serde_json::to_string_pretty(&saved).unwrap_or_default()
    )
}

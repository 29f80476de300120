//! The life of one plugin's process: started, asked, ended when it misbehaves, started again ever more rarely, left
//! out when that does not help, and tried again once in a while.
//!
//! One enum with data ([`Stage`]) and one total function ([`step`]). Refuses to know what is asked and answered.

use std::collections::VecDeque;

use cartridge_protocol::Millis;
use cartridge_protocol::plugin::Kind;

use super::Fault;
use crate::backoff::doubled;

/// A process that ran this long begins anew with short pauses.
const STEADY: Millis = Millis(60_000);
/// First pause before it is started again.
const FIRST_PAUSE: Millis = Millis(200);
/// Longest such pause.
const LONGEST_PAUSE: Millis = Millis(10_000);
/// The time in which faults are counted.
const FAULT_WINDOW: Millis = Millis(600_000);
/// How long one that was left out is left alone.
const SLOW_RETRY: Millis = Millis(900_000);

/// What is fixed for one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Time to say who it is.
    pub describe_within: Millis,
    /// Faults within ten minutes after which it is left out; none: it is started again for ever.
    pub most_faults: Option<usize>,
}

impl Rules {
    /// For a plugin that its member can do without.
    pub const DISPENSABLE: Self = Self {
        describe_within: Millis(5_000),
        most_faults: Some(6),
    };
    /// For one that is what its member is there for.
    pub const INDISPENSABLE: Self = Self {
        most_faults: None,
        ..Self::DISPENSABLE
    };
}

/// Where a plugin stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No process; the next one is started then.
    Resting {
        /// When.
        at: Millis,
        /// Why there is none, for people.
        why: String,
    },
    /// It was started, and asked who it is.
    Describing {
        /// When patience ends.
        until: Millis,
    },
    /// It waits for a question.
    Ready,
    /// It was asked something.
    Asked {
        /// What.
        asked: &'static str,
        /// When it was.
        since: Millis,
        /// When patience ends.
        until: Millis,
    },
    /// No process, after too many faults or one that lasts.
    LeftOut {
        /// When it is tried again.
        until: Millis,
        /// Why, for people.
        why: String,
    },
    /// Over for good.
    Over,
}

/// One plugin's process so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// Where it stands.
    pub stage: Stage,
    /// When the process was started.
    began: Millis,
    /// When it was at fault lately.
    faults: VecDeque<Millis>,
    /// Starts since it last ran for long.
    tries: u32,
    /// This process is a last try before it is left out again.
    on_probation: bool,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Somebody wants to ask it.
    Wanted {
        /// What.
        asked: &'static str,
        /// How long the answer may take.
        within: Millis,
    },
    /// It said who it is, and is of use.
    Described {
        /// Its own name.
        name: String,
        /// What it is.
        kind: Kind,
    },
    /// It answered what it was asked.
    Answered,
    /// It is at fault.
    Failed(Fault),
    /// The agent ends.
    Stop,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the process and ask who it is.
    Start,
    /// Put the question that was wanted.
    Ask,
    /// The question that was wanted, or is under way, gets no answer, and why.
    Refuse(String),
    /// End the process and all of its group at once.
    Kill,
    /// End it in order: close its input, ask, force.
    End,
    /// Tell everybody whom it concerns.
    Tell(Change),
}

/// What others have to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It answers from now on.
    Ready {
        /// Its own name.
        name: String,
        /// What it is.
        kind: Kind,
    },
    /// It does not, and is started again.
    Down {
        /// Why, for people.
        why: String,
        /// In how long.
        again_in: Millis,
    },
    /// It does not, and is left out.
    LeftOut {
        /// Why, for people.
        why: String,
        /// In how long it is tried again.
        again_in: Millis,
    },
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready { kind, .. } => write!(f, "serves as {kind}"),
            Self::Down { why, again_in } => write!(f, "{why}; it is started again in {again_in}"),
            Self::LeftOut { why, again_in } => {
                write!(
                    f,
                    "{why}; it is left out, and tried again in {} minutes",
                    again_in.0 / 60_000
                )
            }
        }
    }
}

impl Upkeep {
    /// One that is to be started at once.
    pub fn new() -> Self {
        Self {
            stage: Stage::Resting {
                at: Millis::ZERO,
                why: "is not started yet".to_owned(),
            },
            began: Millis::ZERO,
            faults: VecDeque::new(),
            tries: 0,
            on_probation: false,
        }
    }

    /// When [`Event::Tick`] is due.
    pub const fn due(&self) -> Option<Millis> {
        match &self.stage {
            Stage::Resting { at, .. } => Some(*at),
            Stage::Describing { until } | Stage::Asked { until, .. } | Stage::LeftOut { until, .. } => {
                Some(*until)
            }
            Stage::Ready | Stage::Over => None,
        }
    }

    /// Whether a question would be answered at once, with a refusal at least. Otherwise it has to wait: something is
    /// under way that has its own deadline.
    pub const fn takes_questions(&self) -> bool {
        !matches!(self.stage, Stage::Describing { .. } | Stage::Asked { .. })
    }

    /// What it was asked and has not answered.
    pub const fn asked(&self) -> Option<&'static str> {
        match &self.stage {
            Stage::Describing { .. } => Some("describe"),
            Stage::Asked { asked, .. } => Some(asked),
            _ => None,
        }
    }
}

impl Default for Upkeep {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes of a plugin when `event` happens at `now`, and what is to be done about it.
pub fn step(mut keep: Upkeep, event: Event, now: Millis, rules: &Rules) -> (Upkeep, Vec<Action>) {
    let actions = match event {
        Event::Tick => keep.tick(now, rules),
        Event::Wanted { asked, within } => keep.wanted(asked, within, now),
        Event::Described { name, kind } => keep.described(name, kind),
        Event::Answered => keep.answered(),
        Event::Failed(fault) => keep.failed(&fault, now, rules),
        Event::Stop => keep.stop(),
    };
    (keep, actions)
}

impl Upkeep {
    fn tick(&mut self, now: Millis, rules: &Rules) -> Vec<Action> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        match &self.stage {
            Stage::Resting { .. } => self.start(now, rules),
            Stage::LeftOut { .. } => {
                self.on_probation = true;
                self.start(now, rules)
            }
            Stage::Describing { .. } => {
                let fault = hangs("describe", rules.describe_within);
                self.failed(&fault, now, rules)
            }
            Stage::Asked { asked, since, until } => {
                let fault = hangs(asked, until.since(*since));
                self.failed(&fault, now, rules)
            }
            Stage::Ready | Stage::Over => Vec::new(),
        }
    }

    fn start(&mut self, now: Millis, rules: &Rules) -> Vec<Action> {
        self.began = now;
        self.stage = Stage::Describing {
            until: now.plus(rules.describe_within),
        };
        vec![Action::Start]
    }

    fn wanted(&mut self, asked: &'static str, within: Millis, now: Millis) -> Vec<Action> {
        let refusal = match &self.stage {
            Stage::Ready => {
                self.stage = Stage::Asked {
                    asked,
                    since: now,
                    until: now.plus(within),
                };
                return vec![Action::Ask];
            }
            Stage::Resting { why, .. } => format!("it {why}"),
            Stage::LeftOut { why, .. } => format!("it {why}, and is left out"),
            // Whoever wants to ask waits for these; see `takes_questions`.
            Stage::Describing { .. } => "it has not said yet who it is".to_owned(),
            Stage::Asked { asked, .. } => format!("it has not answered {asked} yet"),
            Stage::Over => "the agent ends".to_owned(),
        };
        vec![Action::Refuse(refusal)]
    }

    fn described(&mut self, name: String, kind: Kind) -> Vec<Action> {
        match self.stage {
            Stage::Describing { .. } => {
                self.stage = Stage::Ready;
                vec![Action::Tell(Change::Ready { name, kind })]
            }
            _ => Vec::new(),
        }
    }

    fn answered(&mut self) -> Vec<Action> {
        if let Stage::Asked { .. } = self.stage {
            self.stage = Stage::Ready;
        }
        Vec::new()
    }

    fn failed(&mut self, fault: &Fault, now: Millis, rules: &Rules) -> Vec<Action> {
        let mut actions = match self.stage {
            // There is no process: it is about one that was ended already.
            Stage::Resting { .. } | Stage::LeftOut { .. } | Stage::Over => return Vec::new(),
            Stage::Asked { .. } => vec![Action::Kill, Action::Refuse(format!("it {fault}"))],
            Stage::Describing { .. } | Stage::Ready => vec![Action::Kill],
        };
        if now.since(self.began) >= STEADY {
            self.tries = 0;
            self.on_probation = false;
        }
        self.faults.retain(|at| now.since(*at) < FAULT_WINDOW);
        self.faults.push_back(now);
        let too_many = |most: usize| self.faults.len() >= most || self.on_probation || fault.lasts();
        let why = fault.to_string();
        actions.push(Action::Tell(if rules.most_faults.is_some_and(too_many) {
            self.faults.clear();
            self.tries = 0;
            self.stage = Stage::LeftOut {
                until: now.plus(SLOW_RETRY),
                why: why.clone(),
            };
            Change::LeftOut {
                why,
                again_in: SLOW_RETRY,
            }
        } else {
            // Without a most, nobody looks at more than the newest.
            self.faults.truncate(rules.most_faults.unwrap_or(1));
            let again_in = doubled(FIRST_PAUSE, LONGEST_PAUSE, self.tries);
            self.tries = self.tries.saturating_add(1);
            self.stage = Stage::Resting {
                at: now.plus(again_in),
                why: why.clone(),
            };
            Change::Down { why, again_in }
        }));
        actions
    }

    fn stop(&mut self) -> Vec<Action> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Resting { .. } | Stage::LeftOut { .. } | Stage::Over => Vec::new(),
            Stage::Describing { .. } | Stage::Ready => vec![Action::End],
            Stage::Asked { .. } => vec![Action::Refuse("the agent ends".to_owned()), Action::End],
        }
    }
}

fn hangs(asked: &'static str, had: Millis) -> Fault {
    Fault::Hangs {
        asked,
        seconds: had.0.div_ceil(1000),
    }
}

#[cfg(test)]
mod tests;

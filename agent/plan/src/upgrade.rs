//! The agent's own upgrade: from an offer to a new agent that has proved itself, or back.
//!
//! One enum with data ([`Stage`]) and one total function ([`Upgrade::step`]); it goes on in the new process where the
//! old one left it. Refuses to know about files, signatures and processes; results come back as events.

mod offer;
mod record;
#[cfg(test)]
mod tests;

use cartridge_protocol::Millis;
use serde::{Deserialize, Serialize};

pub use offer::{Keys, MOST_BYTES, MOST_OFFER_BYTES, Offer, Refusal, Statement, Version};
pub use record::{Boot, Booted, Record, Slot, Tried};

/// Time for a rehearsal: a start, a look at everything, and a knock at the orchestrator's door.
pub const REHEARSAL: Millis = Millis(20_000);
/// Longest wait for an instant at which nothing is under way.
pub const PATIENCE: Millis = Millis(600_000);
/// Where the orchestrator was out of reach before, so long it is waited for all the same.
pub const ALONE: Millis = Millis(10_000);
/// Turns of the loop that a new agent must have made.
const LEAST_TURNS: u32 = 3;

/// Where an upgrade stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// None is under way.
    Idle,
    /// A binary is copied, and held against its statement.
    Checking,
    /// The new binary runs beside this one, looks at everything, and changes nothing.
    Rehearsing(Slot),
    /// It may begin as soon as nothing else is under way.
    Waiting {
        /// What may.
        slot: Slot,
        /// When it is given up.
        until: Millis,
    },
    /// What is about to happen is written down.
    Writing(Slot),
    /// This process is about to become the new agent.
    Switching(Slot),
    /// This process is the new agent, and has to prove itself.
    Trial(Trial),
    /// It has; that is written down.
    Confirming(Slot),
    /// It has not; this process is about to become the old agent again.
    Returning {
        /// What did not prove itself.
        slot: Slot,
        /// Why.
        reason: String,
    },
}

/// A new agent that has to prove itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What it is.
    pub slot: Slot,
    /// Since when.
    pub since: Millis,
    /// The time that it has.
    pub within: Millis,
    /// What was so before, and must be so again.
    pub before: Before,
    /// Turns of the loop so far.
    turns: u32,
    /// The orchestrator has taken something from it.
    acknowledged: bool,
    /// The application has answered its probe.
    answered: bool,
}

/// What the agent before has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The application answered.
    pub active: bool,
    /// The orchestrator was reached.
    pub reachable: bool,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody offers a binary.
    Offered,
    /// It was held against its statement.
    Checked(Result<Slot, String>),
    /// It was rehearsed.
    Rehearsed(Result<(), String>),
    /// What was to be written down is, or cannot be.
    Written(Result<(), String>),
    /// This process could not become the other agent.
    Stayed(String),
    /// Something has begun meanwhile.
    Moved,
    /// The orchestrator has taken a batch.
    Acknowledged,
    /// The application has answered its probe.
    Answered,
    /// The loop has turned.
    Turned(Turn),
    /// The member ends.
    Ends,
}

/// A turn of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Nothing is under way that another agent could not go on with.
    pub quiet: bool,
}

/// What is to be done. Everything is begun, nothing waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Copy what is offered and hold it against its statement; answered by [`Event::Checked`].
    Check,
    /// Run it beside this agent; answered by [`Event::Rehearsed`].
    Rehearse(Slot),
    /// Write down that it is about to begin; answered by [`Event::Written`].
    Intend(Slot),
    /// Become it; answered by [`Event::Stayed`] where that fails.
    Become(Slot),
    /// Write down that it has proved itself; answered by [`Event::Written`]. The way back is not needed any more.
    Confirm(Slot),
    /// Write down that it has not, and become the agent before.
    Return(Slot, String),
    /// Forget what was copied, and that it was about to begin. The reason is remembered where the binary is to blame.
    Discard(Slot, Option<String>),
    /// Tell who has offered it, and the timeline.
    Tell(Result<String, String>),
}

/// An upgrade, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Where it stands.
    pub stage: Stage,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self { stage: Stage::Idle }
    }
}

impl Upgrade {
    /// This process is a new agent, since now.
    pub fn on_trial(slot: Slot, before: Before, now: Millis, within: Millis) -> Self {
        Self {
            stage: Stage::Trial(Trial {
                slot,
                since: now,
                within,
                before,
                turns: 0,
                acknowledged: false,
                answered: false,
            }),
        }
    }

    /// When a turn of the loop is needed for it.
    pub fn due(&self) -> Option<Millis> {
        match &self.stage {
            Stage::Waiting { until, .. } => Some(*until),
            Stage::Trial(trial) if !trial.before.reachable && trial.since_alone().is_some() => {
                trial.since_alone()
            }
            Stage::Trial(trial) => Some(trial.since.plus(trial.within)),
            _ => None,
        }
    }

    /// Whether this process is a new agent that may have to go again.
    pub fn is_on_trial(&self) -> bool {
        matches!(self.stage, Stage::Trial(_) | Stage::Confirming(_))
    }

    /// For people; nothing where nothing is under way.
    pub fn words(&self) -> Option<String> {
        let of = |what: &str, slot: &Slot| Some(format!("{what} {}", slot.version));
        match &self.stage {
            Stage::Idle => None,
            Stage::Checking => Some("checks what is offered".to_owned()),
            Stage::Rehearsing(slot) => of("rehearses", slot),
            Stage::Waiting { slot, .. } => of("waits for a quiet instant to become", slot),
            Stage::Writing(slot) | Stage::Switching(slot) => of("becomes", slot),
            Stage::Trial(trial) => of("is on trial as", &trial.slot),
            Stage::Confirming(slot) => of("has proved itself as", slot),
            Stage::Returning { slot, reason } => Some(format!("returns from {}: {reason}", slot.version)),
        }
    }

    /// What becomes of it, and what is to be done.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Action> {
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        let (stage, actions) = next(stage, event, now);
        self.stage = stage;
        actions
    }
}

fn next(stage: Stage, event: Event, now: Millis) -> (Stage, Vec<Action>) {
    match (stage, event) {
        (Stage::Idle, Event::Offered) => (Stage::Checking, vec![Action::Check]),
        (busy, Event::Offered) => {
            let why = "another upgrade is under way".to_owned();
            (busy, vec![Action::Tell(Err(why))])
        }
        (Stage::Checking, Event::Checked(Ok(slot))) => {
            (Stage::Rehearsing(slot.clone()), vec![Action::Rehearse(slot)])
        }
        (Stage::Checking, Event::Checked(Err(why))) => (Stage::Idle, vec![Action::Tell(Err(why))]),
        (Stage::Rehearsing(slot), Event::Rehearsed(Ok(()))) => {
            let until = now.plus(PATIENCE);
            (Stage::Waiting { slot, until }, Vec::new())
        }
        (Stage::Rehearsing(slot), Event::Rehearsed(Err(why))) => {
            let why = format!("{} was not taken: its rehearsal failed: {why}", slot.version);
            discarded(slot, Some(why.clone()), why)
        }
        (Stage::Waiting { slot, .. }, Event::Turned(turn)) if turn.quiet => {
            (Stage::Writing(slot.clone()), vec![Action::Intend(slot)])
        }
        (Stage::Waiting { slot, until }, Event::Turned(_)) if until <= now => {
            let why = format!("{} was not taken: the member never stood still", slot.version);
            discarded(slot, None, why)
        }
        (Stage::Writing(slot), Event::Written(Ok(()))) => {
            (Stage::Switching(slot.clone()), vec![Action::Become(slot)])
        }
        (Stage::Writing(slot), Event::Written(Err(why))) => {
            let why = format!("{} was not taken: it cannot be written down: {why}", slot.version);
            discarded(slot, None, why)
        }
        (Stage::Switching(slot), Event::Stayed(why)) => {
            let why = format!("{} was not taken: it cannot be begun: {why}", slot.version);
            discarded(slot, Some(why.clone()), why)
        }
        (Stage::Switching(slot), Event::Moved) => {
            let until = now.plus(PATIENCE);
            (Stage::Waiting { slot, until }, Vec::new())
        }
        (Stage::Trial(trial), event) => trial.step(event, now),
        // Should that not be written down, it has to prove itself once more after the next start.
        (Stage::Confirming(slot), Event::Written(_)) => {
            let text = format!("the agent is {} now", slot.version);
            (Stage::Idle, vec![Action::Tell(Ok(text))])
        }
        (Stage::Returning { slot, reason }, Event::Stayed(why)) => {
            let text = format!(
                "{} stays, because nothing else can be begun: {why}; {reason}",
                slot.version
            );
            (Stage::Idle, vec![Action::Tell(Err(text))])
        }
        // A member that ends needs no other agent.
        (Stage::Rehearsing(slot) | Stage::Waiting { slot, .. } | Stage::Writing(slot), Event::Ends) => {
            let why = format!("{} was not taken: the member ends", slot.version);
            discarded(slot, None, why)
        }
        (Stage::Checking, Event::Ends) => {
            let why = "nothing was taken: the member ends".to_owned();
            (Stage::Idle, vec![Action::Tell(Err(why))])
        }
        // What was begun for a stage that is over has nothing to say any more.
        (stage, _) => (stage, Vec::new()),
    }
}

fn discarded(slot: Slot, blame: Option<String>, why: String) -> (Stage, Vec<Action>) {
    (
        Stage::Idle,
        vec![Action::Discard(slot, blame), Action::Tell(Err(why))],
    )
}

impl Trial {
    fn step(mut self, event: Event, now: Millis) -> (Stage, Vec<Action>) {
        match event {
            Event::Acknowledged => self.acknowledged = true,
            Event::Answered => self.answered = true,
            Event::Turned(_) => self.turns = self.turns.saturating_add(1),
            // It is as good as any other to end a member.
            Event::Ends => return self.confirmed(),
            _ => return (Stage::Trial(self), Vec::new()),
        }
        if self.is_proven(now) {
            return self.confirmed();
        }
        if now < self.since.plus(self.within) {
            return (Stage::Trial(self), Vec::new());
        }
        let reason = self.missing();
        let action = Action::Return(self.slot.clone(), reason.clone());
        let slot = self.slot;
        (Stage::Returning { slot, reason }, vec![action])
    }

    fn confirmed(self) -> (Stage, Vec<Action>) {
        let action = Action::Confirm(self.slot.clone());
        (Stage::Confirming(self.slot), vec![action])
    }

    fn is_proven(&self, now: Millis) -> bool {
        let heard = self.acknowledged || !self.before.reachable && now >= self.alone();
        let serves = self.answered || !self.before.active;
        self.turns >= LEAST_TURNS && heard && serves
    }

    /// When it may be proven without the orchestrator, if that is still ahead.
    fn since_alone(&self) -> Option<Millis> {
        (!self.acknowledged && (self.answered || !self.before.active)).then(|| self.alone())
    }

    fn alone(&self) -> Millis {
        self.since.plus(Millis(self.within.0 / 2).min(ALONE))
    }

    fn missing(&self) -> String {
        let mut missing = Vec::new();
        if self.turns < LEAST_TURNS {
            missing.push("its loop did not turn");
        }
        if !self.acknowledged && self.before.reachable {
            missing.push("the orchestrator took nothing from it");
        }
        if !self.answered && self.before.active {
            missing.push("it did not see the application answer");
        }
        let missing = missing.join(", ");
        format!(
            "{} did not prove itself within {}: {missing}",
            self.slot.version, self.within
        )
    }
}

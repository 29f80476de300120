//! A provisioner that is slow, fails, loses answers after it acted, and lists what was, or a part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cartridge_orchestrator_plan::answer::{Ensured, Outcome, StepEnded};
use cartridge_orchestrator_plan::listed::{Found, Past, Verdict};
use cartridge_orchestrator_plan::step::{MemberSpec, Step};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{MemberId, Millis};

use super::Chance;
use super::agent::Agent;

/// Between two lists.
const AGAIN: Millis = Millis::from_secs(60);
/// For one call.
const PATIENCE: Millis = Millis::from_secs(60);
/// Before a removal that failed is tried again.
const PAUSE: Millis = Millis::from_secs(5);

/// How bad it is, per mille and milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    pub fails: u64,
    pub loses_answer: u64,
    pub slow_ms: u64,
    pub removal_fails: u64,
    pub list_ms: u64,
    pub list_lacks: u64,
    /// It cannot be reached at all.
    pub apart: bool,
}

/// An instance that no record planned.
#[derive(Clone, Debug)]
pub struct Stranger {
    pub began: Millis,
    /// It carries our tag.
    pub ours: bool,
}

#[derive(Clone, Debug)]
struct Job {
    done: Millis,
    step: Step,
    /// What to answer, if it acted already.
    acted: Option<Outcome>,
}

/// See above.
#[derive(Clone, Debug, Default)]
pub struct Provisioner {
    under_way: BTreeMap<MemberId, Job>,
    paused: BTreeMap<MemberId, Millis>,
    past: Past,
    next_list: Millis,
    /// A list that is being made, and when it arrives.
    listing: Option<(Millis, Vec<Found>)>,
    pub strangers: BTreeMap<MemberId, Stranger>,
    /// Lives that it was told to make, by member: there must be one (S4).
    pub lives: BTreeMap<MemberId, BTreeSet<u64>>,
    /// What it was told to remove and is none of ours (S5).
    pub harmed: Vec<MemberId>,
    pub timed_out: u64,
}

impl Provisioner {
    /// Begins what is outstanding, one operation per member at a time; true where it begins.
    pub fn begin(&mut self, step: Step, now: Millis, trouble: Trouble, chance: &mut Chance) -> bool {
        let member = match &step {
            Step::Ensure(spec) => spec.member.clone(),
            Step::Remove { member, .. } => member.clone(),
        };
        let paused = self.paused.get(&member).is_some_and(|until| now < *until);
        if paused || self.under_way.contains_key(&member) {
            return false;
        }
        let done = now.plus(Millis(200 + chance.below(1 + trouble.slow_ms)));
        let acted = None;
        self.under_way.insert(member, Job { done, step, acted });
        true
    }

    /// Acts on the instances, and answers.
    pub fn finish(
        &mut self,
        now: Millis,
        trouble: Trouble,
        agents: &mut BTreeMap<MemberId, Agent>,
        chance: &mut Chance,
    ) -> Vec<StepEnded> {
        let due: Vec<MemberId> = self
            .under_way
            .iter()
            .filter(|(_, job)| job.done <= now)
            .map(|(member, _)| member.clone())
            .collect();
        let mut answers = Vec::new();
        for member in due {
            let Some(mut job) = self.under_way.remove(&member) else {
                continue;
            };
            let outcome = match job.acted.take() {
                Some(outcome) => outcome,
                None => {
                    let outcome = self.act(&job.step, now, trouble, agents, chance);
                    let lost = trouble.apart || chance.per_mille(trouble.loses_answer);
                    if lost {
                        // It happened or it did not; whoever waits learns only that the time is out.
                        self.timed_out += 1;
                        job.done = now.plus(PATIENCE);
                        job.acted = Some(unknown(&job.step));
                        self.under_way.insert(member, job);
                        continue;
                    }
                    outcome
                }
            };
            if matches!(outcome, Outcome::RemoveFailed(_)) {
                self.paused.insert(member.clone(), now.plus(PAUSE));
            }
            let incarnation = life(&job.step);
            answers.push(StepEnded {
                member,
                incarnation,
                outcome,
            });
        }
        answers
    }

    fn act(
        &mut self,
        step: &Step,
        now: Millis,
        trouble: Trouble,
        agents: &mut BTreeMap<MemberId, Agent>,
        chance: &mut Chance,
    ) -> Outcome {
        if trouble.apart {
            return unknown(step);
        }
        match step {
            Step::Ensure(_) if chance.per_mille(trouble.fails) => Outcome::EnsureFailed("no capacity".into()),
            Step::Ensure(spec) => self.make(spec, now, agents, chance),
            Step::Remove { .. } if chance.per_mille(trouble.removal_fails) => {
                Outcome::RemoveFailed("it is busy".into())
            }
            Step::Remove { member, .. } => {
                agents.remove(member);
                Outcome::Removed
            }
        }
    }

    /// The same one however often it is asked for.
    fn make(
        &mut self,
        spec: &MemberSpec,
        now: Millis,
        agents: &mut BTreeMap<MemberId, Agent>,
        chance: &mut Chance,
    ) -> Outcome {
        let lives = self.lives.entry(spec.member.clone()).or_default();
        lives.insert(spec.incarnation);
        let boots = now.plus(Millis(500 + chance.below(2000)));
        let seed = chance.next();
        agents
            .entry(spec.member.clone())
            .or_insert_with(|| Agent::new(spec, boots, seed));
        Outcome::Ensured(Ensured {
            instance: format!("i-{}", spec.member),
            address: spec.address,
            ports: spec.ports.clone(),
        })
    }

    /// A list, once it is there; what is not listed yet is asked for once a minute.
    pub fn list(
        &mut self,
        world: &World,
        now: Millis,
        trouble: Trouble,
        agents: &BTreeMap<MemberId, Agent>,
        chance: &mut Chance,
    ) -> Option<Verdict> {
        if self.listing.is_none() && now >= self.next_list {
            self.next_list = now.plus(AGAIN);
            if trouble.apart {
                // A list that cannot be had proves nothing.
                self.past.begun();
                return None;
            }
            let found = self.found(now, agents, trouble, chance);
            self.listing = Some((now.plus(Millis(chance.below(1 + trouble.list_ms))), found));
        }
        let (_, found) = self.listing.take_if(|(at, _)| *at <= now)?;
        let verdict = self.past.judge(world, "process", &found, now);
        self.past.begun();
        Some(verdict)
    }

    fn found(
        &self,
        now: Millis,
        agents: &BTreeMap<MemberId, Agent>,
        trouble: Trouble,
        chance: &mut Chance,
    ) -> Vec<Found> {
        let age = |began: Millis| Some(Duration::from_millis(now.since(began).0));
        let own = agents.values().map(|agent| Found {
            member: agent.member.clone(),
            incarnation: agent.incarnation,
            running: !agent.exited,
            age: age(agent.made),
        });
        let ours = self.strangers.iter().filter(|(_, stranger)| stranger.ours);
        let strange = ours.map(|(member, stranger)| Found {
            member: member.clone(),
            incarnation: 1,
            running: true,
            age: age(stranger.began),
        });
        let mut all: Vec<Found> = own.chain(strange).collect();
        all.retain(|_| !chance.per_mille(trouble.list_lacks));
        all
    }

    /// Removes what a list showed to be left over.
    pub fn reap(&mut self, member: &MemberId, now: Millis, agents: &mut BTreeMap<MemberId, Agent>) {
        agents.remove(member);
        let Some(stranger) = self.strangers.remove(member) else {
            return;
        };
        if !stranger.ours || now.since(stranger.began) < Millis::from_secs(600) {
            self.harmed.push(member.clone());
        }
    }

    /// The orchestrator's process ends: what was under way is forgotten, and may happen all the same; instances live on.
    pub fn crash(&mut self) {
        self.under_way.clear();
        self.paused.clear();
        self.past = Past::default();
        self.next_list = Millis::ZERO;
        self.listing = None;
    }

    /// The same, where half of what was under way happens unattended.
    pub fn crash_while(&mut self, now: Millis, agents: &mut BTreeMap<MemberId, Agent>, chance: &mut Chance) {
        let steps: Vec<Step> = self.under_way.values().map(|job| job.step.clone()).collect();
        self.crash();
        for step in steps {
            if chance.per_mille(500) {
                _ = self.act(&step, now, Trouble::default(), agents, chance);
            }
        }
    }
}

fn life(step: &Step) -> u64 {
    match step {
        Step::Ensure(spec) => spec.incarnation,
        Step::Remove { incarnation, .. } => *incarnation,
    }
}

fn unknown(step: &Step) -> Outcome {
    let reason = "no answer within 60 s".to_owned();
    match step {
        Step::Ensure(_) => Outcome::EnsureFailed(reason),
        Step::Remove { .. } => Outcome::RemoveFailed(reason),
    }
}

//! A provisioner that is slow, fails, and loses answers after it acted.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::step::{MemberSpec, Step};
use cartridge_protocol::{MemberId, Millis};

use super::Chance;
use super::agent::Agent;

/// How bad it is, per mille and milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    pub fails: u64,
    pub loses_answer: u64,
    pub slow_ms: u64,
}

/// See above.
#[derive(Clone, Debug, Default)]
pub struct Provisioner {
    under_way: BTreeMap<MemberId, (Millis, Step)>,
    attempts: BTreeMap<MemberId, u32>,
}

impl Provisioner {
    /// Begins what is outstanding, one operation per member at a time.
    pub fn begin(&mut self, steps: Vec<Step>, now: Millis, trouble: Trouble, chance: &mut Chance) {
        for step in steps {
            let member = match &step {
                Step::Ensure(spec) => spec.member.clone(),
                Step::Remove { member, .. } => member.clone(),
            };
            let done = now.plus(Millis(200 + chance.below(1 + trouble.slow_ms)));
            self.under_way.entry(member).or_insert((done, step));
        }
    }

    /// Acts on the instances, and answers.
    pub fn finish(
        &mut self,
        now: Millis,
        trouble: Trouble,
        agents: &mut BTreeMap<MemberId, Agent>,
        chance: &mut Chance,
    ) -> Vec<Record> {
        let due: Vec<MemberId> = self
            .under_way
            .iter()
            .filter(|(_, (done, _))| *done <= now)
            .map(|(member, _)| member.clone())
            .collect();
        let mut answers = Vec::new();
        for member in due {
            let Some((_, step)) = self.under_way.remove(&member) else {
                continue;
            };
            let answer = match step {
                Step::Ensure(spec) => self.ensure(&spec, now, trouble, agents, chance),
                Step::Remove { incarnation, .. } => {
                    agents.remove(&member);
                    Some(Record::MemberRemoved { member, incarnation })
                }
            };
            answers.extend(answer.filter(|_| !chance.per_mille(trouble.loses_answer)));
        }
        answers
    }

    fn ensure(
        &mut self,
        spec: &MemberSpec,
        now: Millis,
        trouble: Trouble,
        agents: &mut BTreeMap<MemberId, Agent>,
        chance: &mut Chance,
    ) -> Option<Record> {
        let (member, incarnation) = (spec.member.clone(), spec.incarnation);
        if chance.per_mille(trouble.fails) {
            let attempt = self.attempts.entry(member.clone()).or_default();
            *attempt += 1;
            return Some(Record::MemberEnsureFailed {
                member,
                incarnation,
                attempt: *attempt,
                reason: "no capacity".into(),
            });
        }
        let boots = now.plus(Millis(500 + chance.below(2000)));
        agents
            .entry(member.clone())
            .or_insert_with(|| Agent::new(spec, boots, chance.next()));
        let address: IpAddr = spec.address;
        Some(Record::MemberEnsured {
            instance: format!("i-{member}"),
            member,
            incarnation,
            address,
            ports: spec.ports.clone(),
        })
    }

    /// Its process ends: what was under way is forgotten; instances live on.
    pub fn crash(&mut self) {
        self.under_way.clear();
    }
}

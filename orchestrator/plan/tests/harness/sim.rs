//! One second after the other: network, provisioner, agents, orchestrator, faults.

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::desired::desired;
use cartridge_orchestrator_plan::outstanding::outstanding;
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::MemberPhase;
use cartridge_protocol::link::{Desired, Phase};
use cartridge_protocol::{MemberId, Millis};

use super::Chance;
use super::agent::{Agent, Repository};
use super::fixture::{self, Shape};
use super::orchestrator::{Orchestrator, Said};
use super::provisioner::{Provisioner, Trouble};

/// What can go wrong, per mille and second unless named otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub provisioner: Trouble,
    pub message_lost: u64,
    pub delay_ms: u64,
    pub instance_dies: u64,
    pub exit_notice_lost: u64,
    pub agent_pauses: u64,
    pub orchestrator_crashes: u64,
    pub netsplit: u64,
    pub demand_changes: u64,
    pub new_commit: u64,
    pub bad_commit: u64,
    /// A person orders something.
    pub orders: u64,
}

/// See above.
#[derive(Clone, Debug)]
pub struct Sim {
    pub now: Millis,
    pub orchestrator: Orchestrator,
    pub agents: BTreeMap<MemberId, Agent>,
    pub provisioner: Provisioner,
    pub repository: Repository,
    /// Requests in flight of the cluster.
    pub demand: f64,
    pub faults: Faults,
    pub chance: Chance,
    /// No agent reaches the orchestrator until then.
    pub split: Millis,
    /// The orchestrator is down until then.
    pub down: Millis,
    up: Vec<(Millis, Said)>,
    lines: Vec<(Millis, MemberId, Desired)>,
    notices: Vec<(Millis, MemberId)>,
    /// Every member that the journal planned.
    pub planned: std::collections::BTreeSet<MemberId>,
    /// When each member was taken out.
    pub drained: BTreeMap<MemberId, Millis>,
    commits: u64,
}

impl Sim {
    /// An installation with the application deployed.
    pub fn new(shape: &Shape, seed: u64) -> Self {
        let mut sim = Self {
            now: Millis(1000),
            orchestrator: Orchestrator::default(),
            agents: BTreeMap::new(),
            provisioner: Provisioner::default(),
            repository: Repository::default(),
            demand: 0.0,
            faults: Faults::default(),
            chance: Chance::new(seed),
            split: Millis::ZERO,
            down: Millis::ZERO,
            up: Vec::new(),
            lines: Vec::new(),
            notices: Vec::new(),
            planned: std::collections::BTreeSet::new(),
            drained: BTreeMap::new(),
            commits: 1,
        };
        sim.repository.head = Some(fixture::commit(1));
        sim.orchestrator.seen.began = sim.now;
        for record in fixture::records(shape) {
            assert!(sim.orchestrator.append(record.clone(), sim.now), "{record:?}");
        }
        sim
    }

    /// An order by a person.
    pub fn order(&mut self, record: Record) {
        let fits = self.orchestrator.world.fits(&record);
        assert!(
            self.orchestrator.append(record.clone(), self.now),
            "{record:?}: {fits:?}"
        );
    }

    pub fn seconds(&mut self, count: u64) {
        for _ in 0..count {
            self.second();
        }
    }

    /// Lives on until it is so; panics after `most` seconds.
    pub fn until(&mut self, what: &str, most: u64, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..most {
            if is_so(self) {
                return;
            }
            self.second();
        }
        assert!(is_so(self), "{what}: not so after {most} s\n{}", self.picture());
    }

    pub fn second(&mut self) {
        self.now = self.now.plus(Millis(1000));
        self.strike();
        self.live_agents();
        if self.now < self.down {
            return;
        }
        self.receive();
        self.decide();
        self.send();
    }

    fn live_agents(&mut self) {
        let balancers = self
            .agents
            .values()
            .filter(|agent| agent.balancer && agent.runs(self.now))
            .count();
        let share = self.demand / balancers.max(1) as f64;
        let reachable = self.now >= self.split && self.now >= self.down;
        let mut said = Vec::new();
        for agent in self.agents.values_mut().filter(|agent| agent.runs(self.now)) {
            if !agent.joined {
                if !reachable {
                    continue;
                }
                match self
                    .orchestrator
                    .join(&agent.member, agent.incarnation, &agent.credential, self.now)
                {
                    Some(desired) => {
                        agent.joined = true;
                        agent.take(desired);
                    }
                    None => agent.exited = true,
                }
            }
            agent.live(self.now, &self.repository);
            if agent.joined && !agent.exited {
                said.extend(agent.say(share, self.now));
            }
        }
        for said in said {
            let lost = self.chance.per_mille(self.faults.message_lost);
            let delay = self.chance.below(1 + self.faults.delay_ms);
            if reachable && !lost {
                self.up.push((self.now.plus(Millis(delay)), said));
            } else if let Some(agent) = self.agents.get_mut(&said.member) {
                // Nobody answered it: it says it again.
                agent.told = None;
            }
        }
    }

    fn receive(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.up)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.up = later;
        for (_, said) in due {
            let welcome = self.orchestrator.hear(&said, now);
            let over = !welcome || said.status.phase == Phase::Stopped;
            if let Some(agent) = self.agents.get_mut(&said.member).filter(|_| over) {
                agent.exited = true;
                self.notices.push((now.plus(Millis(500)), said.member));
            }
        }
        let answers =
            self.provisioner
                .finish(now, self.faults.provisioner, &mut self.agents, &mut self.chance);
        for answer in answers {
            self.orchestrator.append(answer, now);
        }
        if (now.0 / 1000).is_multiple_of(20) {
            // The provisioner's complete list.
            let dead = self.agents.values().filter(|agent| agent.exited);
            dead.for_each(|agent| self.orchestrator.gone(&agent.member, now));
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.notices)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.notices = later;
        for (_, member) in due {
            if !self.chance.per_mille(self.faults.exit_notice_lost) {
                self.orchestrator.gone(&member, now);
            }
        }
    }

    fn decide(&mut self) {
        let now = self.now;
        let records = self.orchestrator.pass(now);
        self.orchestrator.seen.forget(&self.orchestrator.world);
        for record in &records {
            if let Record::MemberDraining { member, .. } = record {
                self.drained.insert(member.clone(), now);
            }
            if let Record::MemberPlanned { member, .. } = record {
                self.planned.insert(member.clone());
            }
        }
        let steps = outstanding(&self.orchestrator.world, now);
        self.provisioner
            .begin(steps, now, self.faults.provisioner, &mut self.chance);
    }

    fn send(&mut self) {
        let now = self.now;
        if now >= self.split {
            let members: Vec<MemberId> = self
                .agents
                .values()
                .filter(|a| a.joined)
                .map(|a| a.member.clone())
                .collect();
            for member in members {
                let delay = self.chance.below(1 + self.faults.delay_ms);
                let lost = self.chance.per_mille(self.faults.message_lost);
                if let Some(desired) = desired(&self.orchestrator.world, &member).filter(|_| !lost) {
                    self.lines.push((now.plus(Millis(delay)), member, desired));
                }
            }
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.lines)
            .into_iter()
            .partition(|(at, ..)| *at <= now);
        self.lines = later;
        for (_, member, desired) in due {
            if let Some(agent) = self.agents.get_mut(&member).filter(|agent| agent.runs(now)) {
                agent.take(desired);
            }
        }
    }

    /// Faults.
    fn strike(&mut self) {
        let faults = self.faults;
        let victims: Vec<MemberId> = self.agents.keys().cloned().collect();
        for member in victims {
            if self.chance.per_mille(faults.instance_dies) {
                self.kill(&member);
            }
            if self.chance.per_mille(faults.agent_pauses)
                && let Some(agent) = self.agents.get_mut(&member)
            {
                agent.paused = self.now.plus(Millis(1000 * (1 + self.chance.below(30))));
            }
        }
        if self.chance.per_mille(faults.netsplit) {
            self.split = self.now.plus(Millis(1000 * (1 + self.chance.below(60))));
        }
        if self.chance.per_mille(faults.orchestrator_crashes) && self.now >= self.down {
            self.crash_orchestrator();
        }
        if self.chance.per_mille(faults.demand_changes) {
            self.demand = self.chance.below(90) as f64;
        }
        if self.chance.per_mille(faults.new_commit) {
            let bad = self.chance.per_mille(faults.bad_commit);
            self.push_commit(bad);
        }
        if self.chance.per_mille(faults.orders) && self.now >= self.down {
            self.meddle();
        }
    }

    /// An order that a person could give now.
    fn meddle(&mut self) {
        let by = "anna".to_owned();
        let web = self.orchestrator.world.clusters.get(&fixture::cluster());
        let members: Vec<MemberId> = web.into_iter().flat_map(|web| &web.members).cloned().collect();
        let cluster = fixture::cluster();
        let record = match self.chance.below(6) {
            0 => Record::ClusterSizeOrdered {
                cluster,
                size: Some(self.chance.below(8) as u32),
                by,
            },
            1 => Record::ClusterSizeOrdered {
                cluster,
                size: None,
                by,
            },
            2 if !members.is_empty() => Record::MemberDraining {
                member: members[self.chance.below(members.len() as u64) as usize].clone(),
                incarnation: 1,
                reason: "ordered by anna".into(),
            },
            3 => Record::AutomationPaused {
                by,
                reason: "maintenance".into(),
            },
            4 => Record::ApplicationUndeploying {
                application: fixture::app(),
                force: self.chance.per_mille(300),
            },
            _ => Record::AutomationResumed { by },
        };
        self.orchestrator.append(record.clone(), self.now);
        if let Record::MemberDraining { member, .. } = record {
            self.drained.entry(member).or_insert(self.now);
        }
        self.redeploy();
    }

    /// Runs again what was stopped.
    pub fn redeploy(&mut self) {
        let again = Record::ApplicationDeployed {
            application: fixture::app(),
            policy: fixture::policy("where"),
        };
        self.orchestrator.append(again, self.now);
    }

    /// A person lets automation work again, and runs what was stopped.
    pub fn set_right(&mut self) {
        let by = "anna".to_owned();
        let cluster = fixture::cluster();
        self.orchestrator
            .append(Record::AutomationResumed { by: by.clone() }, self.now);
        let free = Record::ClusterSizeOrdered {
            cluster,
            size: None,
            by,
        };
        self.orchestrator.append(free, self.now);
    }

    /// Somebody pushes.
    pub fn push_commit(&mut self, bad: bool) {
        self.commits += 1;
        let commit = fixture::commit(self.commits);
        if bad {
            self.repository.bad.push(commit.clone());
        }
        self.repository.head = Some(commit);
    }

    /// Its instance ends; the provisioner notices a little later, or not at all.
    pub fn kill(&mut self, member: &MemberId) {
        if let Some(agent) = self.agents.get_mut(member).filter(|agent| !agent.exited) {
            agent.exited = true;
            self.notices.push((self.now.plus(Millis(500)), member.clone()));
        }
    }

    /// Dies at whatever point it is, and is back a little later with what the journal says.
    pub fn crash_orchestrator(&mut self) {
        self.down = self.now.plus(Millis(1000 * self.chance.below(20)));
        let back = self.down.max(self.now);
        self.provisioner.crash();
        self.up.clear();
        self.orchestrator.crash(back);
    }

    /// Members of the cluster by phase name.
    pub fn active(&self) -> usize {
        let world = &self.orchestrator.world;
        let of = |cluster: &cartridge_protocol::ClusterId| *cluster == fixture::cluster();
        world
            .members
            .values()
            .filter(|member| of(&member.cluster) && member.phase == MemberPhase::Active)
            .count()
    }

    /// For failure messages.
    pub fn picture(&self) -> String {
        let world = &self.orchestrator.world;
        let mut text = format!("at {}\n", self.now);
        for member in world.members.values() {
            text.push_str(&format!(
                "  {} {:?} since {} release {:?}\n",
                member.id,
                member.phase,
                member.since,
                member.release.as_ref().map(|c| c.short())
            ));
        }
        for cluster in world.clusters.values() {
            text.push_str(&format!(
                "  {} {:?}\n    {:?}\n",
                cluster.id, cluster.instances, cluster.release
            ));
        }
        for agent in self.agents.values() {
            text.push_str(&format!(
                "  agent {} exited {} {:?}\n",
                agent.member, agent.exited, agent.status
            ));
        }
        for report in &self.orchestrator.last.report.clusters {
            text.push_str(&format!("  {report:?}\n"));
        }
        text
    }
}

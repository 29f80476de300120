//! One second after the other: network, provisioner, agents, orchestrator, faults.

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::desired::desired;
use cartridge_orchestrator_plan::outstanding::outstanding;
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::step::Step;
use cartridge_orchestrator_plan::world::MemberPhase;
use cartridge_protocol::link::{Desired, Phase};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{MemberId, Millis};

use super::agent::{Agent, Repository};
use super::disk::Point;
use super::faults::Fault;
use super::fixture::{self, Shape};
use super::network::{Network, Said, Weather};
use super::orchestrator::{By, Dead, Heard, Held, Orchestrator};
use super::provisioner::{Provisioner, Trouble};
use super::truth::Tally;
use super::witness::Witness;
use super::{Chance, Holds, ShellBug, Violation, demand, tenants};

/// What is wrong all the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub provisioner: Trouble,
    pub message_lost: u64,
    pub delay_ms: u64,
    pub doubled: u64,
    pub exit_notice_lost: u64,
}

/// See above.
#[derive(Clone, Debug)]
pub struct Sim {
    pub shape: Shape,
    pub now: Millis,
    pub began: Millis,
    pub orchestrator: Orchestrator,
    pub agents: BTreeMap<MemberId, Agent>,
    pub provisioner: Provisioner,
    pub network: Network,
    pub repository: Repository,
    /// Those of tenants.
    pub tenants: BTreeMap<TenantId, Repository>,
    /// Requests in flight of the cluster.
    pub demand: f64,
    pub faults: Faults,
    /// Faults that last, and until when.
    pub windows: Vec<(Millis, Fault)>,
    pub chance: Chance,
    /// No agent reaches the orchestrator until then.
    pub split: Millis,
    /// The orchestrator is down until then.
    pub down: Millis,
    notices: Vec<(Millis, MemberId)>,
    /// When each member was taken out.
    pub drained: BTreeMap<MemberId, Millis>,
    pub tally: Tally,
    pub bug: Option<ShellBug>,
    /// An orchestrator that was overtaken, and what it was about to write and to say.
    overtaken: Option<(Held, Vec<(MemberId, Desired)>)>,
    pub(super) commits: u64,
}

impl Sim {
    /// An installation with the application deployed.
    pub fn new(shape: &Shape, seed: u64) -> Self {
        Self::at(shape, seed, Millis(1000), 0)
    }

    /// The same, where clocks show something else.
    pub fn at(shape: &Shape, seed: u64, now: Millis, wall_ms: u64) -> Self {
        let mut sim = Self {
            shape: shape.clone(),
            now,
            began: now,
            orchestrator: Orchestrator::default(),
            agents: BTreeMap::new(),
            provisioner: Provisioner::default(),
            network: Network::default(),
            repository: Repository::default(),
            tenants: if shape.shared {
                tenants::repositories()
            } else {
                BTreeMap::new()
            },
            demand: 0.0,
            faults: Faults::default(),
            windows: Vec::new(),
            chance: Chance::new(seed),
            split: Millis::ZERO,
            down: Millis::ZERO,
            notices: Vec::new(),
            drained: BTreeMap::new(),
            tally: Tally::default(),
            bug: None,
            overtaken: None,
            commits: 1,
        };
        sim.repository.head = Some(fixture::commit(1));
        sim.orchestrator.wall_ms = wall_ms;
        sim.orchestrator.witness = Some(Box::default());
        sim.witness().starts_again(now);
        sim.orchestrator.seen.began = now;
        for record in fixture::records(shape) {
            assert!(sim.orchestrator.append(record.clone(), now), "{record:?}");
        }
        sim
    }

    pub fn witness(&mut self) -> &mut Witness {
        self.orchestrator
            .witness
            .as_mut()
            .expect("there is one from the beginning")
    }

    pub const fn commits(&self) -> u64 {
        self.commits
    }

    /// An order by a person.
    pub fn order(&mut self, record: Record) {
        let fits = self.orchestrator.world.fits(&record);
        assert!(fits.is_ok(), "{record:?}: {fits:?}");
        let done = self.orchestrator.commit(vec![record], By::Person, self.now);
        assert!(done.is_ok(), "nothing kills it in a story");
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
        if let Err(violation) = self.step() {
            panic!("{violation}\n{}", self.picture());
        }
    }

    /// One second; Err: a plan that the second reader refuses, or a state that no journal may have.
    pub fn step(&mut self) -> Holds {
        self.now = self.now.plus(Millis(1000));
        self.orchestrator.wall_ms += 1000;
        if self.bug == Some(ShellBug::LostFsync) && (self.now.0 / 1000).is_multiple_of(7) {
            self.orchestrator.disk.flush();
        }
        self.windows.retain(|(until, _)| self.now < *until);
        if self.works().is_err() {
            self.fall();
        }
        self.live_agents()?;
        if self.now >= self.down {
            self.overtaken_goes_on();
            match self.work() {
                Ok(()) => {}
                Err(Ok(Dead)) => return self.fall_with_reason(),
                Err(Err(violation)) => return Err(violation),
            }
        }
        self.carry_down();
        Ok(())
    }

    /// It dies at last, although nothing was written where it should have died.
    fn works(&self) -> Result<(), Dead> {
        match self.orchestrator.dies {
            Some(death) if death.at == Point::Idle && self.now >= self.down => Err(Dead),
            _ => Ok(()),
        }
    }

    fn work(&mut self) -> Result<(), Result<Dead, Violation>> {
        self.receive().map_err(Ok)?;
        self.look().map_err(Ok)?;
        self.decide()?;
        self.begin()?;
        self.send();
        Ok(())
    }

    fn live_agents(&mut self) -> Holds {
        let now = self.now;
        let running = self.agents.values().filter(|agent| agent.runs(now));
        let (balancers, others) = running.fold((0, 0), |(balancers, others), agent| {
            let balancer = usize::from(agent.balancer);
            (balancers + balancer, others + 1 - balancer)
        });
        let share = self.demand / balancers.max(1) as f64;
        let load = self.demand * 5.0 / others.max(1) as f64;
        let up = now >= self.split && now >= self.down;
        let weather = self.weather();
        let mut died = false;
        for agent in self.agents.values_mut().filter(|agent| agent.runs(now)) {
            let reachable = up && now >= agent.cut_up && !died;
            if !agent.joined {
                if !reachable {
                    continue;
                }
                match self
                    .orchestrator
                    .join(&agent.member, agent.incarnation, &agent.credential, now)
                {
                    Ok(Some(desired)) => {
                        agent.joined = true;
                        agent.take(desired);
                    }
                    Ok(None) => agent.exited = true,
                    Err(Dead) => {
                        died = true;
                        continue;
                    }
                }
            }
            agent.live(now, &self.repository, &self.tenants);
            if agent.joined
                && !agent.exited
                && let Some(said) = agent.say(share, load, now)
                && !(reachable && self.network.say(said, now, weather, &mut self.chance))
            {
                // Nobody answered it: it says it again.
                agent.told = None;
            }
        }
        if died { self.fall_with_reason() } else { Ok(()) }
    }

    fn receive(&mut self) -> Result<(), Dead> {
        let now = self.now;
        for (_, said) in self.network.heard(now) {
            let (member, stopped) = (said.member.clone(), said.batch.status.phase == Phase::Stopped);
            self.note_honest(&said);
            let over = self.orchestrator.hear(said, now) == Heard::Over || stopped;
            if let Some(agent) = self.agents.get_mut(&member).filter(|_| over) {
                agent.exited = true;
                self.notices.push((now.plus(Millis(500)), member));
            }
        }
        let trouble = self.trouble();
        if self.bug.is_some() {
            self.agents.values_mut().for_each(|agent| agent.bug = self.bug);
        }
        let answers = self
            .provisioner
            .finish(now, trouble, &mut self.agents, &mut self.chance);
        for answer in answers {
            self.orchestrator.step_ended(answer, now)?;
        }
        Ok(())
    }

    fn note_honest(&mut self, said: &Said) {
        if let Some(honest) = said.honest {
            let now = self.now;
            self.tally
                .honest
                .entry(said.member.clone())
                .or_default()
                .push((now, honest));
        }
    }

    /// What provisioners notice, and list.
    fn look(&mut self) -> Result<(), Dead> {
        let (now, trouble) = (self.now, self.trouble());
        let world = &self.orchestrator.world;
        let verdict = self
            .provisioner
            .list(world, now, trouble, &self.agents, &mut self.chance);
        if let Some(verdict) = verdict {
            verdict
                .missing
                .iter()
                .for_each(|(member, _)| self.orchestrator.missing(member, now));
            for (member, _) in verdict.remove {
                self.provisioner.reap(&member, now, &mut self.agents);
            }
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.notices)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.notices = later;
        for (_, member) in due {
            let lost = self.exit_notices_lost();
            if !trouble.apart && !self.chance.per_mille(lost) {
                self.orchestrator.gone(&member, now);
            }
        }
        Ok(())
    }

    fn decide(&mut self) -> Result<(), Result<Dead, Violation>> {
        let now = self.now;
        if self.bug == Some(ShellBug::EffectBeforeRecord) {
            self.begin_early();
        }
        let records = self.orchestrator.try_pass(now, &self.shape)?;
        for record in &records {
            if let Record::MemberDraining { member, .. } = record {
                self.drained.insert(member.clone(), now);
            }
        }
        Ok(())
    }

    /// What follows from the records; it may die on the way.
    fn begin(&mut self) -> Result<(), Result<Dead, Violation>> {
        let (now, trouble) = (self.now, self.trouble());
        let steps = outstanding(&self.orchestrator.world, now);
        let dying = |death: &super::orchestrator::Death| death.at == Point::DuringEffects && death.skip == 0;
        let dies = self.orchestrator.dies.is_some_and(|death| dying(&death)) && !steps.is_empty();
        let most = if dies { steps.len() / 2 } else { steps.len() };
        for step in steps.into_iter().take(most) {
            self.intended(&step).map_err(Err)?;
            self.provisioner.begin(step, now, trouble, &mut self.chance);
        }
        if dies { Err(Ok(Dead)) } else { Ok(()) }
    }

    /// S3: what is begun follows from what is durable.
    fn intended(&self, step: &Step) -> Holds {
        let member = match step {
            Step::Ensure(spec) => &spec.member,
            Step::Remove { member, .. } => member,
        };
        let known = self.orchestrator.world.members.get(member);
        let durable = known.is_some_and(|known| known.revision <= self.orchestrator.disk.flushed());
        demand(durable, "S3 intent first", || {
            format!("{member} is acted on, and no durable record says so")
        })
    }

    /// The planted fault of a shell that acts on what is not written yet.
    fn begin_early(&mut self) {
        let mut ahead = self.orchestrator.clone();
        ahead.dies = None;
        if ahead.try_pass(self.now, &self.shape).is_ok() {
            let (now, trouble) = (self.now, self.trouble());
            for step in outstanding(&ahead.world, now) {
                if let Err(violation) = self.intended(&step) {
                    self.witness().accuse(&violation.invariant, violation.problem);
                }
                self.provisioner.begin(step, now, trouble, &mut self.chance);
            }
        }
    }

    fn send(&mut self) {
        let now = self.now;
        if now < self.split {
            return;
        }
        let seq = self.orchestrator.world.seq;
        let behind = |agent: &&Agent| agent.joined && now >= agent.cut_down && agent.told_of != Some(seq);
        let members: Vec<MemberId> = self
            .agents
            .values()
            .filter(behind)
            .map(|a| a.member.clone())
            .collect();
        let weather = self.weather();
        for member in members {
            let told = match desired(&self.orchestrator.world, &member) {
                Some(desired) => {
                    let member = member.clone();
                    self.network.tell(member, desired, now, weather, &mut self.chance)
                }
                None => true,
            };
            if let Some(agent) = self.agents.get_mut(&member).filter(|_| told) {
                agent.told_of = Some(seq);
            }
        }
    }

    fn carry_down(&mut self) {
        let now = self.now;
        for (member, desired) in self.network.told(now) {
            let Some(agent) = self.agents.get_mut(&member) else {
                continue;
            };
            if agent.runs(now) && now >= agent.cut_down && !agent.exited {
                agent.take(desired);
            } else {
                agent.told_of = None; // Its line broke: it asks again.
            }
        }
    }

    pub(super) fn weather(&self) -> Weather {
        let mut weather = Weather {
            lost: self.faults.message_lost,
            delay_ms: self.faults.delay_ms,
            doubled: self.faults.doubled,
        };
        for (_, fault) in &self.windows {
            match fault {
                Fault::Loss { per_mille, .. } => weather.lost = weather.lost.max(*per_mille),
                Fault::Delay { ms, .. } => weather.delay_ms = weather.delay_ms.max(*ms),
                Fault::Doubling { per_mille, .. } => weather.doubled = weather.doubled.max(*per_mille),
                _ => {}
            }
        }
        weather
    }

    /// Dies at whatever point it is; Err: what it knows afterwards cannot be.
    fn fall_with_reason(&mut self) -> Holds {
        let death = self.orchestrator.dies;
        self.tally.add("crashed", 1);
        self.down = self
            .now
            .plus(Millis(1000 * death.map_or(0, |death| death.seconds)));
        if death.is_some_and(|death| death.overtaken) {
            self.keep_overtaken();
        }
        self.provisioner
            .crash_while(self.now, &mut self.agents, &mut self.chance);
        self.network.deaf();
        self.agents.values_mut().for_each(|agent| agent.told_of = None);
        self.orchestrator.recover(self.down.max(self.now))
    }

    pub(super) fn fall(&mut self) {
        if let Err(violation) = self.fall_with_reason() {
            self.witness().accuse(&violation.invariant, violation.problem);
        }
    }

    fn keep_overtaken(&mut self) {
        let world = &self.orchestrator.world;
        let orders = self
            .agents
            .keys()
            .filter_map(|id| Some((id.clone(), desired(world, id)?)))
            .collect();
        if let Some(held) = self.orchestrator.held.clone() {
            self.overtaken = Some((held, orders));
        }
    }

    /// It was held up, another one took over, and now it goes on: its write must be refused, its words ignored (S10).
    fn overtaken_goes_on(&mut self) {
        let Some((held, orders)) = self.overtaken.take() else {
            return;
        };
        if self.orchestrator.disk.append(held.after, &held.batch) {
            let problem = format!(
                "entries after {} were written by one that was replaced",
                held.after
            );
            self.witness().accuse("S10 fencing", problem);
        }
        let mut weather = self.weather();
        weather.delay_ms = weather.delay_ms.max(5000);
        for (member, desired) in orders {
            self.network
                .tell(member, desired, self.now, weather, &mut self.chance);
        }
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

    /// Dies between two passes, and is back a little later with what the journal says.
    pub fn crash_orchestrator(&mut self) {
        self.down = self.now.plus(Millis(1000 * self.chance.below(20)));
        let back = self.down.max(self.now);
        self.provisioner.crash();
        self.network.deaf();
        self.agents.values_mut().for_each(|agent| agent.told_of = None);
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
}

//! The product's decisions in the thinnest of shells: a journal on a simulated disk, one writer, which may die at any
//! point of a write.

use cartridge_orchestrator_plan::answer::{self, Joining, Outcome, StepEnded};
use cartridge_orchestrator_plan::check::check;
use cartridge_orchestrator_plan::decide::{Planned, Scope, View, decide};
use cartridge_orchestrator_plan::desired::desired;
use cartridge_orchestrator_plan::observe::{InstanceObservation, Observations};
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::{Departed, MemberPhase, World};
use cartridge_protocol::link::Desired;
use cartridge_protocol::{MemberId, Millis};

use super::disk::{Disk, Point};
use super::fixture::Shape;
use super::neighbour;
use super::network::Said;
use super::witness::Witness;
use super::{Violation, broken};

/// The process is gone: whoever called it gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead;

/// Whose records these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Somebody ordered it.
    Person,
    /// It happened.
    Fact,
    /// It was decided.
    Plan,
}

/// When it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    pub at: Point,
    /// Writes that still succeed before.
    pub skip: u64,
    pub seconds: u64,
    /// It is not dead, but held up, and writes on later (S10).
    pub overtaken: bool,
}

/// What it was about to write.
#[derive(Clone, Debug)]
pub struct Held {
    pub after: u64,
    pub batch: Vec<Entry>,
}

/// See above.
#[derive(Clone, Debug, Default)]
pub struct Orchestrator {
    pub journal: Vec<Entry>,
    pub times: Vec<Millis>,
    pub world: World,
    pub seen: Observations,
    pub last: Planned,
    pub disk: Disk,
    pub dies: Option<Death>,
    /// What it was writing when it died.
    pub held: Option<Held>,
    /// The last entry whose writer was told that it is durable.
    pub acknowledged: u64,
    /// Whether the second reader may refuse plans; without it, what it would refuse happens.
    pub unread: bool,
    /// What the second reader would have refused.
    pub refused: Option<Violation>,
    pub wall_ms: u64,
    pub witness: Option<Box<Witness>>,
}

/// What comes of a member's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// They were taken in.
    Yes,
    /// This life of it is over (410).
    Over,
    /// Not its credential (401).
    Unknown,
}

impl Orchestrator {
    /// Journals a fact; false: it came too late and is dropped.
    pub fn append(&mut self, record: Record, now: Millis) -> bool {
        if self.world.fits(&record).is_err() {
            return false;
        }
        self.commit(vec![record], By::Fact, now).is_ok()
    }

    /// One write: all of it becomes durable, then visible, then known to whoever waits; or it dies on the way.
    pub fn commit(&mut self, records: Vec<Record>, by: By, now: Millis) -> Result<(), Dead> {
        if records.is_empty() {
            return Ok(());
        }
        let after = self.world.seq;
        let entries = (after + 1..).zip(records).map(|(seq, record)| Entry {
            seq,
            at_unix_ms: self.wall_ms,
            record,
        });
        let batch: Vec<Entry> = entries.collect();
        self.write(after, &batch, by, now)?;
        for entry in batch {
            if let Some(witness) = &mut self.witness {
                witness.sees(&self.world, &entry.record, by, now);
            }
            if let Err(fault) = self.world.apply(&entry, now) {
                panic!("{fault}: {:?}", entry.record);
            }
            self.seen.follow(&entry.record, &self.world, now);
            self.journal.push(entry);
            self.times.push(now);
        }
        // Whoever waits is told that all so far is durable.
        self.acknowledged = self.world.seq;
        Ok(())
    }

    fn write(&mut self, after: u64, batch: &[Entry], by: By, now: Millis) -> Result<(), Dead> {
        let death = self.dies.take_if(|death| match death.skip {
            0 => death.at != Point::DuringEffects,
            _ => {
                death.skip -= 1;
                false
            }
        });
        let held = || Held {
            after,
            batch: batch.to_vec(),
        };
        match death.map(|death| (death.at, death)) {
            Some((Point::AfterAppend, death)) => {
                self.disk.append(after, batch);
                self.note_unseen(batch, by, now);
                self.held = Some(held());
                self.dies = Some(death);
                Err(Dead)
            }
            Some((at, death)) => {
                if at == Point::MidAppend {
                    self.disk.tear(batch, 1 + (after as usize % batch.len().max(1)));
                }
                self.held = Some(held());
                self.dies = Some(death);
                Err(Dead)
            }
            None => {
                if !self.disk.append(after, batch) {
                    panic!("the journal refused its own writer");
                }
                Ok(())
            }
        }
    }

    /// What is durable counts, although nobody learned of it.
    fn note_unseen(&mut self, batch: &[Entry], by: By, now: Millis) {
        let Some(witness) = &mut self.witness else {
            return;
        };
        let mut world = self.world.clone();
        for entry in batch {
            witness.sees(&world, &entry.record, by, now);
            if world.apply(entry, now).is_err() {
                return;
            }
        }
    }

    /// Decides until nothing is left to decide: must come to rest (S26). Every plan must pass the second reader.
    pub fn pass(&mut self, now: Millis) -> Vec<Record> {
        self.try_pass(now, &Shape::default())
            .unwrap_or_else(|fault| match fault {
                Ok(Dead) => Vec::new(),
                Err(violation) => panic!("{violation}\n{:#?}", self.last.records),
            })
    }

    /// The same; `Ok`: it died. `shape`: of what others may have beside it.
    pub fn try_pass(&mut self, now: Millis, shape: &Shape) -> Result<Vec<Record>, Result<Dead, Violation>> {
        let mut all = Vec::new();
        for _ in 0..40 {
            let view = View {
                world: &self.world,
                seen: &self.seen,
                now,
            };
            let planned = decide(&view, Scope::All);
            if let Err(fault) = check(&view, &planned) {
                let violation = broken(fault.invariant, fault.problem);
                if !self.unread {
                    self.last = planned;
                    return Err(Err(violation));
                }
                self.refused.get_or_insert(violation);
            }
            if (now.0 / 1000).is_multiple_of(10) {
                neighbour::changes_nothing(&view, &planned, shape).map_err(Err)?;
            }
            self.seen.remember(&self.world, &planned, now);
            let records = planned.records.clone();
            self.last = planned;
            if records.is_empty() {
                return Ok(all);
            }
            self.commit(records.clone(), By::Plan, now).map_err(Ok)?;
            all.extend(records);
        }
        let problem = format!("decisions follow from decisions: {:?}", self.last.records);
        Err(Err(broken("S26 fixpoint", problem)))
    }

    /// Dies here, and lives again from what the disk has.
    pub fn crash(&mut self, now: Millis) {
        if let Err(violation) = self.recover(now) {
            panic!("{violation}");
        }
    }

    /// The same. What it knows again must be what was before the write in which it died, or after it (S28), and all that
    /// anybody was told is durable (S1).
    pub fn recover(&mut self, now: Millis) -> Result<(), Violation> {
        let held = self.held.take();
        self.dies = None;
        let journal = self.disk.recover();
        let mut world = World::default();
        for entry in &journal {
            if let Err(fault) = world.apply(entry, now) {
                return Err(broken(
                    "S10 fencing",
                    format!("the journal contradicts itself: {fault}"),
                ));
            }
        }
        if world.seq < self.acknowledged {
            let problem = format!(
                "entry {} was acknowledged, {} are left",
                self.acknowledged, world.seq
            );
            return Err(broken("S1 durability", problem));
        }
        let (before, after) = (
            self.snapshot(None, now),
            held.and_then(|held| self.snapshot(Some(&held), now)),
        );
        if before.as_ref() != Some(&world) && after.as_ref() != Some(&world) {
            let problem = format!("it ends at entry {}, between before and after", world.seq);
            return Err(broken("S28 crash equivalence", problem));
        }
        self.times.resize(journal.len(), now);
        self.journal = journal;
        self.world = world;
        self.seen = Observations {
            began: now,
            ..Observations::default()
        };
        if let Some(witness) = &mut self.witness {
            witness.starts_again(now);
        }
        let epoch = self.world.epoch + 1;
        assert!(self.append(Record::OrchestratorStarted { epoch }, now));
        Ok(())
    }

    /// The world as a snapshot gives it, before or after a write.
    fn snapshot(&self, held: Option<&Held>, now: Millis) -> Option<World> {
        let mut world = self.world.clone();
        for entry in held.iter().flat_map(|held| &held.batch) {
            world.apply(entry, now).ok()?;
        }
        let bytes = serde_json::to_vec(&world).expect("it serialises");
        let mut world: World = serde_json::from_slice(&bytes).expect("it reads back");
        world.resume_at(now);
        Some(world)
    }

    /// None: this life of the member is over, or the token is another's.
    pub fn join(
        &mut self,
        member: &MemberId,
        incarnation: u64,
        hash: &str,
        now: Millis,
    ) -> Result<Option<Desired>, Dead> {
        let joining = Joining {
            member: member.clone(),
            incarnation,
            credential_sha256: hash.into(),
        };
        let Ok(records) = answer::join(&self.world, &joining, now) else {
            return Ok(None);
        };
        self.commit(records, By::Fact, now)?;
        Ok(desired(&self.world, member))
    }

    /// A provisioner answered.
    pub fn step_ended(&mut self, ended: StepEnded, now: Millis) -> Result<(), Dead> {
        let known = self.world.members.get(&ended.member);
        if let Outcome::Ensured(_) = &ended.outcome
            && known.is_some_and(|known| known.incarnation == ended.incarnation)
        {
            let (incarnation, at) = (ended.incarnation, now);
            let runs = InstanceObservation::Running { incarnation, at };
            self.seen.instances.insert(ended.member.clone(), runs);
        }
        self.commit(answer::step_ended(&self.world, ended), By::Fact, now)
    }

    /// A member says something.
    pub fn hear(&mut self, said: Box<Said>, now: Millis) -> Heard {
        let known = self.world.members.get(&said.member);
        let Some(member) = known.filter(|member| member.incarnation == said.incarnation) else {
            let left = |one: &Departed| one.member == said.member && one.credential_sha256 == said.credential;
            let over = self.world.departed.values().any(left);
            return if over { Heard::Over } else { Heard::Unknown };
        };
        if member.credential_sha256.as_deref() != Some(&said.credential) {
            return Heard::Unknown;
        }
        if matches!(member.phase, MemberPhase::Ended { .. }) {
            return Heard::Over;
        }
        if let Some(witness) = &mut self.witness {
            witness.hears(&said, now);
        }
        self.seen.hear(&self.world, member, said.batch, now);
        Heard::Yes
    }

    /// The provisioner's lists lack an instance.
    pub fn missing(&mut self, member: &MemberId, now: Millis) {
        let missing = InstanceObservation::Missing {
            incarnation: 1,
            at: now,
            reason: "not found in two lists".into(),
        };
        if self.world.members.contains_key(member) {
            self.seen.instances.insert(member.clone(), missing);
        }
    }

    /// A provisioner noticed that an instance ended.
    pub fn gone(&mut self, member: &MemberId, now: Millis) {
        let gone = InstanceObservation::Gone {
            incarnation: 1,
            at: now,
            reason: "killed".into(),
        };
        if self.world.members.contains_key(member) {
            self.seen.instances.insert(member.clone(), gone);
        }
    }

    /// FNV-1a over the records: wall clocks are for people (S24).
    pub fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for entry in &self.journal {
            for byte in serde_json::to_vec(&entry.record).expect("it serialises") {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        hash
    }
}

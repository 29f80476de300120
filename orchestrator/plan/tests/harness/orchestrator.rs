//! The product's decisions in the thinnest of shells: a journal in memory, one writer.

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::check::check;
use cartridge_orchestrator_plan::decide::{Planned, Scope, View, decide};
use cartridge_orchestrator_plan::desired::desired;
use cartridge_orchestrator_plan::forecast::Counted;
use cartridge_orchestrator_plan::observe::{InstanceObservation, MemberObservation, Observations, Window};
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::link::{Desired, Status};
use cartridge_protocol::sample::BalancerReading;
use cartridge_protocol::{MemberId, Millis};

/// What an agent sends, once per second.
#[derive(Clone, Debug)]
pub struct Said {
    pub member: MemberId,
    pub incarnation: u64,
    pub sequence: u64,
    pub credential: String,
    pub status: Status,
    pub reading: Option<BalancerReading>,
}

/// See above.
#[derive(Clone, Debug, Default)]
pub struct Orchestrator {
    pub journal: Vec<Entry>,
    pub times: Vec<Millis>,
    pub world: World,
    pub seen: Observations,
    pub last: Planned,
}

impl Orchestrator {
    /// Journals a fact; false: it came too late and is dropped.
    pub fn append(&mut self, record: Record, now: Millis) -> bool {
        if self.world.fits(&record).is_err() {
            return false;
        }
        let entry = Entry {
            seq: self.world.seq + 1,
            at_unix_ms: 0,
            record,
        };
        self.world.apply(&entry, now).expect("it fits");
        self.seen.starts.note(&entry.record, now);
        self.journal.push(entry);
        self.times.push(now);
        true
    }

    /// Decides until nothing is left to decide: must come to rest (S26). Every plan must pass the second reader.
    pub fn pass(&mut self, now: Millis) -> Vec<Record> {
        let mut all = Vec::new();
        for _ in 0..40 {
            let view = View {
                world: &self.world,
                seen: &self.seen,
                now,
            };
            let planned = decide(&view, Scope::All);
            if let Err(broken) = check(&view, &planned) {
                panic!("{broken}\n{:#?}", planned.records);
            }
            self.seen.remember(&self.world, &planned, now);
            let records = planned.records.clone();
            self.last = planned;
            if records.is_empty() {
                return all;
            }
            for record in records {
                let fits = self.world.fits(&record);
                assert!(self.append(record.clone(), now), "{record:?}: {fits:?}");
                all.push(record);
            }
        }
        panic!(
            "decisions do not come to rest; the last were {:#?}",
            self.last.records
        );
    }

    /// Dies here, and lives again from the journal; what a snapshot would give must be the same.
    pub fn crash(&mut self, now: Millis) {
        let mut snapshot: World =
            serde_json::from_slice(&serde_json::to_vec(&self.world).expect("it serialises"))
                .expect("it reads back");
        snapshot.resume_at(now);
        let mut world = World::default();
        for entry in &self.journal {
            let text = serde_json::to_string(entry).expect("it serialises");
            let entry: Entry = serde_json::from_str(&text).expect("it reads back");
            world.apply(&entry, now).expect("it was applied before");
        }
        assert_eq!(
            world, snapshot,
            "a snapshot and the journal must give the same world"
        );
        self.world = world;
        self.seen = Observations {
            began: now,
            ..Observations::default()
        };
        let epoch = self.world.epoch + 1;
        assert!(self.append(Record::OrchestratorStarted { epoch }, now));
    }

    /// None: this life of the member is over (410).
    pub fn join(&mut self, member: &MemberId, incarnation: u64, hash: &str, now: Millis) -> Option<Desired> {
        let known = self.world.members.get(member)?;
        if known.incarnation != incarnation {
            return None;
        }
        if known.credential_sha256.as_deref() != Some(hash) {
            let joined = Record::MemberJoined {
                member: member.clone(),
                incarnation,
                credential_sha256: hash.into(),
            };
            if !self.append(joined, now) {
                return None;
            }
        }
        desired(&self.world, member)
    }

    /// False: 410.
    pub fn hear(&mut self, said: &Said, now: Millis) -> bool {
        let Some(member) = self.world.members.get(&said.member) else {
            return false;
        };
        if member.incarnation != said.incarnation
            || member.credential_sha256.as_deref() != Some(&said.credential)
        {
            return false;
        }
        let np = member.network_partition.clone();
        let entry = self
            .seen
            .members
            .entry(said.member.clone())
            .or_insert_with(|| MemberObservation {
                incarnation: said.incarnation,
                sequence: 0,
                heard: now,
                status: said.status.clone(),
                load: Window::default(),
                memory: Window::default(),
                sample: None,
            });
        if said.sequence <= entry.sequence {
            return true;
        }
        entry.sequence = said.sequence;
        entry.heard = now;
        entry.status = said.status.clone();
        for row in said.reading.iter().flat_map(|reading| &reading.clusters) {
            let seen = self
                .seen
                .clusters
                .entry((row.cluster.clone(), np.clone()))
                .or_default();
            seen.in_flight.push(now, row.in_flight_average);
            seen.revision = said.reading.as_ref().map_or(0, |reading| reading.revision);
            seen.heard = now;
            seen.in_flight_now = row.in_flight;
            seen.members = row
                .members
                .iter()
                .map(|member| (member.member.clone(), member.in_flight))
                .collect::<BTreeMap<_, _>>();
            let counted = Counted {
                balancer: &np,
                at: now,
                arrived: row.arrivals(),
                failed: row.failed,
                served: row.arrivals(),
                in_flight: row.in_flight_average,
            };
            self.seen.count(&self.world, &row.cluster, &counted);
        }
        true
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

    /// FNV-1a over the journal.
    pub fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for entry in &self.journal {
            for byte in serde_json::to_vec(entry).expect("it serialises") {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        hash
    }
}

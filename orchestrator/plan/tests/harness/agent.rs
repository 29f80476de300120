//! A faithful agent, as the link's contract has it, and the balancer that some of them run.

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::link::{Batch, Desired, Phase, Refused, Run, Status};
use cartridge_protocol::sample::{BalancerReading, ClusterReading, MemberReading, Sample, Scope};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::topology::{EndpointState, Topology};
use cartridge_protocol::{CommitId, MemberId, Millis, NetworkPartitionId};

use super::network::Said;
use super::{Chance, ShellBug, tenants};

/// The Git repository, and which of its commits break the application.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    pub head: Option<CommitId>,
    pub bad: Vec<CommitId>,
}

/// Seconds that a request is in service.
pub const SERVICE: f64 = 0.1;

/// One member's agent and application.
#[derive(Clone, Debug)]
pub struct Agent {
    pub member: MemberId,
    pub incarnation: u64,
    pub network_partition: NetworkPartitionId,
    pub balancer: bool,
    pub credential: String,
    pub boots: Millis,
    pub made: Millis,
    pub joined: bool,
    pub exited: bool,
    /// Says and does nothing until then.
    pub paused: Millis,
    /// What it says is lost until then.
    pub cut_up: Millis,
    /// What it is told is lost until then.
    pub cut_down: Millis,
    /// Its application does not answer until then.
    pub hangs: Millis,
    /// It lies about its load until then, percent.
    pub lies: Option<(Millis, f64)>,
    /// The journal position that it was told of last.
    pub told_of: Option<u64>,
    /// What it must never have done, as far as the harness knows (S10, S11, S13).
    pub guilt: Option<(&'static str, String)>,
    pub bug: Option<ShellBug>,
    highest: (u64, u64),
    idle: Millis,
    pub desired: Option<Desired>,
    pub status: Status,
    pub table: Option<Topology>,
    /// When it was first told to stop.
    pub told_to_stop: Option<Millis>,
    /// Requests that came to its balancer, at [`SERVICE`] seconds each.
    arrived: f64,
    counted: Millis,
    sequence: u64,
    /// What it said last, and until when that is enough.
    pub told: Option<(Status, Millis)>,
    switching: Option<(Millis, CommitId)>,
    tried: Option<(CommitId, u64)>,
    stops: Option<Millis>,
    looks: Millis,
    lingering: BTreeMap<MemberId, Millis>,
    tenants: tenants::Files,
    chance: Chance,
}

impl Agent {
    pub fn new(spec: &MemberSpec, boots: Millis, seed: u64) -> Self {
        Self {
            member: spec.member.clone(),
            incarnation: spec.incarnation,
            network_partition: spec.network_partition.clone(),
            balancer: spec.balancer,
            credential: format!("hash-{seed:x}"),
            boots,
            made: boots,
            joined: false,
            exited: false,
            paused: Millis::ZERO,
            cut_up: Millis::ZERO,
            cut_down: Millis::ZERO,
            hangs: Millis::ZERO,
            lies: None,
            told_of: None,
            guilt: None,
            bug: None,
            highest: (0, 0),
            idle: Millis::ZERO,
            desired: None,
            status: Status::starting(),
            table: None,
            told_to_stop: None,
            arrived: 0.0,
            counted: boots,
            sequence: 0,
            told: None,
            switching: None,
            tried: None,
            stops: None,
            looks: Millis::ZERO,
            lingering: BTreeMap::new(),
            tenants: tenants::Files::default(),
            chance: Chance::new(seed),
        }
    }

    pub fn runs(&self, now: Millis) -> bool {
        !self.exited && now >= self.boots && now >= self.paused
    }

    /// An older order than one seen before is ignored (S10, S11).
    pub fn take(&mut self, desired: Desired) {
        let newer = self
            .desired
            .as_ref()
            .is_none_or(|before| desired.epoch >= before.epoch && desired.revision >= before.revision);
        if !newer && self.bug != Some(ShellBug::OldOrders) {
            return;
        }
        let (epoch, revision) = self.highest;
        if desired.epoch < epoch {
            let problem = format!("{} follows epoch {} after {epoch}", self.member, desired.epoch);
            self.guilt = Some(("S10 fencing", problem));
        } else if desired.revision < revision {
            let problem = format!(
                "{} follows revision {} after {revision}",
                self.member, desired.revision
            );
            self.guilt = Some(("S11 monotone apply", problem));
        }
        self.highest = (epoch.max(desired.epoch), revision.max(desired.revision));
        self.desired = Some(desired);
        self.idle = Millis::ZERO;
    }

    /// Its machine stopped and starts again: what is on its disk is still there.
    pub fn reboot(&mut self, back: Millis) {
        self.boots = back;
        self.status.phase = Phase::Starting;
        self.switching = None;
        self.tenants.stop();
        self.told = None;
        self.told_of = None;
        self.idle = Millis::ZERO;
    }

    /// One second of its life.
    pub fn live(
        &mut self,
        now: Millis,
        repository: &Repository,
        of_tenants: &BTreeMap<TenantId, Repository>,
    ) {
        if now < self.idle && self.told.is_some() {
            return;
        }
        let Some(mut desired) = self.desired.take() else {
            return;
        };
        self.follow_orders(now, &mut desired, repository);
        if desired.run == Run::Serve {
            let said = &mut self.status.tenants;
            self.tenants
                .follow(now, &desired.tenants, of_tenants, said, &mut self.chance);
        }
        self.desired = Some(desired);
        self.idle = self.next(now);
    }

    /// When it has something to do again, if nothing happens.
    fn next(&self, now: Millis) -> Millis {
        let busy = self.switching.is_some()
            || self.stops.is_some()
            || self.hangs > now
            || self.lies.is_some()
            || self.balancer
            || self.tenants.is_busy()
            || self.status.phase != Phase::Active;
        let has_files = self
            .desired
            .as_ref()
            .is_some_and(|desired| desired.artifacts.is_some());
        let looks = if has_files { self.looks } else { Millis(u64::MAX) };
        let of_tenants = self.desired.as_ref().map(|desired| &*desired.tenants);
        let looks = looks.min(self.tenants.due(of_tenants.unwrap_or_default()));
        let told = self.told.as_ref().map_or(now, |(_, until)| *until);
        if busy { now } else { looks.min(told) }
    }

    fn follow_orders(&mut self, now: Millis, desired: &mut Desired, repository: &Repository) {
        self.status.revision = desired.revision;
        if let Run::Stop { .. } = desired.run {
            self.stop(now);
            return;
        }
        if let Some(artifacts) = &desired.artifacts {
            if now >= self.looks {
                self.status.head.clone_from(&repository.head);
                self.looks = now.plus(Millis(3000));
            }
            self.follow(now, artifacts.commit.as_ref(), desired.revision, repository);
        }
        if let Some(topology) = desired.topology.take() {
            let newer = self
                .table
                .as_ref()
                .is_none_or(|table| topology.revision >= table.revision);
            if newer || self.bug == Some(ShellBug::OldOrders) {
                self.serve(topology, now);
            }
        }
        let has_files = desired.artifacts.is_none() || self.status.release.is_some();
        let switching = self.switching.is_some() && self.status.release.is_some();
        if has_files && now >= self.boots.plus(Millis(1000)) {
            let suspended = |reason: &str| Phase::Suspended {
                reason: reason.into(),
            };
            self.status.phase = if switching {
                suspended("switching")
            } else if now < self.hangs {
                suspended("its probe is not answered")
            } else {
                Phase::Active
            };
        }
    }

    fn stop(&mut self, now: Millis) {
        self.told_to_stop.get_or_insert(now);
        let takes = 1000 + self.chance.below(4000);
        let ends = *self.stops.get_or_insert(now.plus(Millis(takes)));
        self.status.phase = if now >= ends {
            Phase::Stopped
        } else {
            Phase::Stopping
        };
    }

    fn follow(&mut self, now: Millis, commit: Option<&CommitId>, revision: u64, repository: &Repository) {
        if let Some((done, commit)) = self.switching.clone() {
            if now < done {
                return;
            }
            self.switching = None;
            if repository.bad.contains(&commit) {
                self.status.refused.retain(|refused| refused.commit != commit);
                self.status.refused.push(Refused {
                    commit,
                    reason: "the probe failed".into(),
                });
            } else {
                self.status.release = Some(commit);
            }
        }
        let Some(commit) = commit.filter(|commit| self.status.release.as_ref() != Some(commit)) else {
            return;
        };
        let order = (commit.clone(), revision);
        let again = self.tried.as_ref() == Some(&order)
            || self
                .status
                .refused
                .iter()
                .any(|refused| refused.commit == *commit)
                && self.tried.is_some();
        if !again {
            self.tried = Some(order);
            self.switching = Some((now.plus(Millis(1000 + self.chance.below(3000))), commit.clone()));
        }
    }

    fn serve(&mut self, topology: Topology, now: Millis) {
        let draining = topology
            .clusters
            .iter()
            .flat_map(|row| &row.endpoints)
            .filter(|endpoint| endpoint.state == EndpointState::Draining)
            .map(|endpoint| endpoint.member.clone());
        for member in draining {
            let linger = if self.chance.per_mille(50) {
                60_000
            } else {
                self.chance.below(8000)
            };
            self.lingering.entry(member).or_insert(now.plus(Millis(linger)));
        }
        let listed = |member: &MemberId| {
            let endpoints = topology.clusters.iter().flat_map(|row| &row.endpoints);
            endpoints
                .into_iter()
                .any(|e| e.member == *member && e.state == EndpointState::Draining)
        };
        self.lingering.retain(|member, _| listed(member));
        if let Some(table) = self
            .table
            .as_ref()
            .filter(|table| table.revision > topology.revision)
        {
            let problem = format!(
                "{} serves revision {} after {}",
                self.member, topology.revision, table.revision
            );
            self.guilt = Some(("S11 monotone apply", problem));
        }
        self.status.topology = Some(topology.revision);
        self.table = Some(topology);
    }

    /// Whether a request of its own is in flight at that member.
    pub fn keeps(&self, member: &MemberId, now: Millis) -> bool {
        self.lingering.get(member).is_some_and(|until| now < *until)
    }

    /// `demand`: requests in flight at this balancer, per cluster.
    pub fn reading(&mut self, demand: f64, now: Millis) -> Option<BalancerReading> {
        self.arrived += demand / SERVICE * now.since(self.counted).as_secs_f64();
        self.counted = now;
        let table = self.table.as_ref()?;
        let clusters = table.clusters.iter().map(|row| {
            let members: Vec<MemberReading> = row
                .endpoints
                .iter()
                .map(|endpoint| MemberReading {
                    member: endpoint.member.clone(),
                    in_flight: match endpoint.state {
                        EndpointState::Ready => demand.ceil() as u64,
                        EndpointState::Draining => u64::from(
                            self.lingering
                                .get(&endpoint.member)
                                .is_some_and(|until| now < *until),
                        ),
                    },
                })
                .collect();
            ClusterReading {
                cluster: row.cluster.clone(),
                in_flight_average: demand,
                arrived: Some(self.arrived as u64),
                in_flight: demand.ceil() as u64,
                served: self.arrived as u64,
                failed: 0,
                members,
            }
        });
        Some(BalancerReading {
            revision: table.revision,
            clusters: clusters.collect(),
        })
    }

    /// At once what is new, and the same again once per publish interval. `load`: of its application, percent.
    pub fn say(&mut self, demand: f64, load: f64, now: Millis) -> Option<Box<Said>> {
        let same = |(status, until): &(Status, Millis)| now < *until && *status == self.status;
        if self.told.as_ref().is_some_and(same) {
            return None;
        }
        let interval = self.desired.as_ref().map_or(1000, |d| d.publish_interval_ms);
        self.told = Some((self.status.clone(), now.plus(Millis(interval))));
        self.idle = self.next(now);
        self.sequence += 1;
        self.lies = self.lies.filter(|(until, _)| now < *until);
        Some(Box::new(Said {
            member: self.member.clone(),
            incarnation: self.incarnation,
            credential: self.credential.clone(),
            honest: self.lies.map(|_| load),
            batch: Batch {
                sequence: self.sequence,
                status: self.status.clone(),
                sample: Some(self.sample(self.lies.map_or(load, |(_, lie)| lie))),
                balancer: if self.balancer {
                    self.reading(demand, now)
                } else {
                    None
                },
                notices: Vec::new(),
                logs: Vec::new(),
                logs_dropped: 0,
            },
        }))
    }

    fn sample(&self, load: f64) -> Sample {
        Sample {
            sequence: self.sequence,
            scope: Scope::CgroupV2,
            load: Some([load / 100.0; 3]),
            cores: 1.0,
            memory_used: Some(1 << 28),
            memory_limit: Some(1 << 30),
            cpu_percent: Some(load.min(100.0)),
            throttled: None,
            pressure: None,
            readers: Vec::new(),
        }
    }

    /// Whether its table sends new requests to that member.
    pub fn sends_to(&self, member: &MemberId) -> bool {
        let rows = self.table.iter().flat_map(|table| &table.clusters);
        rows.flat_map(|row| &row.endpoints)
            .any(|endpoint| endpoint.member == *member && endpoint.state == EndpointState::Ready)
    }
}

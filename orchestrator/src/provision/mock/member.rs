//! One simulated member: joins, obeys, reports, and goes wrong when its properties say so.
//!
//! This file refuses to know who made it.

use std::sync::Arc;
use std::time::Duration;

use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::link::{Batch, Desired, Phase, Run, Status};
use cartridge_protocol::sample::{BalancerReading, ClusterReading, MemberReading, Sample, Scope};
use cartridge_protocol::topology::EndpointState;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::pattern::{Faults, Pace, is_faulty, number, value};
use crate::engine::{Engine, JoinRefused, Joining};
use crate::identity::sha256_hex;

pub(super) struct Member {
    engine: Engine,
    spec: MemberSpec,
    sequence: u64,
    status: Status,
    wanted: Option<Arc<Desired>>,
    began: Instant,
}

impl Member {
    pub(super) fn new(engine: Engine, spec: MemberSpec) -> Self {
        Self {
            engine,
            spec,
            sequence: 0,
            status: Status::starting(),
            wanted: None,
            began: Instant::now(),
        }
    }

    /// Until it is told to stop or its life is over; answers how it ended.
    pub(super) async fn live(mut self) -> String {
        if let Err(refused) = self.join().await {
            return format!("mock member could not join: {refused:?}");
        }
        let mut ear = self.engine.listen(&self.spec.member, self.spec.incarnation);
        let [start_ms] = texts(&self.engine, &self.spec, ["mock.start_ms"]);
        let start_ms = start_ms.as_deref().and_then(number);
        let ready = Instant::now() + Duration::from_millis(start_ms.map_or(100, whole));
        let mut tick = interval(Duration::from_millis(self.engine.intervals().sample_ms));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                wanted = ear.next() => match wanted {
                    Some(wanted) => self.wanted = Some(wanted),
                    None => return "told that its life is over".to_owned(),
                },
                () = tokio::time::sleep_until(ready), if self.status.phase == Phase::Starting && !self.faults().never_ready => {
                    self.status.phase = Phase::Active;
                }
                _ = tick.tick() => {}
            }
            let (lived, faults) = (self.began.elapsed(), self.faults());
            if faults.fails_after.is_some_and(|after| lived >= after) {
                return "failed, as its properties say".to_owned();
            }
            if faults.hangs_after.is_some_and(|after| lived >= after) {
                // Until it is removed.
                std::future::pending::<()>().await;
            }
            self.follow();
            if self.say().is_err() {
                return "told that its life is over".to_owned();
            }
            if self.status.phase == Phase::Stopped {
                return "stopped as ordered".to_owned();
            }
        }
    }

    async fn join(&self) -> Result<(), JoinRefused> {
        let joining = Joining {
            member: self.spec.member.clone(),
            incarnation: self.spec.incarnation,
            credential_sha256: sha256_hex(self.spec.member.as_str()),
        };
        self.engine.join(joining).await
    }

    /// Does at once whatever is wanted.
    fn follow(&mut self) {
        let Some(wanted) = &self.wanted else { return };
        self.status.revision = wanted.revision;
        self.status.topology = wanted.topology.as_ref().map(|t| t.revision);
        if let Some(commit) = wanted.artifacts.as_ref().and_then(|a| a.commit.clone()) {
            self.status.head = Some(commit.clone());
            self.status.staged = vec![commit.clone()];
            self.status.release = Some(commit);
        }
        if matches!(wanted.run, Run::Stop { .. }) {
            self.status.phase = Phase::Stopped;
        }
    }

    fn faults(&self) -> Faults {
        let names = [
            "mock.fails_after",
            "mock.hangs_after",
            "mock.never_ready",
            "mock.faulty",
        ];
        let [fails, hangs, never_ready, which] = texts(&self.engine, &self.spec, names);
        if is_faulty(which.as_deref(), self.spec.member.as_str()) {
            Faults::read(fails.as_deref(), hangs.as_deref(), never_ready.as_deref())
        } else {
            Faults::default()
        }
    }

    fn say(&mut self) -> Result<(), crate::engine::Fence> {
        self.sequence += 1;
        let names = [
            "mock.load",
            "mock.memory",
            "mock.in_flight",
            "mock.seconds",
            "mock.mode",
        ];
        let [load, memory, in_flight, seconds, mode] = texts(&self.engine, &self.spec, names);
        let pace = Pace::read(seconds.as_deref(), mode.as_deref());
        let now = |pattern: Option<String>, otherwise: f64| {
            value(pattern.as_deref(), otherwise, pace, self.began.elapsed())
        };
        let share = |percent: f64| percent / 100.0;
        let batch = Batch {
            sequence: self.sequence,
            status: self.status.clone(),
            sample: self.sample(now(load, 10.0).map(share), now(memory, 10.0).map(share)),
            balancer: self.reading(now(in_flight, 0.0).unwrap_or(0.0)),
            notices: Vec::new(),
            logs: Vec::new(),
            logs_dropped: 0,
        };
        self.engine
            .report(&self.spec.member, self.spec.incarnation, batch)
            .map(|_| ())
    }

    fn sample(&self, load: Option<f64>, memory: Option<f64>) -> Option<Sample> {
        let limit: u64 = 1 << 30;
        let sample = Sample {
            sequence: self.sequence,
            scope: Scope::Descendants,
            load: load.map(|load| [load; 3]),
            cores: 1.0,
            #[allow(clippy::cast_precision_loss, reason = "a simulated figure")]
            memory_used: memory.map(|memory| whole(memory * limit as f64)),
            memory_limit: Some(limit),
            cpu_percent: load.map(|load| load * 100.0),
            readers: Vec::new(),
            throttled: None,
            pressure: None,
        };
        sample.check().is_ok().then_some(sample)
    }

    fn reading(&self, average: f64) -> Option<BalancerReading> {
        let topology = self.wanted.as_ref()?.topology.as_ref()?;
        let row = |cluster: &cartridge_protocol::topology::TopologyCluster| {
            let ready = cluster
                .endpoints
                .iter()
                .filter(|e| e.state == EndpointState::Ready)
                .count();
            let share = if ready == 0 {
                0
            } else {
                whole(average) / ready as u64
            };
            let members = cluster.endpoints.iter().map(|endpoint| MemberReading {
                member: endpoint.member.clone(),
                in_flight: if endpoint.state == EndpointState::Ready {
                    share
                } else {
                    0
                },
            });
            ClusterReading {
                cluster: cluster.cluster.clone(),
                in_flight_average: average,
                arrived: None,
                in_flight: whole(average),
                served: 0,
                failed: 0,
                members: members.collect(),
            }
        };
        Some(BalancerReading {
            revision: topology.revision,
            clusters: topology.clusters.iter().map(row).collect(),
        })
    }
}

/// What the cartridge, the partition or the network partition says, in this order.
pub(super) fn texts<const N: usize>(
    engine: &Engine,
    spec: &MemberSpec,
    names: [&str; N],
) -> [Option<String>; N] {
    engine.read(|world, _, _| {
        let cartridge = world
            .clusters
            .get(&spec.cluster)
            .and_then(|c| world.cartridges.get(&c.cartridge));
        let place = world.network_partitions.get(&spec.network_partition);
        let partition = place.and_then(|np| np.partitions.iter().find(|p| p.id == spec.partition));
        names.map(|name| {
            cartridge
                .and_then(|c| c.property.get(name))
                .or_else(|| partition.and_then(|p| p.properties.get(name)))
                .or_else(|| place.and_then(|np| np.properties.get(name)))
                .cloned()
        })
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; simulated figures"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

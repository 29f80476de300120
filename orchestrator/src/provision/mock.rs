//! Members without instances: simulated in this process, for trials, tests and scale.
//!
//! A mock member joins, becomes active after `mock.start_ms`, and reports constant figures: `mock.load` and
//! `mock.memory` (percent), `mock.in_flight` (balancers: requests in flight per cluster). The properties are looked up in
//! the cartridge, the partition and the network partition, in this order, anew for every report. This file refuses to
//! use sockets; what it says goes the same way as what real agents say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::MemberId;
use cartridge_protocol::link::{Batch, Desired, Phase, Run, Status};
use cartridge_protocol::sample::{BalancerReading, ClusterReading, MemberReading, Sample, Scope};
use cartridge_protocol::topology::EndpointState;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Answer, Ensured, Exit, Found, LinkInfo, Provisioner};
use crate::engine::{Engine, JoinRefused, Joining};
use crate::identity::sha256_hex;

type Life = (MemberId, u64);
type Running = Arc<Mutex<BTreeMap<Life, CancellationToken>>>;

/// Simulated members.
#[derive(Clone)]
pub struct Mock {
    engine: Engine,
    exits: tokio::sync::mpsc::Sender<Exit>,
    running: Running,
}

impl Mock {
    /// They speak to `engine`; their ends are sent to `exits`.
    pub fn new(engine: Engine, exits: tokio::sync::mpsc::Sender<Exit>) -> Self {
        Self {
            engine,
            exits,
            running: Running::default(),
        }
    }

    fn begin(&self, mut spec: MemberSpec) {
        spec.parameters.clear(); // for processes
        let life = (spec.member.clone(), spec.incarnation);
        let mut running = self.running.lock().expect("no holder of this lock panics");
        if running.contains_key(&life) {
            return;
        }
        let ends = self.engine.stopping().child_token();
        running.insert(life.clone(), ends.clone());
        drop(running);
        let mock = self.clone();
        tokio::spawn(async move {
            let member = Member::new(mock.engine.clone(), spec);
            let reason = tokio::select! {
                () = ends.cancelled() => "removed".to_owned(),
                reason = member.live() => reason,
            };
            mock.running
                .lock()
                .expect("no holder of this lock panics")
                .remove(&life);
            let exit = Exit {
                member: life.0,
                incarnation: life.1,
                reason,
            };
            let _ = mock.exits.send(exit).await;
        });
    }
}

impl Provisioner for Mock {
    fn list(&self) -> Answer<'_, Vec<Found>> {
        let running = self.running.lock().expect("no holder of this lock panics");
        let found = running.keys().map(|(member, incarnation)| Found {
            member: member.clone(),
            incarnation: *incarnation,
            running: true,
            age: None,
        });
        let found = found.collect();
        Box::pin(async move { Ok(found) })
    }

    fn ensure(&self, spec: MemberSpec, _link: LinkInfo) -> Answer<'_, Ensured> {
        let made = Ensured {
            instance: format!("mock:{}.{}", spec.member, spec.incarnation),
            address: spec.address,
            ports: spec.ports.clone(),
        };
        self.begin(spec);
        Box::pin(async move { Ok(made) })
    }

    fn remove<'a>(&'a self, member: &'a MemberId, incarnation: u64) -> Answer<'a, ()> {
        let running = self.running.lock().expect("no holder of this lock panics");
        if let Some(ends) = running.get(&(member.clone(), incarnation)) {
            ends.cancel();
        }
        Box::pin(async { Ok(()) })
    }
}

struct Member {
    engine: Engine,
    spec: MemberSpec,
    sequence: u64,
    status: Status,
    wanted: Option<Arc<Desired>>,
}

impl Member {
    fn new(engine: Engine, spec: MemberSpec) -> Self {
        Self {
            engine,
            spec,
            sequence: 0,
            status: Status::starting(),
            wanted: None,
        }
    }

    /// Until it is told to stop or its life is over; answers how it ended.
    async fn live(mut self) -> String {
        if let Err(refused) = self.join().await {
            return format!("mock member could not join: {refused:?}");
        }
        let mut ear = self.engine.listen(&self.spec.member, self.spec.incarnation);
        let [start_ms] = self.properties(["mock.start_ms"]);
        let ready = Instant::now() + Duration::from_millis(start_ms.map_or(100, whole));
        let mut tick = interval(Duration::from_millis(self.engine.intervals().sample_ms));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                wanted = ear.next() => match wanted {
                    Some(wanted) => self.wanted = Some(wanted),
                    None => return "told that its life is over".to_owned(),
                },
                () = tokio::time::sleep_until(ready), if self.status.phase == Phase::Starting => {
                    self.status.phase = Phase::Active;
                }
                _ = tick.tick() => {}
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

    fn say(&mut self) -> Result<(), crate::engine::Fence> {
        self.sequence += 1;
        let [load, memory, in_flight] = self.properties(["mock.load", "mock.memory", "mock.in_flight"]);
        let batch = Batch {
            sequence: self.sequence,
            status: self.status.clone(),
            sample: self.sample(load.unwrap_or(10.0) / 100.0, memory.unwrap_or(10.0) / 100.0),
            balancer: self.reading(in_flight.unwrap_or(0.0)),
            notices: Vec::new(),
            logs: Vec::new(),
            logs_dropped: 0,
        };
        self.engine
            .report(&self.spec.member, self.spec.incarnation, batch)
            .map(|_| ())
    }

    fn sample(&self, load: f64, memory: f64) -> Option<Sample> {
        let limit: u64 = 1 << 30;
        let sample = Sample {
            sequence: self.sequence,
            scope: Scope::Descendants,
            load: Some([load; 3]),
            cores: 1.0,
            #[allow(clippy::cast_precision_loss, reason = "a simulated figure")]
            memory_used: Some(whole(memory * limit as f64)),
            memory_limit: Some(limit),
            cpu_percent: Some(load * 100.0),
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

    fn properties<const N: usize>(&self, names: [&str; N]) -> [Option<f64>; N] {
        self.engine.read(|world, _, _| {
            let cartridge = world
                .clusters
                .get(&self.spec.cluster)
                .and_then(|c| world.cartridges.get(&c.cartridge));
            let place = world.network_partitions.get(&self.spec.network_partition);
            let partition = place.and_then(|np| np.partitions.iter().find(|p| p.id == self.spec.partition));
            names.map(|name| {
                let text = cartridge
                    .and_then(|c| c.property.get(name))
                    .or_else(|| partition.and_then(|p| p.properties.get(name)))
                    .or_else(|| place.and_then(|np| np.properties.get(name)));
                text.and_then(|text| text.parse().ok())
                    .filter(|value: &f64| value.is_finite() && *value >= 0.0)
            })
        })
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; simulated figures"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

//! Members without instances: simulated in this process, for trials, tests and scale.
//!
//! A mock member joins, becomes active after `mock.start_ms`, and reports `mock.load` and `mock.memory` (percent),
//! `mock.in_flight` (balancers: requests in flight per cluster): one figure, or a pattern of several. It fails or hangs
//! when its properties say so. They are looked up in the cartridge, the partition and the network partition, in this
//! order, anew for every report (docs/blueprint.md). This file refuses to use sockets; what it says goes the same way as
//! what real agents say.

mod member;
mod pattern;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::MemberId;
use tokio_util::sync::CancellationToken;

use self::member::{Member, texts};
use self::pattern::{is_faulty, number};
use super::{Answer, Ensured, Exit, Found, LinkInfo, ProvisionError, Provisioner};
use crate::engine::Engine;

type Life = (MemberId, u64);
type Running = Arc<Mutex<BTreeMap<Life, CancellationToken>>>;

/// Simulated members.
#[derive(Clone)]
pub struct Mock {
    engine: Engine,
    exits: tokio::sync::mpsc::Sender<Exit>,
    running: Running,
    /// Attempts to start that were refused, as properties ask for.
    refused: Arc<Mutex<BTreeMap<Life, u32>>>,
}

impl Mock {
    /// They speak to `engine`; their ends are sent to `exits`.
    pub fn new(engine: Engine, exits: tokio::sync::mpsc::Sender<Exit>) -> Self {
        Self {
            engine,
            exits,
            running: Running::default(),
            refused: Arc::default(),
        }
    }

    /// Whether this attempt fails: the first `mock.ensure_fails` of each member do.
    fn refuses(&self, spec: &MemberSpec) -> bool {
        let [wanted, which] = texts(&self.engine, spec, ["mock.ensure_fails", "mock.faulty"]);
        let wanted = wanted.as_deref().and_then(number).unwrap_or(0.0);
        if wanted < 1.0 || !is_faulty(which.as_deref(), spec.member.as_str()) {
            return false;
        }
        let mut refused = self.refused.lock().expect("no holder of this lock panics");
        let life = (spec.member.clone(), spec.incarnation);
        let so_far = refused.entry(life).or_default();
        *so_far += 1;
        f64::from(*so_far) <= wanted
    }

    fn forget(&self, life: &Life) {
        let mut refused = self.refused.lock().expect("no holder of this lock panics");
        refused.remove(life);
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
        if self.refuses(&spec) {
            let why = "there is no capacity, as its properties say";
            return Box::pin(async move { Err(ProvisionError(why.to_owned())) });
        }
        self.forget(&(spec.member.clone(), spec.incarnation));
        self.begin(spec);
        Box::pin(async move { Ok(made) })
    }

    fn remove<'a>(&'a self, member: &'a MemberId, incarnation: u64) -> Answer<'a, ()> {
        self.forget(&(member.clone(), incarnation));
        let running = self.running.lock().expect("no holder of this lock panics");
        if let Some(ends) = running.get(&(member.clone(), incarnation)) {
            ends.cancel();
        }
        Box::pin(async { Ok(()) })
    }
}

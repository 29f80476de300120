//! A plan in the making: each decider sees the world as the deciders before it left it.
//!
//! This file refuses to decide anything.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use cartridge_protocol::{ApplicationId, ClusterId, Millis, NetworkPartitionId};

use super::hearing::{self, Tally};
use super::{ClusterReport, Planned, Report, View};
use crate::observe::Observations;
use crate::record::{Entry, Record};
use crate::world::World;

/// See above.
pub(super) struct Draft<'a> {
    world: Cow<'a, World>,
    /// Measurements.
    pub seen: &'a Observations,
    /// The caller's clock.
    pub now: Millis,
    /// As it was before anything was decided.
    view: View<'a>,
    blind: OnceCell<bool>,
    tallies: OnceCell<BTreeMap<NetworkPartitionId, Tally>>,
    planned: Planned,
    reports: BTreeMap<ClusterId, ClusterReport>,
}

/// The earliest of the times that lie ahead.
#[derive(Default)]
pub(super) struct Due(Option<Millis>);

impl Due {
    pub fn add(&mut self, at: Millis, now: Millis) {
        if at > now {
            self.0 = Some(self.0.map_or(at, |due| due.min(at)));
        }
    }
}

impl<'a> Draft<'a> {
    pub fn new(view: &View<'a>) -> Self {
        Self {
            world: Cow::Borrowed(view.world),
            seen: view.seen,
            now: view.now,
            view: *view,
            blind: OnceCell::new(),
            tallies: OnceCell::new(),
            planned: Planned::default(),
            reports: BTreeMap::new(),
        }
    }

    /// No serving member of the whole fleet is heard: it is we who are blind (S8).
    pub fn blind(&self) -> bool {
        *self.blind.get_or_init(|| hearing::is_blind(&self.view))
    }

    /// Serving and stale members per network partition, of all applications. Counted only if somebody asks.
    pub fn tallies(&self) -> &BTreeMap<NetworkPartitionId, Tally> {
        self.tallies
            .get_or_init(|| hearing::tally_by_network_partition(&self.view))
    }

    /// The world with all that was decided so far.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Decides this. A record that does not fit is a fault of a decider: it is left out, and the report says so.
    pub fn push(&mut self, record: Record) {
        let entry = Entry {
            seq: self.world.seq + 1,
            at_unix_ms: 0,
            record,
        };
        if let Err(fault) = self.world.fits(&entry.record) {
            debug_assert!(false, "decided what does not fit: {fault}: {:?}", entry.record);
            if let Some(report) = self.reports.values_mut().next() {
                report
                    .notes
                    .push(format!("left out, because it does not fit: {fault}"));
            }
            return;
        }
        let applied = self.world.to_mut().apply(&entry, self.now);
        debug_assert!(applied.is_ok());
        self.planned.records.push(entry.record);
    }

    pub fn extend(&mut self, records: impl IntoIterator<Item = Record>) {
        records.into_iter().for_each(|record| self.push(record));
    }

    /// Something is due then, if nothing happens before.
    pub fn wake_at(&mut self, at: Millis) {
        if at > self.now {
            let earlier = self.planned.wake.map_or(at, |wake| wake.min(at));
            self.planned.wake = Some(earlier);
        }
    }

    /// The earliest of these.
    pub fn wake_at_earliest(&mut self, due: &Due) {
        due.0.into_iter().for_each(|at| self.wake_at(at));
    }

    /// What the scaler recommends in all.
    pub fn recommend(&mut self, cluster: &ClusterId, required: u32) {
        self.planned.recommended.push((cluster.clone(), required));
    }

    pub fn report(&mut self, cluster: &ClusterId) -> &mut ClusterReport {
        self.reports
            .entry(cluster.clone())
            .or_insert_with(|| ClusterReport::of(cluster))
    }

    pub fn note(&mut self, cluster: &ClusterId, text: impl Into<String>) {
        self.report(cluster).notes.push(text.into());
    }

    pub fn note_all(&mut self, application: &ApplicationId, text: &str) {
        for cluster in self.cluster_ids(application) {
            self.note(&cluster, text);
        }
    }

    /// The clusters of an application, balancers included.
    pub fn cluster_ids(&self, application: &ApplicationId) -> Vec<ClusterId> {
        self.world
            .clusters_of(application)
            .map(|cluster| cluster.id.clone())
            .collect()
    }

    pub fn finish(mut self) -> Planned {
        self.planned.report = Report {
            clusters: self.reports.into_values().collect(),
        };
        self.planned
    }
}

impl ClusterReport {
    fn of(cluster: &ClusterId) -> Self {
        Self {
            cluster: cluster.clone(),
            inputs: String::new(),
            forecast: String::new(),
            required: 0,
            factor: String::new(),
            target: 0,
            frozen: None,
            notes: Vec::new(),
        }
    }
}

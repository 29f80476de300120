//! Figures for Prometheus, per cluster and for the server; never per member: the number of series stays bounded by
//! what people described.
//!
//! This file refuses to know who collects them.

use std::collections::BTreeMap;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::api::figures::{ClusterFigures, Known, phase_of};
use crate::auth::Sight;
use crate::engine::StatsReading;

/// The text of `GET /metrics`; a tenant sees its own clusters and nothing of the server.
pub fn text(engine: &Sight) -> String {
    let mut registry = Registry::with_prefix("cartridge");
    registry.register_collector(Box::new(Snapshot::of(engine)));
    let mut text = String::new();
    // Writing to a String cannot fail; an empty answer would say so.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Snapshot {
    /// Whether figures of the server are among them.
    whole: bool,
    stats: StatsReading,
    seq: u64,
    epoch: u64,
    paused: bool,
    phases: BTreeMap<&'static str, u64>,
    clusters: Vec<ClusterFigures>,
}

impl Snapshot {
    fn of(engine: &Sight) -> Self {
        let (stats, now) = (engine.stats(), engine.now());
        engine.read(|world, seen, report| {
            let mut phases = BTreeMap::new();
            for member in world.members.values() {
                *phases.entry(phase_of(&member.phase).0).or_default() += 1;
            }
            Self {
                whole: engine.who().tenant.is_super(),
                stats,
                seq: world.seq,
                epoch: world.epoch,
                paused: world.paused.is_some(),
                phases,
                clusters: Known {
                    world,
                    seen,
                    report,
                    now,
                }
                .clusters(),
            }
        })
    }

    fn gauges(&self) -> [(&'static str, &'static str, u64); 9] {
        [
            ("journal_position", "Position of the last journal entry", self.seq),
            ("epoch", "How often an orchestrator took over", self.epoch),
            ("paused", "1 while automation is paused", u64::from(self.paused)),
            (
                "steps_running",
                "Steps that provisioners work on",
                self.stats.steps_running,
            ),
            (
                "pass_p99_microseconds",
                "99 of 100 passes took no longer",
                self.stats.passes.p99_us,
            ),
            (
                "pass_longest_microseconds",
                "The longest pass",
                self.stats.passes.max_us,
            ),
            ("streams", "Members that listen", self.stats.streams),
            ("connections", "Open connections", self.stats.connections),
            (
                "waiting_inputs",
                "Inputs that wait for the writer",
                self.stats.waiting_inputs,
            ),
        ]
    }

    fn counters(&self) -> [(&'static str, &'static str, u64); 9] {
        [
            ("entries", "Journal entries written", self.stats.entries),
            (
                "broken_plans",
                "Plans that the second reader refused",
                self.stats.broken_plans,
            ),
            (
                "dropped_records",
                "Records that did not fit the world",
                self.stats.dropped_records,
            ),
            ("steps_failed", "Steps that failed", self.stats.steps_failed),
            ("batches", "Batches of members taken in", self.stats.batches),
            (
                "batches_refused",
                "Batches of members refused",
                self.stats.batches_refused,
            ),
            ("passes", "Planning passes", self.stats.passes.count),
            (
                "appends",
                "Durable appends to the journal",
                self.stats.appends.count,
            ),
            (
                "lines_lost",
                "Lines of applications that were not kept on disk",
                self.stats.lines_lost,
            ),
        ]
    }
}

type Row = fn(&ClusterFigures) -> Option<u64>;

const PER_CLUSTER: [(&str, &str, Row); 5] = [
    ("cluster_members_active", "Members that serve", |c| {
        Some(c.active.into())
    }),
    ("cluster_members_desired", "Members that there should be", |c| {
        Some(c.desired.into())
    }),
    (
        "cluster_members_required",
        "Members that the figures ask for",
        |c| c.decision.as_ref().map(|row| row.required.into()),
    ),
    ("cluster_requests_in_flight", "Requests in flight", |c| {
        c.in_flight
    }),
    ("cluster_frozen", "1 while nothing shrinks", |c| {
        c.decision.as_ref().map(|row| u64::from(row.frozen.is_some()))
    }),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in self.gauges().into_iter().filter(|_| self.whole) {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, value) in self.counters().into_iter().filter(|_| self.whole) {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let mut family = encoder.encode_descriptor("members", "Members by phase", None, MetricType::Gauge)?;
        for (phase, count) in &self.phases {
            ConstGauge::new(*count).encode(family.encode_family(&[("phase", *phase)])?)?;
        }
        for (name, help, row) in PER_CLUSTER {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for cluster in &self.clusters {
                let labels = [
                    ("application", cluster.application.as_str()),
                    ("cluster", cluster.cluster.as_str()),
                ];
                if let Some(value) = row(cluster) {
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

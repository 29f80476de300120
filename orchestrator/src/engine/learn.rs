//! What a pass learnt beside its records: recommendations and reasons. Refuses to know where they come from.

use cartridge_orchestrator_plan::decide::Planned;
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{ClusterId, Millis};

use super::State;

/// Most recommendations kept within one stabilisation window; the rest lies between two that are kept.
const RECOMMENDATIONS_PER_WINDOW: f64 = 50.0;

impl State {
    /// Keeps what a pass learnt beside its records.
    pub(crate) fn take_over(&mut self, planned: Planned, now: Millis) {
        for (cluster, size) in planned.recommended {
            let spacing = spacing(&self.world, &cluster);
            let window = self.seen.recommended.entry(cluster).or_default();
            let size = f64::from(size);
            if window
                .last()
                .is_none_or(|(at, last)| now.since(at) >= spacing || size > last)
            {
                window.push(now, size);
            }
        }
        for row in planned.report.clusters {
            match self
                .report
                .clusters
                .binary_search_by(|known| known.cluster.cmp(&row.cluster))
            {
                Ok(at) => self.report.clusters[at] = row,
                Err(at) => self.report.clusters.insert(at, row),
            }
        }
    }

    /// Sees members start, and forgets what these entries removed: nothing here outgrows the world.
    pub(crate) fn follow(&mut self, entries: &[Entry], now: Millis) {
        let Self { world, seen, report } = self;
        for entry in entries {
            seen.follow(&entry.record, world, now);
            if let Record::ApplicationUndeployed { .. }
            | Record::ClusterRetired { .. }
            | Record::BurstEnded { .. } = &entry.record
            {
                report
                    .clusters
                    .retain(|row| world.clusters.contains_key(&row.cluster));
            }
        }
    }
}

fn spacing(world: &World, cluster: &ClusterId) -> Millis {
    let policy = world
        .clusters
        .get(cluster)
        .and_then(|c| c.autoscaling_policy.as_ref());
    let seconds = policy
        .and_then(|id| world.autoscaling_policies.get(id))
        .map_or(120.0, |policy| policy.stabilization_seconds);
    let millis = (seconds * 1000.0 / RECOMMENDATIONS_PER_WINDOW).clamp(500.0, 60_000.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped above"
    )]
    Millis(millis as u64)
}

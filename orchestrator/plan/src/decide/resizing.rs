//! How many members each cluster should have in each network partition.
//!
//! This file refuses to choose members.

use cartridge_protocol::{ApplicationId, ClusterId};

use super::draft::Draft;
use super::groups::{self, Layout};
use super::sizing::{Size, Sizes};
use crate::record::Record;

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId, sizes: &Sizes) {
    let groups = groups::groups(draft.world(), application);
    for (id, size) in sizes {
        // A burst may have begun since the sizes were decided.
        let Some(cluster) = draft.world().clusters.get(id) else {
            continue;
        };
        let layout = Layout::of(draft.world(), cluster, &groups);
        let total = size.target.max(layout.floor());
        let resized: Vec<Record> = layout
            .spread(total)
            .into_iter()
            .filter_map(|(np, to)| {
                let from = cluster.instances.get(&np).map_or(0, |instance| instance.desired);
                let copies = draft.world().copies(cluster, &np);
                let most = cluster.max.saturating_mul(copies);
                let frozen = to < from && size.frozen && from <= most;
                let least = layout.slot(&np).map_or(0, |slot| slot.min);
                (to != from && !frozen).then(|| resize(id, np, (from, to), least, size))
            })
            .collect();
        draft.extend(resized);
    }
}

fn resize(
    cluster: &ClusterId,
    network_partition: cartridge_protocol::NetworkPartitionId,
    (from, to): (u32, u32),
    least: u32,
    size: &Size,
) -> Record {
    let least = to <= least && !size.ordered;
    Record::ClusterResized {
        cluster: cluster.clone(),
        network_partition,
        from,
        to,
        factor: if least {
            "minimum".into()
        } else {
            size.factor.clone()
        },
        reason: size.reason.clone(),
    }
}

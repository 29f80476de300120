//! The whole state that the page shows, and the last five minutes of each cluster.
//!
//! This file refuses to know how it is drawn.

use std::collections::{BTreeMap, VecDeque};

use cartridge_orchestrator_plan::desired::endpoints;
use cartridge_orchestrator_plan::world::{ApplicationState, ApplicationStatus};
use cartridge_protocol::ClusterId;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::figures::{ClusterFigures, Known};
use crate::api::server_figures;

/// Points kept per cluster: five minutes at one a second.
const MAX_POINTS: usize = 300;

/// In flight, required, active; oldest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct History(VecDeque<(Option<u64>, Option<u32>, u32)>);

/// Adds one point per cluster and forgets clusters that are gone.
pub fn remember(history: &mut BTreeMap<ClusterId, History>, known: &Known<'_>) {
    history.retain(|id, _| known.world.clusters.contains_key(id));
    for cluster in known.clusters() {
        let points = &mut history.entry(cluster.cluster.clone()).or_default().0;
        if points.len() == MAX_POINTS {
            points.pop_front();
        }
        // While paused nothing is decided: that is a gap, not a zero.
        let decided = cluster.decision.as_ref().filter(|row| !row.factor.is_empty());
        let required = decided.map(|row| row.required);
        points.push_back((cluster.in_flight, required, cluster.active));
    }
}

/// Everything that the page shows.
pub fn whole(known: &Known<'_>, history: &BTreeMap<ClusterId, History>) -> Value {
    let clusters = known.clusters();
    let applications: Vec<Value> = known
        .world
        .applications
        .values()
        .map(|state| application(known, state, &clusters, history))
        .collect();
    json!({"server": server_figures(known.world, known.report), "applications": applications})
}

fn application(
    known: &Known<'_>,
    state: &ApplicationState,
    clusters: &[ClusterFigures],
    history: &BTreeMap<ClusterId, History>,
) -> Value {
    let id = &state.blueprint.application_id;
    let own = clusters.iter().filter(|cluster| cluster.application == *id);
    let rows: Vec<Value> = own.map(|cluster| cluster_row(known, cluster, history)).collect();
    let (status, policy) = match &state.status {
        ApplicationStatus::Created => ("created", None),
        ApplicationStatus::Deployed { policy } => ("deployed", Some(policy)),
        ApplicationStatus::Undeploying { .. } => ("undeploying", None),
    };
    json!({
        "id": id,
        "status": status,
        "policy": policy,
        "endpoints": endpoints(known.world, id),
        "clusters": rows,
    })
}

fn cluster_row(known: &Known<'_>, cluster: &ClusterFigures, history: &BTreeMap<ClusterId, History>) -> Value {
    let places: Vec<Value> = cluster
        .instances
        .iter()
        .map(|place| {
            let members = place.members.iter().filter_map(|id| known.world.members.get(id));
            json!({
                "networkPartition": place.network_partition,
                "desired": place.desired,
                "active": place.active,
                "ending": place.ending,
                "members": members.map(|member| json!(known.member(member))).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "cluster": cluster.cluster,
        "alias": cluster.alias,
        "cartridge": cluster.cartridge,
        "kind": cluster.kind,
        "active": cluster.active,
        "desired": cluster.desired,
        "inFlight": cluster.in_flight,
        "orderedSize": cluster.ordered_size,
        "release": cluster.release,
        "decision": json!(cluster)["decision"],
        "places": places,
        "history": history.get(&cluster.cluster),
    })
}

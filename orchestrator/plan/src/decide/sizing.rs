//! How many members each cluster of an application should have in all: asks the scaler, or takes the order.
//!
//! This file refuses to know where they go.

use std::collections::BTreeMap;

use cartridge_protocol::{ApplicationId, ClusterId, Millis};

use super::draft::Draft;
use super::groups::{self, Layout};
use super::hearing::Walk;
use super::limits::BALANCER_FRESH;
use crate::blueprint::AutoscalingPolicy;
use crate::scale::{self, Arrivals, Input, MemberLoad, Scaling};
use crate::world::{Cluster, MemberPhase};

/// How many, and why.
#[derive(Clone, Debug)]
pub(super) struct Size {
    pub layout: Layout,
    /// Members that the load asks for, whatever room there is.
    pub required: u32,
    /// Members to have in all.
    pub target: u32,
    /// Most that was needed lately; None: not known for long enough, or frozen.
    pub lately: Option<u32>,
    pub factor: String,
    pub reason: String,
    /// An order fixed it: nothing freezes it.
    pub ordered: bool,
    pub frozen: bool,
}

/// By cluster; balancers have none.
pub(super) type Sizes = BTreeMap<ClusterId, Size>;

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) -> Sizes {
    let groups = groups::groups(draft.world(), application);
    if groups.is_empty() {
        return Sizes::new();
    }
    let mut sizes = Sizes::new();
    for id in draft.cluster_ids(application) {
        let Some(cluster) = draft.world().clusters.get(&id) else {
            continue;
        };
        if !cluster.is_wanted() {
            continue;
        }
        let layout = Layout::of(draft.world(), cluster, &groups);
        let size = match cluster.ordered_size {
            Some(ordered) => by_order(layout, ordered),
            None => by_load(draft, &id, layout),
        };
        let report = draft.report(&id);
        report.target = size.target;
        report.required = size.required;
        if report.inputs.is_empty() {
            report.inputs.clone_from(&size.reason);
        }
        report.factor.clone_from(&size.factor);
        sizes.insert(id, size);
    }
    sizes
}

fn by_order(layout: Layout, ordered: u32) -> Size {
    let target = ordered.clamp(layout.floor(), layout.cap(usize::MAX).max(layout.floor()));
    Size {
        layout,
        required: ordered,
        target,
        lately: Some(target),
        factor: "order".into(),
        reason: format!("{ordered} members were ordered"),
        ordered: true,
        frozen: false,
    }
}

fn by_load(draft: &mut Draft<'_>, id: &ClusterId, layout: Layout) -> Size {
    let world = draft.world();
    let policy = world.clusters.get(id).and_then(|cluster| {
        Some((
            cluster,
            world
                .autoscaling_policies
                .get(cluster.autoscaling_policy.as_ref()?)?,
        ))
    });
    let Some((cluster, policy)) = policy else {
        return minimum(layout);
    };
    let scaling = ask(draft, cluster, policy, &layout);
    let lately = lately(draft, id, policy, &scaling);
    let blind = draft
        .blind()
        .then(|| "nobody is heard at all: we are blind".to_owned());
    let frozen = blind.or_else(|| scaling.frozen.as_ref().map(ToString::to_string));
    let target = if draft.blind() {
        layout.current().max(layout.floor())
    } else {
        scaling.target
    };
    draft.recommend(id, scaling.remembered);
    let report = draft.report(id);
    report.inputs.clone_from(&scaling.reason);
    report.forecast = serde_json::to_string(&scaling.forecasts).unwrap_or_default();
    report.required = scaling.required;
    report.frozen.clone_from(&frozen);
    Size {
        layout,
        required: scaling.required,
        target,
        lately: lately.filter(|_| frozen.is_none()),
        factor: scaling.factor.as_str().into(),
        reason: scaling.reason,
        ordered: false,
        frozen: frozen.is_some(),
    }
}

fn minimum(layout: Layout) -> Size {
    Size {
        required: 0,
        target: layout.floor(),
        lately: Some(layout.floor()),
        layout,
        factor: "minimum".into(),
        reason: "there is no autoscaling policy".into(),
        ordered: false,
        frozen: false,
    }
}

fn ask(draft: &Draft<'_>, cluster: &Cluster, policy: &AutoscalingPolicy, layout: &Layout) -> Scaling {
    let world = draft.world();
    let active = world
        .members_of(cluster)
        .filter(|member| matches!(member.phase, MemberPhase::Active | MemberPhase::Updating { .. }));
    let (mut count, mut members) = (0, Vec::with_capacity(cluster.members.len()));
    let mut walk = Walk::new(draft.seen, draft.now);
    for member in active {
        count += 1;
        members.extend(walk.said(member).map(|said| MemberLoad {
            load: &said.load,
            memory: &said.memory,
            heard: said.heard,
        }));
    }
    // Balancers that stand in front of others only never tell of it.
    let balanced = world.is_balanced(&cluster.id);
    let readings: Vec<_> = cluster
        .instances
        .keys()
        .filter(|np| balanced && world.balancer_lives(&cluster.application, np))
        .map(|np| draft.seen.clusters.get(&(cluster.id.clone(), np.clone())))
        .collect();
    let fresh = |heard: Millis| draft.now.since(heard) <= BALANCER_FRESH;
    let nothing = crate::observe::Window::default();
    scale::scale(&Input {
        policy,
        now: draft.now,
        active: count,
        members,
        in_flight: readings
            .iter()
            .flatten()
            .map(|reading| &reading.in_flight)
            .collect(),
        balancers_fresh: readings
            .iter()
            .all(|reading| reading.is_some_and(|reading| fresh(reading.heard))),
        current: layout.current(),
        floor: layout.floor(),
        ceiling: layout.cap(usize::MAX),
        arrivals: arrivals(draft, cluster, policy),
        recommended: draft.seen.recommended.get(&cluster.id).unwrap_or(&nothing),
        began: draft.seen.began,
    })
}

/// What is expected to arrive, if the policy sizes by it and it is known.
fn arrivals<'a>(draft: &Draft<'a>, cluster: &Cluster, policy: &AutoscalingPolicy) -> Option<Arrivals<'a>> {
    let asked = policy.arrivals.as_ref()?;
    let watch = draft.seen.arrivals.get(&cluster.id)?;
    Some(Arrivals {
        outlook: watch.outlook(draft.now)?,
        service_seconds: watch.service_seconds(asked)?,
        wait_seconds: asked.wait_seconds,
    })
}

/// The most that was needed within the stabilisation time.
fn lately(draft: &Draft<'_>, id: &ClusterId, policy: &AutoscalingPolicy, scaling: &Scaling) -> Option<u32> {
    let span = scale::stabilization(policy);
    let window = draft.seen.recommended.get(id)?;
    let points = window.points().filter(|(at, _)| draft.now.since(*at) <= span);
    let most = points.fold(0.0_f64, |most, (_, value)| most.max(value));
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers of members, clamped"
    )]
    let most = most.clamp(0.0, f64::from(u32::MAX)) as u32;
    Some(most.max(scaling.required))
}

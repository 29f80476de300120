//! What must happen, and within which time, as far as decisions are what it depends on.
//!
//! It refuses to know what decides: who is heard it knows from the witness, what is asked for from the simulated world.

use std::collections::BTreeSet;

use cartridge_orchestrator_plan::placement;
use cartridge_orchestrator_plan::world::{ApplicationStatus, Cluster, Member, MemberPhase, Role, World};
use cartridge_protocol::{ClusterId, Millis, NetworkPartitionId};

use super::sim::Sim;
use super::witness::Witness;
use super::{Holds, demand};

/// After so long a silent member is lost, and a second later that was decided.
const LOST: Millis = Millis::from_secs(21);
const FRESH: Millis = Millis::from_secs(15);
/// Heard within this, nothing may be called stale: two evaluations less than what counts as lately.
const JUST: Millis = Millis::from_secs(12);

/// It runs, and decided in this second.
fn decides(sim: &Sim) -> Option<(&Witness, &World)> {
    let witness = sim.orchestrator.witness.as_ref()?;
    (sim.now > sim.down).then_some((&**witness, &sim.orchestrator.world))
}

/// L2: who is silent for twenty seconds is replaced at once, if no brake holds (S8, S9) and nobody else is on the way
/// in that cluster (S7).
pub fn silence_is_noticed(sim: &Sim) -> Holds {
    let Some((witness, world)) = decides(sim) else {
        return Ok(());
    };
    let silent = |member: &Member, limit| witness.silence(&member.id, sim.now) > limit;
    let lost = witness
        .silent(sim.now, LOST)
        .filter_map(|id| world.members.get(id));
    for member in lost.filter(|member| member.phase.serves()) {
        let Some(cluster) = world.clusters.get(&member.cluster) else {
            continue;
        };
        let own = || world.members_of(cluster);
        let brake = |members: &mut dyn Iterator<Item = &Member>| {
            let (mut stale, mut all) = (0, 0);
            for member in members.filter(|member| member.phase.serves()) {
                all += 1;
                stale += usize::from(silent(member, FRESH));
            }
            stale > 2 && stale * 10 > all * 3
        };
        let here = |np| {
            let all = world.members.values();
            brake(&mut all.filter(|one| one.network_partition == np))
        };
        let braked = witness.blind(world, sim.now)
            || brake(&mut own())
            || cluster.instances.keys().any(|np| here(np.clone()));
        let coming = own().any(|member| member.phase.is_coming());
        demand(braked || coming, "L2 detection", || {
            format!(
                "{} is silent for {}, and nothing follows",
                member.id,
                witness.silence(&member.id, sim.now)
            )
        })?;
    }
    Ok(())
}

/// L9: where all are heard, nothing is held up because somebody is not.
pub fn who_hears_decides_again(sim: &Sim) -> Holds {
    let Some((witness, world)) = decides(sim) else {
        return Ok(());
    };
    for row in &sim.orchestrator.last.report.clusters {
        let Some(frozen) = &row.frozen else { continue };
        let deaf = frozen.contains("heard") || frozen.contains("stale") || frozen.contains("blind");
        let Some(cluster) = world.clusters.get(&row.cluster).filter(|_| deaf) else {
            continue;
        };
        let balanced = world.balanced_ports(cluster).next().is_some();
        let scaling = cluster
            .autoscaling_policy
            .as_ref()
            .and_then(|id| world.autoscaling_policies.get(id));
        // Nobody else measures requests.
        if !balanced && scaling.is_none_or(|scaling| scaling.load_average.is_none()) {
            continue;
        }
        let heard = |member: &Member| witness.heard_within(&member.id, sim.now, JUST);
        let read = |np: &NetworkPartitionId| {
            let reading = sim
                .orchestrator
                .seen
                .clusters
                .get(&(cluster.id.clone(), np.clone()));
            let fresh = reading.is_some_and(|reading| sim.now.since(reading.heard) <= Millis::from_secs(3));
            let balancer = world.balancer(&cluster.application, np);
            let mut all = balancer.into_iter().flat_map(|own| world.members_of(own));
            !balanced || (fresh && all.any(|member| member.phase == MemberPhase::Active))
        };
        let serving = || world.members_of(cluster).filter(|member| member.phase.serves());
        let all = serving().any(|member| member.phase == MemberPhase::Active)
            && serving().all(heard)
            && cluster.instances.keys().all(read);
        demand(!all, "L9 thaw", || {
            format!("all of {} are heard, and it is held up: {frozen}", cluster.id)
        })?;
    }
    Ok(())
}

/// L1 for updates: what the blueprint names stands, nothing else does, and nobody is left that was started with what
/// does not hold any more.
pub fn as_described(sim: &Sim) -> Holds {
    let world = &sim.orchestrator.world;
    for state in world.applications.values() {
        if !matches!(state.status, ApplicationStatus::Deployed { .. }) {
            continue;
        }
        let id = &state.blueprint.application_id;
        let named: BTreeSet<ClusterId> = state
            .blueprint
            .subscriptions()
            .filter_map(|one| ClusterId::of(id, &one.alias, &one.cartridge_type).ok())
            .collect();
        let all = world
            .clusters_of(id)
            .filter(|cluster| cluster.role == Role::Application);
        let stand: BTreeSet<ClusterId> = all.map(|cluster| cluster.id.clone()).collect();
        demand(named == stand, "L1 convergence", || {
            format!("{named:?} are named, {stand:?} stand")
        })?;
    }
    for cluster in world.clusters.values() {
        for (np, instance) in &cluster.instances {
            let mut here = world.members_in(cluster, np);
            let old = here.find(|member| cluster.is_outdated(member));
            // The only one stays where there is no room for another one.
            let fit = instance.desired.min(placement::room(world, cluster, np));
            let alone = fit < 2 && placement::place(world, cluster, np).is_none();
            demand(old.is_none() || alone, "L1 convergence", || {
                format!("{old:?} was started with what does not hold any more")
            })?;
        }
    }
    Ok(())
}

/// L8, and the end of L7: as many as requests in flight ask for stand, or all that there is room for.
pub fn as_large_as_asked(sim: &Sim) -> Holds {
    let world = &sim.orchestrator.world;
    for state in world.applications.values() {
        let Some(policy) = world.policy_of(state).filter(|_| !state.blueprint.is_composite()) else {
            continue;
        };
        let application = &state.blueprint.application_id;
        let wanted = |cluster: &&Cluster| cluster.role == Role::Application && cluster.ordered_size.is_none();
        for cluster in world.clusters_of(application).filter(wanted) {
            let scaling = cluster
                .autoscaling_policy
                .as_ref()
                .and_then(|id| world.autoscaling_policies.get(id));
            let threshold = scaling.and_then(|scaling| scaling.requests_in_flight);
            let Some(threshold) = threshold.filter(|_| world.balanced_ports(cluster).next().is_some()) else {
                continue;
            };
            let asked = (sim.demand / threshold - 1e-6).ceil().max(0.0) as u32;
            let total: u32 = cluster.instances.values().map(|one| one.desired).sum();
            let full = policy.groups.iter().flatten().all(|np| {
                let most = cluster.max.min(placement::room(world, cluster, np));
                let desired = cluster.instances.get(np).map_or(0, |one| one.desired);
                desired >= most || !world.may_use(cluster, np)
            });
            demand(total >= asked || full, "L8 scale-out", || {
                format!(
                    "{total} members of {} are wanted, {asked} are asked for",
                    cluster.id
                )
            })?;
        }
    }
    Ok(())
}

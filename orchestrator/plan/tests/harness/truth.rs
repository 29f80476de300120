//! What must hold in the simulated world itself, whatever the orchestrator believes.

use cartridge_orchestrator_plan::world::{ApplicationStatus, MemberPhase, Role};
use cartridge_protocol::Millis;

use super::sim::Sim;

/// Checked after every second.
pub fn holds(sim: &Sim) {
    intent_came_first(sim);
    bounds(sim);
    drained_before_stopped(sim);
}

/// S3: no instance without a record that planned it.
fn intent_came_first(sim: &Sim) {
    for member in sim.agents.keys() {
        assert!(
            sim.planned.contains(member),
            "{member} runs, but nobody planned it"
        );
    }
}

/// S6: never more members, those that leave not counted, than the maximum; sizes within bounds.
fn bounds(sim: &Sim) {
    let world = &sim.orchestrator.world;
    for cluster in world
        .clusters
        .values()
        .filter(|cluster| cluster.role == Role::Application)
    {
        for (np, instance) in &cluster.instances {
            let stay = world
                .members_in(cluster, np)
                .filter(|member| !member.phase.is_leaving())
                .count();
            let copies = world.copies(cluster, np);
            let standing = match &cluster.group {
                None => 1,
                // Those of an instance that is being emptied leave in the next second.
                Some(alias) => world.group_instances(&cluster.application, np, alias).count(),
            };
            assert!(
                stay <= cluster.max as usize * standing.max(1),
                "{stay} members of {} in {np}",
                cluster.id
            );
            if !world.is_undeploying(&cluster.application) && instance.ending.is_none() {
                let within = (cluster.min * copies..=cluster.max * copies).contains(&instance.desired);
                assert!(
                    within,
                    "{} members of {} are wanted in {np}",
                    instance.desired, cluster.id
                );
            }
        }
    }
}

/// S14: who is told to stop in order gets no new requests any more, or had its time to finish.
fn drained_before_stopped(sim: &Sim) {
    let world = &sim.orchestrator.world;
    let forced = world
        .applications
        .values()
        .any(|state| matches!(state.status, ApplicationStatus::Undeploying { force: true }));
    for agent in sim.agents.values().filter(|agent| !agent.balancer && !forced) {
        let (Some(told), Some(drained)) = (agent.told_to_stop, sim.drained.get(&agent.member)) else {
            continue;
        };
        let phase = world.members.get(&agent.member).map(|member| &member.phase);
        let in_order = matches!(phase, Some(MemberPhase::Stopping));
        if told != sim.now || !in_order || told.since(*drained) >= Millis::from_secs(30) {
            continue;
        }
        let sender = sim.agents.values().find(|other| {
            other.balancer
                && other.runs(sim.now)
                && other.network_partition == agent.network_partition
                && other.sends_to(&agent.member)
        });
        let told_by = sender.map(|sender| &sender.member);
        assert!(
            told_by.is_none(),
            "{} is told to stop, but {told_by:?} sends to it\n{}",
            agent.member,
            sim.picture()
        );
    }
}

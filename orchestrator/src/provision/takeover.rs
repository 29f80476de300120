//! At the start: what runs already, what is missing, and what nobody knows.
//!
//! An instance with our tag that the world does not know is an orphan: an intent is durable before anything is made, so
//! it can only be left over. It is removed. Instances without our tag are never looked at (S5).

use cartridge_orchestrator_plan::world::{MemberPhase, World};

use super::{Found, Provisioners};
use crate::engine::Engine;

/// Compares what there is with what the world knows.
pub async fn take_over(engine: &Engine, provisioners: &Provisioners) {
    for (name, provisioner) in provisioners.iter() {
        let found = match provisioner.list().await {
            Ok(found) => found,
            Err(e) => {
                tracing::error!(
                    provider = name,
                    "could not be asked what runs: {e}; nothing is concluded from that"
                );
                continue;
            }
        };
        for orphan in engine.read(|world, _, _| orphans(world, &found)) {
            tracing::warn!(provider = name, member = %orphan.member, incarnation = orphan.incarnation, "orphan removed");
            if let Err(e) = provisioner.remove(&orphan.member, orphan.incarnation).await {
                tracing::error!(member = %orphan.member, "orphan: {e}");
            }
        }
        for one in found.iter().filter(|one| one.running) {
            engine.instance_runs(&one.member, one.incarnation);
        }
        for (member, incarnation) in engine.read(|world, _, _| missing(world, &found, name)) {
            engine.instance_gone(
                &member,
                incarnation,
                "not found when the orchestrator started".to_owned(),
            );
        }
    }
}

fn orphans(world: &World, found: &[Found]) -> Vec<Found> {
    let known = |one: &&Found| {
        let member = world.members.get(&one.member);
        // What ended is removed by a step, with its record.
        member.is_none_or(|m| m.incarnation != one.incarnation)
    };
    found.iter().filter(known).cloned().collect()
}

fn missing(world: &World, found: &[Found], provider: &str) -> Vec<(cartridge_protocol::MemberId, u64)> {
    let runs = |id: &cartridge_protocol::MemberId, incarnation: u64| {
        found
            .iter()
            .any(|one| one.running && one.member == *id && one.incarnation == incarnation)
    };
    world
        .members
        .values()
        .filter(|m| !matches!(m.phase, MemberPhase::Planned { .. } | MemberPhase::Ended { .. }))
        .filter(|m| {
            world
                .network_partitions
                .get(&m.network_partition)
                .is_some_and(|np| np.provider == provider)
        })
        .filter(|m| !runs(&m.id, m.incarnation))
        .map(|m| (m.id.clone(), m.incarnation))
        .collect()
}

//! What the world still lacks, as steps for provisioners.
//!
//! This file refuses to know how a step is carried out.

use cartridge_protocol::Millis;

use crate::launch;
use crate::step::Step;
use crate::world::{Member, MemberPhase, World};

/// The longest wait between two attempts to start a member.
const LONGEST_WAIT: u64 = 16_000;

/// Every step that is due now, in the order of member ids. Level-triggered: asked again, it answers the same until
/// the journal says that a step succeeded or failed. Removals are due at once and always; whoever carries them out
/// paces the attempts that fail.
pub fn outstanding(world: &World, now: Millis) -> Vec<Step> {
    let members = world.members.values();
    members.filter_map(|member| step(world, member, now)).collect()
}

/// When the next step that waits is due; None: none waits.
pub fn next_due(world: &World, now: Millis) -> Option<Millis> {
    let coming = world.members.values().filter(|member| lacks_instance(member));
    coming.map(due).filter(|at| *at > now).min()
}

fn step(world: &World, member: &Member, now: Millis) -> Option<Step> {
    if lacks_instance(member) && now >= due(member) {
        return launch::spec(world, member).map(|spec| Step::Ensure(Box::new(spec)));
    }
    let MemberPhase::Ended { .. } = member.phase else {
        return None;
    };
    Some(Step::Remove {
        provider: world
            .network_partitions
            .get(&member.network_partition)?
            .provider
            .clone(),
        member: member.id.clone(),
        incarnation: member.incarnation,
    })
}

/// An agent may join before its provisioner answers: the answer is wanted all the same.
const fn lacks_instance(member: &Member) -> bool {
    matches!(member.phase, MemberPhase::Planned { .. } | MemberPhase::Starting) && member.instance.is_none()
}

/// Attempts wait 1 s, 2 s, 4 s, … after a failure.
fn due(member: &Member) -> Millis {
    let wait = match member.phase {
        MemberPhase::Planned { attempts } if attempts > 0 => (500_u64 << attempts.min(16)).min(LONGEST_WAIT),
        _ => 0,
    };
    member.since.plus(Millis(wait))
}

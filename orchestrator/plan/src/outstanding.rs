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
    steps(world, now, |_| true).collect()
}

/// The same one by one, for the members that `wanted` accepts: nobody needs all steps of a large fleet at once.
pub fn steps(
    world: &World,
    now: Millis,
    mut wanted: impl FnMut(&Member) -> bool,
) -> impl Iterator<Item = Step> {
    let members = world.members.unfinished().filter(move |member| wanted(member));
    members.filter_map(move |member| step(world, member, now))
}

/// When the next step that waits is due; None: none waits.
pub fn next_due(world: &World, now: Millis) -> Option<Millis> {
    let coming = world
        .members
        .unfinished()
        .filter(|member| member.lacks_instance());
    coming.map(due).filter(|at| *at > now).min()
}

fn step(world: &World, member: &Member, now: Millis) -> Option<Step> {
    planted!(NewIdAfterTimeOut => if let MemberPhase::Planned { attempts: 1.. } = member.phase {
        let mut again = member.clone();
        again.incarnation += 1;
        return launch::spec(world, &again).map(|spec| Step::Ensure(Box::new(spec)));
    });
    if member.lacks_instance() && now >= due(member) {
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

/// Attempts wait 1 s, 2 s, 4 s, … after a failure.
fn due(member: &Member) -> Millis {
    let wait = match member.phase {
        MemberPhase::Planned { attempts } if attempts > 0 => (500_u64 << attempts.min(16)).min(LONGEST_WAIT),
        _ => 0,
    };
    member.since.plus(Millis(wait))
}

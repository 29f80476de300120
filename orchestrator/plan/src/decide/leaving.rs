//! How clusters go that their application does not name any more: those that started last first, each out of its
//! balancers before it stops; who takes the place of another one stands before that one goes.
//!
//! This file refuses to keep anything that was named: nobody else is touched.

use cartridge_protocol::{ApplicationId, ClusterId, NetworkPartitionId};

use super::draft::Draft;
use crate::placement;
use crate::record::Record;
use crate::world::{Cluster, Member, MemberPhase, Role, World};

const REASON: &str = "its application does not name it any more";

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    if draft.world().is_undeploying(application) {
        return;
    }
    for id in draft.cluster_ids(application) {
        let leaves = |cluster: &&Cluster| cluster.leaving.is_some();
        let Some(cluster) = draft.world().clusters.get(&id).filter(leaves) else {
            continue;
        };
        if cluster.members.is_empty() {
            retire(draft, &id);
            continue;
        }
        let places: Vec<NetworkPartitionId> = cluster.instances.keys().cloned().collect();
        for np in places {
            empty(draft, &id, &np);
        }
    }
}

/// Forgets a cluster of which nothing is left, once no balancer serves it any more.
fn retire(draft: &mut Draft<'_>, id: &ClusterId) {
    let Some(cluster) = draft.world().clusters.get(id) else {
        return;
    };
    let places = cluster.instances.keys();
    let waits: Vec<String> = places
        .filter(|np| !balancers_know(draft, cluster, np))
        .map(|np| format!("the balancer in {np} has not said yet that it does not serve it"))
        .collect();
    match waits.into_iter().next() {
        Some(why) => draft.note(id, why),
        None => draft.push(Record::ClusterRetired { cluster: id.clone() }),
    }
}

/// A balancer that still had it in its table would refuse a topology without it.
fn balancers_know(draft: &Draft<'_>, cluster: &Cluster, np: &NetworkPartitionId) -> bool {
    let world = draft.world();
    if !world.is_balanced(&cluster.id) || !world.balancer_lives(&cluster.application, np) {
        return true;
    }
    let reading = draft.seen.clusters.get(&(cluster.id.clone(), np.clone()));
    reading.is_some_and(|reading| reading.revision >= cluster.revision)
}

fn empty(draft: &mut Draft<'_>, id: &ClusterId, np: &NetworkPartitionId) {
    let world = draft.world();
    let Some(cluster) = world.clusters.get(id) else {
        return;
    };
    let stay: Vec<&Member> = world
        .members_in(cluster, np)
        .filter(|member| !member.phase.is_leaving())
        .collect();
    if stay.is_empty() {
        return;
    }
    let goes: Vec<Record> = match turn(world, cluster, np) {
        Turn::All => stay.into_iter().map(draining).collect(),
        Turn::One => placement::victim(world, draft.seen, cluster, np)
            .and_then(|id| world.members.get(&id))
            .map(draining)
            .into_iter()
            .collect(),
        Turn::None(why) => {
            draft.note(id, format!("it stays in {np}: {why}"));
            return;
        }
    };
    draft.extend(goes);
}

fn draining(member: &Member) -> Record {
    Record::MemberDraining {
        member: member.id.clone(),
        incarnation: member.incarnation,
        reason: REASON.into(),
    }
}

/// How many of a cluster may go at present.
enum Turn {
    All,
    /// To make room for who takes its place.
    One,
    None(String),
}

fn turn(world: &World, cluster: &Cluster, np: &NetworkPartitionId) -> Turn {
    let later = cluster.leaving.iter().flat_map(|leaving| &leaving.after);
    let stands = |id: &&ClusterId| {
        let other = world.clusters.get(*id).filter(|other| other.leaving.is_some());
        other.is_some_and(|other| !other.members.is_empty())
    };
    if let Some(first) = later.into_iter().find(stands) {
        return Turn::None(format!("{first} goes first"));
    }
    let successor = world
        .successor(cluster)
        .filter(|_| cluster.role == Role::Application);
    let Some(successor) = successor else {
        return Turn::All;
    };
    let comes = successor.instances.get(np).filter(|one| one.ending.is_none());
    let Some(instance) = comes else {
        return Turn::All;
    };
    let ready = |cluster: &Cluster| {
        let active = |member: &&Member| member.phase == MemberPhase::Active;
        world.members_in(cluster, np).filter(active).count()
    };
    let wanted = instance.desired.max(1) as usize;
    let (there, here) = (ready(successor), ready(cluster));
    let coming = world
        .members_in(successor, np)
        .any(|member| member.phase.is_coming());
    let leaves = world
        .members_in(cluster, np)
        .any(|member| member.phase.is_leaving());
    let no_room = !coming && !leaves && placement::place(world, successor, np).is_none();
    match (there >= wanted, no_room) {
        (true, _) => Turn::All,
        (false, true) if there > 0 => Turn::All,
        (false, true) if here > 1 => Turn::One,
        (false, true) => Turn::None(format!(
            "there is no room for {}, which takes its place",
            successor.id
        )),
        (false, false) => Turn::None(format!(
            "{there} of {wanted} members of {}, which takes its place, are ready",
            successor.id
        )),
    }
}

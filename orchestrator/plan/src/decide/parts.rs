//! How the parts of a composite application stand: who may start, what is lost when one is lost, who starts again.
//!
//! A part is the members of one cluster in one instance of its group. This file refuses to know how many members
//! there should be.

use cartridge_protocol::{ApplicationId, ClusterId, NetworkPartitionId};

use super::draft::Draft;
use super::shrinking::is_last_endpoint;
use crate::record::Record;
use crate::world::{Cluster, Member, MemberPhase, Standing, World};

mod orders;
mod shares;
mod together;

pub(super) use orders::whole;
pub(super) use shares::{Share, shares};

/// One part of an application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub cluster: ClusterId,
    /// The instance of its group; 0: it is in none.
    pub number: u32,
}

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    let state = draft.world().applications.get(application);
    if !state.is_some_and(|state| state.blueprint.is_composite()) || draft.world().is_undeploying(application)
    {
        return;
    }
    for np in in_use(draft.world(), application) {
        let parts = parts_in(draft.world(), application, &np);
        parts.iter().for_each(|part| advance(draft, &np, part));
        for part in &parts {
            if let Some(reason) = may_start(draft.world(), application, &np, part) {
                change(draft, &np, part, Standing::Starting, &reason);
            }
        }
    }
    depart(draft, application);
}

/// The network partitions that an application uses and does not leave.
pub(super) fn in_use(world: &World, application: &ApplicationId) -> Vec<NetworkPartitionId> {
    let instances = world
        .clusters_of(application)
        .flat_map(|cluster| &cluster.instances);
    let mut found: Vec<NetworkPartitionId> = instances
        .filter(|(_, instance)| instance.ending.is_none())
        .map(|(np, _)| np.clone())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// All parts there, instances of groups that are being emptied left out.
pub(super) fn parts_in(world: &World, application: &ApplicationId, np: &NetworkPartitionId) -> Vec<Part> {
    let clusters = world
        .clusters_of(application)
        .filter(|cluster| cluster.is_wanted() && cluster.instances.contains_key(np));
    clusters
        .flat_map(|cluster| {
            let numbers = world.parts(cluster, np).into_iter();
            numbers.map(|number| Part {
                cluster: cluster.id.clone(),
                number,
            })
        })
        .collect()
}

pub(super) fn standing(world: &World, np: &NetworkPartitionId, part: &Part) -> Standing {
    let instance = world
        .clusters
        .get(&part.cluster)
        .and_then(|cluster| cluster.instances.get(np));
    instance.map_or(Standing::Waiting, |instance| instance.standing(part.number))
}

fn change(draft: &mut Draft<'_>, np: &NetworkPartitionId, part: &Part, to: Standing, reason: &str) {
    draft.push(Record::PartChanged {
        cluster: part.cluster.clone(),
        network_partition: np.clone(),
        group_instance: part.number,
        to,
        reason: reason.to_owned(),
    });
}

fn members<'a>(
    world: &'a World,
    cluster: &'a Cluster,
    np: &'a NetworkPartitionId,
    part: &'a Part,
) -> impl Iterator<Item = &'a Member> {
    world
        .members_in(cluster, np)
        .filter(|member| member.group_instance == part.number)
}

/// Follows what happened to the members of a part.
fn advance(draft: &mut Draft<'_>, np: &NetworkPartitionId, part: &Part) {
    let world = draft.world();
    let Some(cluster) = world.clusters.get(&part.cluster) else {
        return;
    };
    let own = || members(world, cluster, np, part);
    let min = cluster.min as usize;
    let ready = |member: &&Member| matches!(member.phase, MemberPhase::Active | MemberPhase::Updating { .. });
    let count = own().count();
    let active = own().filter(ready).count();
    let serving = own().filter(|member| member.phase.serves()).count();
    let failed = |member: &Member| matches!(member.phase, MemberPhase::Ended { failure: Some(_) });
    let lost = own().any(failed);
    let reason = format!("{serving} members serve, the minimum is {min}");
    match standing(world, np, part) {
        Standing::Terminating if count == 0 => {
            change(draft, np, part, Standing::Waiting, "nothing is left of it");
        }
        Standing::Starting | Standing::Inactive if active >= min => {
            change(draft, np, part, Standing::Active, &reason);
        }
        Standing::Active if serving < min => {
            change(draft, np, part, Standing::Inactive, &reason);
            // An ordered drain is no fault: who goes is replaced.
            if lost {
                for (part, reason) in together::doomed(draft.world(), np, part) {
                    if standing(draft.world(), np, &part) != Standing::Terminating {
                        change(draft, np, &part, Standing::Terminating, &reason);
                    }
                }
            }
        }
        _ => {}
    }
}

/// Why a waiting part starts now; None: it does not.
fn may_start(
    world: &World,
    application: &ApplicationId,
    np: &NetworkPartitionId,
    part: &Part,
) -> Option<String> {
    if standing(world, np, part) != Standing::Waiting {
        return None;
    }
    orders::hindrance(world, application, np, part)
        .map_or_else(|| Some("all that comes before it is active".to_owned()), |_| None)
}

/// Members of what ends are taken out: at once where the blueprint says that it ends together, else as long as another
/// one serves.
fn depart(draft: &mut Draft<'_>, application: &ApplicationId) {
    let world = draft.world();
    let goes = |member: &&Member| {
        !member.phase.is_leaving() && (world.group_is_ending(member) || world.part_is_terminating(member))
    };
    let leaving: Vec<Member> = world
        .clusters_of(application)
        .filter(|cluster| cluster.is_wanted())
        .flat_map(|cluster| world.members_of(cluster))
        .filter(goes)
        .cloned()
        .collect();
    for member in leaving {
        let world = draft.world();
        let ends = world.part_is_terminating(&member);
        let cluster = world.clusters.get(&member.cluster);
        let last = cluster.is_some_and(|cluster| is_last_endpoint(world, cluster, &member));
        if member.phase.serves() && last && !ends {
            let text = format!("{} stays until another one is ready", member.id);
            draft.note(&member.cluster, text);
            continue;
        }
        draft.push(Record::MemberDraining {
            member: member.id.clone(),
            incarnation: member.incarnation,
            reason: if ends {
                "what it belongs to ends, to start again in order".into()
            } else {
                "its instance of its group is being emptied".into()
            },
        });
    }
}

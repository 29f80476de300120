//! Which network partitions an application uses: the first group when deployed, the next when the first is full,
//! and back again in the opposite order.
//!
//! This file refuses to know how many members there should be.

use cartridge_protocol::{ApplicationId, Millis, NetworkPartitionId};

use super::draft::Draft;
use super::groups;
use super::limits::{DRAIN, UNLISTED};
use super::sizing::{Size, Sizes};
use crate::record::Record;
use crate::scale;
use crate::world::{Cluster, Member, MemberPhase, Role, World};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId, sizes: &Sizes) {
    let groups = groups::groups(draft.world(), application);
    empty(draft, application);
    if groups.is_empty() {
        return;
    }
    let in_use = |world: &World, group: &[NetworkPartitionId]| {
        group.iter().any(|np| world.standing(application, np).is_some())
    };
    let used = groups.iter().rposition(|group| in_use(draft.world(), group));
    let Some(last) = used else {
        start(draft, application, &groups[0], "deployed");
        return;
    };
    let ending = |np: &NetworkPartitionId| draft.world().standing(application, np) == Some(true);
    if groups.iter().flatten().any(ending) {
        return; // one move at a time
    }
    for (id, size) in sizes {
        let room = size.layout.cap(usize::MAX);
        if size.required > room {
            draft.note(
                id,
                format!(
                    "{} members are needed, there is room for {room} in all",
                    size.required
                ),
            );
        }
    }
    if let Some(reason) = overflow(sizes) {
        match groups.iter().find(|group| !in_use(draft.world(), group)) {
            Some(next) => start(draft, application, next, &reason),
            None => draft.note_all(
                application,
                &format!("{reason}, and no further network partition is left"),
            ),
        }
    } else if last > 0 && fits_without(draft, sizes, last) {
        end(draft, application, &groups[last]);
    }
}

fn start(draft: &mut Draft<'_>, application: &ApplicationId, group: &[NetworkPartitionId], reason: &str) {
    for np in group {
        if draft.world().standing(application, np).is_none() {
            draft.push(Record::BurstStarted {
                application: application.clone(),
                network_partition: np.clone(),
                reason: reason.into(),
            });
        }
    }
}

/// Why what is in use does not suffice.
fn overflow(sizes: &Sizes) -> Option<String> {
    sizes.iter().find_map(|(cluster, size)| {
        let (wanted, room) = (size.target.max(size.layout.min), size.layout.cap_in_use());
        (wanted > room).then(|| format!("{cluster} needs {wanted} members, there is room for {room}"))
    })
}

/// Every cluster could do without the last group for a whole stabilisation time, and what remains stands.
fn fits_without(draft: &mut Draft<'_>, sizes: &Sizes, last: usize) -> bool {
    let mut fits = true;
    for (id, size) in sizes {
        let Some(cluster) = draft.world().clusters.get(id) else {
            continue;
        };
        match fits_before(draft, cluster, size, last) {
            Ok(()) => {}
            Err(Some(due)) => {
                draft.wake_at(due);
                fits = false;
            }
            Err(None) => fits = false,
        }
    }
    fits && !draft.blind()
}

/// Err: not now; with a time: not before.
fn fits_before(draft: &Draft<'_>, cluster: &Cluster, size: &Size, last: usize) -> Result<(), Option<Millis>> {
    let needed = size.lately.ok_or(None)?.max(size.target);
    if needed > size.layout.cap(last) {
        return Err(None);
    }
    let world = draft.world();
    let policy = cluster
        .autoscaling_policy
        .as_ref()
        .and_then(|id| world.autoscaling_policies.get(id));
    let span = policy.map_or(Millis::ZERO, scale::stabilization);
    for slot in size.layout.groups.get(last).into_iter().flatten() {
        let Some(instance) = cluster.instances.get(&slot.network_partition) else {
            continue;
        };
        let calm = instance.since.plus(span);
        if slot.desired > slot.min {
            return Err(None);
        }
        if draft.now < calm && !size.ordered {
            return Err(Some(calm));
        }
    }
    let earlier = size
        .layout
        .groups
        .iter()
        .take(last)
        .flatten()
        .map(|slot| &slot.network_partition);
    let stand: usize = earlier
        .map(|np| {
            let ready = |member: &&Member| member.phase == MemberPhase::Active;
            world.members_in(cluster, np).filter(ready).count()
        })
        .sum();
    if stand >= needed as usize {
        Ok(())
    } else {
        Err(None)
    }
}

fn end(draft: &mut Draft<'_>, application: &ApplicationId, group: &[NetworkPartitionId]) {
    for np in group {
        if draft.world().standing(application, np) == Some(false) {
            draft.push(Record::BurstEnding {
                application: application.clone(),
                network_partition: np.clone(),
                reason: "all that is needed fits into the network partitions before it".into(),
            });
        }
    }
}

/// Goes on with what is being emptied: the balancer when its clients are gone, then the members, then the books.
fn empty(draft: &mut Draft<'_>, application: &ApplicationId) {
    let ending: std::collections::BTreeMap<NetworkPartitionId, Millis> = draft
        .world()
        .clusters_of(application)
        .flat_map(|cluster| &cluster.instances)
        .filter_map(|(np, instance)| Some((np.clone(), instance.ending?)))
        .collect();
    for (np, since) in ending {
        let world = draft.world();
        let here = |role: fn(&Role) -> bool| -> Vec<&Member> {
            world
                .clusters_of(application)
                .filter(|cluster| role(&cluster.role))
                .flat_map(|cluster| world.members_in(cluster, &np))
                .collect()
        };
        let balancers = here(|role| matches!(role, Role::Balancer { .. }));
        let members = here(|role| *role == Role::Application);
        let mut records = Vec::new();
        planted!(BurstNeverEnded => if balancers.is_empty() && members.is_empty() { continue; });
        if balancers.is_empty() && members.is_empty() {
            records.push(Record::BurstEnded {
                application: application.clone(),
                network_partition: np.clone(),
            });
        } else if !balancers.is_empty() {
            if quiet(draft, application, &np, since) {
                records.extend(leave(&balancers));
            }
        } else {
            records.extend(leave(&members));
        }
        draft.extend(records);
        draft.wake_at(since.plus(DRAIN));
        draft.wake_at(since.plus(UNLISTED));
    }
}

fn leave(members: &[&Member]) -> Vec<Record> {
    members
        .iter()
        .filter(|member| !member.phase.is_leaving())
        .map(|member| Record::MemberDraining {
            member: member.id.clone(),
            incarnation: member.incarnation,
            reason: "its network partition is being emptied".into(),
        })
        .collect()
}

/// No client uses the balancer any more, or it took too long.
fn quiet(draft: &Draft<'_>, application: &ApplicationId, np: &NetworkPartitionId, since: Millis) -> bool {
    let world = draft.world();
    let mut balanced = world
        .clusters_of(application)
        .filter(|cluster| cluster.instances.contains_key(np) && world.is_balanced(&cluster.id));
    draft.now.since(since) >= DRAIN
        || balanced.all(|cluster| {
            let reading = draft.seen.clusters.get(&(cluster.id.clone(), np.clone()));
            reading.is_some_and(|reading| reading.heard >= since.plus(UNLISTED) && reading.in_flight_now == 0)
        })
}

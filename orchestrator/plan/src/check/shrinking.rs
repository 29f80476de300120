//! Budget of destruction (S7), ignorance freezes (S8), bounds (S6).

use std::collections::BTreeSet;

use cartridge_protocol::{ApplicationId, MemberId, Millis};

use super::{Broken, Moment, broken, updates};
use crate::record::Record;
use crate::world::{ApplicationStatus, Cluster, Member, MemberPhase, Role, World};

/// A serving member that automation takes out by itself: not ordered, its network partition not being emptied.
fn automatic_drain<'a>(moment: &Moment<'a>) -> Option<(&'a Cluster, &'a Member)> {
    let Record::MemberDraining { member, .. } = moment.record else {
        return None;
    };
    let member = moment.world.members.get(member)?;
    let cluster = moment.world.clusters.get(&member.cluster)?;
    let ending = cluster
        .instances
        .get(&member.network_partition)
        .is_some_and(|instance| instance.ending.is_some());
    let undeploying = moment
        .world
        .applications
        .get(&cluster.application)
        .is_some_and(|state| matches!(state.status, ApplicationStatus::Undeploying { .. }));
    // What the blueprint says ends together ends at once.
    let together = moment.world.group_is_ending(member) || moment.world.part_is_terminating(member);
    let changed = cluster.leaving.is_some() || updates::is_surplus(moment, cluster, member);
    let exempt = ending || undeploying || together || changed || cluster.ordered_size.is_some();
    (!exempt && serves(member)).then_some((cluster, member))
}

fn serves(member: &Member) -> bool {
    matches!(
        member.phase,
        MemberPhase::Active | MemberPhase::Suspended { .. } | MemberPhase::Updating { .. }
    )
}

fn serving<'a>(world: &'a World, cluster: &'a Cluster) -> impl Iterator<Item = &'a Member> {
    cluster
        .members
        .iter()
        .filter_map(|id| world.members.get(id))
        .filter(|member| serves(member))
}

/// S7: in any minute, a tenth of the members at most, but one.
pub(super) fn budget(moment: &Moment<'_>) -> Result<(), Broken> {
    let Some((cluster, member)) = automatic_drain(moment) else {
        return Ok(());
    };
    let minute = Millis::from_secs(60);
    let spent = cluster
        .drains
        .iter()
        .filter(|at| moment.now.since(**at) < minute)
        .count();
    let most = (serving(moment.world, cluster).count() / 10).max(1);
    if spent >= most {
        let problem = format!(
            "{} would be number {} of {most} taken out within a minute",
            member.id,
            spent + 1
        );
        return Err(broken("S7 destruction budget", problem));
    }
    let desired = cluster
        .instances
        .get(&member.network_partition)
        .map_or(0, |i| i.desired);
    let there =
        |m: &&Member| m.network_partition == member.network_partition && m.phase == MemberPhase::Active;
    let others = serving(moment.world, cluster)
        .filter(there)
        .filter(|m| m.id != member.id)
        .count();
    if desired > 0 && others == 0 {
        return Err(broken(
            "S13 non-empty endpoints",
            format!("{} is the last one ready", member.id),
        ));
    }
    Ok(())
}

fn heard(moment: &Moment<'_>, member: &MemberId, within: Millis) -> bool {
    let said = moment
        .seen
        .members
        .get(member)
        .map_or(Millis::ZERO, |said| said.heard);
    moment.now.since(said.max(moment.seen.began)) <= within
}

/// S8: fewer than four of five heard, and nothing of that cluster is taken away.
pub(super) fn ignorance(moment: &Moment<'_>) -> Result<(), Broken> {
    let cluster = match moment.record {
        Record::MemberUpdating { member, .. } => {
            let member = moment.world.members.get(member);
            // One that is under way already may be sent elsewhere.
            let stands = member.filter(|member| !matches!(member.phase, MemberPhase::Updating { .. }));
            stands.and_then(|member| moment.world.clusters.get(&member.cluster))
        }
        Record::ClusterResized {
            cluster,
            network_partition,
            from,
            to,
            ..
        } if to < from => {
            let cluster = moment.world.clusters.get(cluster);
            cluster.filter(|cluster| {
                let most = cluster
                    .max
                    .saturating_mul(moment.world.copies(cluster, network_partition));
                cluster.ordered_size.is_none() && *from <= most
            })
        }
        _ => automatic_drain(moment).map(|(cluster, _)| cluster),
    };
    let Some(cluster) = cluster else {
        return Ok(());
    };
    let all = serving(moment.world, cluster).count();
    let fresh = serving(moment.world, cluster)
        .filter(|member| heard(moment, &member.id, Millis::from_secs(15)))
        .count();
    if fresh * 5 < all * 4 {
        let problem = format!(
            "{fresh} of {all} members of {} are heard: {:?}",
            cluster.id, moment.record
        );
        return Err(broken("S8 ignorance freezes", problem));
    }
    Ok(())
}

/// S6: a size is at least the minimum and at most the maximum.
pub(super) fn bounds(moment: &Moment<'_>) -> Result<(), Broken> {
    let Record::ClusterResized {
        cluster,
        network_partition,
        to,
        ..
    } = moment.record
    else {
        return Ok(());
    };
    let Some(cluster) = moment.world.clusters.get(cluster) else {
        return Ok(());
    };
    let copies = moment.world.copies(cluster, network_partition);
    let (least, most) = (
        cluster.min.saturating_mul(copies),
        cluster.max.saturating_mul(copies),
    );
    if !(least..=most).contains(to) && cluster.role == Role::Application {
        let problem = format!("{to} members of {}, {least} to {most} may be", cluster.id);
        return Err(broken("S6 bounds", problem));
    }
    Ok(())
}

/// S6: never more members, those that leave not counted, than are wanted or were there.
pub(super) fn most(before: &World, after: &World, touched: &BTreeSet<ApplicationId>) -> Result<(), Broken> {
    let concerned = |cluster: &&Cluster| touched.contains(&cluster.application);
    for cluster in after.clusters.values().filter(concerned) {
        for (np, instance) in &cluster.instances {
            let count = |world: &World| {
                let ids = world.clusters.get(&cluster.id).map(|cluster| &cluster.members);
                let stays = |m: &&Member| {
                    m.network_partition == *np
                        && !matches!(
                            m.phase,
                            MemberPhase::Draining { .. } | MemberPhase::Stopping | MemberPhase::Ended { .. }
                        )
                };
                ids.into_iter()
                    .flatten()
                    .filter_map(|id| world.members.get(id))
                    .filter(stays)
                    .count()
            };
            let (had, has) = (count(before), count(after));
            let beside = updates::beside(after, cluster, np, instance.desired);
            if has > had && has > instance.desired as usize + beside {
                let problem = format!(
                    "{has} members of {} in {np}, {} are wanted",
                    cluster.id, instance.desired
                );
                return Err(broken("S6 bounds", problem));
            }
        }
    }
    Ok(())
}

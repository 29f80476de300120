//! How an application that was ordered to stop ends: balancers first, then members, then its clusters.
//!
//! This file refuses to wait for anything that automation would wait for: it was ordered.

use cartridge_protocol::ApplicationId;

use super::draft::Draft;
use crate::record::Record;
use crate::world::{ApplicationStatus, Cluster, Role, World};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    let status = draft
        .world()
        .applications
        .get(application)
        .map(|state| &state.status);
    let Some(ApplicationStatus::Undeploying { force }) = status else {
        return;
    };
    let (world, force) = (draft.world(), *force);
    let balancers = |cluster: &Cluster| matches!(cluster.role, Role::Balancer { .. });
    let mut records = leave(world, application, balancers);
    let balancers_left = world
        .clusters_of(application)
        .filter(|cluster| balancers(cluster))
        .any(|cluster| !cluster.members.is_empty());
    if force || !balancers_left {
        records.extend(leave(world, application, |cluster| !balancers(cluster)));
    }
    let empty = world
        .clusters_of(application)
        .all(|cluster| cluster.members.is_empty());
    if empty {
        records.push(Record::ApplicationUndeployed {
            application: application.clone(),
        });
    }
    draft.extend(records);
}

fn leave(world: &World, application: &ApplicationId, which: impl Fn(&Cluster) -> bool) -> Vec<Record> {
    world
        .clusters_of(application)
        .filter(|cluster| which(cluster))
        .flat_map(|cluster| world.members_of(cluster))
        .filter(|member| !member.phase.is_leaving())
        .map(|member| Record::MemberDraining {
            member: member.id.clone(),
            incarnation: member.incarnation,
            reason: "the application was ordered to stop".into(),
        })
        .collect()
}

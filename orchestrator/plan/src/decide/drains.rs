//! How members that are to go, or to switch releases, get out of their balancers first (S14).
//!
//! This file refuses to know why they are to go.

use cartridge_protocol::ApplicationId;

use super::draft::{Draft, Due};
use super::limits::{DRAIN, STOP};
use crate::record::Record;
use crate::world::{ApplicationStatus, Member, MemberPhase, Role};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    for id in draft.cluster_ids(application) {
        let Some(cluster) = draft.world().clusters.get(&id) else {
            continue;
        };
        let (mut records, mut due) = (Vec::new(), Due::default());
        for member in draft.world().members_of(cluster) {
            match &member.phase {
                MemberPhase::Draining { .. } => match may_stop(draft, member) {
                    Some(reason) => records.extend(stop(member, reason)),
                    None => due.add(member.since.plus(DRAIN), draft.now),
                },
                MemberPhase::Stopping if draft.now.since(member.since) >= STOP => {
                    records.push(stopped(member))
                }
                MemberPhase::Stopping => due.add(member.since.plus(STOP), draft.now),
                MemberPhase::Updating { cleared: false, .. } => {
                    if let_go(draft, member) || draft.now.since(member.since) >= DRAIN {
                        records.push(Record::MemberCleared {
                            member: member.id.clone(),
                            incarnation: member.incarnation,
                        });
                    } else {
                        due.add(member.since.plus(DRAIN), draft.now);
                    }
                }
                _ => {}
            }
        }
        draft.extend(records);
        draft.wake_at_earliest(&due);
    }
}

fn stop(member: &Member, reason: &str) -> Vec<Record> {
    let stopping = Record::MemberStopping {
        member: member.id.clone(),
        incarnation: member.incarnation,
        reason: reason.into(),
    };
    if member.credential_sha256.is_some() {
        vec![stopping]
    } else {
        // There is nobody to tell; the provisioner removes what there may be.
        vec![stopping, stopped(member)]
    }
}

fn stopped(member: &Member) -> Record {
    Record::MemberStopped {
        member: member.id.clone(),
        incarnation: member.incarnation,
    }
}

fn may_stop(draft: &Draft<'_>, member: &Member) -> Option<&'static str> {
    let cluster = draft.world().clusters.get(&member.cluster)?;
    let status = draft
        .world()
        .applications
        .get(&cluster.application)
        .map(|state| &state.status);
    if member.credential_sha256.is_none() {
        Some("it never joined")
    } else if matches!(cluster.role, Role::Balancer { .. }) {
        Some("a balancer finishes its requests while it stops")
    } else if matches!(status, Some(ApplicationStatus::Undeploying { force: true })) {
        Some("ordered without draining")
    } else if let_go(draft, member) {
        Some("no balancer sends it requests, none is in flight")
    } else if draft.now.since(member.since) >= DRAIN {
        Some("the time for draining is over")
    } else {
        None
    }
}

/// Every balancer runs a topology without it, and measured afterwards that nothing is in flight there.
pub(super) fn let_go(draft: &Draft<'_>, member: &Member) -> bool {
    let world = draft.world();
    let Some(cluster) = world.clusters.get(&member.cluster) else {
        return true;
    };
    let np = &member.network_partition;
    planted!(DrainOffByOne => {
        let key = (cluster.id.clone(), np.clone());
        let reading = draft.seen.clusters.get(&key).filter(|reading| reading.revision >= member.revision);
        return reading.is_some_and(|reading| reading.members.get(&member.id).is_none_or(|left| *left <= 1));
    });
    if !world.is_balanced(&cluster.id) || !world.balancer_lives(&cluster.application, np) {
        return true;
    }
    draft
        .seen
        .clusters
        .get(&(cluster.id.clone(), np.clone()))
        .is_some_and(|reading| {
            reading.heard >= member.since
                && reading.revision >= member.revision
                && reading
                    .members
                    .get(&member.id)
                    .is_none_or(|in_flight| *in_flight == 0)
        })
}

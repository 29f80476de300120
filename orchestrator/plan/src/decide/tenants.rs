//! Which commit of each tenant's repository a cluster's members should have: the head of the branch, unless a member
//! refused it.
//!
//! All members are told at once: no request waits for it, each member's files change with one rename, and a tenant's bad
//! commit is that tenant's trouble alone. This file refuses to know how files change.

use cartridge_protocol::link::TenantStatus;
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, CommitId, Millis};

use super::draft::Draft;
use super::hearing;
use super::releases::next_head;
use crate::record::Record;
use crate::world::{Cluster, Member, TenantRelease};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    if draft.world().is_undeploying(application) {
        return;
    }
    for id in draft.cluster_ids(application) {
        for step in [reject, order] {
            let stays = |cluster: &&Cluster| cluster.leaving.is_none();
            let Some(cluster) = draft.world().clusters.get(&id).filter(stays) else {
                break;
            };
            let records: Vec<Record> = cluster
                .tenants
                .iter()
                .filter_map(|(tenant, kept)| step(draft, cluster, *tenant, kept))
                .collect();
            draft.extend(records);
        }
    }
}

/// What members say of a tenant's files, since they know of its repository.
fn said<'a>(
    draft: &'a Draft<'_>,
    cluster: &'a Cluster,
    tenant: TenantId,
    kept: &'a TenantRelease,
) -> impl Iterator<Item = (Millis, &'a Member, &'a TenantStatus)> {
    let members = draft.world().members_of(cluster);
    let staying = members.filter(|member| !member.phase.is_leaving());
    staying.filter_map(move |member| {
        let said = hearing::said_lately(draft.seen, draft.now, member)?;
        let knows = said.status.revision >= kept.since;
        let mut all = said.status.tenants.iter().filter(|_| knows);
        let of_it = all.find(|one| one.tenant == tenant)?;
        Some((said.heard, member, of_it))
    })
}

/// A member refused what is ordered.
fn reject(draft: &Draft<'_>, cluster: &Cluster, tenant: TenantId, kept: &TenantRelease) -> Option<Record> {
    planted!(TenantsRefusalIgnored => return None);
    let ordered = kept.release.accepted.as_ref()?;
    let (member, refused) = said(draft, cluster, tenant, kept).find_map(|(_, member, status)| {
        let refused = status.refused.iter().find(|one| one.commit == *ordered)?;
        Some((member, refused))
    })?;
    Some(Record::TenantReleaseRejected {
        cluster: cluster.id.clone(),
        tenant,
        commit: ordered.clone(),
        reason: format!("{} refused it: {}", member.id, refused.reason),
    })
}

/// The branch has a new head, which no member that saw it refused.
fn order(draft: &Draft<'_>, cluster: &Cluster, tenant: TenantId, kept: &TenantRelease) -> Option<Record> {
    let mut heads: Vec<(Millis, &CommitId)> = said(draft, cluster, tenant, kept)
        .filter_map(|(heard, _, status)| Some((heard, status.head.as_ref()?, status)))
        .filter(|(_, head, status)| status.refused.iter().all(|refused| refused.commit != **head))
        .map(|(heard, head, _)| (heard, head))
        .collect();
    heads.sort_unstable();
    let commit = next_head(&kept.release, &heads)?.clone();
    Some(Record::TenantReleaseOrdered {
        cluster: cluster.id.clone(),
        tenant,
        commit,
    })
}

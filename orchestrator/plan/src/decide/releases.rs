//! Which commit a cluster should have: follows the head of the branch, rejects what a member refuses, accepts what
//! every member has.
//!
//! This file refuses to know how a member is taken out of its balancers; [`super::rollout`] does that.

use std::collections::BTreeSet;

use cartridge_protocol::{ApplicationId, CommitId, Millis};

use super::draft::Draft;
use super::hearing::{self, Walk};
use super::limits::UPDATE;
use super::rollout;
use crate::record::Record;
use crate::world::{Cluster, Member, MemberPhase, ReleaseState};

type Step = fn(&Draft<'_>, &Cluster) -> Vec<Record>;

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    if draft.world().is_undeploying(application) {
        return;
    }
    for id in draft.cluster_ids(application) {
        // Who leaves gets no other files, but whoever is under way arrives, or is given up.
        let leaves = |cluster: &Cluster| cluster.leaving.is_some();
        let steps: &[Step] = match draft.world().clusters.get(&id) {
            Some(cluster) if leaves(cluster) => &[rollout::finish],
            _ => &[reject, propose, rollout::finish, accept, rollout::begin],
        };
        for step in steps {
            let has_files = |cluster: &&Cluster| cluster.repository.is_some();
            let Some(cluster) = draft.world().clusters.get(&id).filter(has_files) else {
                break;
            };
            let records = step(draft, cluster);
            draft.extend(records);
        }
    }
}

/// A member refused what is proposed, or did not get ready with it in time.
fn reject(draft: &Draft<'_>, cluster: &Cluster) -> Vec<Record> {
    let Some(proposed) = &cluster.release.proposed else {
        return Vec::new();
    };
    let refusal = draft
        .world()
        .members_of(cluster)
        .find_map(|member| refusal(draft, cluster, member, proposed));
    let rejected = refusal.map(|reason| Record::ReleaseRejected {
        cluster: cluster.id.clone(),
        commit: proposed.clone(),
        reason,
    });
    rejected.into_iter().collect()
}

fn refusal(draft: &Draft<'_>, cluster: &Cluster, member: &Member, proposed: &CommitId) -> Option<String> {
    if member.phase.is_leaving() || draft.world().told_commit(member) != Some(proposed) {
        return None;
    }
    if member.release.as_ref() == Some(proposed) && member.phase == MemberPhase::Active {
        return None;
    }
    // An earlier attempt at the same commit does not count: the status must know of the present order.
    let ordered = rollout::revision_of_order(cluster, member);
    let said = hearing::said(draft.seen, member).filter(|said| said.status.revision >= ordered);
    let refused = said.and_then(|said| {
        said.status
            .refused
            .iter()
            .find(|refused| refused.commit == *proposed)
    });
    if let Some(refused) = refused {
        return Some(format!("{} refused it: {}", member.id, refused.reason));
    }
    let late = matches!(member.phase, MemberPhase::Updating { cleared: true, .. })
        && draft.now.since(member.since) > UPDATE;
    late.then(|| format!("{} did not become ready with it in {UPDATE}", member.id))
}

/// The branch has a new head.
fn propose(draft: &Draft<'_>, cluster: &Cluster) -> Vec<Record> {
    let branch = cluster
        .repository
        .as_ref()
        .map_or("", |repository| repository.branch.as_str());
    if cluster.release.pinned {
        return Vec::new();
    }
    let mut walk = Walk::new(draft.seen, draft.now);
    let mut heads: Vec<(Millis, &CommitId)> = draft
        .world()
        .members_of(cluster)
        .filter(|member| !member.phase.is_leaving())
        .filter_map(|member| walk.said_lately(member))
        .filter_map(|said| Some((said.heard, said.status.head.as_ref()?)))
        .collect();
    heads.sort_unstable();
    let head = next_head(&cluster.release, &heads).map(|head| (head, format!("head of {branch}")));
    let retreat = || {
        Some((
            retreat(draft, cluster)?,
            "the newest that was not refused".to_owned(),
        ))
    };
    let proposed = head.or_else(retreat).map(|(commit, by)| Record::ReleaseProposed {
        cluster: cluster.id.clone(),
        commit: commit.clone(),
        by,
        pinned: false,
    });
    proposed.into_iter().collect()
}

/// Where nothing was ever accepted and what was proposed last is rejected: what was proposed before, best what members
/// have already. That serves; the head does not.
fn retreat<'a>(draft: &'a Draft<'_>, cluster: &'a Cluster) -> Option<&'a CommitId> {
    if cluster.release.accepted.is_some() || cluster.release.proposed.is_some() {
        return None;
    }
    let world = draft.world();
    let rejected = |commit: &CommitId| cluster.release.rejected.iter().any(|r| r.commit == *commit);
    let has =
        |member: &Member, commit: &CommitId| member.phase.serves() && member.release.as_ref() == Some(commit);
    let served = |commit: &&CommitId| world.members_of(cluster).any(|member| has(member, commit));
    let mut open = cluster
        .release
        .passed
        .iter()
        .rev()
        .filter(|commit| !rejected(commit));
    open.clone().find(served).or_else(|| open.next())
}

/// `heads`: what members report, the newest report last.
pub(super) fn next_head<'a>(
    release: &ReleaseState,
    heads: &[(Millis, &'a CommitId)],
) -> Option<&'a CommitId> {
    let standing = |commit: &CommitId| {
        release.accepted.as_ref() == Some(commit)
            || release.proposed.as_ref() == Some(commit)
            || release.rejected.iter().any(|rejected| rejected.commit == *commit)
    };
    planted!(RejectedOfferedAgain => if release.proposed.is_none() {
        let rejected = |commit: &CommitId| release.rejected.iter().any(|one| one.commit == *commit);
        if let Some((_, commit)) = heads.iter().rev().find(|(_, commit)| rejected(commit)) {
            return Some(commit);
        }
    });
    let never_seen = |commit: &CommitId| !standing(commit) && !release.passed.contains(commit);
    if let Some((_, commit)) = heads.iter().rev().find(|(_, commit)| never_seen(commit)) {
        return Some(commit);
    }
    let distinct: BTreeSet<&CommitId> = heads.iter().map(|(_, commit)| *commit).collect();
    let agreed = (distinct.len() == 1)
        .then(|| heads.first().map(|(_, commit)| *commit))
        .flatten()?;
    (release.proposed.is_none() && !standing(agreed)).then_some(agreed)
}

/// Every member that serves has it.
fn accept(draft: &Draft<'_>, cluster: &Cluster) -> Vec<Record> {
    let Some(proposed) = &cluster.release.proposed else {
        return Vec::new();
    };
    let mut serving = draft
        .world()
        .members_of(cluster)
        .filter(|member| member.phase.serves())
        .peekable();
    let any = serving.peek().is_some();
    let has =
        |member: &Member| member.release.as_ref() == Some(proposed) && member.phase == MemberPhase::Active;
    let accepted = (any && serving.all(has)).then(|| Record::ReleaseAccepted {
        cluster: cluster.id.clone(),
        commit: proposed.clone(),
    });
    accepted.into_iter().collect()
}

/// The commit that a cluster's members should have at the moment.
pub(super) fn target(cluster: &Cluster) -> Option<&CommitId> {
    cluster
        .release
        .proposed
        .as_ref()
        .or(cluster.release.accepted.as_ref())
}

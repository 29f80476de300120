//! How a commit reaches the members: one first, then a quarter at a time, each out of its balancers meanwhile.
//!
//! This file refuses to know which commit is right.

use cartridge_protocol::CommitId;
use cartridge_protocol::link::Phase;

use super::draft::Draft;
use super::limits::UPDATE;
use super::{deaths, hearing, releases};
use crate::record::Record;
use crate::world::{Cluster, Member, MemberPhase};

/// The entry by which the member was told which commit to have.
pub(super) fn revision_of_order(cluster: &Cluster, member: &Member) -> u64 {
    match member.phase {
        MemberPhase::Updating { .. } => member.revision,
        _ => cluster.told,
    }
}

/// Members under way: arrived, sent elsewhere, or lost.
pub(super) fn finish(draft: &Draft<'_>, cluster: &Cluster) -> Vec<Record> {
    let target = releases::target(cluster);
    let members = draft.world().members_of(cluster);
    members
        .filter_map(|member| match &member.phase {
            MemberPhase::Updating { commit, cleared, .. } => step(draft, member, (commit, *cleared), target),
            _ => None,
        })
        .collect()
}

fn step(
    draft: &Draft<'_>,
    member: &Member,
    (commit, cleared): (&CommitId, bool),
    target: Option<&CommitId>,
) -> Option<Record> {
    let said = hearing::said_lately(draft.seen, draft.now, member);
    let ready = said.filter(|said| said.status.phase == Phase::Active);
    let has = ready.and_then(|said| said.status.release.as_ref());
    if let Some(target) = target.filter(|target| *target != commit) {
        // Sent elsewhere. Where it never left, or is back already, there is nothing to wait for.
        return Some(match has {
            Some(has) if has == target => switched(member, target),
            _ => Record::MemberUpdating {
                member: member.id.clone(),
                incarnation: member.incarnation,
                commit: target.clone(),
                live: false,
            },
        });
    }
    if target.is_none() {
        return has.map(|has| switched(member, has));
    }
    let knows = ready.is_some_and(|said| said.status.revision >= member.revision);
    if cleared && knows && has == Some(commit) {
        return Some(switched(member, commit));
    }
    let late = cleared && draft.now.since(member.since) > UPDATE;
    late.then(|| {
        let reason = format!("it did not become ready with {} in {UPDATE}", commit.short());
        deaths::failed(draft, member, reason)
    })
}

fn switched(member: &Member, commit: &CommitId) -> Record {
    Record::MemberSwitched {
        member: member.id.clone(),
        incarnation: member.incarnation,
        commit: commit.clone(),
    }
}

/// Sends further members on their way, as many as may be out at once.
pub(super) fn begin(draft: &Draft<'_>, cluster: &Cluster) -> Vec<Record> {
    let Some(target) = releases::target(cluster) else {
        return Vec::new();
    };
    let world = draft.world();
    let needs = |member: &&Member| {
        matches!(member.phase, MemberPhase::Active | MemberPhase::Suspended { .. })
            && member.release.as_ref() != Some(target)
    };
    let mut waiting: Vec<&Member> = world.members_of(cluster).filter(needs).collect();
    let tally = hearing::tally(world, draft.seen, draft.now, cluster);
    if waiting.is_empty() || draft.blind() || tally.freezes() {
        return Vec::new();
    }
    // Those that do not serve anyway go first.
    waiting.sort_by_key(|member| member.phase == MemberPhase::Active);
    let out = |member: &&Member| {
        matches!(
            member.phase,
            MemberPhase::Updating { .. } | MemberPhase::Draining { .. }
        )
    };
    let under_way = world.members_of(cluster).filter(out).count();
    let mut places = allowed(draft, cluster, target, tally.serving).saturating_sub(under_way);
    let mut records = Vec::new();
    let mut taken: Vec<&Member> = Vec::new();
    for member in waiting {
        if places == 0 {
            break;
        }
        let live = is_only_endpoint(draft, cluster, member, &taken);
        records.push(Record::MemberUpdating {
            member: member.id.clone(),
            incarnation: member.incarnation,
            commit: target.clone(),
            live,
        });
        taken.push(member);
        places -= 1;
    }
    records
}

/// One until one member has proven it, then a quarter.
fn allowed(draft: &Draft<'_>, cluster: &Cluster, target: &CommitId, serving: usize) -> usize {
    let proven =
        |member: &Member| member.release.as_ref() == Some(target) && member.phase == MemberPhase::Active;
    let back = cluster.release.proposed.is_none();
    if back || draft.world().members_of(cluster).any(proven) {
        (serving / 4).max(1)
    } else {
        1
    }
}

/// Nobody else in its network partition takes requests, so it must not be taken out (S13), not even if it is
/// suspended: it is then the last resort of its balancers.
fn is_only_endpoint(draft: &Draft<'_>, cluster: &Cluster, member: &Member, taken: &[&Member]) -> bool {
    planted!(EmptyBalancerSet => return false);
    let others = draft.world().members_in(cluster, &member.network_partition);
    let remains = |other: &Member| {
        other.id != member.id
            && other.phase == MemberPhase::Active
            && !taken.iter().any(|taken| taken.id == other.id)
    };
    !others.into_iter().any(remains)
}

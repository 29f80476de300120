//! Which members are lost: confirmed dead, given up, out of time, or silent with no brake in the way.
//!
//! This file refuses to know who takes their place.

use cartridge_protocol::link::Phase;
use cartridge_protocol::{ApplicationId, ClusterId, Millis};

use super::draft::{Draft, Due};
use super::hearing::{self, Walk};
use super::limits::{ATTEMPTS, SILENCE, START, UPDATE, budget};
use crate::record::Record;
use crate::world::{Member, MemberPhase};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    for id in draft.cluster_ids(application) {
        let Some(cluster) = draft.world().clusters.get(&id) else {
            continue;
        };
        let (mut lost, mut due) = (Vec::new(), Due::default());
        let mut walk = Walk::new(draft.seen, draft.now);
        for member in draft.world().members_of(cluster) {
            let reason = confirmed(&mut walk, member).or_else(|| expired(draft, member));
            lost.extend(reason.map(|reason| failed(draft, member, reason)));
            if let Some(limit) = limit(member) {
                due.add(member.since.plus(limit), draft.now);
            }
        }
        draft.extend(lost);
        draft.wake_at_earliest(&due);
        silent(draft, &id);
    }
}

/// The record of its loss.
pub(super) fn failed(draft: &Draft<'_>, member: &Member, reason: String) -> Record {
    // What was replayed looks younger than it is.
    let known = member.activated.filter(|at| *at > draft.seen.began);
    Record::MemberFailed {
        member: member.id.clone(),
        incarnation: member.incarnation,
        reason,
        active_ms: known.map(|at| draft.now.since(at)),
    }
}

/// Its provisioner or its own agent says so.
fn confirmed(walk: &mut Walk<'_>, member: &Member) -> Option<String> {
    if matches!(member.phase, MemberPhase::Ended { .. } | MemberPhase::Stopping) {
        return None;
    }
    let planned = matches!(member.phase, MemberPhase::Planned { .. });
    if let Some(reason) = walk.ended(member).filter(|_| !planned) {
        return Some(format!("its instance ended: {reason}"));
    }
    match &walk.said(member)?.status.phase {
        Phase::Failed { reason } => Some(format!("its agent gave up: {reason}")),
        Phase::Stopped => Some("it stopped without being told to".into()),
        _ => None,
    }
}

/// How long it may stand where it stands.
const fn limit(member: &Member) -> Option<Millis> {
    match member.phase {
        MemberPhase::Planned { .. } | MemberPhase::Ensured | MemberPhase::Starting => Some(START),
        MemberPhase::Updating { cleared: true, .. } => Some(UPDATE),
        _ => None,
    }
}

/// It took too long, or too many attempts.
fn expired(draft: &Draft<'_>, member: &Member) -> Option<String> {
    if let MemberPhase::Planned { attempts } = member.phase
        && attempts >= ATTEMPTS
    {
        return Some(format!("it could not be started in {attempts} attempts"));
    }
    let stands = draft.now.since(member.since);
    if !member.phase.is_coming() || stands <= START || waits_for_release(draft, member) {
        return None;
    }
    Some(match member.phase {
        MemberPhase::Planned { .. } => format!("its provisioner did not answer for {stands}"),
        MemberPhase::Ensured => format!("its agent did not join for {stands}"),
        _ => format!("it did not become ready for {stands}"),
    })
}

/// Alive and willing, but nobody knows yet which commit it is to have: replacing it would not help.
fn waits_for_release(draft: &Draft<'_>, member: &Member) -> bool {
    let world = draft.world();
    let has_repository = world
        .clusters
        .get(&member.cluster)
        .is_some_and(|cluster| cluster.repository.is_some());
    member.phase == MemberPhase::Starting
        && has_repository
        && world.told_commit(member).is_none()
        && hearing::said_lately(draft.seen, draft.now, member).is_some()
}

/// Serving members that fell silent, few at a time.
fn silent(draft: &mut Draft<'_>, id: &ClusterId) {
    let Some(cluster) = draft.world().clusters.get(id) else {
        return;
    };
    let (mut lost, mut due) = (Vec::new(), Due::default());
    let mut walk = Walk::new(draft.seen, draft.now);
    for member in draft
        .world()
        .members_of(cluster)
        .filter(|member| member.phase.serves())
    {
        let heard = walk.last_heard(member);
        if draft.now.since(heard) > SILENCE {
            lost.push(failed(
                draft,
                member,
                format!("it was not heard for {}", draft.now.since(heard)),
            ));
        } else {
            due.add(heard.plus(SILENCE).plus(Millis(1)), draft.now);
        }
    }
    draft.wake_at_earliest(&due);
    if lost.is_empty() {
        return;
    }
    if let Some(brake) = brake(draft, id) {
        draft.note(
            id,
            format!("{} members are silent, none is replaced: {brake}", lost.len()),
        );
        return;
    }
    let Some(cluster) = draft.world().clusters.get(id) else {
        return;
    };
    let serving = draft
        .world()
        .members_of(cluster)
        .filter(|m| m.phase.serves())
        .count();
    let coming = draft
        .world()
        .members_of(cluster)
        .filter(|m| m.phase.is_coming())
        .count();
    let room = budget(serving).saturating_sub(coming);
    if room < lost.len() {
        draft.note(
            id,
            format!(
                "{} silent members wait until replacements stand",
                lost.len() - room
            ),
        );
    }
    draft.extend(lost.into_iter().take(room));
}

/// Why silence is rather ours than theirs (S8, S9).
fn brake(draft: &Draft<'_>, id: &ClusterId) -> Option<String> {
    planted!(ReplacedUnderMassSilence => return None);
    if draft.blind() {
        return Some("nobody is heard at all: we are blind".into());
    }
    let world = draft.world();
    let cluster = world.clusters.get(id)?;
    let here = hearing::tally(world, draft.seen, draft.now, cluster);
    if here.brakes() {
        return Some(format!(
            "{} of {} of its cluster are silent",
            here.stale, here.serving
        ));
    }
    cluster.instances.keys().find_map(|np| {
        let tally = draft.tallies().get(np).filter(|tally| tally.brakes())?;
        Some(format!("{} of {} in {np} are silent", tally.stale, tally.serving))
    })
}

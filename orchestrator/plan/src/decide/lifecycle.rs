//! What members say of themselves becomes fact: ready, suspended, stopped.
//!
//! This file refuses to take anything away from anybody.

use cartridge_protocol::link::Phase;
use cartridge_protocol::{ApplicationId, ClusterId, Millis};

use super::draft::Draft;
use super::hearing::Walk;
use super::limits::{CHANGE_SPAN, CHANGE_WAIT};
use crate::observe::MemberObservation;
use crate::record::Record;
use crate::world::{MAX_CHANGES, Member, MemberPhase, member_of};

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId) {
    for id in draft.cluster_ids(application) {
        let Some(cluster) = draft.world().clusters.get(&id) else {
            continue;
        };
        let mut walk = Walk::new(draft.seen, draft.now);
        let found: Vec<(Vec<Record>, Option<Millis>)> = draft
            .world()
            .members_of(cluster)
            .map(|member| (facts(&mut walk, member), waits(draft.now, member)))
            .filter(|(facts, _)| !facts.is_empty())
            .collect();
        for (facts, waits) in found {
            match waits {
                Some(due) if facts.iter().all(follows) => hold(draft, &id, &facts, due),
                _ => draft.extend(facts),
            }
        }
    }
}

/// Names a member whose words change faster than they are followed.
fn hold(draft: &mut Draft<'_>, id: &ClusterId, facts: &[Record], due: Millis) {
    if let Some((member, _)) = facts.first().and_then(member_of) {
        let wait = due.since(draft.now);
        draft.note(
            id,
            format!("{member} changes too often: its phase is taken over in {wait} at the earliest"),
        );
    }
    draft.wake_at(due);
}

/// Follows what a member says of itself, and may change again. An end never waits.
const fn follows(record: &Record) -> bool {
    matches!(
        record,
        Record::MemberActivated { .. } | Record::MemberSuspended { .. } | Record::MemberSwitched { .. }
    )
}

/// Until when further changes of a member wait; None: they do not.
fn waits(now: Millis, member: &Member) -> Option<Millis> {
    let (first, last) = (member.changes.front()?, member.changes.back()?);
    let many = member.changes.len() == MAX_CHANGES && now.since(*first) < CHANGE_SPAN;
    let due = last.plus(CHANGE_WAIT);
    (many && now < due).then_some(due)
}

fn facts(walk: &mut Walk<'_>, member: &Member) -> Vec<Record> {
    let (id, incarnation) = (member.id.clone(), member.incarnation);
    let mut facts = Vec::new();
    match &member.phase {
        MemberPhase::Starting | MemberPhase::Suspended { .. } => {
            let ready = |said: &&MemberObservation| said.status.phase == Phase::Active;
            let lately = walk.said_lately(member).filter(ready);
            if let Some(said) = lately.filter(|_| member.instance.is_some()) {
                facts.push(Record::MemberActivated {
                    member: id,
                    incarnation,
                });
                facts.extend(switched(member, said));
            }
        }
        MemberPhase::Active => {
            let said = walk.said(member);
            match said.and_then(|said| not_ready(&said.status.phase)) {
                Some(reason) => facts.push(Record::MemberSuspended {
                    member: id,
                    incarnation,
                    reason,
                }),
                None => facts.extend(said.and_then(|said| switched(member, said))),
            }
        }
        MemberPhase::Stopping if ended(walk, member) => facts.push(Record::MemberStopped {
            member: id,
            incarnation,
        }),
        _ => {}
    }
    facts
}

fn not_ready(phase: &Phase) -> Option<String> {
    match phase {
        Phase::Suspended { reason } => Some(reason.clone()),
        Phase::Starting => Some("it starts again".into()),
        Phase::Stopping => Some("it is stopping by itself".into()),
        Phase::Active | Phase::Stopped | Phase::Failed { .. } => None,
    }
}

/// Its release is another than we have on record.
fn switched(member: &Member, said: &MemberObservation) -> Option<Record> {
    let release = said.status.release.as_ref()?;
    (member.release.as_ref() != Some(release)).then(|| Record::MemberSwitched {
        member: member.id.clone(),
        incarnation: member.incarnation,
        commit: release.clone(),
    })
}

/// Its agent, or the provisioner, says that it ended.
fn ended(walk: &mut Walk<'_>, member: &Member) -> bool {
    let gone = walk.ended(member).is_some();
    let stopped = walk
        .said(member)
        .is_some_and(|said| matches!(said.status.phase, Phase::Stopped | Phase::Failed { .. }));
    gone || stopped
}

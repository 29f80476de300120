//! Which records follow from a join and from a provisioner's answer. Pure. Refuses to plan.

use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::{MemberPhase, World};
use cartridge_protocol::Millis;

use super::input::{Joining, Outcome, StepEnded};

/// How long a join token is good after its member was made.
const TOKEN_GOOD: Millis = Millis::from_secs(15 * 60);

/// Why a member cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefused {
    /// The token is too old (401).
    Expired,
    /// The token is spent by somebody else (409).
    Spent,
    /// This life of the member is over (410).
    Over,
    /// The journal cannot be written now (503, try again).
    NotYet,
}

/// The records of a join; none if it is the same join again.
pub(crate) fn join(world: &World, join: &Joining, now: Millis) -> Result<Vec<Record>, JoinRefused> {
    let member = world
        .members
        .get(&join.member)
        .filter(|m| m.incarnation == join.incarnation);
    let Some(member) = member else {
        return Err(JoinRefused::Over);
    };
    if matches!(member.phase, MemberPhase::Ended { .. }) {
        return Err(JoinRefused::Over);
    }
    match &member.credential_sha256 {
        Some(known) if *known == join.credential_sha256 => Ok(Vec::new()),
        Some(_) => Err(JoinRefused::Spent),
        None if now.since(member.since) > TOKEN_GOOD => Err(JoinRefused::Expired),
        None => Ok(vec![Record::MemberJoined {
            member: join.member.clone(),
            incarnation: join.incarnation,
            credential_sha256: join.credential_sha256.clone(),
        }]),
    }
}

/// The records of a provisioner's answer; none if the member has moved on meanwhile.
pub(crate) fn step_ended(world: &World, ended: StepEnded) -> Vec<Record> {
    let StepEnded {
        member,
        incarnation,
        outcome,
    } = ended;
    let Some(known) = world
        .members
        .get(&member)
        .filter(|m| m.incarnation == incarnation)
    else {
        return Vec::new();
    };
    match (outcome, &known.phase) {
        // An agent may join before its provisioner answers: the answer is recorded all the same.
        (Outcome::Ensured(made), MemberPhase::Planned { .. } | MemberPhase::Starting)
            if known.instance.is_none() =>
        {
            vec![Record::MemberEnsured {
                member,
                incarnation,
                instance: made.instance,
                address: made.address,
                ports: made.ports,
            }]
        }
        (Outcome::EnsureFailed(reason), MemberPhase::Planned { attempts }) => {
            vec![Record::MemberEnsureFailed {
                member,
                incarnation,
                attempt: attempts + 1,
                reason,
            }]
        }
        (Outcome::Removed, MemberPhase::Ended { .. }) => vec![Record::MemberRemoved { member, incarnation }],
        _ => Vec::new(),
    }
}

/// A record as one line for the log: its kind and its ids, never a document.
pub(crate) fn line(record: &Record) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(record) else {
        return String::new();
    };
    let mut line = fields
        .get("kind")
        .and_then(|kind| kind.as_str())
        .unwrap_or_default()
        .to_owned();
    let shown = [
        "application",
        "cluster",
        "networkPartition",
        "member",
        "commit",
        "from",
        "to",
        "factor",
        "reason",
        "epoch",
    ];
    for name in shown {
        match fields.get(name) {
            Some(serde_json::Value::String(text)) => line.extend([" ", name, "=", &printable(text)]),
            Some(serde_json::Value::Number(number)) => line.extend([" ", name, "=", &number.to_string()]),
            _ => {}
        }
    }
    line
}

fn printable(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

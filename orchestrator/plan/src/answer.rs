//! Which records follow from a join, and from what a provisioner answered.
//!
//! This file refuses to know tokens (whoever presents one was let in) and to plan anything.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cartridge_protocol::{MemberId, Millis};

use crate::record::Record;
use crate::world::{MemberPhase, World};

/// How long a join token is good after its member was made.
const TOKEN_GOOD: Millis = Millis::from_secs(15 * 60);

/// A member introduces itself; its token was found right.
#[derive(Clone, Debug)]
pub struct Joining {
    /// Who.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// SHA-256 of the credential that it made, hexadecimal.
    pub credential_sha256: String,
}

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

/// A provisioner answered.
#[derive(Clone, Debug)]
pub struct StepEnded {
    /// About whom.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// What it said.
    pub outcome: Outcome,
}

/// What a provisioner answered.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It exists.
    Ensured(Ensured),
    /// It could not be made, or nobody knows; why, for people.
    EnsureFailed(String),
    /// Nothing of it is left.
    Removed,
    /// It could not be removed, or nobody knows; why, for people.
    RemoveFailed(String),
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// The provisioner's name for it.
    pub instance: String,
    /// Where it listens.
    pub address: IpAddr,
    /// Port by port-mapping name.
    pub ports: BTreeMap<String, u16>,
}

/// The records of a join; none if it is the same join again.
pub fn join(world: &World, join: &Joining, now: Millis) -> Result<Vec<Record>, JoinRefused> {
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
        // It was sent away before it came: nobody waits for it any more.
        None if member.phase.is_leaving() => Err(JoinRefused::Over),
        None if now.since(member.since) > TOKEN_GOOD => Err(JoinRefused::Expired),
        None => Ok(vec![Record::MemberJoined {
            member: join.member.clone(),
            incarnation: join.incarnation,
            credential_sha256: join.credential_sha256.clone(),
        }]),
    }
}

/// The records of a provisioner's answer; none if the member has moved on meanwhile.
pub fn step_ended(world: &World, ended: StepEnded) -> Vec<Record> {
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

//! What follows from the lists of what runs: what is left over, what nobody knows, what is missing.
//!
//! An intent is durable before anything is made. So an instance with our tag of which the journal knows that its life is
//! over is left over, and is removed at once; one of which the journal knows nothing is somebody's whom we cannot ask (a
//! journal restored from a backup has forgotten too): it is shown, and removed only when it has been there for long.
//! Instances without our tag are never looked at (S5). This file refuses to remove anything itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cartridge_protocol::{ClusterId, MemberId, Millis};

use crate::world::{MemberPhase, World};

/// Two lists so far apart must show what nobody knows, before it is removed.
const APART: Millis = Millis::from_secs(60);
/// And it must be so old.
const OLD: Duration = Duration::from_secs(10 * 60);

/// A member, and which of its lives.
pub type Life = (MemberId, u64);

/// An instance that carries our installation's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose.
    pub member: MemberId,
    /// Of which life.
    pub incarnation: u64,
    /// Its agent lives; otherwise only remains are left.
    pub running: bool,
    /// How long it has been there; None: nobody knows.
    pub age: Option<Duration>,
}

/// What the lists of one provisioner showed so far.
#[derive(Clone, Debug, Default)]
pub struct Past {
    listed: bool,
    /// Whom nobody knows, since when.
    strangers: BTreeMap<Life, Millis>,
    /// Who should run and was not in the last list.
    absent: BTreeSet<Life>,
}

/// What follows from a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Left over: nobody needs it.
    pub remove: Vec<Life>,
    /// Nobody knows it; it stays for now.
    pub strangers: Vec<Found>,
    /// Should run, and is not listed.
    pub missing: Vec<Life>,
}

impl Past {
    /// The orchestrator works from here on. Where no list could be had until now, members are expected to have been
    /// started before the next one: two must lack them.
    pub const fn begun(&mut self) {
        self.listed = true;
    }

    /// No list was judged yet, and the orchestrator has not begun to work.
    pub const fn is_first(&self) -> bool {
        !self.listed
    }

    /// What follows from a complete list of one provider.
    pub fn judge(&mut self, world: &World, provider: &str, found: &[Found], now: Millis) -> Verdict {
        let mut verdict = Verdict::default();
        let mut strangers = BTreeMap::new();
        for one in found {
            let life = (one.member.clone(), one.incarnation);
            // What ended is removed by a step, with its record.
            if world
                .members
                .get(&one.member)
                .is_some_and(|m| m.incarnation == one.incarnation)
            {
                continue;
            }
            let first = self.strangers.get(&life).copied();
            let stayed = first.is_some_and(|first| now.since(first) >= APART);
            if is_over(world, one) || (stayed && one.age.is_some_and(|age| age >= OLD)) {
                verdict.remove.push(life.clone());
            } else {
                verdict.strangers.push(one.clone());
            }
            strangers.insert(life, first.unwrap_or(now));
        }
        self.strangers = strangers;
        let absent = missing(world, found, provider);
        let listed = std::mem::replace(&mut self.listed, true);
        let again = |life: &&Life| !listed || self.absent.contains(*life);
        verdict.missing = absent.iter().filter(again).cloned().collect();
        self.absent = absent;
        verdict
    }
}

/// Whether the journal knows that this life is over: numbers of members are given once, in order.
fn is_over(world: &World, one: &Found) -> bool {
    if let Some(member) = world.members.get(&one.member) {
        return one.incarnation < member.incarnation;
    }
    let parts = one.member.as_str().rsplit_once('-');
    let Some((Ok(cluster), Ok(number))) = parts.map(|(c, n)| (ClusterId::new(c), n.parse::<u64>())) else {
        return false;
    };
    let retired = || world.retired.get(&cluster).copied();
    let next = world
        .clusters
        .get(&cluster)
        .map(|c| c.next_member)
        .or_else(retired);
    cluster.member(number).is_ok_and(|id| id == one.member) && next.is_some_and(|next| number < next)
}

/// Who should run there and does not.
fn missing(world: &World, found: &[Found], provider: &str) -> BTreeSet<Life> {
    let running: BTreeSet<(&MemberId, u64)> = found
        .iter()
        .filter(|one| one.running)
        .map(|one| (&one.member, one.incarnation))
        .collect();
    world
        .members
        .values()
        .filter(|m| !matches!(m.phase, MemberPhase::Planned { .. } | MemberPhase::Ended { .. }))
        .filter(|m| {
            world
                .network_partitions
                .get(&m.network_partition)
                .is_some_and(|np| np.provider == provider)
        })
        .filter(|m| !running.contains(&(&m.id, m.incarnation)))
        .map(|m| (m.id.clone(), m.incarnation))
        .collect()
}

#[cfg(test)]
mod tests;

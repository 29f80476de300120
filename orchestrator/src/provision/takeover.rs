//! What runs already, what is missing, and what nobody knows: at the start, and once a minute after that.
//!
//! An intent is durable before anything is made. So an instance with our tag of which the journal knows that its life is
//! over is left over, and is removed at once; one of which the journal knows nothing is somebody's whom we cannot ask (a
//! journal restored from a backup has forgotten too): it is shown, and removed only when it has been there for long.
//! Instances without our tag are never looked at (S5). A list that failed proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cartridge_orchestrator_plan::world::{MemberPhase, World};
use cartridge_protocol::{ClusterId, MemberId, Millis};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::{Found, Provisioner, Provisioners};
use crate::engine::Engine;

/// Between two lists.
const AGAIN: Duration = Duration::from_secs(60);
/// For one list, and for one removal.
const PATIENCE: Duration = Duration::from_secs(60);
/// Two lists so far apart must show what nobody knows, before it is removed.
const APART: Millis = Millis::from_secs(60);
/// And it must be so old.
const OLD: Duration = Duration::from_secs(10 * 60);
/// Most removals between two lists.
const MAX_REMOVALS: usize = 100;
/// Most orphans shown of one provisioner.
const MAX_SHOWN: usize = 100;

type Life = (MemberId, u64);

/// An instance with our tag of which the journal knows nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// Where it was found.
    pub provider: String,
    /// Whose it says it is.
    pub member: MemberId,
    /// Of which life.
    pub incarnation: u64,
    /// Its agent lives; otherwise only remains are left.
    pub running: bool,
}

/// What the lists so far showed, by provisioner.
#[derive(Debug, Default)]
pub struct Lists(BTreeMap<&'static str, Past>);

/// What the lists of one provisioner showed.
#[derive(Debug, Default)]
struct Past {
    listed: bool,
    /// Whom nobody knows, since when.
    strangers: BTreeMap<Life, Millis>,
    /// Who should run and was not in the last list.
    absent: BTreeSet<Life>,
}

/// What follows from a list.
#[derive(Debug, Default, PartialEq)]
struct Verdict {
    remove: Vec<Life>,
    strangers: Vec<Found>,
    gone: Vec<Life>,
}

/// Compares what there is with what the world knows, for the first time.
pub async fn take_over(engine: &Engine, provisioners: &Provisioners) -> Lists {
    let mut lists = Lists::default();
    for (name, provisioner) in provisioners.iter() {
        let past = lists.0.entry(name).or_default();
        let found = look(engine, name, provisioner, past).await;
        // Where this list failed, members are expected to have been started before the next one: two must lack them.
        past.listed = true;
        for one in found.iter().flatten().filter(|one| one.running) {
            engine.instance_runs(&one.member, one.incarnation);
        }
    }
    lists
}

/// Compares again and again, until the orchestrator stops.
pub async fn go_on(engine: Engine, provisioners: Arc<Provisioners>, mut lists: Lists) {
    let mut period = interval_at(tokio::time::Instant::now() + AGAIN, AGAIN);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = engine.stopping();
    let rounds = async {
        loop {
            period.tick().await;
            lists.look_again(&engine, &provisioners).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = rounds => {}
    }
}

impl Lists {
    async fn look_again(&mut self, engine: &Engine, provisioners: &Provisioners) {
        for (name, provisioner) in provisioners.iter() {
            look(engine, name, provisioner, self.0.entry(name).or_default()).await;
        }
    }
}

/// One list and what follows from it; None: it could not be had.
async fn look(
    engine: &Engine,
    name: &'static str,
    provisioner: &dyn Provisioner,
    past: &mut Past,
) -> Option<Vec<Found>> {
    let found = match timeout(PATIENCE, provisioner.list()).await {
        Ok(Ok(found)) => found,
        Ok(Err(e)) => {
            tracing::error!(
                provider = name,
                "could not be asked what runs: {e}; nothing is concluded from that"
            );
            return None;
        }
        Err(_) => {
            tracing::error!(
                provider = name,
                "did not say what runs; nothing is concluded from that"
            );
            return None;
        }
    };
    let first = !past.listed;
    let verdict = engine.read(|world, _, _| past.judge(world, name, &found, engine.now()));
    show(engine, name, &verdict.strangers);
    let why = if first {
        "not found when the orchestrator started"
    } else {
        "not found in two lists"
    };
    for (member, incarnation) in verdict.gone {
        engine.instance_gone(&member, incarnation, why.to_owned());
    }
    for (member, incarnation) in verdict.remove.into_iter().take(MAX_REMOVALS) {
        tracing::warn!(provider = name, %member, incarnation, "orphan removed");
        // What fails is in the next list again.
        match timeout(PATIENCE, provisioner.remove(&member, incarnation)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::error!(%member, "orphan: {e}"),
            Err(_) => tracing::error!(%member, "orphan: not removed within {} s", PATIENCE.as_secs()),
        }
    }
    Some(found)
}

fn show(engine: &Engine, provider: &'static str, strangers: &[Found]) {
    for one in strangers {
        tracing::warn!(provider, member = %one.member, incarnation = one.incarnation,
            "the journal knows nothing of this instance; it is removed when it has been there for long");
    }
    let orphan = |one: &Found| Orphan {
        provider: provider.to_owned(),
        member: one.member.clone(),
        incarnation: one.incarnation,
        running: one.running,
    };
    engine.show_orphans(provider, strangers.iter().take(MAX_SHOWN).map(orphan).collect());
}

impl Past {
    fn judge(&mut self, world: &World, provider: &str, found: &[Found], now: Millis) -> Verdict {
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
        verdict.gone = absent.iter().filter(again).cloned().collect();
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

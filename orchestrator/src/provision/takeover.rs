//! Asks what runs, at the start and once a minute after that, and carries out what follows from it.
//!
//! A list that failed proves nothing. This file refuses to judge: [`cartridge_orchestrator_plan::listed`] does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cartridge_orchestrator_plan::listed::Past;
use cartridge_protocol::MemberId;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::{Found, Provisioner, Provisioners};
use crate::engine::Engine;

/// Between two lists.
const AGAIN: Duration = Duration::from_secs(60);
/// For one list, and for one removal.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most removals between two lists.
const MAX_REMOVALS: usize = 100;
/// Most orphans shown of one provisioner.
const MAX_SHOWN: usize = 100;

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

/// Compares what there is with what the world knows, for the first time.
pub async fn take_over(engine: &Engine, provisioners: &Provisioners) -> Lists {
    let mut lists = Lists::default();
    for (name, provisioner) in provisioners.iter() {
        let past = lists.0.entry(name).or_default();
        let found = look(engine, name, provisioner, past).await;
        past.begun();
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
    let first = past.is_first();
    let verdict = engine.read(|world, _, _| past.judge(world, name, &found, engine.now()));
    show(engine, name, &verdict.strangers);
    let why = if first {
        "not found when the orchestrator started"
    } else {
        "not found in two lists"
    };
    for (member, incarnation) in verdict.missing {
        engine.instance_missing(&member, incarnation, why.to_owned());
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

#[cfg(test)]
mod tests;

//! The balancer's plugin: told the newest topology until it serves it, and asked what it measured.
//!
//! Refuses to know what the plugin does with what it is told.

use std::time::Duration;

use cartridge_agent_plan::backoff::doubled;
use cartridge_agent_plan::plugin::Change;
use cartridge_protocol::Millis;
use cartridge_protocol::plugin::{Answer, Call};
use cartridge_protocol::sample::BalancerReading;
use cartridge_protocol::topology::Topology;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Asker, Launch, NoAnswer, Plugin};
use crate::host::logs::Logs;

/// Longest wait for one answer.
const WITHIN: Millis = Millis(5_000);
/// First wait before a topology that was refused is offered again.
const LEAST_RETRY: Millis = Millis(250);
/// Longest such wait.
const MOST_RETRY: Millis = Millis(5_000);
/// Changes that may wait.
const QUEUE: usize = 4;

/// What the agent learns of its balancer.
#[derive(Debug)]
pub enum Told {
    /// It serves this revision, and measured since.
    Applied(u64, BalancerReading),
    /// It refused a topology; the one before stays.
    Refused(String),
    /// It does not serve, and why.
    Down(String),
    /// It measured.
    Reading(BalancerReading),
}

/// A balancer that runs, or is about to be started again.
pub struct Balancer {
    plugin: Plugin,
    topology: watch::Sender<Option<Topology>>,
    reads: mpsc::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Balancer {
    /// Starts it.
    pub fn start(launch: Launch, logs: Logs, tell: impl AsyncFn(Told) + 'static) -> Self {
        let (topology, topologies) = watch::channel(None);
        let (reads, asked) = mpsc::channel(1);
        let (changed, changes) = mpsc::channel(QUEUE);
        let plugin = Plugin::start(launch, logs, async move |change| {
            let _ = changed.send(change).await;
        });
        let talk = Talk {
            asker: plugin.asker(),
            topologies,
            asked,
            changes,
        };
        Self {
            plugin,
            topology,
            reads,
            task: tokio::task::spawn_local(talk.run(tell)),
        }
    }

    /// What it should serve from now on.
    pub fn serve(&self, topology: Topology) {
        self.topology.send_if_modified(|held| {
            let newer = held.as_ref().is_none_or(|h| h.revision < topology.revision);
            if newer {
                *held = Some(topology);
            }
            newer
        });
    }

    /// Asks for a reading, unless one is being asked for.
    pub fn read(&self) {
        let _ = self.reads.try_send(());
    }

    /// Ends it in order; at most some seconds.
    pub async fn end(self) {
        self.task.abort();
        self.plugin.end().await;
    }
}

struct Talk {
    asker: Asker,
    topologies: watch::Receiver<Option<Topology>>,
    asked: mpsc::Receiver<()>,
    changes: mpsc::Receiver<Change>,
}

impl Talk {
    async fn run(mut self, tell: impl AsyncFn(Told)) {
        let mut serves = false;
        // A refusal may be about something that passes, such as an address in use.
        let (mut refusals, mut again) = (0, None);
        loop {
            let retry = again.unwrap_or_else(Instant::now);
            let applied = tokio::select! {
                biased;
                change = self.changes.recv() => match change {
                    None => return,
                    Some(Change::Ready { .. }) => {
                        serves = true;
                        self.topologies.mark_changed();
                        continue;
                    }
                    Some(down) => {
                        (serves, again) = (false, None);
                        tell(Told::Down(down.to_string())).await;
                        continue;
                    }
                },
                changed = self.topologies.changed(), if serves => {
                    if changed.is_err() {
                        return;
                    }
                    refusals = 0;
                    self.apply(&tell).await
                }
                () = sleep_until(retry), if serves && again.is_some() => self.apply(&tell).await,
                Some(()) = self.asked.recv(), if serves => {
                    // Why there is none is told as a change.
                    if let Ok(Answer::Read(reading)) = self.asker.ask(Call::Read, WITHIN).await {
                        tell(Told::Reading(reading)).await;
                    }
                    continue;
                }
            };
            again = (!applied).then(|| {
                let wait = doubled(LEAST_RETRY, MOST_RETRY, refusals);
                refusals = refusals.saturating_add(1);
                Instant::now() + Duration::from_millis(wait.0)
            });
        }
    }

    /// Whether there is no reason to try again.
    async fn apply(&mut self, tell: &impl AsyncFn(Told)) -> bool {
        let Some(topology) = self.topologies.borrow_and_update().clone() else {
            return true;
        };
        match self.asker.ask(Call::SetMembers(topology), WITHIN).await {
            Ok(Answer::Applied { revision }) => {
                // At once: somebody may wait to hear that a member was let go.
                match self.asker.ask(Call::Read, WITHIN).await {
                    Ok(Answer::Read(reading)) => tell(Told::Applied(revision, reading)).await,
                    Err(NoAnswer::Refused(why)) => {
                        let why = format!("revision {revision} is served, but there is no reading: {why}");
                        tell(Told::Refused(why)).await;
                        return false;
                    }
                    Ok(_) | Err(NoAnswer::Absent(_)) => {}
                }
                true
            }
            Err(NoAnswer::Refused(refusal)) => {
                tell(Told::Refused(refusal)).await;
                false
            }
            // It is down: a change tells why, and another when it is back.
            Ok(_) | Err(NoAnswer::Absent(_)) => true,
        }
    }
}

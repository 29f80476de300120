//! The balancer plugin: a long-lived child that is asked one thing at a time, each with a deadline.
//!
//! A plugin that hangs, babbles, ends or speaks another version is ended, named, and started again with a pause.
//! Refuses to know what the plugin does with what it is told.

mod session;

use std::time::Duration;

use cartridge_agent_plan::backoff::doubled;
use cartridge_protocol::Millis;
use cartridge_protocol::sample::BalancerReading;
use cartridge_protocol::topology::Topology;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::host::child::Program;
use crate::host::logs::Logs;
use session::Session;

/// A plugin that ran this long begins anew with short pauses.
const STEADY: Duration = Duration::from_secs(60);

/// First wait before a topology that was refused is offered again.
const LEAST_RETRY: Millis = Millis(250);
/// Longest such wait.
const MOST_RETRY: Millis = Millis(5_000);

/// What the agent learns of its plugin.
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

/// A running plugin, or one that is about to be started again.
pub struct Plugin {
    topology: watch::Sender<Option<Topology>>,
    reads: mpsc::Sender<()>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Plugin {
    /// Starts it.
    pub fn start(program: Program, logs: Logs, tell: impl AsyncFn(Told) + 'static) -> Self {
        let (topology, topologies) = watch::channel(None);
        let (reads, asked) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let keeper = Keeper {
            program,
            logs,
            topologies,
            asked,
            stop: stop.clone(),
        };
        Self {
            topology,
            reads,
            stop,
            task: tokio::task::spawn_local(keeper.keep(tell)),
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

    /// Ends it: closes its input, then asks, then forces; at most some seconds.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(6), self.task).await;
    }
}

struct Keeper {
    program: Program,
    logs: Logs,
    topologies: watch::Receiver<Option<Topology>>,
    asked: mpsc::Receiver<()>,
    stop: CancellationToken,
}

impl Keeper {
    async fn keep(mut self, tell: impl AsyncFn(Told)) {
        let mut tries = 0;
        loop {
            let began = Instant::now();
            let fault = match Session::start(&self.program, &self.logs) {
                Ok(mut session) => {
                    let stop = self.stop.clone();
                    let fault = tokio::select! {
                        fault = self.converse(&mut session, &tell) => Some(fault),
                        () = stop.cancelled() => None,
                    };
                    match fault {
                        Some(fault) => session
                            .kill()
                            .await
                            .map_or_else(|| fault.clone(), |how| format!("{fault} ({how})")),
                        None => return session.end().await,
                    }
                }
                Err(error) => format!("cannot be started: {error}"),
            };
            if began.elapsed() > STEADY {
                tries = 0;
            }
            let wait = doubled(Millis(200), Millis(10_000), tries);
            tries += 1;
            tell(Told::Down(format!("{fault}; it is started again in {wait}"))).await;
            tokio::select! {
                () = sleep(Duration::from_millis(wait.0)) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Talks until something goes wrong, and tells what.
    async fn converse(&mut self, session: &mut Session, tell: &impl AsyncFn(Told)) -> String {
        if let Err(fault) = session.describe().await {
            return fault;
        }
        self.topologies.mark_changed();
        // A refusal may be about something that passes, such as an address in use.
        let (mut refusals, mut again) = (0, None);
        loop {
            let retry = again.unwrap_or_else(Instant::now);
            let result = tokio::select! {
                changed = self.topologies.changed() => match changed {
                    Ok(()) => {
                        refusals = 0;
                        self.apply(session, tell).await.map(Some)
                    }
                    Err(_) => Err("the agent ends".to_owned()),
                },
                () = sleep_until(retry), if again.is_some() => self.apply(session, tell).await.map(Some),
                Some(()) = self.asked.recv() => match session.read().await {
                    Ok(reading) => {
                        tell(Told::Reading(reading)).await;
                        Ok(None)
                    }
                    Err(fault) => Err(fault),
                },
                fault = session.unasked() => Err(fault),
            };
            match result {
                Err(fault) => return fault,
                Ok(None) => {}
                Ok(Some(true)) => again = None,
                Ok(Some(false)) => {
                    let wait = doubled(LEAST_RETRY, MOST_RETRY, refusals);
                    refusals = refusals.saturating_add(1);
                    again = Some(Instant::now() + Duration::from_millis(wait.0));
                }
            }
        }
    }

    /// Whether it is in force now.
    async fn apply(&mut self, session: &mut Session, tell: &impl AsyncFn(Told)) -> Result<bool, String> {
        let Some(topology) = self.topologies.borrow_and_update().clone() else {
            return Ok(true);
        };
        match session.set_members(topology).await? {
            Ok(revision) => {
                // At once: somebody may wait to hear that a member was let go.
                let reading = session.read().await?;
                tell(Told::Applied(revision, reading)).await;
                Ok(true)
            }
            Err(refusal) => {
                tell(Told::Refused(refusal)).await;
                Ok(false)
            }
        }
    }
}

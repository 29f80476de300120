//! Answers what is asked at the local socket, from what the loop knows. Refuses to know who asks and how.

use std::time::Duration;

use cartridge_agent_plan::picture::{Facts, Ledger, picture};
use cartridge_agent_plan::settings::Settings;
use cartridge_protocol::Millis;
use cartridge_protocol::local::{Answer, Ask, Picture, Synced, Waiting};
use tokio::sync::mpsc;

use super::{Agent, Event};
use crate::host::hooks;
use crate::host::local::{self, Asked};
use crate::version::version;

/// Callers that may wait for a look at the repository.
const MOST_WAITING: usize = 8;

/// What is remembered for those who ask, and who waits.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    syncs: Vec<mpsc::Sender<Answer>>,
}

/// Opens the local socket. Without it the member lives all the same.
pub(super) fn open(settings: &Settings, events: mpsc::Sender<Event>) {
    let served = local::serve(&settings.state_dir, async move |question| {
        events.send(Event::Local(question)).await.is_ok()
    });
    if let Err(error) = served {
        tracing::warn!(%error, "nobody can ask this agent: the local socket cannot be opened");
    }
}

impl Agent {
    pub(super) fn answer(&mut self, asked: Asked) {
        let answer = match asked.ask {
            Ask::Status => Answer::Picture(Box::new(self.picture())),
            Ask::Upgrade { file } => return self.offered(&file, asked.reply),
            Ask::RunHook { hook, arguments, .. } => {
                let asked = hooks::Asked {
                    reply: asked.reply,
                    caller: asked.caller,
                };
                return self.run_asked(&hook, &arguments, asked);
            }
            Ask::HookEnvironment { hook, arguments } => match self.asked_order(&hook, &arguments) {
                Ok(order) => return self.effects.hooks.show(order, asked.reply),
                Err(why) => Answer::NotRun(why),
            },
            Ask::Share { share, within_ms } => {
                let within = Duration::from_millis(within_ms);
                return self.uplink.share(share, within, asked.reply);
            }
            Ask::Sync { .. } => match self.sync() {
                Ok(()) => return self.desk.syncs.push(asked.reply),
                Err(why) => Answer::Refused(why.to_owned()),
            },
        };
        // Who does not take it has gone.
        let _ = asked.reply.try_send(answer);
    }

    fn picture(&self) -> Picture {
        let facts = Facts {
            version: version(),
            pid: std::process::id(),
            member: &self.settings.member,
            incarnation: self.settings.incarnation,
            server: &self.settings.link,
            status: self.status(),
            previous: self.files.previous().cloned(),
            application: self.effects.application(),
            upgrade: self.upgrading.words(),
            waiting: self.waiting(),
            ledger: &self.desk.ledger,
        };
        picture(facts, self.clock.now())
    }

    fn waiting(&self) -> Waiting {
        let (notices, notices_dropped) = self.uplink.outbox.waiting();
        let (lines, lines_dropped) = self.effects.logs.with(|ring| (ring.len(), ring.dropped()));
        Waiting {
            notices,
            notices_dropped,
            lines,
            lines_dropped,
        }
    }

    fn sync(&mut self) -> Result<(), &'static str> {
        if self.desired.as_ref().is_none_or(|d| d.artifacts.is_none()) {
            return Err("the orchestrator wants no repository for this member, or has not said so yet");
        }
        if self.life.ends() {
            return Err("the member ends");
        }
        self.desk.syncs.retain(|waits| !waits.is_closed());
        if self.desk.syncs.len() == MOST_WAITING {
            return Err("too many wait for a look at the repository already");
        }
        self.files.look_now();
        Ok(())
    }

    /// Tells those who wait, once the look at the repository and what follows from it are over.
    pub(super) fn conclude_syncs(&mut self, now: Millis) {
        if self.desk.syncs.is_empty() || !self.files.has_settled(now) {
            return;
        }
        let wanted = self.desired.as_ref().and_then(|d| d.artifacts.as_ref());
        let head = self.files.head().cloned();
        let synced = Synced {
            staged: head
                .as_ref()
                .is_some_and(|head| self.files.staged().contains(head)),
            head,
            wanted: wanted.and_then(|a| a.commit.clone()),
            current: self.life.release.clone(),
            fault: self.files.fault().map(str::to_owned),
        };
        for waits in self.desk.syncs.drain(..) {
            let _ = waits.try_send(Answer::Synced(synced.clone()));
        }
    }
}

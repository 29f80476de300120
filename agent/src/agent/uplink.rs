//! Sends batches: at once when the status changes, with the next beat when there is something new, otherwise each
//! interval; one at a time.
//!
//! Refuses to know what a status means.

use std::time::Duration;

use cartridge_agent_plan::backoff::{LINK_CAP, jittered};
use cartridge_agent_plan::beat;
use cartridge_agent_plan::outbox::{Carried, Outbox};
use cartridge_protocol::Millis;
use cartridge_protocol::link::{Phase, Status};
use cartridge_protocol::local::Answer;
use cartridge_protocol::values::Share;
use tokio::sync::mpsc;

use super::Event;
use crate::host::clock::chance;
use crate::host::logs::Logs;
use crate::link::{Link, LinkError};

pub(super) struct Uplink {
    pub(super) outbox: Outbox,
    logs: Logs,
    link: Link,
    events: mpsc::Sender<Event>,
    under_way: Option<(Carried, Status)>,
    said: Option<Status>,
    due: Millis,
    /// A measurement that somebody may wait for.
    urgent: bool,
    /// A measurement is about to come; until then a batch of the beat waits.
    wait_until: Option<Millis>,
    tries: u32,
}

impl Uplink {
    pub(super) fn new(link: Link, base: u64, logs: Logs, events: mpsc::Sender<Event>) -> Self {
        Self {
            outbox: Outbox::new(base),
            logs,
            link,
            events,
            under_way: None,
            said: None,
            due: Millis::ZERO,
            urgent: false,
            wait_until: None,
            tries: 0,
        }
    }

    /// Shares values beside the batches; who asked is answered when they are durable, or refused.
    pub(super) fn share(&self, share: Share, within: Duration, reply: mpsc::Sender<Answer>) {
        let link = self.link.clone();
        tokio::spawn(async move {
            let answer = link.share(&share, within).await;
            let _ = reply.send(answer).await;
        });
    }

    /// When something has to be sent; never while something is under way.
    pub(super) fn due(&self) -> Option<Millis> {
        let due = self.wait_until.map_or(self.due, |until| until.max(self.due));
        self.under_way.is_none().then_some(due)
    }

    pub(super) fn advance(&mut self, status: &Status, now: Millis, interval: Millis) {
        // After a failure even news waits, or a broken link would be hammered.
        let news = self.tries == 0 && (self.urgent || self.said.as_ref() != Some(status));
        if self.under_way.is_some() || !news && self.due().is_none_or(|due| due > now) {
            return;
        }
        self.urgent = false;
        self.wait_until = None;
        let (batch, carried) = self.logs.with(|ring| self.outbox.batch(status.clone(), ring));
        self.under_way = Some((carried, status.clone()));
        self.due = beat::next(now, interval);
        let (link, events) = (self.link.clone(), self.events.clone());
        tokio::spawn(async move {
            let answer = link.post(batch).await.map(|acknowledged| acknowledged.notices);
            let _ = events.send(Event::Posted(answer)).await;
        });
    }

    pub(super) fn posted(&mut self, answer: Result<u64, LinkError>, now: Millis) {
        let Some((carried, status)) = self.under_way.take() else {
            return;
        };
        match answer {
            Ok(acknowledged) => {
                self.tries = 0;
                self.said = Some(status);
                let last = self.has_said_stopped();
                let outbox = &mut self.outbox;
                let more = self.logs.with(|ring| {
                    outbox.taken(ring, carried, acknowledged);
                    carried.more || ring.is_much() || last && !ring.is_empty()
                });
                self.logs.tell_taken();
                if more {
                    self.due = now;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a batch was not taken");
                if error.is_about_content() {
                    self.logs.with(|ring| self.outbox.refused(ring, carried));
                    self.logs.tell_taken();
                }
                self.tries = self.tries.saturating_add(1);
                self.due = now
                    .plus(jittered(Millis(200), LINK_CAP, self.tries, chance()))
                    .plus(Millis(20));
            }
        }
    }

    /// A batch is on its way.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// The balancer's measurement of this beat is on its way.
    pub(super) fn wait_until(&mut self, until: Millis) {
        self.wait_until = Some(until);
    }

    /// It is there; `news`: somebody may wait for it.
    pub(super) fn measured(&mut self, news: bool) {
        self.urgent |= news;
        self.wait_until = None;
    }

    /// A beat: a measurement of it, and what else came up since the last one.
    pub(super) fn beat(&mut self, sample: cartridge_protocol::sample::Sample) {
        let moved = self.outbox.measured(sample);
        self.urgent |= moved || self.outbox.has_notices() || self.logs.with(|ring| !ring.is_empty());
    }

    /// So much waits that it should be sent before it is time.
    pub(super) fn hurry(&mut self, now: Millis) {
        if self.tries == 0 {
            self.due = self.due.min(now);
        }
    }

    /// No line waits.
    pub(super) fn has_sent_logs(&self) -> bool {
        self.logs.with(|ring| ring.is_empty())
    }

    /// The orchestrator was reached by another way: there is no reason to wait any longer.
    pub(super) fn retry_now(&mut self, now: Millis) {
        if self.tries > 0 {
            self.tries = 0;
            self.due = now;
        }
    }

    /// The orchestrator knows that the member has stopped.
    pub(super) fn has_said_stopped(&self) -> bool {
        self.said.as_ref().is_some_and(|s| s.phase == Phase::Stopped)
    }
}

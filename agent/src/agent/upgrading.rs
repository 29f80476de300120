//! The agent's own upgrade, as far as the loop is concerned: what is begun for it, and what another agent is told.
//!
//! Refuses to decide: the plan of the upgrade does.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cartridge_agent_plan::handover::{Handover, Stream, VERSION, Why};
use cartridge_agent_plan::lifecycle::Life;
use cartridge_agent_plan::logs::ring::ERR;
use cartridge_agent_plan::settings::Settings;
use cartridge_agent_plan::upgrade::{Action, Before, Event, REHEARSAL, Slot, Stage, Turn, Upgrade};
use cartridge_protocol::Millis;
use cartridge_protocol::local::Answer;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Agent;
use crate::host::hooks::MOST_OUTPUT;
use crate::host::logs::Handed;
use crate::host::upgrade::exec::{Inherited, Next};
use crate::host::upgrade::{self, Store, rehearsal};
use crate::host::{duty, orphans};
use crate::version::{misbehaves, version};

/// The stream of the application's standard output.
const OUT: &str = "out";
/// The kernel's timer gives a new agent so much more time than it gives itself.
const GRACE: Millis = Millis(5_000);

/// Nothing, where nobody is trusted to sign.
pub(super) struct Upgrading {
    plan: Upgrade,
    store: Option<Store>,
    offer: Option<PathBuf>,
    asked: Option<mpsc::Sender<Answer>>,
    /// What this process is about to become.
    goal: Option<Goal>,
    inherited: Inherited,
    last: Option<String>,
}

enum Goal {
    New(Slot),
    Old(Slot, String),
}

impl Upgrading {
    pub(super) fn new(settings: &Settings, inherited: Inherited) -> Self {
        let keys = settings.duty.upgrade_keys.as_deref();
        Self {
            plan: Upgrade::default(),
            store: keys.map(|keys| Store::new(&settings.state_dir, keys)),
            offer: None,
            asked: None,
            goal: None,
            inherited,
            last: None,
        }
    }

    pub(super) fn due(&self) -> Option<Millis> {
        self.plan.due()
    }

    /// Nothing new is to be begun: this process is about to become another agent.
    pub(super) fn holds(&self) -> bool {
        matches!(self.plan.stage, Stage::Writing(_) | Stage::Switching(_))
    }

    /// What is under way, and what came of the last one.
    pub(super) fn words(&self) -> (Option<String>, Option<String>) {
        (self.plan.words(), self.last.clone())
    }
}

impl Agent {
    /// Somebody offers a binary.
    pub(super) fn offered(&mut self, file: &Path, reply: mpsc::Sender<Answer>) {
        let refusal = if self.upgrading.store.is_none() {
            Some("this agent takes no upgrades: --upgrade-keys names nobody who may sign one")
        } else if self.settings.balancer.is_some() {
            Some("this member is a balancer, whose plugin cannot be handed over: replace the member instead")
        } else if self.upgrading.plan.stage != Stage::Idle {
            Some("another upgrade is under way")
        } else {
            None
        };
        if let Some(why) = refusal {
            let _ = reply.try_send(Answer::Refused(why.to_owned()));
            return;
        }
        self.upgrading.offer = Some(file.to_owned());
        self.upgrading.asked = Some(reply);
        self.upgrade(Event::Offered);
    }

    pub(super) fn upgrade(&mut self, event: Event) {
        for action in self.upgrading.plan.step(event, self.clock.now()) {
            self.begin_upgrade(action);
        }
    }

    /// Once in each turn of the loop.
    pub(super) fn upgrade_turned(&mut self) {
        if matches!(self.upgrading.plan.stage, Stage::Idle) {
            return;
        }
        if self.life.ends() {
            return self.upgrade(Event::Ends);
        }
        let turn = Turn {
            quiet: self.is_quiet(),
        };
        self.upgrade(Event::Turned(turn));
    }

    fn begin_upgrade(&mut self, action: Action) {
        let Some(store) = self.upgrading.store.clone() else {
            return;
        };
        match action {
            Action::Check => {
                let offer = self.upgrading.offer.take().unwrap_or_default();
                self.work(move || Event::Checked(store.check(&offer, true)));
            }
            Action::Rehearse(slot) => self.rehearse(&store, slot),
            Action::Intend(slot) => {
                self.work(move || Event::Written(store.change(|record| record.intend(&slot))));
            }
            Action::Become(slot) => self.upgrading.goal = Some(Goal::New(slot)),
            Action::Confirm(slot) => {
                self.upgrading.inherited.settle();
                self.work(move || Event::Written(store.change(|record| record.confirm(&slot))));
            }
            Action::Return(slot, reason) => self.upgrading.goal = Some(Goal::Old(slot, reason)),
            Action::Discard(slot, blame) => {
                self.work(move || {
                    Event::Written(store.change(|record| record.forget(&slot, blame.as_deref())))
                });
            }
            Action::Tell(result) => self.upgrade_told(result),
        }
    }

    fn upgrade_told(&mut self, result: Result<String, String>) {
        let (text, answer) = match result {
            Ok(text) => (text.clone(), Answer::Upgraded(text)),
            Err(why) => (why.clone(), Answer::Refused(why)),
        };
        self.tell("agent", &text);
        self.upgrading.last = Some(text);
        if let Some(asked) = self.upgrading.asked.take() {
            let _ = asked.try_send(answer);
        }
    }

    /// Blocking work, whose end is an event.
    fn work(&self, work: impl FnOnce() -> Event + Send + 'static) {
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            let _ = events.blocking_send(super::Event::Upgrade(work()));
        });
    }

    fn rehearse(&mut self, store: &Store, slot: Slot) {
        let document = match self.document(Why::Trial {
            slot: slot.clone(),
            before: self.before(),
        }) {
            Ok((document, _)) => document,
            Err(why) => return self.upgrade(Event::Rehearsed(Err(why))),
        };
        let within = self.settings.duty.upgrade_within.min(REHEARSAL);
        let (place, events, reachable) = (
            store.place(&slot),
            self.events.clone(),
            self.reachable == Some(true),
        );
        tokio::task::spawn_local(async move {
            let found = rehearsal::rehearse(&place, &slot, document, reachable, within).await;
            let _ = events.send(super::Event::Upgrade(Event::Rehearsed(found))).await;
        });
    }

    fn before(&self) -> Before {
        Before {
            active: self.life.is_active(),
            reachable: self.reachable == Some(true),
        }
    }

    /// Nothing is under way whose end only this agent would hear of.
    fn is_quiet(&self) -> bool {
        self.life.stands_still()
            && self.desired.is_some()
            && !self.fenced
            && !self.files.is_busy()
            && !self.tenants.is_busy()
            && !self.uplink.is_under_way()
            && self.effects.hooks.is_idle()
            && self.orders.floor.due().is_none()
    }

    /// This process is about to become another agent.
    pub(super) fn becomes_another(&self) -> bool {
        self.upgrading.goal.is_some()
    }

    /// What this process is to become now, if anything; the loop has taken in all that had happened.
    pub(super) fn next_agent(&mut self) -> Option<Next> {
        let goal = self.upgrading.goal.take()?;
        if !self.is_quiet() {
            match goal {
                // What moved is waited for.
                Goal::New(_) => self.upgrade(Event::Moved),
                Goal::Old(..) => self.upgrading.goal = Some(goal),
            }
            return None;
        }
        let next = match goal {
            Goal::New(slot) => self.newer(&slot),
            Goal::Old(slot, reason) => self.older(slot, reason),
        };
        match next {
            Ok(next) => Some(next),
            Err(why) => {
                self.upgrade(Event::Stayed(why));
                None
            }
        }
    }

    fn newer(&mut self, slot: &Slot) -> Result<Next, String> {
        let store = self
            .upgrading
            .store
            .as_ref()
            .ok_or("nobody is trusted any more")?;
        let binary = store.open(slot)?;
        let own = upgrade::own(self.upgrading.inherited.slot.clone()).map_err(|e| e.to_string())?;
        let why = Why::Trial {
            slot: slot.clone(),
            before: self.before(),
        };
        let (document, keep) = self.document(why)?;
        let within = self.settings.duty.upgrade_within.plus(GRACE);
        Ok(Next {
            binary,
            document: Some(document),
            keep,
            fallback: Some((own, Duration::from_millis(within.0))),
        })
    }

    fn older(&mut self, slot: Slot, reason: String) -> Result<Next, String> {
        let fallback = self.upgrading.inherited.fallback.take();
        let binary = fallback.ok_or("the binary before is not there any more")?;
        let (document, keep) = self.document(Why::Return { slot, reason })?;
        Ok(Next {
            binary,
            document: Some(document),
            keep,
            fallback: None,
        })
    }

    /// What another agent needs to go on, and the descriptors that are named there.
    fn document(&mut self, why: Why) -> Result<(Vec<u8>, Vec<OwnedFd>), String> {
        let handed = self.effects.logs.handed().map_err(|e| e.to_string())?;
        let lock = self.lock.try_clone().map_err(|e| e.to_string())?;
        let mut keep = Vec::new();
        let mut streams = Vec::new();
        for Handed { stream, flow, pipe } in handed {
            streams.push(Stream {
                name: stream,
                fd: pipe.as_raw_fd(),
                flow,
            });
            keep.push(pipe);
        }
        let (lines, lines_dropped) = self.effects.logs.with(|ring| (ring.handed(), ring.dropped()));
        let document = Handover {
            version: VERSION,
            from: version().to_owned(),
            member: self.settings.member.clone(),
            incarnation: self.settings.incarnation,
            why,
            now: self.clock.now(),
            life: self.life.handed(),
            application: self.effects.handed(),
            children: orphans::children().into_iter().collect(),
            of_children: duty::handed(),
            desired: self
                .desired
                .clone()
                .ok_or("the orchestrator has said nothing yet")?,
            streams,
            lines,
            lines_dropped,
            notices: self.uplink.outbox.handed(),
            files: self.files.handed(),
            tenants: self.tenants.handed(),
            load: Some(self.sampler.load()),
            lock: lock.as_raw_fd(),
        };
        let text = serde_json::to_vec(&document).map_err(|e| e.to_string())?;
        keep.push(lock);
        Ok((text, keep))
    }

    /// Goes on where the agent before has stopped.
    pub(super) fn resume(&mut self, handed: Handover) {
        let now = self.clock.now();
        let Handover { life, why, .. } = handed;
        self.life = Life::resumed(life, now);
        if self.upgrading.inherited.returned.is_some() {
            orphans::end_others(&handed.children);
        }
        let mut err = None;
        for stream in handed.streams {
            err = self.read_on(stream).or(err);
        }
        if let Some(application) = &handed.application {
            self.effects.adopt(application, err);
        }
        self.effects.logs.with(|ring| {
            ring.resume(handed.lines_dropped);
            for (stream, text) in &handed.lines {
                ring.push(stream, text);
            }
        });
        for (kind, text) in &handed.notices {
            self.uplink.outbox.notice(kind, text);
        }
        self.sampler.resume(handed.load);
        self.files.resume(handed.files);
        self.tenants_resume(handed.tenants);
        self.reachable = None;
        self.resume_desired(handed.desired);
        self.upgrade_resumed(why, &handed.from);
    }

    /// The reader of the application's standard error, if that is what it is.
    fn read_on(&self, stream: Stream) -> Option<JoinHandle<()>> {
        let is_err = stream.name == ERR;
        let most = if is_err || stream.name == OUT {
            usize::MAX
        } else {
            MOST_OUTPUT
        };
        let handed = Handed {
            pipe: self.upgrading.inherited.descriptor(stream.fd)?,
            stream: stream.name,
            flow: stream.flow,
        };
        match self.effects.logs.go_on(handed, most) {
            Ok(reader) => is_err.then_some(reader),
            Err(error) => {
                tracing::warn!(%error, "a pipe is not read on");
                None
            }
        }
    }

    /// In builds for tests: everything that a new agent may do wrong once it has taken over.
    fn misbehave() {
        if misbehaves("panics") {
            panic!("as this build is to");
        }
        if misbehaves("segfaults") {
            // SAFETY: none; that is the point.
            unsafe { std::ptr::null_mut::<u8>().write_volatile(1) };
        }
        while misbehaves("hangs") {
            std::hint::spin_loop();
        }
    }

    fn upgrade_resumed(&mut self, why: Why, from: &str) {
        let now = self.clock.now();
        if let Some(failed) = self.upgrading.inherited.failed.take() {
            let (Why::Trial { slot, .. } | Why::Return { slot, .. }) = why;
            let text = format!("{} cannot be begun: {failed}", slot.version);
            self.upgrading.inherited.settle();
            self.begin_upgrade(Action::Discard(slot, Some(text.clone())));
            return self.upgrade_told(Err(text));
        }
        let (slot, reason) = match (why, self.upgrading.inherited.returned) {
            (Why::Trial { slot, before }, None) => {
                tracing::info!(from, "this agent goes on where the one before has stopped");
                Self::misbehave();
                self.upgrading.plan = Upgrade::on_trial(slot, before, now, self.settings.duty.upgrade_within);
                return;
            }
            (Why::Trial { slot, .. }, Some(signal)) => {
                let how = if signal == nix::libc::SIGALRM {
                    "it hung".to_owned()
                } else {
                    let name = nix::sys::signal::Signal::try_from(signal);
                    format!(
                        "it ended by signal {signal} ({})",
                        name.map_or("unknown", |s| s.as_str())
                    )
                };
                let text = format!("{} did not prove itself: {how}", slot.version);
                (slot, text)
            }
            (Why::Return { slot, reason }, _) => (slot, reason),
        };
        self.upgrading.inherited.settle();
        self.begin_upgrade(Action::Discard(slot, Some(reason.clone())));
        self.upgrade_told(Err(format!("{reason}; the agent is {} again", version())));
    }

    /// A start from a slot that has not proved itself, or has to be counted as healthy once more.
    pub(super) fn begun_from_slot(&mut self) {
        let (Some(store), Some(own)) = (&self.upgrading.store, self.upgrading.inherited.slot.clone()) else {
            return;
        };
        let Ok(record) = store.record() else { return };
        let Some(slot) = record.kept().find(|slot| slot.sha256 == own).cloned() else {
            return;
        };
        let before = Before {
            active: false,
            reachable: false,
        };
        self.upgrading.plan =
            Upgrade::on_trial(slot, before, self.clock.now(), self.settings.duty.upgrade_within);
    }
}

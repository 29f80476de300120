//! The one writer: what waits → records → journal → world → steps, and what agents are told. One pass at a time.
//!
//! It wakes when poked, for inputs, and when an application is due. This file refuses to decide: [`cartridge_orchestrator_plan`] does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use cartridge_orchestrator_plan::answer::{self, JoinRefused};
use cartridge_orchestrator_plan::check::check;
use cartridge_orchestrator_plan::decide::{Planned, Scope, View, decide};
use cartridge_orchestrator_plan::order::admit_as;
use cartridge_orchestrator_plan::world::{ApplicationStatus, World};
use cartridge_protocol::{ApplicationId, Millis};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::draft::{Draft, Finished, Touched, touched};
use super::input::{Input, Reply};
use super::timers::Timers;
use super::work::Work;
use super::{Shared, State, SubmitError, facts};
use crate::crash;
use crate::journal::JournalError;

/// Steps that wait are looked at this often, whatever else happens.
const PERIOD: Duration = Duration::from_secs(1);
/// Most inputs taken together.
const MAX_TOGETHER: usize = 1024;

/// The writer; there is one.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) waiting: mpsc::Receiver<Input>,
    pub(crate) work: Work,
    timers: Timers,
}

/// What one pass came to, before it is durable.
struct Pass {
    finished: Finished,
    planned: Planned,
    /// Which applications were looked at, and whether something was decided there.
    looked_at: BTreeMap<ApplicationId, bool>,
    at: Millis,
    replies: Vec<Reply>,
    base_seq: u64,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, waiting: mpsc::Receiver<Input>, work: Work) -> Self {
        Self {
            shared,
            waiting,
            work,
            timers: Timers::default(),
        }
    }

    /// Works until `stop`. An error means that the journal can no longer be written; whoever runs us must end.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), JournalError> {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        shared.read(|state| self.soon_everywhere(&state.world, shared.clock.now()));
        loop {
            let now = shared.clock.now();
            let next = self.timers.next();
            let wait = next.map_or(PERIOD, |due| Duration::from_millis(due.since(now).0));
            let (first, housekeeping) = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                input = self.waiting.recv() => (input, false),
                () = shared.poke.notified() => (None, false),
                _ = period.tick() => (None, true),
                () = sleep(wait), if next.is_some() => (None, false),
            };
            let began = shared.clock.micros();
            if self.pass(first, housekeeping).await? {
                let took = shared.clock.micros().saturating_sub(began);
                shared.stats.passes.record(took);
            }
        }
    }

    /// Whether there was anything to plan or to write.
    async fn pass(&mut self, first: Option<Input>, housekeeping: bool) -> Result<bool, JournalError> {
        let inputs = self.gather(first);
        let heard = !inputs.is_empty();
        let pass = self.plan(inputs);
        let wrote = !pass.finished.entries.is_empty();
        let worked = heard || wrote || !pass.looked_at.is_empty();
        if wrote {
            crash::point("before_append");
            let began = self.shared.clock.micros();
            let entries = pass.finished.entries.clone();
            self.shared.journal.append(pass.base_seq, entries).await?;
            self.shared
                .stats
                .appends
                .record(self.shared.clock.micros().saturating_sub(began));
            crash::point("after_append");
        }
        if worked {
            self.publish(pass);
        }
        if heard || wrote || housekeeping {
            let shared = Arc::clone(&self.shared);
            shared.read(|state| self.work.begin(&state.world, shared.clock.now()));
        }
        if housekeeping {
            self.shared.forget_logs();
        }
        Ok(worked)
    }

    fn gather(&mut self, first: Option<Input>) -> Vec<Input> {
        let mut inputs: Vec<Input> = first.into_iter().collect();
        while inputs.len() < MAX_TOGETHER
            && let Ok(next) = self.waiting.try_recv()
        {
            inputs.push(next);
        }
        inputs
    }

    /// Everything up to durability: pure, under the read lock.
    fn plan(&mut self, inputs: Vec<Input>) -> Pass {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        let state = shared.state.read().expect("no holder of the state lock panics");
        for cluster in shared.take_dirty() {
            if let Some(cluster) = state.world.clusters.get(&cluster) {
                self.timers.soon(&cluster.application, now);
            }
        }
        let mut draft = Draft::on(&state.world, now, shared.clock.unix_ms());
        let mut replies = Vec::new();
        for input in inputs {
            self.take_in(&mut draft, input, &mut replies, now);
        }
        for entry in draft.entries() {
            match touched(draft.world(), &state.world, &entry.record) {
                Touched::Application(application) => self.timers.soon(&application, now),
                Touched::Users(applications) => {
                    for application in applications {
                        self.timers.soon(&application, now);
                    }
                }
                Touched::All => self.soon_everywhere(draft.world(), now),
            }
        }
        let due = self.timers.take_due(now, |application| {
            let clusters = draft.world().clusters_of(application);
            clusters.map(|cluster| cluster.members.len()).sum()
        });
        let mut looked_at = due
            .iter()
            .map(|application| (application.clone(), false))
            .collect();
        let planned = if due.is_empty() {
            Planned::default()
        } else {
            self.decide(&mut draft, &state, Scope::Applications(&due), &mut looked_at)
        };
        Pass {
            base_seq: state.world.seq,
            finished: draft.finish(),
            planned,
            looked_at,
            at: now,
            replies,
        }
    }

    /// Something changed that may concern every application.
    fn soon_everywhere(&mut self, world: &World, now: Millis) {
        for state in world.applications.values() {
            if state.status != ApplicationStatus::Created {
                self.timers.soon(&state.blueprint.application_id, now);
            }
        }
    }

    fn take_in(&mut self, draft: &mut Draft<'_>, input: Input, replies: &mut Vec<Reply>, now: Millis) {
        match input {
            Input::Order(tenant, order, reply) => {
                let result = match admit_as(draft.world(), tenant, *order) {
                    Err(refusal) => Err(SubmitError::Refused(refusal)),
                    Ok(records) => draft.push(records).map(|()| draft.seq()).map_err(|unfit| {
                        tracing::error!("an admitted order does not fit the world: {unfit}");
                        SubmitError::Unavailable(unfit.to_string())
                    }),
                };
                replies.push(Reply::Order(reply, result));
            }
            Input::Join(join, reply) => {
                let result = answer::join(draft.world(), &join, now).and_then(|records| {
                    draft.push(records).map_err(|unfit| {
                        tracing::error!("a join does not fit the world: {unfit}");
                        JoinRefused::NotYet
                    })
                });
                replies.push(Reply::Join(reply, result));
            }
            Input::StepEnded(ended) => {
                self.work.ended(&ended, now);
                let records = answer::step_ended(draft.world(), ended);
                if let Err(unfit) = draft.push(records) {
                    self.shared.stats.dropped_records.fetch_add(1, Relaxed);
                    tracing::error!("a provisioner's answer does not fit the world: {unfit}");
                }
            }
        }
    }

    fn decide(
        &self,
        draft: &mut Draft<'_>,
        state: &State,
        scope: Scope<'_>,
        looked_at: &mut BTreeMap<ApplicationId, bool>,
    ) -> Planned {
        let view = View {
            world: draft.world(),
            seen: &state.seen,
            now: draft.now(),
        };
        let mut planned = decide(&view, scope);
        if let Err(broken) = check(&view, &planned) {
            tracing::error!("{broken}");
            self.shared.stats.broken_plans.fetch_add(1, Relaxed);
            planned.records.clear();
            return planned;
        }
        let records = std::mem::take(&mut planned.records);
        let (begins, count) = (draft.entries().len(), records.len() as u64);
        if let Err(unfit) = draft.push(records) {
            tracing::error!("a plan does not fit the world: {unfit}; nothing of it is carried out");
            self.shared.stats.dropped_records.fetch_add(count, Relaxed);
        }
        for entry in &draft.entries()[begins..] {
            if let Touched::Application(application) = touched(draft.world(), &state.world, &entry.record) {
                looked_at.insert(application, true);
            }
        }
        planned
    }

    /// After durability: readers, subscribers, agents and whoever waits for an answer.
    fn publish(&mut self, pass: Pass) {
        let now = self.shared.clock.now();
        let Finished { world, entries } = pass.finished;
        let wake = pass.planned.wake;
        let old = {
            let mut state = self
                .shared
                .state
                .write()
                .expect("no holder of the state lock panics");
            let old = world.map(|world| std::mem::replace(&mut state.world, world));
            state.take_over(pass.planned, now);
            state.follow(&entries, now);
            old
        };
        self.set_timers(&pass.looked_at, pass.at, wake);
        self.shared.stats.entries.fetch_add(entries.len() as u64, Relaxed);
        if let Some(old) = &old {
            self.shared.tell(old, &entries);
        }
        for entry in entries {
            tracing::info!(seq = entry.seq, "{}", facts::line(&entry.record));
            let _ = self.shared.entries.send(Arc::new(entry));
        }
        for reply in pass.replies {
            reply.send();
        }
    }

    fn set_timers(&mut self, looked_at: &BTreeMap<ApplicationId, bool>, at: Millis, wake: Option<Millis>) {
        let shared = Arc::clone(&self.shared);
        shared.read(|state| {
            for (application, decided) in looked_at {
                let known = state.world.applications.get(application);
                if known.is_none_or(|known| known.status == ApplicationStatus::Created) {
                    self.timers.forget(application);
                } else if !self.timers.planned(application, at, wake, *decided) {
                    tracing::error!(%application, "plans follow from plans without end; slowed down");
                }
            }
        });
    }
}

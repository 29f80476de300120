//! The one writer: what waits → records → journal → world → steps, and what agents are told. One pass at a time.
//!
//! It wakes when poked and on a period. This file refuses to decide: [`cartridge_orchestrator_plan`] does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use cartridge_orchestrator_plan::check::check;
use cartridge_orchestrator_plan::decide::{Planned, Scope, View, decide};
use cartridge_orchestrator_plan::order::admit;
use cartridge_orchestrator_plan::outstanding::outstanding;
use cartridge_orchestrator_plan::record::Entry;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{ClusterId, Millis};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::draft::{Draft, Finished, Touched, touched};
use super::input::{Input, Reply};
use super::work::Work;
use super::{Shared, State, SubmitError, facts};
use crate::crash;
use crate::journal::JournalError;

/// Everything is looked at this often, poked or not.
const PERIOD: Duration = Duration::from_secs(1);
/// Most inputs taken together.
const MAX_TOGETHER: usize = 1024;
/// Between two passes that only follow from the pass before.
const SETTLE: Duration = Duration::from_millis(5);
/// Most passes in a row that only follow from the pass before; then the period paces them (S26: there should be few).
const MAX_CHAIN: u32 = 100;

/// The writer; there is one.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) waiting: mpsc::Receiver<Input>,
    pub(crate) work: Work,
    wake: Option<Duration>,
    again: Again,
}

/// What the pass before touched: it may allow more.
#[derive(Default)]
struct Again {
    clusters: BTreeSet<ClusterId>,
    all: bool,
    /// How many passes in a row followed from nothing but the pass before.
    chain: u32,
}

/// What one pass came to, before it is durable.
struct Pass {
    finished: Finished,
    planned: Planned,
    replies: Vec<Reply>,
    base_seq: u64,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, waiting: mpsc::Receiver<Input>, work: Work) -> Self {
        Self {
            shared,
            waiting,
            work,
            wake: None,
            again: Again::default(),
        }
    }

    /// Works until `stop`. An error means that the journal can no longer be written; whoever runs us must end.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), JournalError> {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            let wake = self.wake;
            let (first, all) = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                input = self.waiting.recv() => (input, false),
                () = shared.poke.notified() => (None, false),
                _ = period.tick() => (None, true),
                () = sleep(wake.unwrap_or(PERIOD)), if wake.is_some() => (None, false),
            };
            let began = shared.clock.micros();
            self.pass(first, all).await?;
            shared
                .stats
                .passes
                .record(shared.clock.micros().saturating_sub(began));
        }
    }

    async fn pass(&mut self, first: Option<Input>, all: bool) -> Result<(), JournalError> {
        let inputs = self.gather(first);
        let mut dirty = self.shared.take_dirty();
        let chained = inputs.is_empty() && dirty.is_empty() && !all;
        self.again.chain = if chained { self.again.chain + 1 } else { 0 };
        dirty.append(&mut self.again.clusters);
        let all = std::mem::take(&mut self.again.all) || all;
        let pass = self.plan(inputs, dirty, all);
        let wrote = !pass.finished.entries.is_empty();
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
        let now = self.shared.clock.now();
        self.wake = pass
            .planned
            .wake
            .map(|at| Duration::from_millis(at.since(now).0).max(SETTLE));
        self.publish(pass, all);
        if wrote || all {
            let due = self.shared.read(|state| outstanding(&state.world, now));
            self.work.begin(due, now);
        }
        if wrote && self.again.chain < MAX_CHAIN {
            self.wake = Some(SETTLE);
        } else if wrote {
            tracing::error!("plans follow from plans without end; slowed down");
            self.wake = None;
        }
        Ok(())
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
    fn plan(&mut self, inputs: Vec<Input>, mut dirty: BTreeSet<ClusterId>, mut all: bool) -> Pass {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        let state = shared.state.read().expect("no holder of the state lock panics");
        let mut draft = Draft::on(&state.world, now, shared.clock.unix_ms());
        let mut replies = Vec::new();
        for input in inputs {
            self.take_in(&mut draft, input, &mut replies, now);
        }
        let so_far = draft.entries().iter().map(|entry| &entry.record);
        for record in so_far {
            match touched(draft.world(), &state.world, record) {
                Touched::Cluster(cluster) => _ = dirty.insert(cluster),
                Touched::All => all = true,
            }
        }
        let planned = if all || !dirty.is_empty() {
            self.decide(
                &mut draft,
                &state,
                if all { Scope::All } else { Scope::Clusters(&dirty) },
                now,
            )
        } else {
            Planned::default()
        };
        Pass {
            base_seq: state.world.seq,
            finished: draft.finish(),
            planned,
            replies,
        }
    }

    fn take_in(&mut self, draft: &mut Draft<'_>, input: Input, replies: &mut Vec<Reply>, now: Millis) {
        match input {
            Input::Order(order, reply) => {
                let result = match admit(draft.world(), *order) {
                    Err(refusal) => Err(SubmitError::Refused(refusal)),
                    Ok(records) => draft.push(records).map(|()| draft.seq()).map_err(|unfit| {
                        tracing::error!("an admitted order does not fit the world: {unfit}");
                        SubmitError::Unavailable(unfit.to_string())
                    }),
                };
                replies.push(Reply::Order(reply, result));
            }
            Input::Join(join, reply) => {
                let result = facts::join(draft.world(), &join, now).and_then(|records| {
                    draft.push(records).map_err(|unfit| {
                        tracing::error!("a join does not fit the world: {unfit}");
                        facts::JoinRefused::NotYet
                    })
                });
                replies.push(Reply::Join(reply, result));
            }
            Input::StepEnded(ended) => {
                self.work.ended(&ended, now);
                let records = facts::step_ended(draft.world(), ended);
                if let Err(unfit) = draft.push(records) {
                    self.shared.stats.dropped_records.fetch_add(1, Relaxed);
                    tracing::error!("a provisioner's answer does not fit the world: {unfit}");
                }
            }
        }
    }

    fn decide(&self, draft: &mut Draft<'_>, state: &State, scope: Scope<'_>, now: Millis) -> Planned {
        let view = View {
            world: draft.world(),
            seen: &state.seen,
            now,
        };
        let mut planned = decide(&view, scope);
        if let Err(broken) = check(&view, &planned) {
            tracing::error!("{broken}");
            self.shared.stats.broken_plans.fetch_add(1, Relaxed);
            planned.records.clear();
            return planned;
        }
        let records = std::mem::take(&mut planned.records);
        let count = records.len() as u64;
        if let Err(unfit) = draft.push(records) {
            tracing::error!("a plan does not fit the world: {unfit}; nothing of it is carried out");
            self.shared.stats.dropped_records.fetch_add(count, Relaxed);
        }
        planned
    }

    /// After durability: readers, subscribers, agents and whoever waits for an answer.
    fn publish(&mut self, pass: Pass, all: bool) {
        let now = self.shared.clock.now();
        let Finished { world, entries } = pass.finished;
        let old = {
            let mut state = self
                .shared
                .state
                .write()
                .expect("no holder of the state lock panics");
            let old = world.map(|world| std::mem::replace(&mut state.world, world));
            state.take_over(pass.planned, now, all);
            old
        };
        self.shared.stats.entries.fetch_add(entries.len() as u64, Relaxed);
        if let Some(old) = &old {
            self.tell(old, &entries);
        }
        for entry in entries {
            tracing::info!(seq = entry.seq, "{}", facts::line(&entry.record));
            let _ = self.shared.entries.send(Arc::new(entry));
        }
        for reply in pass.replies {
            reply.send();
        }
        if all {
            self.shared.forget_logs();
        }
    }

    fn tell(&mut self, old: &World, entries: &[Entry]) {
        let again = &mut self.again;
        let concerned = self.shared.read(|state| {
            let mut applications = BTreeSet::new();
            for entry in entries {
                let Touched::Cluster(cluster) = touched(&state.world, old, &entry.record) else {
                    again.all = true;
                    return None;
                };
                again.clusters.insert(cluster.clone());
                let known = state
                    .world
                    .clusters
                    .get(&cluster)
                    .or_else(|| old.clusters.get(&cluster));
                applications.extend(known.map(|c| c.application.clone()));
            }
            Some(applications)
        });
        self.shared.tell(concerned.as_ref());
    }
}

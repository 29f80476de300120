//! The loop: an event comes in, the plan says what follows, that is begun; results come back as events.
//!
//! Nothing waits inside the loop. It refuses to decide about the member's life and about releases.

mod balancing;
mod effects;
mod files;
mod uplink;

use cartridge_agent_plan::beat;
use cartridge_agent_plan::lifecycle::{self, Life, Stage};
use cartridge_agent_plan::settings::Settings;
use cartridge_protocol::link::{Desired, Phase, Run, Status};
use cartridge_protocol::{Millis, link::MAX_TEXT_BYTES};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::host::clock::Clock;
use crate::host::hooks::Hooks;
use crate::host::logs::Logs;
use crate::host::orphans;
use crate::host::proc::Sampler;
use crate::host::shelf::ShelfError;
use crate::host::state::{self, State, StateError};
use crate::link::{Link, LinkError, LinkSetupError, Told, listen};
use crate::plugin;
use balancing::Balancing;
use effects::Effects;
use files::Files;
use uplink::Uplink;

/// Events that may wait for the loop; whoever brings more waits.
const QUEUE: usize = 256;
/// Time for everything to end when the agent itself is asked to.
const SIGNALLED: Millis = Millis(10_000);
/// Longest wait for the acknowledgement that the member has stopped.
const FAREWELL: Millis = Millis(5_000);
/// Until the orchestrator says otherwise.
const DEFAULT_INTERVAL: Millis = Millis(1_000);
/// Shortest interval taken from the orchestrator.
const LEAST_INTERVAL: u64 = 50;

/// Why an agent cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkSetupError),
    /// The folder of releases.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The process itself.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// What comes into the loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// For the member's life.
    Life(lifecycle::Event),
    /// From the stream.
    Link(Told),
    /// The stream has ended for good.
    Fenced,
    /// A batch was answered, or was not.
    Posted(Result<u64, LinkError>),
    /// Work on files has ended.
    Files(files::Done),
    /// From the balancer plugin.
    Plugin(plugin::Told),
}

/// Runs one member to its end.
pub async fn run(settings: Settings) -> Result<(), AgentError> {
    let state = state::take(&settings)?;
    orphans::adopt();
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signals)?;
    let link = Link::new(&settings, &state)?;
    let (events, mut incoming) = mpsc::channel(QUEUE);
    let listening = tokio::task::spawn_local(stream(link.clone(), events.clone()));
    let mut agent = Agent::new(settings, &state, link, events)?;
    while !agent.is_over() {
        let wake = agent.clock.instant(agent.wake());
        tokio::select! {
            Some(event) = incoming.recv() => agent.take(event),
            () = tokio::time::sleep_until(wake) => {}
            _ = terminate.recv() => agent.signalled(),
            _ = interrupt.recv() => agent.signalled(),
        }
        agent.pass();
    }
    listening.abort();
    agent.end().await;
    Ok(())
}

async fn stream(link: Link, events: mpsc::Sender<Event>) {
    listen(link, async |told| {
        let _ = events.send(Event::Link(told)).await;
    })
    .await;
    let _ = events.send(Event::Fenced).await;
}

struct Agent {
    clock: Clock,
    settings: Settings,
    life: Life,
    desired: Option<Desired>,
    effects: Effects,
    files: Files,
    uplink: Uplink,
    sampler: Sampler,
    sample_at: Millis,
    balancing: Balancing,
    fenced: bool,
    reachable: Option<bool>,
    stopped_at: Option<Millis>,
    events: mpsc::Sender<Event>,
}

impl Agent {
    fn new(
        settings: Settings,
        state: &State,
        link: Link,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, AgentError> {
        let logs = Logs::new(state.base);
        let told = events.clone();
        let hooks = Hooks::start(&settings, logs.clone(), async move |(hook, fault)| {
            let _ = told
                .send(Event::Life(lifecycle::Event::HookEnded { hook, fault }))
                .await;
        });
        let clock = Clock::start();
        Ok(Self {
            clock,
            life: Life::new(),
            desired: None,
            files: Files::open(&settings, events.clone())?,
            uplink: Uplink::new(link, state.base, logs.clone(), events.clone()),
            effects: Effects::new(&settings, hooks, logs, events.clone()),
            sampler: Sampler::new(state.base),
            sample_at: Millis::ZERO,
            balancing: Balancing::default(),
            fenced: false,
            reachable: None,
            stopped_at: None,
            events,
            settings,
        })
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Life(event) => {
                if matches!(event, lifecycle::Event::AppEnded { .. }) {
                    self.effects.app_ended();
                }
                self.step(event);
            }
            Event::Link(Told::Desired(desired)) => self.wanted(*desired),
            Event::Link(Told::Reachable(answer)) => self.reached(answer),
            Event::Fenced => self.fenced(),
            Event::Posted(Err(LinkError::Fenced)) => {
                self.uplink.posted(Err(LinkError::Fenced), self.clock.now());
                self.fenced();
            }
            Event::Posted(answer) => self.uplink.posted(answer, self.clock.now()),
            Event::Files(done) => self.files_done(done),
            Event::Plugin(told) => self.plugin_told(told),
        }
    }

    /// Everything that is due.
    fn pass(&mut self) {
        let now = self.clock.now();
        if self.life.due().is_some_and(|at| at <= now) {
            self.step(lifecycle::Event::Tick);
        }
        if self.sample_at <= now {
            self.sample_at = beat::next(now, self.interval(|d| d.sample_interval_ms));
            self.uplink.outbox.measured(self.sampler.sample());
            orphans::reap(self.sampler.own_children());
            self.ask_for_reading(now, true);
        } else {
            self.ask_for_reading(now, false);
        }
        if !self.life.ends() && self.desired.is_some() {
            self.files.advance(now, self.life.may_switch());
        }
        if matches!(self.life.stage, Stage::Stopped) && self.stopped_at.is_none() {
            self.stopped_at = Some(now);
        }
        if self.desired.is_some() && !self.fenced {
            let status = self.status();
            let interval = self.interval(|d| d.publish_interval_ms);
            self.uplink.advance(&status, now, interval);
        }
    }

    fn wake(&self) -> Millis {
        let files = self
            .files
            .due()
            .filter(|_| self.desired.is_some() && !self.life.ends());
        let farewell = self.stopped_at.map(|at| at.plus(FAREWELL));
        [
            self.life.due(),
            files,
            farewell,
            self.balancing.due(),
            self.uplink.due().filter(|_| self.desired.is_some()),
        ]
        .into_iter()
        .flatten()
        .fold(self.sample_at, Millis::min)
    }

    fn interval(&self, which: impl Fn(&Desired) -> u64) -> Millis {
        self.desired
            .as_ref()
            .map_or(DEFAULT_INTERVAL, |d| Millis(which(d).max(LEAST_INTERVAL)))
    }

    fn step(&mut self, event: lifecycle::Event) {
        let life = std::mem::take(&mut self.life);
        let (life, actions) = lifecycle::step(life, event, self.clock.now(), &self.settings.rules);
        self.life = life;
        for action in actions {
            self.begin(action);
        }
    }

    fn begin(&mut self, action: lifecycle::Action) {
        match action {
            lifecycle::Action::Tell(kind, text) => self.tell(kind, &text),
            lifecycle::Action::Refuse { commit, reason, back } => self.files.refuse(commit, &reason, back),
            lifecycle::Action::Probe(number)
                if self.settings.balancer.is_some() && self.balancing.revision.is_none() =>
            {
                let outcome = cartridge_agent_plan::probe::Outcome::Silent(self.balancing.missing());
                self.effects.answer_probe(number, outcome);
            }
            other => self.effects.begin(other, self.files.in_use()),
        }
    }

    fn tell(&mut self, kind: &str, text: &str) {
        tracing::info!(kind, "{text}");
        self.uplink.outbox.notice(kind, text);
    }

    /// A smaller epoch or revision than seen before comes from somebody who no longer counts (S10, S11).
    fn wanted(&mut self, desired: Desired) {
        if let Some(before) = &self.desired
            && (desired.epoch < before.epoch || desired.revision < before.revision)
        {
            tracing::warn!(
                epoch = desired.epoch,
                revision = desired.revision,
                "ignored: older than seen before"
            );
            return;
        }
        if let Some(artifacts) = &desired.artifacts {
            self.files.want(artifacts);
        }
        if let Some(topology) = &desired.topology {
            self.topology_wanted(topology);
        }
        let event = match desired.run {
            Run::Serve => lifecycle::Event::Serve {
                files: desired.artifacts.is_some(),
            },
            Run::Stop { within_ms } => lifecycle::Event::Stop {
                within: Millis(within_ms),
            },
        };
        self.desired = Some(desired);
        self.step(event);
    }

    fn reached(&mut self, answer: Result<(), String>) {
        let now_reachable = answer.is_ok();
        if now_reachable {
            self.uplink.retry_now(self.clock.now());
        }
        if self.reachable.replace(now_reachable) == Some(!now_reachable) {
            match answer {
                Ok(()) => self.tell("link", "the orchestrator is there again"),
                Err(why) => self.tell("link", &why),
            }
        }
    }

    fn fenced(&mut self) {
        self.fenced = true;
        self.step(lifecycle::Event::Fenced);
    }

    fn signalled(&mut self) {
        tracing::info!("asked to end by a signal");
        self.step(lifecycle::Event::Stop { within: SIGNALLED });
    }

    fn files_done(&mut self, done: files::Done) {
        let fetching = matches!(self.life.stage, Stage::Fetching) || self.life.returning().is_some();
        let outcome = self.files.done(done, self.clock.now(), fetching);
        for text in outcome.notices {
            self.tell("artifact", &text);
        }
        if let Some((to, back)) = outcome.switched {
            self.step(lifecycle::Event::Switched { to, back });
        }
    }

    fn status(&self) -> Status {
        let mut phase = self.life.phase();
        if let Phase::Suspended { reason } | Phase::Failed { reason } = &mut phase {
            *reason = cartridge_agent_plan::text::one_line(reason, MAX_TEXT_BYTES);
        }
        Status {
            phase,
            revision: self.desired.as_ref().map_or(0, |d| d.revision),
            release: self.life.release.clone(),
            head: self.files.head().cloned(),
            staged: self.files.staged(),
            refused: self.files.refused(),
            topology: self.balancing.revision,
            restarts: self.life.restarts,
        }
    }

    fn is_over(&self) -> bool {
        let Some(stopped_at) = self.stopped_at else {
            return false;
        };
        let heard = self.fenced || self.desired.is_none() || self.uplink.has_said_stopped();
        heard || self.clock.now() >= stopped_at.plus(FAREWELL)
    }

    async fn end(self) {
        self.files.stop();
        self.balancing.end().await;
        orphans::end().await;
        tracing::info!("the member has ended");
    }
}

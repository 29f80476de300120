//! The loop: an event comes in, the plan says what follows, that is begun; results come back as events.
//!
//! Nothing waits inside the loop. It refuses to decide about the member's life and about releases.

mod balancing;
mod desk;
mod effects;
mod files;
mod following;
mod hooking;
mod plugins;
mod pushing;
mod reloading;
mod signals;
mod tenants;
mod upgrading;
mod uplink;
mod wanted;

use std::os::fd::OwnedFd;

use cartridge_agent_plan::beat;
use cartridge_agent_plan::handover::NotTaken;
use cartridge_agent_plan::lifecycle::{self, Life, Stage};
use cartridge_agent_plan::probe::Outcome;
use cartridge_agent_plan::settings::{Fault, Settings};
use cartridge_agent_plan::signals::{Asked, Ending};
use cartridge_agent_plan::upgrade;
use cartridge_protocol::link::{Desired, Phase, Status};
use cartridge_protocol::plugin::PluginName;
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{Millis, link::MAX_TEXT_BYTES};
use tokio::sync::mpsc;

use crate::host::alarm::Alarm;
use crate::host::clock::Clock;
use crate::host::follow;
use crate::host::hooks::{self, Hooks};
use crate::host::local;
use crate::host::logs::Logs;
use crate::host::proc::Sampler;
use crate::host::shelf::ShelfError;
use crate::host::state::{self, State, StateError};
use crate::host::systemd::Manager;
use crate::host::thrift;
use crate::host::upgrade::exec::{Inherited, Next};
use crate::host::watch::Watcher;
use crate::host::{leftovers, orphans};
use crate::link::{Link, LinkError, LinkSetupError, Told, listen};
use crate::plugin::balancer;
use balancing::Balancing;
use desk::Desk;
use effects::Effects;
use files::{Files, Site};
use following::Following;
use hooking::Hooking;
use plugins::Plugins;
use reloading::Reloading;
pub use reloading::Reread;
use tenants::Tenants;
use upgrading::Upgrading;
use uplink::Uplink;
use wanted::Orders;

/// Events that may wait for the loop; whoever brings more waits.
const QUEUE: usize = 256;
/// Longest wait for the acknowledgement that the member has stopped.
const FAREWELL: Millis = Millis(5_000);
/// Shortest such wait, however hurried.
const LEAST_FAREWELL: Millis = Millis(500);
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
    /// The lock of the state folder.
    #[error("the lock of the state folder cannot be kept: {0}")]
    Lock(std::io::Error),
    /// The agent before has handed over something else.
    #[error(transparent)]
    Handover(#[from] NotTaken),
    /// The loop's timer.
    #[error("the kernel gives no timer: {0}")]
    Timer(std::io::Error),
}

/// What comes into the loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// For the member's life.
    Life(lifecycle::Event),
    /// A hook has ended.
    Hook(hooks::Ended),
    /// From the stream.
    Link(Told),
    /// The stream has ended for good.
    Fenced,
    /// A batch was answered, or was not.
    Posted(Result<u64, LinkError>),
    /// Work on the member's own files, or on a tenant's, has ended.
    Files(Option<TenantId>, files::Done),
    /// Files of the current release may have been changed: the member's own, or a tenant's.
    Edited(Option<TenantId>),
    /// The newest order was written down, or could not be.
    Remembered(Result<(), String>),
    /// A file that settings came from has changed.
    SettingsChanged,
    /// All settings were read again.
    Reread(Box<Result<Settings, Vec<Fault>>>),
    /// The followed files are to be followed by other settings now.
    FollowAnew,
    /// A signal.
    Asked(Asked),
    /// From the balancer.
    Balancer(balancer::Told),
    /// From another plugin.
    Plugin(PluginName, plugins::Told),
    /// Work for the agent's upgrade has ended.
    Upgrade(upgrade::Event),
    /// At the local socket.
    Local(local::Asked),
    /// From the followed log files.
    Logs(follow::Told),
}

/// How a run ends.
pub enum Ended {
    /// With the member: the exit code.
    Exit(u8),
    /// Another agent goes on with the member in this process.
    Become(Box<Next>),
}

/// Runs one member to its end, or until another agent goes on; begins where the agent before has stopped, if there was
/// one in this process.
pub async fn run(settings: Settings, inherited: Inherited, reread: Reread) -> Result<Ended, AgentError> {
    let handed = inherited.handover(&settings)?;
    let lock = handed
        .as_ref()
        .and_then(|handed| inherited.descriptor(handed.lock));
    let state = state::take(&settings, lock)?;
    if !settings.duty.sidecar {
        orphans::adopt();
    }
    if state.known && handed.is_none() {
        let left = leftovers::end(&state.tag).await;
        tracing::info!(
            left,
            "an earlier agent of this life was here; what it left running was ended"
        );
    }
    leftovers::tag_with(&state.tag);
    let (events, mut incoming) = mpsc::channel(QUEUE);
    signals::listen(events.clone()).map_err(AgentError::Signals)?;
    let link = Link::new(&settings, &state)?;
    desk::open(&settings, events.clone());
    let clock = handed
        .as_ref()
        .map_or_else(Clock::start, |handed| Clock::resume(handed.now));
    let mut agent = Agent::new(
        settings,
        &state,
        link.clone(),
        events.clone(),
        (inherited, clock),
        reread,
    )?;
    match handed {
        Some(handed) => agent.resume(handed),
        None => agent.begun_from_slot(),
    }
    let listening = tokio::task::spawn_local(stream(link, events));
    let mut alarm = Alarm::new(agent.clock).map_err(AgentError::Timer)?;
    while !agent.is_over() {
        let wake = agent.wake();
        tokio::select! {
            Some(event) = incoming.recv() => agent.take(event),
            () = alarm.until(wake) => {}
        }
        agent.pass();
        if agent.becomes_another() {
            while let Ok(event) = incoming.try_recv() {
                agent.take(event);
            }
            if let Some(next) = agent.next_agent() {
                state.hand_over();
                return Ok(Ended::Become(Box::new(next)));
            }
        }
    }
    listening.abort();
    let exit = agent.life.exit;
    agent.end().await;
    Ok(Ended::Exit(exit))
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
    orders: Orders,
    effects: Effects,
    files: Files,
    tenants: Tenants,
    following: Following,
    uplink: Uplink,
    sampler: Sampler,
    sample_at: Millis,
    balancing: Balancing,
    hooking: Hooking,
    plugins: Plugins,
    fenced: bool,
    reachable: Option<bool>,
    stopped_at: Option<Millis>,
    /// The member is at rest, and what only its start needed was given back.
    resting: bool,
    ending: Ending,
    manager: Manager,
    desk: Desk,
    upgrading: Upgrading,
    /// The lock of the state folder.
    lock: OwnedFd,
    watcher: Watcher,
    reloading: Reloading,
    /// Numbers of this life begin there.
    base: u64,
    events: mpsc::Sender<Event>,
}

impl Agent {
    fn new(
        mut settings: Settings,
        state: &State,
        link: Link,
        events: mpsc::Sender<Event>,
        (inherited, clock): (Inherited, Clock),
        reread: Reread,
    ) -> Result<Self, AgentError> {
        let logs = Logs::new(state.base, settings.logs.rules.clone(), clock);
        let told = events.clone();
        let hooks = Hooks::start(&settings, logs.clone(), async move |ended| {
            let _ = told.send(Event::Hook(ended)).await;
        });
        settings.rules.prepare = hooks.preparations();
        // Before the first child is started.
        let sampler = Sampler::new(state.base, settings.scope);
        let plugins = Plugins::start(&settings, &logs, &events);
        let source = plugins.source(&settings);
        let watcher = Watcher::new();
        reloading::watch(&settings, &watcher, &events);
        Ok(Self {
            clock,
            plugins,
            life: Life::new(),
            desired: None,
            orders: Orders::new(state),
            files: Files::open(&settings, Site::own(&settings), source, events.clone(), &watcher),
            tenants: Tenants::open(&settings),
            following: Following::start(
                &settings.logs,
                &settings.state_dir,
                state.base,
                logs.clone(),
                &watcher,
                events.clone(),
            ),
            uplink: Uplink::new(link, state.base, logs.clone(), events.clone()),
            hooking: Hooking::new(&settings.member, &hooks),
            effects: Effects::new(&settings, hooks, logs, events.clone()),
            sampler,
            sample_at: Millis::ZERO,
            balancing: Balancing::default(),
            fenced: false,
            reachable: None,
            stopped_at: None,
            resting: false,
            ending: Ending::default(),
            manager: Manager::of_environment(),
            desk: Desk::default(),
            upgrading: Upgrading::new(&settings, inherited),
            lock: state.lock_copy().map_err(AgentError::Lock)?,
            watcher,
            reloading: Reloading::new(reread),
            base: state.base,
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
                if let lifecycle::Event::Probed {
                    outcome: Outcome::Healthy,
                    ..
                } = event
                {
                    self.upgrade(upgrade::Event::Answered);
                }
                let event = self.judged(event);
                self.step(event);
            }
            Event::Hook(ended) => self.hook_ended(ended),
            Event::Link(Told::Desired(desired)) => self.wanted(*desired),
            Event::Link(Told::Reachable(answer)) => self.reached(answer),
            Event::Fenced => self.fenced(),
            Event::Posted(Err(LinkError::Fenced)) => {
                self.uplink.posted(Err(LinkError::Fenced), self.clock.now());
                self.fenced();
            }
            Event::Posted(answer) => {
                if answer.is_ok() {
                    self.upgrade(upgrade::Event::Acknowledged);
                }
                self.uplink.posted(answer, self.clock.now());
            }
            Event::Files(None, done) => self.files_done(done),
            Event::Files(Some(tenant), done) => self.tenant_files_done(tenant, done),
            Event::Edited(None) => self.files.edited(self.clock.now()),
            Event::Edited(Some(tenant)) => self.tenants.edited(tenant, self.clock.now()),
            Event::Remembered(written) => self.remembered(written),
            Event::SettingsChanged => self.reread(),
            Event::Reread(read) => self.settings_read(*read),
            Event::FollowAnew => self.followed_to_end(),
            Event::Asked(asked) => self.asked(asked),
            Event::Balancer(told) => self.balancer_told(told),
            Event::Plugin(name, told) => self.plugin_told(&name, told),
            Event::Upgrade(event) => self.upgrade(event),
            Event::Local(question) => self.answer(question),
            Event::Logs(told) => self.logs_told(told),
        }
    }

    /// Everything that is due.
    fn pass(&mut self) {
        let now = self.clock.now();
        if self.life.due().is_some_and(|at| at <= now) {
            self.step(lifecycle::Event::Tick);
        }
        self.overdue(now);
        if self.sample_at <= now {
            self.sample_at = beat::next(now, self.interval(|d| d.sample_interval_ms));
            let sample = self.plugins.readings.merge(self.sampler.sample(), now);
            self.desk.ledger.sampled(&sample, now);
            self.uplink.beat(sample);
            self.ask_readers(now);
            self.ask_for_reading(now, true);
        } else {
            self.ask_for_reading(now, false);
        }
        self.look_around();
        self.tell_tenants();
        let holds = self.upgrading.holds();
        if self.life.may_fetch() && self.desired.is_some() && !holds {
            self.files
                .advance(now, self.life.may_switch(), self.life.serves());
            self.tenants.advance(now);
        }
        self.conclude_syncs(now);
        if matches!(self.life.stage, Stage::Stopped) && self.stopped_at.is_none() {
            self.stopped_at = Some(now);
            self.following.read_to_end();
        }
        if self.desired.is_some() && !self.fenced && !holds {
            let status = self.status();
            self.desk.ledger.phase(&status.phase, now);
            let interval = self.interval(|d| d.publish_interval_ms);
            self.uplink.advance(&status, now, interval);
        }
        let resting = self.life.is_steady();
        if resting && !self.resting {
            thrift::give_back();
        }
        self.resting = resting;
        self.upgrade_turned();
        self.manager.turned(now, || self.life.phase());
    }

    fn wake(&self) -> Millis {
        let may_fetch = self.desired.is_some() && self.life.may_fetch();
        let files = self.files.due().filter(|_| may_fetch);
        let tenants = self.tenants.due().filter(|_| may_fetch);
        let farewell = self.stopped_at.map(|at| self.gone_by(at));
        [
            self.life.due(),
            files,
            tenants,
            farewell,
            self.balancing.due(),
            self.manager.due(),
            self.orders.floor.due(),
            self.upgrading.due(),
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
                let outcome = Outcome::Silent(self.balancing.missing());
                self.effects.answer_probe(number, outcome);
            }
            lifecycle::Action::RunHook(hook) => self.run_hook(hook),
            other => self.effects.begin(other, self.files.in_use()),
        }
    }

    fn tell(&mut self, kind: &str, text: &str) {
        tracing::info!(kind, "{text}");
        self.uplink.outbox.notice(kind, text);
    }

    fn reached(&mut self, answer: Result<(), String>) {
        let now_reachable = answer.is_ok();
        self.desk.ledger.reached(&answer, self.clock.now());
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
        self.desk.ledger.fenced(self.clock.now());
        self.step(lifecycle::Event::Fenced);
    }

    fn files_done(&mut self, done: files::Done) {
        let fetching = matches!(self.life.stage, Stage::Fetching) || self.life.returning().is_some();
        let outcome = self.files.done(done, self.clock.now(), fetching);
        for text in outcome.notices {
            self.tell("artifact", &text);
        }
        if let Some(to) = outcome.adopted {
            self.step(lifecycle::Event::Adopted { to });
        }
        if let Some((to, back)) = outcome.switched {
            self.hooks_changed();
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
            wants_surroundings: self.hooking.wants_surroundings,
            plugins: self.plugins.status(),
            tenants: self.tenants.status(),
        }
    }

    fn is_over(&self) -> bool {
        let Some(stopped_at) = self.stopped_at else {
            return false;
        };
        let heard = self.fenced || self.desired.is_none() || self.uplink.has_said_stopped();
        heard && self.has_sent_logs() || self.clock.now() >= self.gone_by(stopped_at)
    }

    /// When nobody is waited for any more; whoever has sent a signal waits no longer than they said.
    fn gone_by(&self, stopped_at: Millis) -> Millis {
        let patient = stopped_at.plus(FAREWELL);
        let hurried = self.ending.by().map(|by| by.max(stopped_at.plus(LEAST_FAREWELL)));
        hurried.map_or(patient, |by| by.min(patient))
    }

    async fn end(self) {
        self.manager.stopping();
        self.files.stop();
        self.tenants.stop();
        self.effects.hooks.end().await;
        self.balancing.end().await;
        self.following.end().await;
        self.plugins.end().await;
        if !self.settings.duty.sidecar {
            orphans::end().await;
        }
        tracing::info!("the member has ended");
    }
}

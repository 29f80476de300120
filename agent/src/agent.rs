//! The loop: an event comes in, the plan says what follows, that is begun; results come back as events.
//!
//! Nothing waits inside the loop. It refuses to decide about the member's life and about releases.

mod balancing;
mod desk;
mod effects;
mod event;
mod files;
mod following;
mod hooking;
mod plugins;
mod pushing;
mod reloading;
mod signals;
mod tenants;
mod turn;
mod upgrading;
mod uplink;
mod wanted;

use std::os::fd::OwnedFd;

use cartridge_agent_plan::handover::NotTaken;
use cartridge_agent_plan::lifecycle::Life;
use cartridge_agent_plan::settings::Settings;
use cartridge_agent_plan::signals::Ending;
use cartridge_protocol::Millis;
use cartridge_protocol::link::Desired;
use tokio::sync::mpsc;

use crate::host::alarm::Alarm;
use crate::host::clock::Clock;
use crate::host::hooks::Hooks;
use crate::host::logs::Logs;
use crate::host::proc::Sampler;
use crate::host::shelf::ShelfError;
use crate::host::state::{self, State, StateError};
use crate::host::systemd::Manager;
use crate::host::upgrade::exec::{Inherited, Next};
use crate::host::watch::Watcher;
use crate::host::{leftovers, orphans};
use crate::link::{Link, LinkSetupError, listen};
use balancing::Balancing;
use desk::Desk;
use effects::Effects;
use event::Event;
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

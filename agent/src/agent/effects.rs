//! Begins what the plan of the member's life asks for. Refuses to know why.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use cartridge_agent_plan::ends::How;
use cartridge_agent_plan::handover::Application;
use cartridge_agent_plan::lifecycle::{self, Action};
use cartridge_agent_plan::logs::ring::{ERR, LogRing};
use cartridge_agent_plan::probe::{Outcome, Probe};
use cartridge_agent_plan::settings::Settings;
use cartridge_agent_plan::sharing::variables;
use cartridge_protocol::values::ToldValues;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Event;
use super::files::InUse;
use crate::host::child::{self, Group, Program};
use crate::host::hooks::Hooks;
use crate::host::logs::Logs;
use crate::host::probe::probe;
use crate::host::{oom, orphans};

pub(super) struct Effects {
    pub(super) hooks: Hooks,
    pub(super) logs: Logs,
    events: mpsc::Sender<Event>,
    app: Option<Group>,
    command: Option<Vec<String>>,
    environment: BTreeMap<String, String>,
    shared: ToldValues,
    state_dir: PathBuf,
    current: PathBuf,
    address: IpAddr,
    probe: Probe,
    memory: oom::Counter,
    /// How many the kernel had killed for memory when the application began.
    killed: Option<u64>,
}

/// Longest wait for what the application wrote last: somebody else may hold its pipe.
const LAST_WORDS: Duration = Duration::from_millis(200);

impl Effects {
    pub(super) fn new(settings: &Settings, hooks: Hooks, logs: Logs, events: mpsc::Sender<Event>) -> Self {
        let current = settings.shelf.join("current");
        Self {
            hooks,
            logs,
            events,
            app: None,
            command: settings.command.clone(),
            environment: environment(settings, &current.to_string_lossy()),
            shared: ToldValues::default(),
            state_dir: settings.state_dir.clone(),
            current,
            address: settings.address,
            probe: settings.probe.clone(),
            memory: oom::Counter::find(),
            killed: None,
        }
    }

    /// What hooks, and the application at its next start, are told that is shared.
    pub(super) fn tell_shared(&mut self, shared: ToldValues) {
        self.hooks.tell_shared(shared.clone());
        self.shared = shared;
    }

    pub(super) fn begin(&mut self, action: Action, files: InUse) {
        match action {
            Action::CancelHooks => self.hooks.cancel(),
            Action::StartApp => self.start_app(files.any),
            Action::TermApp => {
                if let Some(group) = self.app {
                    group.term();
                }
            }
            Action::KillApp => {
                if let Some(group) = self.app {
                    group.kill();
                }
            }
            Action::Probe(number) => self.probe(number),
            Action::RunHook(_) | Action::Refuse { .. } | Action::Tell(..) => {}
        }
    }

    pub(super) fn send(&self, event: lifecycle::Event) {
        self.send_soon(Event::Life(event));
    }

    pub(super) fn send_soon(&self, event: Event) {
        let events = self.events.clone();
        tokio::spawn(async move {
            let _ = events.send(event).await;
        });
    }

    /// A program in the application's place: from its release, or from the state folder where there are no files.
    pub(super) fn program(&self, words: Vec<String>, from_release: bool) -> Program {
        let directory = if from_release {
            self.current.clone()
        } else {
            self.state_dir.clone()
        };
        Program {
            words,
            directory,
            environment: self.environment.clone(),
        }
    }

    fn start_app(&mut self, from_release: bool) {
        let Some(words) = self.command.clone() else { return };
        let mut program = self.program(words, from_release);
        for (name, value) in variables(&self.shared) {
            program.environment.entry(name).or_insert(value);
        }
        match child::spawn(&program, Stdio::null()) {
            Ok((mut child, group)) => {
                self.app = Some(group);
                self.logs.with(LogRing::take_words);
                let err = child::pump(&mut child, &self.logs, ["out", ERR]);
                self.killed = self.memory.read();
                self.await_end(group, err, async move { child::ended(child.wait().await) });
            }
            Err(error) => {
                self.app = None;
                self.send(lifecycle::Event::AppEnded {
                    how: How::NotStarted(error.to_string()),
                    words: Vec::new(),
                });
            }
        }
    }

    /// The application that the agent before has started; `err` ends with its standard error.
    pub(super) fn adopt(&mut self, application: &Application, err: Option<JoinHandle<()>>) {
        let group = Group::of(application.pid);
        let ended = orphans::watch(application.pid);
        self.app = Some(group);
        self.killed = application.killed;
        self.await_end(group, err, async move {
            let unseen = || How::Unknown("its end was not seen".to_owned());
            ended.await.unwrap_or_else(|_| unseen())
        });
    }

    /// What another agent needs to know of it.
    pub(super) fn handed(&self) -> Option<Application> {
        self.app.map(|group| Application {
            pid: group.id(),
            killed: self.killed,
        })
    }

    fn await_end(
        &self,
        group: Group,
        err: Option<JoinHandle<()>>,
        ended: impl Future<Output = How> + Send + 'static,
    ) {
        let (logs, events) = (self.logs.clone(), self.events.clone());
        let (memory, killed) = (self.memory.clone(), self.killed);
        tokio::spawn(async move {
            let how = ended.await;
            // What it left behind would hold its ports.
            group.kill();
            if let Some(err) = err {
                let _ = timeout(LAST_WORDS, err).await;
            }
            let how = match how {
                How::Signal(9, _) if killed.is_some_and(|killed| memory.read() > Some(killed)) => {
                    How::OutOfMemory
                }
                how => how,
            };
            let words = logs.with(LogRing::take_words);
            let _ = events
                .send(Event::Life(lifecycle::Event::AppEnded { how, words }))
                .await;
        });
    }

    /// Passes a signal on to the application.
    pub(super) fn pass(&self, signal: i32) {
        if let Some(group) = self.app {
            group.pass(signal);
        }
    }

    /// The application has ended; its process number may soon be somebody else's.
    pub(super) fn app_ended(&mut self) {
        self.app = None;
    }

    /// The application's process, where it is the agent's child.
    pub(super) fn application(&self) -> Option<i32> {
        self.app.map(Group::id)
    }

    fn probe(&self, number: u64) {
        let (events, address, what) = (self.events.clone(), self.address, self.probe.clone());
        tokio::spawn(async move {
            let outcome = probe(address, &what).await;
            let _ = events
                .send(Event::Life(lifecycle::Event::Probed { number, outcome }))
                .await;
        });
    }

    pub(super) fn answer_probe(&self, number: u64, outcome: Outcome) {
        self.send(lifecycle::Event::Probed { number, outcome });
    }
}

/// What the application is told. Its own environment of the blueprint wins.
fn environment(settings: &Settings, current: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        ("CARTRIDGE_MEMBER".to_owned(), settings.member.to_string()),
        ("CARTRIDGE_RELEASE".to_owned(), current.to_owned()),
        ("CARTRIDGE_ADDRESS".to_owned(), settings.address.to_string()),
    ]);
    if let Some(port) = settings.port {
        all.insert("PORT".to_owned(), port.to_string());
    }
    if let Some(cluster) = settings.parameters.get("CLUSTER_ID") {
        all.insert("CLUSTER_ID".to_owned(), cluster.clone());
    }
    all.extend(settings.environment.clone());
    all
}

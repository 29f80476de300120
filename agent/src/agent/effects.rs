//! Begins what the plan of the member's life asks for. Refuses to know why.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;

use cartridge_agent_plan::lifecycle::{self, Action, Hook};
use cartridge_agent_plan::probe::{Outcome, Probe};
use cartridge_agent_plan::settings::Settings;
use tokio::sync::mpsc;

use super::Event;
use super::files::InUse;
use crate::host::child::{self, Group, Program};
use crate::host::hooks::Hooks;
use crate::host::logs::Logs;
use crate::host::probe::probe;

pub(super) struct Effects {
    hooks: Hooks,
    pub(super) logs: Logs,
    events: mpsc::Sender<Event>,
    app: Option<Group>,
    command: Option<Vec<String>>,
    environment: BTreeMap<String, String>,
    state_dir: PathBuf,
    current: PathBuf,
    address: IpAddr,
    probe: Probe,
}

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
            state_dir: settings.state_dir.clone(),
            current,
            address: settings.address,
            probe: settings.probe.clone(),
        }
    }

    pub(super) fn begin(&mut self, action: Action, files: InUse) {
        match action {
            Action::RunHook(hook) => self.run_hook(hook, files),
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
            Action::Refuse { .. } | Action::Tell(..) => {}
        }
    }

    fn send(&self, event: lifecycle::Event) {
        let events = self.events.clone();
        tokio::spawn(async move {
            let _ = events.send(Event::Life(event)).await;
        });
    }

    fn run_hook(&mut self, hook: Hook, files: InUse) {
        let mut more = BTreeMap::new();
        if let (Hook::ArtifactUpdated, Some(url)) = (hook, files.url) {
            more.insert("STRATOS_ARTIFACT_UPDATED_REPO_URL".to_owned(), url);
            if let Some(cluster) = self.environment.get("CLUSTER_ID") {
                more.insert("STRATOS_ARTIFACT_UPDATED_CLUSTER_ID".to_owned(), cluster.clone());
            }
        }
        if !self.hooks.run(hook, more) {
            self.send(lifecycle::Event::HookEnded {
                hook,
                fault: Some("too many hooks wait".into()),
            });
        }
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
        match child::spawn(&self.program(words, from_release), Stdio::null()) {
            Ok((mut child, group)) => {
                self.app = Some(group);
                child::pump(&mut child, &self.logs, ["out", "err"]);
                let events = self.events.clone();
                tokio::spawn(async move {
                    let how = child::how(child.wait().await);
                    // What it left behind would hold its ports.
                    group.kill();
                    let _ = events.send(Event::Life(lifecycle::Event::AppEnded { how })).await;
                });
            }
            Err(error) => {
                self.app = None;
                self.send(lifecycle::Event::AppEnded {
                    how: format!("it could not be started: {error}"),
                });
            }
        }
    }

    /// The application has ended; its process number may soon be somebody else's.
    pub(super) fn app_ended(&mut self) {
        self.app = None;
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

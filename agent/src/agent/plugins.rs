//! The member's plugins, the balancer excepted: started with the agent, readers asked at their beat.
//!
//! Refuses to judge what they say (the plan does) and to know how they are kept.

use std::collections::BTreeMap;

use cartridge_agent_plan::account::Account;
use cartridge_agent_plan::lifecycle;
use cartridge_agent_plan::plugin::{Change, MAX_PLUGINS, Place, PluginSettings, Readings, Rules, Wish};
use cartridge_agent_plan::settings::Settings;
use cartridge_agent_plan::text::one_line;
use cartridge_protocol::Millis;
use cartridge_protocol::link::{DesiredArtifacts, PluginState, PluginStatus};
use cartridge_protocol::plugin::{Answer, Call, Credentials, Kind, Origin, PluginName};
use tokio::sync::mpsc;

use super::{Agent, Event};
use crate::host::account;
use crate::host::logs::Logs;
use crate::host::source::Brought;
use crate::plugin::{Asker, Bounds, Confined, Launch, NoAnswer, Plugin, folder};

/// Longest answer, bytes.
const LONGEST_ANSWER: usize = 64 << 10;
/// Longest reason in a status, bytes: there may be many.
const MAX_REASON_BYTES: usize = 300;

/// What a plugin's news is.
#[derive(Debug)]
pub(crate) enum Told {
    /// It serves, or does not.
    Changed(Change),
    /// A reader was asked.
    Measured(Result<Answer, NoAnswer>),
}

struct Running {
    plugin: Plugin,
    wish: Wish,
    state: PluginState,
}

/// None, for most members.
pub(super) struct Plugins {
    running: BTreeMap<PluginName, Running>,
    pub(super) readings: Readings,
    /// Whom they run as; none: as the agent.
    account: Option<Account>,
    /// What was wrong with the folder, to be told once there is somebody to tell.
    faults: Vec<String>,
    events: mpsc::Sender<Event>,
}

impl Plugins {
    pub(super) fn start(settings: &Settings, logs: &Logs, events: &mpsc::Sender<Event>) -> Self {
        let mut plugins = Self {
            running: BTreeMap::new(),
            readings: Readings::default(),
            account: None,
            faults: Vec::new(),
            events: events.clone(),
        };
        let wanted = &settings.plugins;
        let (found, faults) = wanted.folder.as_deref().map(folder::look).unwrap_or_default();
        plugins.faults = faults;
        let mut commands: BTreeMap<PluginName, Vec<String>> = BTreeMap::new();
        if let Some(folder) = &wanted.folder {
            for (name, file) in found {
                commands.insert(name, vec![folder.join(file).to_string_lossy().into_owned()]);
            }
        }
        commands.extend(
            wanted
                .commanded()
                .map(|(name, words)| (name.clone(), words.clone())),
        );
        for (name, of) in &wanted.of {
            // Also where there is no such plugin: the member is not well without it.
            if of.required {
                plugins.readings.expect(name, wish(of));
            }
            if !commands.contains_key(name) {
                plugins
                    .faults
                    .push(format!("there is no plugin {name}, which has settings"));
            }
        }
        match account::account(wanted.user.as_ref()) {
            Ok(account) => plugins.account = account,
            Err(error) => {
                // Not as the agent instead: that is what was not wanted.
                plugins.faults.push(format!("no plugin is started: {error}"));
                commands.clear();
            }
        }
        for (name, words) in commands.into_iter().take(MAX_PLUGINS) {
            let launch = launch(settings, &name, words, plugins.account.as_ref());
            plugins.run(launch, wish(&wanted.of(&name)), logs);
        }
        plugins
    }

    fn run(&mut self, launch: Launch, wish: Wish, logs: &Logs) {
        let (name, told, events) = (launch.name.clone(), launch.name.clone(), self.events.clone());
        let plugin = Plugin::start(launch, logs.clone(), async move |change| {
            let _ = events
                .send(Event::Plugin(told.clone(), Told::Changed(change)))
                .await;
        });
        let running = Running {
            plugin,
            wish,
            state: PluginState::Starting,
        };
        self.running.insert(name, running);
    }

    pub(super) fn status(&self) -> Vec<PluginStatus> {
        let of = |(name, running): (&PluginName, &Running)| PluginStatus {
            name: name.clone(),
            state: running.state.clone(),
        };
        self.running.iter().map(of).collect()
    }

    /// Asks the readers whose time has come.
    fn ask(&mut self, now: Millis, publish: Millis) {
        for (name, within) in self.readings.ask(now, publish) {
            let Some(running) = self.running.get(&name) else {
                continue;
            };
            let (asker, events) = (running.plugin.asker(), self.events.clone());
            tokio::task::spawn_local(async move {
                let told = Told::Measured(asker.ask(Call::Read, within).await);
                let _ = events.send(Event::Plugin(name, told)).await;
            });
        }
    }

    fn changed(&mut self, name: &PluginName, change: &Change) {
        let Some(running) = self.running.get_mut(name) else {
            return;
        };
        let short = |why: &str| one_line(why, MAX_REASON_BYTES);
        running.state = match change {
            Change::Ready { kind, .. } => {
                if *kind == Kind::Reader {
                    self.readings.expect(name, running.wish);
                    self.readings.serves(name);
                }
                PluginState::Ready {
                    kind: kind.name().to_owned(),
                }
            }
            Change::Down { why, .. } => {
                self.readings.rests(name, why);
                PluginState::Down { reason: short(why) }
            }
            Change::LeftOut { why, .. } => {
                self.readings.rests(name, why);
                PluginState::LeftOut { reason: short(why) }
            }
        };
    }

    /// The plugin that brings the files, where one was named.
    pub(super) fn source(&self, settings: &Settings) -> Option<SourcePlugin> {
        let name = settings.plugins.source.as_ref()?;
        let of = settings.plugins.of(name);
        Some(SourcePlugin {
            name: name.clone(),
            asker: self.running.get(name).map(|running| running.plugin.asker()),
            credentials: of.credentials,
            account: self.account.clone(),
            fetch_within: of.fetch_within,
        })
    }

    pub(super) async fn end(self) {
        let ends = self.running.into_values().map(|running| running.plugin.end());
        futures_util::future::join_all(ends).await;
    }
}

/// The plugin that brings the files.
pub(super) struct SourcePlugin {
    name: PluginName,
    asker: Option<Asker>,
    /// It may have the repository's credentials.
    credentials: bool,
    /// Whom it runs as.
    account: Option<Account>,
    fetch_within: Millis,
}

impl SourcePlugin {
    pub(super) fn brings(&self, wanted: &DesiredArtifacts) -> Brought {
        let credentials = || Credentials {
            username: wanted.username.clone(),
            password: wanted.password.clone(),
        };
        Brought {
            name: self.name.clone(),
            asker: self.asker.clone(),
            origin: Origin {
                url: wanted.url.clone(),
                branch: wanted.branch.clone(),
                credentials: self.credentials.then(credentials),
            },
            owner: self.account.as_ref().map(|account| (account.uid, account.gid)),
            fetch_within: self.fetch_within,
        }
    }
}

fn wish(of: &PluginSettings) -> Wish {
    Wish {
        every: of.every,
        within: of.read_within,
        required: of.required,
    }
}

fn launch(settings: &Settings, name: &PluginName, words: Vec<String>, account: Option<&Account>) -> Launch {
    let of = settings.plugins.of(name);
    let mut environment = BTreeMap::from([
        ("CARTRIDGE_PLUGIN".to_owned(), name.to_string()),
        ("CARTRIDGE_MEMBER".to_owned(), settings.member.to_string()),
        ("CARTRIDGE_ADDRESS".to_owned(), settings.address.to_string()),
        (
            "CARTRIDGE_RELEASE".to_owned(),
            settings.shelf.join("current").to_string_lossy().into_owned(),
        ),
    ]);
    environment.extend(settings.port.map(|port| ("PORT".to_owned(), port.to_string())));
    environment.extend(of.environment);
    Launch {
        name: name.clone(),
        confined: Confined {
            words,
            directory: "/".into(),
            environment,
            bounds: Some(Bounds {
                memory: of.memory,
                account: account.cloned(),
            }),
        },
        place: if settings.plugins.source.as_ref() == Some(name) {
            Place::Source
        } else {
            Place::Beside
        },
        rules: Rules::DISPENSABLE,
        longest: LONGEST_ANSWER,
    }
}

impl Agent {
    pub(super) fn ask_readers(&mut self, now: Millis) {
        let publish = self.interval(|d| d.publish_interval_ms);
        self.plugins.ask(now, publish);
        for fault in std::mem::take(&mut self.plugins.faults) {
            self.tell("plugin", &fault);
        }
    }

    /// What a probe said, as readers see it.
    pub(super) fn judged(&self, event: lifecycle::Event) -> lifecycle::Event {
        match event {
            lifecycle::Event::Probed { number, outcome } => lifecycle::Event::Probed {
                number,
                outcome: self.plugins.readings.gate(outcome, self.clock.now()),
            },
            other => other,
        }
    }

    pub(super) fn plugin_told(&mut self, name: &PluginName, told: Told) {
        match told {
            Told::Changed(change) => {
                self.plugins.changed(name, &change);
                self.tell("plugin", &format!("{name} {change}"));
            }
            Told::Measured(Ok(Answer::Measured(measured))) => {
                let now = self.clock.now();
                for fault in self.plugins.readings.measured(name, measured, now) {
                    self.tell("plugin", &fault);
                }
            }
            Told::Measured(Err(NoAnswer::Refused(why))) => {
                if let Some(fault) = self.plugins.readings.refused(name, &why) {
                    self.tell("plugin", &fault);
                }
            }
            // It is down, which is told as a change.
            Told::Measured(_) => {}
        }
    }
}

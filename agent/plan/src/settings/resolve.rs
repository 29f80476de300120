//! Choosing among the sources and reading every value.

mod cloud;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cartridge_protocol::launch::key;
use cartridge_protocol::plugin::PluginName;
use cartridge_protocol::{ApplicationId, ClusterId, MemberId, Millis};

use super::options::{ARTIFACT_SOURCE, PLUGIN_SETTINGS, PLUGIN_USER, PLUGINS};
use super::reload::Values;
use super::secrecy::{is_secret, masked};
use super::sources::{FromStratos, Layers, Origin, PassedOn, Sources, environment_names};
use super::values::{absolute, command, link, log_levels, number, port_mappings, ports, seconds, token};
use super::{
    Fault, HOOK_SECONDS, HOOK_USER, LAUNCH_PARAMS, LOG, OPTIONS, Opt, RELEASE_SECONDS, START_SECONDS,
    STATE_DIR, Settings,
};
use super::{LOG_BYTES, LOG_FILES, LOG_LINES, LOG_START, LogSettings, logs};
use crate::account::Wish;
use crate::lifecycle::Rules;
use crate::logs::pattern::Start;
use crate::plugin::{self, Plugins};
use crate::probe::Probe;
use crate::sample::scope::Wanted;
use crate::text::cut;

pub use cloud::{WantedUserData, user_data};

/// One line of `check`.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Which option.
    pub key: &'static str,
    /// Its value; secrets masked. None: it has none.
    pub shown: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// The name of Stratos that it was given by.
    pub by: Option<&'static str>,
}

/// What came of it: every row, and settings or all faults.
pub struct Resolved {
    /// Every option.
    pub rows: Vec<Row>,
    /// What names of Stratos did.
    pub stratos: Vec<FromStratos>,
    /// What hooks are told beside the options.
    pub passed_on: Vec<PassedOn>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// The settings, or everything that is wrong.
    pub settings: Result<Settings, Vec<Fault>>,
}

/// Reads all sources.
pub fn resolve(sources: &Sources) -> Resolved {
    let mut reader = Reader {
        layers: Layers::new(sources),
        unread: !sources.faults.is_empty(),
        faults: sources.faults.clone(),
    };
    let rows = OPTIONS.iter().map(|o| reader.row(o)).collect();
    let settings = reader.settings();
    let told = reader.layers.parameters().into_iter();
    let passed_on = told
        .map(|(name, (_, origin))| PassedOn { name, origin })
        .collect();
    let notes = sources.notes.iter().cloned().chain(unknown(sources)).collect();
    let settings = match settings {
        Some(settings) if reader.faults.is_empty() => Ok(settings),
        _ => Err(reader.faults),
    };
    Resolved {
        rows,
        stratos: reader.layers.stratos,
        passed_on,
        notes,
        settings,
    }
}

/// The state folder alone, for who only wants to talk to the agent that runs there.
pub fn state_dir(sources: &Sources) -> Result<PathBuf, Fault> {
    let mut reader = Reader {
        layers: Layers::new(sources),
        unread: false,
        faults: Vec::new(),
    };
    let folder = reader.get(STATE_DIR, absolute);
    folder.ok_or_else(|| reader.faults.remove(0))
}

pub(super) struct Reader<'a> {
    layers: Layers<'a>,
    /// A source could not be read, so nobody can say what is missing.
    unread: bool,
    faults: Vec<Fault>,
}

fn option(key: &str) -> &'static Opt {
    OPTIONS
        .iter()
        .find(|o| o.key == key)
        .expect("every key that is read is in the table")
}

impl Reader<'_> {
    fn row(&self, opt: &Opt) -> Row {
        let found = self.layers.find(opt);
        Row {
            key: opt.key,
            shown: found.map(|f| masked(opt.key, f.value)),
            origin: found.map_or(Origin::Nobody, |f| f.origin),
            by: found.and_then(|f| f.by),
        }
    }

    fn fault(&mut self, key: &'static str, problem: String, found: Option<(Origin, Option<&'static str>)>) {
        let (origin, by) = found.unzip();
        self.faults.push(Fault {
            key,
            problem,
            origin,
            by: by.flatten(),
            accepts: option(key).help,
        });
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.layers.find(option(key)).is_some()
    }

    /// The value as `read` understands it; what it does not understand becomes a fault.
    pub(super) fn get<T>(&mut self, key: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let option = option(key);
        let Some(found) = self.layers.find(option) else {
            if option.required && !self.unread {
                self.fault(option.key, "is missing".into(), None);
            }
            return None;
        };
        let (origin, by) = (found.origin, found.by);
        let quoted = format!("is {:?}", cut(found.value, 200));
        if let Some((why, accepts)) = found.refusal.cloned() {
            self.faults.push(Fault {
                key: by.unwrap_or(option.key),
                problem: format!("{quoted}: {why}"),
                origin: Some(origin),
                by: None,
                accepts,
            });
            return None;
        }
        match read(found.value) {
            Ok(read) => Some(read),
            Err(why) => {
                let problem = if is_secret(key) {
                    why
                } else {
                    format!("{quoted}: {why}")
                };
                self.fault(option.key, problem, Some((origin, by)));
                None
            }
        }
    }

    fn settings(&mut self) -> Option<Settings> {
        let member = self.get(key::MEMBER_ID, |v| MemberId::new(v).map_err(|e| e.to_string()));
        let incarnation = self.get(key::INCARNATION, |v| number(v, 1, u64::from(u32::MAX)));
        let link = self.get(key::LINK, link);
        let token = self.get(key::JOIN_TOKEN, token);
        self.user_data();
        let state_dir = self.get(STATE_DIR, absolute);
        let ports = self.get(key::PORTS, ports).unwrap_or_default();
        let named = self.get(key::PORT_MAPPINGS, port_mappings).unwrap_or_default();
        let probe = self.get(key::PROBE, |v| {
            Probe::parse(v, &ports, &named).map_err(|e| e.to_string())
        });
        let balancer = self.get(key::BALANCER, command);
        let plugins = self.plugins();
        let rules = self.rules();
        let files = self.files();
        let address = self.get(key::ADDRESS, |v| {
            v.parse().map_err(|_| "not an IP address".to_owned())
        });
        let link_ca = self.get(key::LINK_CA, absolute);
        self.for_hooks();
        let app = self.get(key::COMMAND, command);
        let environment = self.get(key::ENVIRONMENT, |v| {
            serde_json::from_str(v).map_err(|e| e.to_string())
        });
        let hooks = self.get(key::HOOKS, absolute);
        let artifacts = self.artifacts(link.as_deref());
        let hook_user = self.get(HOOK_USER, |v| Wish::parse(v).map_err(|e| e.to_string()));
        let scope = self.scope();
        let hook_within = self.get(HOOK_SECONDS, seconds);
        let log = self.get(LOG, log_levels);
        let logs = self.logs(state_dir.as_deref());
        let duty = self.duty();
        let state_dir = state_dir?;
        Some(Settings {
            member: member?,
            incarnation: incarnation?,
            link: link?,
            link_ca,
            token: token?,
            address: address?,
            port: ports.first().copied(),
            // What a balancer listens on is told by the topology, so its ports are no sign of health.
            probe: probe.unwrap_or(if balancer.is_some() {
                Probe::Running
            } else {
                Probe::of_ports(&ports)
            }),
            rules: Rules {
                command: app.is_some(),
                ..rules?
            },
            command: app,
            environment: environment.unwrap_or_default(),
            hooks,
            balancer,
            artifacts,
            plugins,
            scope: scope?,
            shelf: state_dir.join("shelf"),
            files: files?,
            state_dir,
            hook_user,
            hook_within: hook_within?,
            log: log?,
            logs,
            duty: duty?,
            values: self.values(),
            parameter_file: self.layers.value(LAUNCH_PARAMS),
            parameters: self.parameters(),
        })
    }

    fn logs(&mut self, state: Option<&std::path::Path>) -> LogSettings {
        let files = self.get(LOG_FILES, |v| {
            let files = logs::files(v)?;
            state.map_or(Ok(()), |state| logs::outside(&files, state))?;
            Ok(files)
        });
        let start = self.get(LOG_START, Start::parse);
        let lines = self.get(LOG_LINES, logs::lines);
        let bytes = self.get(LOG_BYTES, logs::bytes);
        logs::settings(files, start, lines, bytes)
    }

    fn plugins(&mut self) -> Plugins {
        Plugins {
            folder: self.get(PLUGINS, absolute),
            of: self.get(PLUGIN_SETTINGS, plugin::parse).unwrap_or_default(),
            user: self.get(PLUGIN_USER, |v| Wish::parse(v).map_err(|e| e.to_string())),
            source: self.get(ARTIFACT_SOURCE, |v| PluginName::new(v).map_err(|e| e.to_string())),
        }
    }

    /// Only hooks are told, but a name that is none would be a riddle to them.
    fn for_hooks(&mut self) {
        self.get(key::APPLICATION_ID, |v| {
            ApplicationId::new(v).map_err(|e| e.to_string())
        });
        self.get(key::CLUSTER_ID, |v| ClusterId::new(v).map_err(|e| e.to_string()));
    }

    fn scope(&mut self) -> Option<Wanted> {
        self.get(key::SCOPE, |value| match value {
            "auto" => Ok(Wanted::Auto),
            "member" => Ok(Wanted::Member),
            "machine" => Ok(Wanted::Machine),
            other => Err(format!("{other:?} is none of these")),
        })
    }

    fn rules(&mut self) -> Option<Rules> {
        let on_release = self.get(key::ON_RELEASE, |v| match v {
            "restart" => Ok(true),
            "nothing" => Ok(false),
            _ => Err("neither".to_owned()),
        });
        let restart = self.restart();
        let start = self.get(START_SECONDS, seconds);
        let trial = self.get(RELEASE_SECONDS, seconds);
        Some(Rules {
            command: false,
            prepare: Vec::new(),
            restart_on_release: on_release?,
            restart: restart?,
            start_within: start?,
            trial_within: trial?,
            end_within: Millis(5_000),
        })
    }

    /// Every option that has a value, and what hooks are told beside.
    fn values(&self) -> Values {
        let told = self.layers.parameters().into_iter();
        let told = told.map(|(name, (value, _))| (name, value));
        let options = OPTIONS
            .iter()
            .filter_map(|option| Some((option.key.to_owned(), self.layers.find(option)?.value.to_owned())));
        Values::new(told.chain(options))
    }

    /// Everything that hooks are told; the join token is the agent's alone.
    fn parameters(&self) -> BTreeMap<String, String> {
        let told = self.layers.parameters().into_iter();
        let mut all: BTreeMap<String, String> = told.map(|(name, (value, _))| (name, value)).collect();
        for option in OPTIONS.iter().filter(|o| !o.source) {
            if let Some(found) = self.layers.find(option) {
                all.insert(option.key.to_owned(), found.value.to_owned());
            }
        }
        all.remove(key::JOIN_TOKEN);
        all.retain(|name, _| is_name(name));
        all
    }
}

fn is_name(name: &str) -> bool {
    name.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// What looks like an option and is none: likely a slip of the pen.
fn unknown(sources: &Sources) -> Vec<String> {
    let all = [
        &sources.environment,
        &sources.file,
        &sources.launch,
        &sources.user_data,
    ];
    let names: BTreeSet<&String> = all.into_iter().flat_map(BTreeMap::keys).collect();
    let mut notes = Vec::new();
    for name in names {
        if !is_name(name) {
            notes.push(format!(
                "{name:?} is not told to hooks: names are letters, digits, '_', '.' and '-'"
            ));
        } else if name.starts_with("CARTRIDGE_") && environment_names().all(|known| known != name) {
            notes.push(format!(
                "{name} is no option, so only hooks are told: see cartridge-agent options"
            ));
        }
    }
    notes
}

mod artifacts;
#[cfg(test)]
mod tests;

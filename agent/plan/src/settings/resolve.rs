//! Choosing among the sources and reading every value.

use std::collections::BTreeMap;

use cartridge_protocol::launch::{SECRET_KEYS, key};
use cartridge_protocol::{MemberId, Millis, Secret};

use super::values::{absolute, boolean, command, link, number, port_mappings, ports, seconds};
use super::{Fault, HOOK_SECONDS, OPTIONS, Opt, RELEASE_SECONDS, START_SECONDS, STATE_DIR, Settings};
use crate::lifecycle::Rules;
use crate::probe::Probe;
use crate::text::cut;

/// Everything that was said, strongest first.
#[derive(Default)]
pub struct Sources {
    /// Flags, by key.
    pub flags: BTreeMap<String, String>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The file of `--config`.
    pub file: BTreeMap<String, String>,
    /// Launch parameters.
    pub launch: BTreeMap<String, String>,
}

/// One line of `check`.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Which option.
    pub key: &'static str,
    /// Its value; secrets masked.
    pub shown: String,
    /// Where it came from.
    pub origin: &'static str,
}

/// What came of it: every row, and settings or all faults.
pub struct Resolved {
    /// Every option.
    pub rows: Vec<Row>,
    /// The settings, or everything that is wrong.
    pub settings: Result<Settings, Vec<Fault>>,
}

/// Reads all sources.
pub fn resolve(sources: &Sources) -> Resolved {
    let mut reader = Reader {
        sources,
        faults: Vec::new(),
    };
    let rows = OPTIONS.iter().map(|o| reader.row(o)).collect();
    let settings = reader.settings();
    let settings = match settings {
        Some(settings) if reader.faults.is_empty() => Ok(settings),
        _ => Err(reader.faults),
    };
    Resolved { rows, settings }
}

struct Reader<'a> {
    sources: &'a Sources,
    faults: Vec<Fault>,
}

fn option(key: &str) -> &'static Opt {
    OPTIONS
        .iter()
        .find(|o| o.key == key)
        .expect("every key that is read is in the table")
}

fn present(value: &str) -> bool {
    !value.is_empty() && !value.eq_ignore_ascii_case("null")
}

impl<'a> Reader<'a> {
    fn find(&self, key: &str) -> Option<(&'a str, &'static str)> {
        let s = self.sources;
        [
            (&s.flags, "a flag"),
            (&s.environment, "the environment"),
            (&s.file, "the configuration file"),
            (&s.launch, "the launch parameters"),
        ]
        .into_iter()
        .find_map(|(map, origin)| map.get(key).filter(|v| present(v)).map(|v| (v.as_str(), origin)))
        .or_else(|| option(key).default.map(|d| (d, "the default")))
    }

    fn row(&self, opt: &Opt) -> Row {
        let (shown, origin) = match self.find(opt.key) {
            Some((_, origin)) if SECRET_KEYS.contains(&opt.key) => ("(secret)".to_owned(), origin),
            Some((value, origin)) => (value.to_owned(), origin),
            None => ("-".to_owned(), "nobody"),
        };
        Row {
            key: opt.key,
            shown,
            origin,
        }
    }

    fn fault(&mut self, key: &str, problem: String, origin: Option<&'static str>) {
        let opt = option(key);
        self.faults.push(Fault {
            key: opt.key,
            problem,
            origin,
            accepts: opt.help,
        });
    }

    /// The value as `read` understands it; what it does not understand becomes a fault.
    fn get<T>(&mut self, key: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let Some((value, origin)) = self.find(key) else {
            if option(key).required {
                self.fault(key, "is missing".into(), None);
            }
            return None;
        };
        match read(value) {
            Ok(read) => Some(read),
            Err(why) if SECRET_KEYS.contains(&key) => {
                self.fault(key, why, Some(origin));
                None
            }
            Err(why) => {
                self.fault(key, format!("is {:?}: {why}", cut(value, 200)), Some(origin));
                None
            }
        }
    }

    fn settings(&mut self) -> Option<Settings> {
        let member = self.get(key::MEMBER_ID, |v| MemberId::new(v).map_err(|e| e.to_string()));
        let incarnation = self.get(key::INCARNATION, |v| number(v, 1, u64::from(u32::MAX)));
        let link = self.get(key::LINK, link);
        let token = self.get(key::JOIN_TOKEN, |v| Ok(Secret::new(v)));
        let state_dir = self.get(STATE_DIR, absolute);
        let ports = self.get(key::PORTS, ports).unwrap_or_default();
        let named = self.get(key::PORT_MAPPINGS, port_mappings).unwrap_or_default();
        let probe = self.get(key::PROBE, |v| {
            Probe::parse(v, &ports, &named).map_err(|e| e.to_string())
        });
        let balancer = self.get(key::BALANCER, command);
        let rules = self.rules();
        let application_path = self.get(key::APPLICATION_PATH, absolute);
        let address = self.get(key::ADDRESS, |v| {
            v.parse().map_err(|_| "not an IP address".to_owned())
        });
        let link_ca = self.get(key::LINK_CA, absolute);
        let app = self.get(key::COMMAND, command);
        let environment = self.get(key::ENVIRONMENT, |v| {
            serde_json::from_str(v).map_err(|e| e.to_string())
        });
        let hooks = self.get(key::HOOKS, absolute);
        let allow_file = self.get(key::ALLOW_FILE_REPOSITORIES, boolean);
        let hook_within = self.get(HOOK_SECONDS, seconds);
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
            allow_file: allow_file?,
            shelf: application_path.unwrap_or_else(|| state_dir.join("shelf")),
            state_dir,
            hook_within: hook_within?,
            parameters: self.parameters(),
        })
    }

    fn rules(&mut self) -> Option<Rules> {
        let restart = self.get(key::ON_RELEASE, |v| match v {
            "restart" => Ok(true),
            "nothing" => Ok(false),
            _ => Err("neither".to_owned()),
        });
        let start = self.get(START_SECONDS, seconds);
        let trial = self.get(RELEASE_SECONDS, seconds);
        Some(Rules {
            command: false,
            restart_on_release: restart?,
            start_within: start?,
            trial_within: trial?,
            end_within: Millis(5_000),
        })
    }

    /// Launch parameters and file, overridden by what is stronger; the join token is the agent's alone.
    fn parameters(&self) -> BTreeMap<String, String> {
        let mut all = self.sources.launch.clone();
        all.extend(self.sources.file.clone());
        for opt in &OPTIONS {
            if let Some((value, _)) = self.find(opt.key) {
                all.insert(opt.key.to_owned(), value.to_owned());
            }
        }
        all.remove(key::JOIN_TOKEN);
        all.retain(|name, value| {
            present(value)
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        });
        all
    }
}

#[cfg(test)]
mod tests;

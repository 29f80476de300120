//! Choosing among the sources and reading every value.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cartridge_protocol::launch::{SECRET_KEYS, key};
use cartridge_protocol::{MemberId, Millis, Secret};

use super::{
    Fault, HOOK_SECONDS, OPTIONS, Opt, RELEASE_SECONDS, START_SECONDS, STATE_DIR, Settings, is_loopback,
};
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

fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("not a whole number from {least} to {most}")),
    }
}

fn seconds(text: &str) -> Result<Millis, String> {
    number(text, 1, 86_400).map(Millis::from_secs)
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err("not an absolute path".to_owned())
    }
}

fn command(text: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if words.first().is_none_or(String::is_empty) {
        return Err("names no program".to_owned());
    }
    if words.iter().any(|w| w.contains('\0')) {
        Err("holds a NUL".to_owned())
    } else {
        Ok(words)
    }
}

fn link(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let (scheme, rest) = text.split_once("://").ok_or("not a URL")?;
    if rest.is_empty() || rest.contains(['/', '@', '?', '#', ' ']) {
        return Err("not scheme://host:port".to_owned());
    }
    let host = match rest.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => rest,
    };
    match scheme {
        "https" => Ok(text.to_owned()),
        "http" if is_loopback(host) => Ok(text.to_owned()),
        "http" => Err("plain http:// is for this machine's loopback addresses only".to_owned()),
        other => Err(format!("{other}:// is not understood")),
    }
}

fn ports(text: &str) -> Result<Vec<u16>, String> {
    text.split('|')
        .map(|p| {
            p.trim()
                .parse()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("{p:?} is no port"))
        })
        .collect()
}

/// `NAME:n|PROTOCOL:p|PORT:x|PROXY_PORT:y;…`
fn port_mappings(text: &str) -> Result<BTreeMap<String, u16>, String> {
    let mut named = BTreeMap::new();
    for (index, mapping) in text.split(';').filter(|m| !m.trim().is_empty()).enumerate() {
        let fields: BTreeMap<&str, &str> = mapping
            .split('|')
            .filter_map(|f| f.trim().split_once(':'))
            .collect();
        let port = fields
            .get("PORT")
            .and_then(|p| p.parse::<u16>().ok())
            .filter(|p| *p > 0);
        match (fields.get("NAME"), port) {
            (Some(name), Some(port)) => named.insert((*name).to_owned(), port),
            _ => return Err(format!("mapping {} lacks NAME or PORT", index + 1)),
        };
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn launch() -> BTreeMap<String, String> {
        map(&[
            (key::MEMBER_ID, "a.b.php.domain-1"),
            (key::INCARNATION, "3"),
            (key::LINK, "http://127.0.0.1:7000/"),
            (key::JOIN_TOKEN, "canary"),
            (key::PORTS, "8080|22"),
            (
                key::PORT_MAPPINGS,
                "NAME:http|PROTOCOL:http|PORT:8080|PROXY_PORT:80;",
            ),
            (key::PROBE, r#"{"http":{"port":"http","path":"/health"}}"#),
            (key::COMMAND, r#"["/bin/app","-v"]"#),
            ("EXTRA", "kept"),
        ])
    }

    #[test]
    fn the_stronger_source_wins_and_its_origin_is_shown() {
        let sources = Sources {
            flags: map(&[(key::ADDRESS, "127.0.0.5")]),
            environment: map(&[(key::ADDRESS, "127.0.0.6"), (key::PORTS, "81")]),
            file: map(&[(key::PORTS, "82"), (STATE_DIR, "/s")]),
            launch: launch(),
        };
        let resolved = resolve(&sources);
        let origin = |k: &str| resolved.rows.iter().find(|r| r.key == k).unwrap().origin;
        assert_eq!(origin(key::ADDRESS), "a flag");
        assert_eq!(origin(key::PORTS), "the environment");
        assert_eq!(origin(key::MEMBER_ID), "the launch parameters");
        assert_eq!(origin(key::HOOKS), "nobody");
        let settings = resolved.settings.unwrap();
        assert_eq!((settings.port, settings.incarnation), (Some(81), 3));
        assert_eq!(settings.shelf, PathBuf::from("/s/shelf"));
        assert_eq!(
            settings.probe,
            Probe::Http {
                port: 8080,
                path: "/health".into()
            }
        );
        assert_eq!(settings.parameters.get("EXTRA").map(String::as_str), Some("kept"));
    }

    #[test]
    fn secrets_are_neither_shown_nor_passed_on() {
        let resolved = resolve(&Sources {
            launch: launch(),
            ..Sources::default()
        });
        let settings = resolved.settings.unwrap();
        let shown = format!("{:?} {settings:?}", resolved.rows);
        assert!(!shown.contains("canary"), "{shown}");
        assert!(
            OPTIONS
                .iter()
                .all(|o| o.flag.is_none() || !SECRET_KEYS.contains(&o.key))
        );
    }

    #[test]
    fn all_faults_are_told_at_once_with_field_value_and_what_is_accepted() {
        let mut launch = launch();
        launch.remove(key::MEMBER_ID);
        launch.extend(map(&[
            (key::LINK, "http://10.0.0.1:7000"),
            (key::PORTS, "80|x"),
            (key::COMMAND, "not json"),
            (key::ON_RELEASE, "explode"),
            (STATE_DIR, "relative"),
        ]));
        let faults = resolve(&Sources {
            launch,
            ..Sources::default()
        })
        .settings
        .unwrap_err();
        let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for expected in [
            "MEMBER_ID is missing",
            "loopback",
            "\"x\" is no port",
            "CARTRIDGE_COMMAND",
            "explode",
            "relative",
        ] {
            assert!(
                all.iter().any(|f| f.contains(expected)),
                "{expected} is not in {all:#?}"
            );
        }
        assert_eq!(faults.len(), 6, "{all:#?}");
        assert!(all.iter().all(|f| f.contains("accepted: ")));
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in [
            "http://127.3.2.1:1",
            "http://[::1]:1",
            "http://localhost:1",
            "https://o.example:1",
        ] {
            assert!(link(good).is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.1:1",
            "nats://127.0.0.1:4222",
            "http://127.0.0.1@evil:1",
            "http://",
            "x",
        ] {
            assert!(link(bad).is_err(), "{bad}");
        }
    }
}

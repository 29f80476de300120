//! What follows when settings are read again while the member lives: what applies now, and what only after a restart of
//! the agent.
//!
//! Refuses to know when they are read, and shows no values: some are secret.

use std::collections::BTreeMap;
use std::fmt;

use cartridge_protocol::launch::key;

use super::options::{
    ALLOW_ADDRESSES, ALLOW_REMOTES, ALLOWED_SIGNERS, ARTIFACT_LIMITS, FETCH_SANDBOX, FETCH_USER, GIT_CA,
    GIT_CREDENTIALS, HISTORY, KNOWN_HOSTS, LEAST_PERCENT, SIGNATURES,
};
use super::{
    CONFIG, Fault, LOG, LOG_BYTES, LOG_FILES, LOG_LINES, LOG_START, RELEASE_SECONDS, RESTART, RESTART_LIMIT,
    RESTART_SECONDS, START_SECONDS, STOP_SECONDS, Settings, UPGRADE_SECONDS,
};

/// Options that apply at once; all others are looked at when the agent begins.
const NOW: &[&str] = &[
    LOG,
    LOG_FILES,
    LOG_START,
    LOG_LINES,
    LOG_BYTES,
    ALLOW_REMOTES,
    key::ALLOW_FILE_REPOSITORIES,
    ALLOW_ADDRESSES,
    GIT_CA,
    GIT_CREDENTIALS,
    KNOWN_HOSTS,
    SIGNATURES,
    ALLOWED_SIGNERS,
    HISTORY,
    LEAST_PERCENT,
    ARTIFACT_LIMITS,
    FETCH_SANDBOX,
    FETCH_USER,
    START_SECONDS,
    RELEASE_SECONDS,
    RESTART,
    RESTART_LIMIT,
    RESTART_SECONDS,
    key::ON_RELEASE,
    STOP_SECONDS,
    UPGRADE_SECONDS,
];
/// Most names that a person is told at once.
const MOST_NAMED: usize = 12;

/// Every option as it was read, and what hooks are told beside: to be compared, never to be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Values(not shown)")
    }
}

impl Values {
    pub(super) fn new(all: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(all.into_iter().collect())
    }

    /// The file that was named by this option.
    pub fn path(&self, option: &str) -> Option<std::path::PathBuf> {
        self.0.get(option).map(Into::into)
    }

    fn changed<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let gone_or_changed = self
            .0
            .iter()
            .filter(|(name, value)| other.0.get(*name) != Some(value));
        let new = other.0.keys().filter(|name| !self.0.contains_key(*name));
        gone_or_changed
            .map(|(name, _)| name)
            .chain(new)
            .map(String::as_str)
    }
}

/// What changed, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Applies now.
    pub now: Vec<String>,
    /// Applies once the agent is started again.
    pub later: Vec<String>,
}

/// Compares what is in force with what was read.
pub fn compare(running: &Settings, read: &Settings) -> Reload {
    let mut reload = Reload::default();
    for name in running.values.changed(&read.values) {
        let list = if NOW.contains(&name) {
            &mut reload.now
        } else {
            &mut reload.later
        };
        list.push(name.to_owned());
    }
    reload.now.sort();
    reload.later.sort();
    reload
}

/// Takes over what applies now, and nothing else.
pub fn take_over(running: &mut Settings, read: &Settings) {
    running.log.clone_from(&read.log);
    running.logs.clone_from(&read.logs);
    running.artifacts.clone_from(&read.artifacts);
    running.duty.stop_within = read.duty.stop_within;
    running.duty.upgrade_within = read.duty.upgrade_within;
    let (rules, new) = (&mut running.rules, &read.rules);
    rules.restart_on_release = new.restart_on_release;
    rules.restart.clone_from(&new.restart);
    rules.start_within = new.start_within;
    rules.trial_within = new.trial_within;
    for name in NOW {
        match read.values.0.get(*name) {
            Some(value) => running.values.0.insert((*name).to_owned(), value.clone()),
            None => running.values.0.remove(*name),
        };
    }
}

/// What a person is told; None: nothing changed.
pub fn words(reload: &Reload) -> Option<String> {
    let part = |names: &[String], when: &str| (!names.is_empty()).then(|| format!("{} {when}", named(names)));
    let now = part(&reload.now, "in force from now on");
    let later = part(&reload.later, "only after a restart of the agent");
    let parts: Vec<String> = [now, later].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("settings changed: {}", parts.join("; ")))
}

/// What a person is told of settings that are wrong: which, but not what they say, which may be secret.
pub fn refusal(faults: &[Fault]) -> String {
    let mut names: Vec<String> = faults.iter().map(|fault| fault.key.to_owned()).collect();
    names.sort();
    names.dedup();
    format!(
        "settings stay as they were: {} cannot be used as they were changed; cartridge-agent check says why",
        named(&names)
    )
}

fn named(names: &[String]) -> String {
    let first = names[..names.len().min(MOST_NAMED)].join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The files that are read again when they change: of options, and of launch parameters.
pub fn files(settings: &Settings) -> Vec<std::path::PathBuf> {
    let names = [CONFIG, super::LAUNCH_PARAMS];
    names
        .into_iter()
        .filter_map(|name| settings.values.path(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{OPTIONS, Sources, resolve};
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Vec<Fault>> {
        let mut launch: BTreeMap<String, String> = [
            (key::MEMBER_ID, "app.web.hello.domain-1"),
            (key::INCARNATION, "1"),
            (key::LINK, "http://127.0.0.1:1"),
            (key::JOIN_TOKEN, "canary-token"),
            ("CARTRIDGE_STATE_DIR", "/tmp/state"),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        launch.extend(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let sources = Sources {
            launch,
            ..Sources::default()
        };
        resolve(&sources).settings
    }

    #[test]
    fn what_can_apply_applies_and_the_rest_is_named_once() {
        let mut running = read(&[(LOG, "info"), ("FOO", "a"), (key::PORTS, "80")]).unwrap();
        let changed = [
            (LOG, "debug"),
            ("FOO", "b"),
            (key::PORTS, "81"),
            (STOP_SECONDS, "9"),
        ];
        let new = read(&changed).unwrap();
        let reload = compare(&running, &new);
        assert_eq!(reload.now, [LOG, STOP_SECONDS]);
        assert_eq!(reload.later, ["FOO", key::PORTS]);
        take_over(&mut running, &new);
        assert_eq!(
            (running.log.as_str(), running.duty.stop_within.0),
            ("debug", 9_000)
        );
        assert_eq!(running.port, Some(80));
        // What waits for a restart still does, and the rest is no news any more.
        let again = compare(&running, &new);
        assert_eq!((again.now.is_empty(), again.later), (true, reload.later));
    }

    #[test]
    fn the_same_is_no_news() {
        let running = read(&[]).unwrap();
        let reload = compare(&running, &read(&[]).unwrap());
        assert_eq!((reload.clone(), words(&reload)), (Reload::default(), None));
    }

    #[test]
    fn no_value_is_ever_told() {
        let mut running = read(&[]).unwrap();
        let new = read(&[
            (key::JOIN_TOKEN, "canary-two"),
            (key::ENVIRONMENT, r#"{"A":"canary"}"#),
        ])
        .unwrap();
        let told = words(&compare(&running, &new)).unwrap();
        assert!(
            told.contains(key::JOIN_TOKEN) && !told.contains("canary"),
            "{told}"
        );
        let faults = read(&[(key::JOIN_TOKEN, "canary three"), (LOG, "canary")]).unwrap_err();
        let told = refusal(&faults);
        assert!(told.contains(LOG) && !told.contains("canary"), "{told}");
        take_over(&mut running, &new);
        assert!(!format!("{:?}", running.values).contains("canary"));
        assert!(running.token.matches("canary-token"));
    }

    #[test]
    fn only_options_that_there_are_apply_at_once() {
        for name in NOW {
            assert!(OPTIONS.iter().any(|option| option.key == *name), "{name}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..15).map(|n| format!("N{n}")).collect();
        assert!(named(&names).ends_with("N11 and 3 more"));
    }
}

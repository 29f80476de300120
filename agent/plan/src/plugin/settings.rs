//! What people say about plugins. Refuses to know which plugins there are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cartridge_protocol::Millis;
use cartridge_protocol::plugin::PluginName;
use serde::Deserialize;

use crate::account::Wish;

/// Most plugins beside each other.
pub use cartridge_protocol::link::MAX_PLUGINS;

/// Memory that a plugin may use for data when nobody says otherwise, MiB.
const MEMORY_MIB: u64 = 512;
/// Time for one reading when nobody says otherwise.
const READ_WITHIN: Millis = Millis(5_000);
/// Time for one fetch when nobody says otherwise.
pub const FETCH_WITHIN: Millis = Millis(1_800_000);

/// Everything about plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugins {
    /// Where they lie.
    pub folder: Option<PathBuf>,
    /// What is special about some, by name.
    pub of: BTreeMap<PluginName, PluginSettings>,
    /// Whom they run as; none: as the agent.
    pub user: Option<Wish>,
    /// The one that brings the application's files, instead of Git.
    pub source: Option<PluginName>,
}

impl Plugins {
    /// All that have a command of their own.
    pub fn commanded(&self) -> impl Iterator<Item = (&PluginName, &Vec<String>)> {
        self.of
            .iter()
            .filter_map(|(name, settings)| Some((name, settings.command.as_ref()?)))
    }

    /// What holds for a plugin of this name.
    pub fn of(&self, name: &PluginName) -> PluginSettings {
        self.of.get(name).cloned().unwrap_or_default()
    }
}

/// What is special about one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    /// Its command; none: the file of its name in the folder.
    pub command: Option<Vec<String>>,
    /// Its extra environment.
    pub environment: BTreeMap<String, String>,
    /// Time between readings; none: with every batch.
    pub every: Option<Millis>,
    /// Time for one reading.
    pub read_within: Millis,
    /// Time for one fetch.
    pub fetch_within: Millis,
    /// Without its readings the member is not well.
    pub required: bool,
    /// It may have the repository's credentials.
    pub credentials: bool,
    /// Memory that it may use for data, bytes.
    pub memory: u64,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            command: None,
            environment: BTreeMap::new(),
            every: None,
            read_within: READ_WITHIN,
            fetch_within: FETCH_WITHIN,
            required: false,
            credentials: false,
            memory: MEMORY_MIB << 20,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    command: Option<Vec<String>>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    every_seconds: Option<u64>,
    read_seconds: Option<u64>,
    fetch_seconds: Option<u64>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    credentials: bool,
    memory_mib: Option<u64>,
}

/// Reads the option: a JSON object by name.
pub fn parse(text: &str) -> Result<BTreeMap<PluginName, PluginSettings>, String> {
    let written: BTreeMap<String, Written> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if written.len() > MAX_PLUGINS {
        return Err(format!(
            "{} plugins; at most {MAX_PLUGINS} are accepted",
            written.len()
        ));
    }
    written
        .into_iter()
        .map(|(name, written)| {
            let name = PluginName::new(&name).map_err(|e| e.to_string())?;
            let settings = check(written).map_err(|why| format!("{name}: {why}"))?;
            Ok((name, settings))
        })
        .collect()
}

fn check(written: Written) -> Result<PluginSettings, String> {
    let default = PluginSettings::default();
    let within = |field: &str, value: Option<u64>, least: u64, most: u64| match value {
        Some(n) if !(least..=most).contains(&n) => {
            Err(format!("{field} is {n}; {least} to {most} is accepted"))
        }
        other => Ok(other),
    };
    let seconds = |field, value, most| within(field, value, 1, most).map(|n| n.map(Millis::from_secs));
    if let Some(words) = &written.command {
        if !words.first().is_some_and(|program| program.starts_with('/')) {
            return Err("command has no absolute path as its first word".to_owned());
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err("command holds a NUL".to_owned());
        }
    }
    let bad = |(name, value): (&String, &String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    if written.environment.iter().any(bad) {
        return Err("environment holds an empty name, '=' in a name, or a NUL".to_owned());
    }
    Ok(PluginSettings {
        command: written.command,
        environment: written.environment,
        every: seconds("every_seconds", written.every_seconds, 3_600)?,
        read_within: seconds("read_seconds", written.read_seconds, 60)?.unwrap_or(default.read_within),
        fetch_within: seconds("fetch_seconds", written.fetch_seconds, 86_400)?
            .unwrap_or(default.fetch_within),
        required: written.required,
        credentials: written.credentials,
        memory: within("memory_mib", written.memory_mib, 16, 1 << 20)?
            .map_or(default.memory, |mib| mib << 20),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default() {
        let read =
            parse(r#"{"queue":{"required":true},"nginx":{"command":["/bin/n","-x"],"every_seconds":30}}"#)
                .unwrap();
        let queue = &read[&PluginName::new("queue").unwrap()];
        assert!(queue.required && queue.command.is_none() && queue.read_within == Millis(5_000));
        let nginx = &read[&PluginName::new("nginx").unwrap()];
        assert_eq!((nginx.every, nginx.memory), (Some(Millis(30_000)), 512 << 20));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, why) in [
            ("[]", "expected a map"),
            (r#"{"../x":{}}"#, "names no plugin"),
            (r#"{"a":{"colour":1}}"#, "unknown field `colour`"),
            (r#"{"a":{"every_seconds":0}}"#, "a: every_seconds is 0; 1 to 3600"),
            (r#"{"a":{"memory_mib":1}}"#, "a: memory_mib is 1"),
            (r#"{"a":{"command":[]}}"#, "no absolute path"),
            (r#"{"a":{"command":["sh"]}}"#, "no absolute path"),
            (r#"{"a":{"command":["/a\u0000"]}}"#, "NUL"),
            (r#"{"a":{"environment":{"A=":"x"}}}"#, "'=' in a name"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

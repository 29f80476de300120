//! Reads what was said: flags, environment, files. Refuses to know what it means.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use cartridge_agent_plan::settings::{
    CONFIG, Fault, LAUNCH_PARAMS, OPTIONS, Origin, Sources, environment_names,
};
use cartridge_protocol::launch::{MAX_BYTES, Parsed, parse};
use clap::ArgMatches;

/// Reads all sources but the cloud's user-data; what cannot be read is among the faults.
pub fn read(matches: &ArgMatches) -> Sources {
    let flags = OPTIONS
        .iter()
        .filter_map(|o| super::flag(matches, o.key).map(|v| (o.key.to_owned(), v.clone())))
        .collect();
    let mut sources = Sources {
        flags,
        ..Sources::default()
    };
    environment(&mut sources);
    sources.file = file(&mut sources, CONFIG);
    sources.launch = file(&mut sources, LAUNCH_PARAMS);
    sources
}

/// Only names that somebody here knows, and those that may be meant for us.
fn environment(sources: &mut Sources) {
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let known = environment_names().find(|known| *known == name);
        match (value.into_string(), known) {
            (Ok(value), known) if known.is_some() || name.starts_with("CARTRIDGE_") => {
                sources.environment.insert(name.to_owned(), value);
            }
            (Err(_), Some(key)) => sources.faults.push(Fault {
                key,
                problem: "is not UTF-8".to_owned(),
                origin: Some(Origin::Environment),
                by: None,
                accepts: "Text in UTF-8",
            }),
            _ => {}
        }
    }
}

fn file(sources: &mut Sources, key: &'static str) -> BTreeMap<String, String> {
    let (origin, path) = match (sources.flags.get(key), sources.environment.get(key)) {
        (Some(path), _) => (Origin::Flag, path),
        (None, Some(path)) => (Origin::Environment, path),
        (None, None) => return BTreeMap::new(),
    };
    match content(Path::new(path)) {
        Ok(parsed) => {
            let notes = parsed.notes.iter().map(|note| format!("{path}: {note}"));
            sources.notes.extend(notes);
            let pairs = parsed.parameters.iter();
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        }
        Err(why) => {
            sources.faults.push(Fault {
                key,
                problem: format!("{path}: {why}"),
                origin: Some(origin),
                by: None,
                accepts: OPTIONS.iter().find(|o| o.key == key).map_or("", |o| o.help),
            });
            BTreeMap::new()
        }
    }
}

fn content(path: &Path) -> Result<Parsed, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8(bytes).map_err(|e| {
        format!(
            "is not text in UTF-8: byte {} is wrong",
            e.utf8_error().valid_up_to() + 1
        )
    })?;
    parse(&text).map_err(|e| e.to_string())
}

//! From text to values, one function per kind; the fault says what is wrong with the text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cartridge_protocol::{Millis, Secret};

use super::{host_of, is_loopback};

pub(super) fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("not a whole number from {least} to {most}")),
    }
}

pub(super) fn seconds(text: &str) -> Result<Millis, String> {
    number(text, 1, 86_400).map(Millis::from_secs)
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    // Stratos takes either case.
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err("neither true nor false".to_owned())
    }
}

/// `debug`, or `cartridge_agent::plugin=debug,info`.
pub(super) fn log_levels(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',') {
        let (target, level) = part.rsplit_once('=').unwrap_or(("", part));
        let target_is_a_path = target
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b));
        if !target_is_a_path || !LEVELS.iter().any(|l| l.eq_ignore_ascii_case(level)) {
            return Err(format!("{part:?} is no level"));
        }
    }
    Ok(text.to_ascii_lowercase())
}

pub(super) fn token(text: &str) -> Result<Secret, String> {
    if text.len() <= 1024 && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err("is no token: at most 1024 printable characters without blanks".to_owned())
    }
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err("not an absolute path".to_owned())
    }
}

pub(super) fn command(text: &str) -> Result<Vec<String>, String> {
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

pub(super) fn link(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let (scheme, rest) = text.split_once("://").ok_or("not a URL")?;
    if rest.is_empty() || rest.contains(['/', '@', '?', '#', ' ']) {
        return Err("not scheme://host:port".to_owned());
    }
    let host = host_of(rest);
    match scheme {
        "https" => Ok(text.to_owned()),
        "http" if is_loopback(host) => Ok(text.to_owned()),
        "http" => Err("plain http:// is for this machine's loopback addresses only".to_owned()),
        other => Err(format!("{other}:// is not understood")),
    }
}

pub(super) fn ports(text: &str) -> Result<Vec<u16>, String> {
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
pub(super) fn port_mappings(text: &str) -> Result<BTreeMap<String, u16>, String> {
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

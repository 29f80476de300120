//! From text to values, one function per kind; the fault says what is wrong with the text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cartridge_protocol::Millis;

use super::is_loopback;

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
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
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

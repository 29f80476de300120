//! The file of credentials: a JSON object with one entry per host. Refuses to know the file.
//!
//! ```json
//! { "git.example.org": {"username": "deploy", "password": "…"},
//!   "forge.example.org": {"token": "…"},
//!   "git.example.org:2222": {"username": "git", "key": "/etc/cartridge/id_ed25519"} }
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use cartridge_protocol::Secret;
use serde::Deserialize;

/// Longest file.
pub const MAX_BYTES: u64 = 256 << 10;

/// What is known of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    /// User name.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A token, which stands for user name and password.
    pub token: Option<Secret>,
    /// A private key for SSH.
    pub key: Option<PathBuf>,
}

impl Entry {
    /// Password or token.
    pub fn secret(&self) -> Option<&Secret> {
        self.password.as_ref().or(self.token.as_ref())
    }
}

/// Finds a host's entry: with its port if there is one, else without.
pub fn find(text: &str, host: &str, port: Option<u16>) -> Result<Option<Entry>, String> {
    let mut all: BTreeMap<String, Entry> = serde_json::from_str(text).map_err(place)?;
    for (host, entry) in &all {
        if entry.password.is_some() && entry.token.is_some() {
            return Err(format!("{host} has both a password and a token"));
        }
        if entry.key.as_ref().is_some_and(|key| !key.is_absolute()) {
            return Err(format!("the key of {host} is not an absolute path"));
        }
    }
    let with_port = port.and_then(|port| all.remove(&format!("{host}:{port}")));
    Ok(with_port.or_else(|| all.remove(host)))
}

/// Where the text is wrong; never the text itself.
fn place(error: serde_json::Error) -> String {
    format!(
        "line {}, column {} is not as it should be: an object of hosts, each with username, password, token or key",
        error.line(),
        error.column()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_with_the_port_wins() {
        let text = r#"{"h": {"token": "t"}, "h:22": {"key": "/k"}}"#;
        let find = |port| find(text, "h", port).unwrap().unwrap();
        assert!(find(Some(22)).key.is_some());
        assert!(find(Some(23)).secret().unwrap().matches("t"));
        assert!(find(None).secret().is_some());
        assert_eq!(super::find(text, "other", None), Ok(None));
        assert_eq!(super::find(text, "H", None), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for bad in [
            r#"{"h": {"token": "canary", "password": "canary"}}"#,
            r#"{"h": {"tokn": "canary"}}"#,
            r#"{"h": "canary"}"#,
            r#"{"h": {"key": "canary"}}"#,
            r#"["canary"]"#,
            "canary",
        ] {
            let why = find(bad, "h", None).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
    }
}

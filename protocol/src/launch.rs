//! Launch parameters: what a member is told when it is started.
//!
//! Two forms are read: a JSON object of strings, and Stratos's one line `K=V,K=V` (split on the first `=`; a
//! value with a comma needs the JSON form). This file refuses to know where the text came from.

use std::collections::BTreeMap;

/// Longest launch-parameter text, bytes.
pub const MAX_BYTES: usize = 256 << 10;
/// Most parameters.
pub const MAX_PARAMETERS: usize = 1024;

/// Stratos's names, and ours.
pub mod key {
    /// The application.
    pub const APPLICATION_ID: &str = "APPLICATION_ID";
    /// The cartridge type.
    pub const SERVICE_NAME: &str = "SERVICE_NAME";
    /// The cluster.
    pub const CLUSTER_ID: &str = "CLUSTER_ID";
    /// `<application>-<number>`, one per network partition.
    pub const CLUSTER_INSTANCE_ID: &str = "CLUSTER_INSTANCE_ID";
    /// The member.
    pub const MEMBER_ID: &str = "MEMBER_ID";
    /// The cartridge's alias in the application.
    pub const CARTRIDGE_ALIAS: &str = "CARTRIDGE_ALIAS";
    /// The cluster's host name.
    pub const HOST_NAME: &str = "HOST_NAME";
    /// Ports that must answer before the member is Active, `80|22`.
    pub const PORTS: &str = "PORTS";
    /// `NAME:n|PROTOCOL:p|PORT:x|PROXY_PORT:y;…`
    pub const PORT_MAPPINGS: &str = "PORT_MAPPINGS";
    /// Whether the application serves several tenants.
    pub const MULTITENANT: &str = "MULTITENANT";
    /// `-1234` is the super tenant.
    pub const TENANT_ID: &str = "TENANT_ID";
    /// `*`.
    pub const TENANT_RANGE: &str = "TENANT_RANGE";
    /// Where the artifacts go.
    pub const APPLICATION_PATH: &str = "APPLICATION_PATH";
    /// The repository; informative, the link tells the agent what to fetch.
    pub const REPO_URL: &str = "REPO_URL";
    /// The network partition.
    pub const NETWORK_PARTITION_ID: &str = "NETWORK_PARTITION_ID";
    /// The partition.
    pub const PARTITION_ID: &str = "PARTITION_ID";
    /// The cluster's minimum.
    pub const MIN_COUNT: &str = "MIN_COUNT";
    /// Where the orchestrator listens: `https://host:port`.
    pub const LINK: &str = "CARTRIDGE_LINK";
    /// PEM file of the authority that signed the orchestrator's certificate.
    pub const LINK_CA: &str = "CARTRIDGE_LINK_CA";
    /// The single-use join token. Secret.
    pub const JOIN_TOKEN: &str = "CARTRIDGE_JOIN_TOKEN";
    /// Which life of the member this is.
    pub const INCARNATION: &str = "CARTRIDGE_INCARNATION";
    /// Whose member this is.
    pub const INSTALLATION: &str = "CARTRIDGE_INSTALLATION";
    /// The address that the application listens on, and that its probe goes to.
    pub const ADDRESS: &str = "CARTRIDGE_ADDRESS";
    /// The application's command, a JSON array of strings. Absent: hooks start it.
    pub const COMMAND: &str = "CARTRIDGE_COMMAND";
    /// Its extra environment, a JSON object of strings.
    pub const ENVIRONMENT: &str = "CARTRIDGE_ENVIRONMENT";
    /// The probe, JSON: `{"http":{"port":"http","path":"/health"}}` or `{"tcp":{}}`, see docs.
    pub const PROBE: &str = "CARTRIDGE_PROBE";
    /// What a new release does to the application: `nothing`, `restart`.
    pub const ON_RELEASE: &str = "CARTRIDGE_ON_RELEASE";
    /// Folder with the hooks.
    pub const HOOKS: &str = "CARTRIDGE_HOOKS";
    /// The balancer plugin's command, a JSON array of strings. Present: this member is a balancer.
    pub const BALANCER: &str = "CARTRIDGE_BALANCER";
    /// `true`: repositories by `file://` are accepted (development).
    pub const ALLOW_FILE_REPOSITORIES: &str = "CARTRIDGE_ALLOW_FILE_REPOSITORIES";
}

/// Keys whose values must never be shown.
pub const SECRET_KEYS: [&str; 3] = [key::JOIN_TOKEN, "CARTRIDGE_KEY", "TOKEN"];

/// The parameters, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LaunchParameters(BTreeMap<String, String>);

/// Why a text holds no launch parameters.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLaunchParameters {
    /// Longer than [`MAX_BYTES`].
    #[error("launch parameters are {0} bytes long; at most {MAX_BYTES} are accepted")]
    TooLong(usize),
    /// More than [`MAX_PARAMETERS`].
    #[error("{0} launch parameters; at most {MAX_PARAMETERS} are accepted")]
    TooMany(usize),
    /// Began as JSON, but is not an object of strings.
    #[error("launch parameters look like JSON but are not an object of strings: {0}")]
    Json(String),
    /// A piece of the one-line form has no `=`.
    #[error("launch parameter {position} has no '='; the form is KEY=VALUE,KEY=VALUE or a JSON object")]
    NoValue {
        /// Which piece, from 1.
        position: usize,
    },
}

impl LaunchParameters {
    /// Reads either form. Empty values and `null` count as absent, as Stratos has it.
    pub fn parse(text: &str) -> Result<Self, InvalidLaunchParameters> {
        if text.len() > MAX_BYTES {
            return Err(InvalidLaunchParameters::TooLong(text.len()));
        }
        let text = text.trim();
        let pairs: BTreeMap<String, String> = if text.starts_with('{') {
            serde_json::from_str(text).map_err(|e| {
                // The message of serde_json can quote the value, which may be a secret.
                InvalidLaunchParameters::Json(format!("line {}, column {}", e.line(), e.column()))
            })?
        } else {
            one_line(text)?
        };
        if pairs.len() > MAX_PARAMETERS {
            return Err(InvalidLaunchParameters::TooMany(pairs.len()));
        }
        let present = |v: &String| !v.is_empty() && !v.eq_ignore_ascii_case("null");
        Ok(Self(pairs.into_iter().filter(|(_, v)| present(v)).collect()))
    }

    /// The value of `key`, if it has one.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets `key`.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// All pairs in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The JSON form.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.0).expect("a map of strings is always JSON")
    }
}

impl std::fmt::Debug for LaunchParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |(k, v): (&str, &str)| {
            (
                k.to_owned(),
                if SECRET_KEYS.contains(&k) {
                    "(secret)".to_owned()
                } else {
                    v.to_owned()
                },
            )
        };
        f.debug_map().entries(self.iter().map(shown)).finish()
    }
}

fn one_line(text: &str) -> Result<BTreeMap<String, String>, InvalidLaunchParameters> {
    let pieces = text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|piece| !piece.is_empty());
    let mut pairs = BTreeMap::new();
    for (index, piece) in pieces.enumerate() {
        let (key, value) = piece
            .split_once('=')
            .ok_or(InvalidLaunchParameters::NoValue { position: index + 1 })?;
        pairs.insert(key.trim().to_owned(), value.trim().trim_matches('"').to_owned());
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stratos_line_is_split_on_the_first_equals_sign() {
        let line = "APPLICATION_ID=app,TOKEN=abc==,PORTS=\"80|22\",REPO_URL=null,GROUP_NAME=";
        let read = LaunchParameters::parse(line).unwrap();
        assert_eq!(read.get("TOKEN"), Some("abc=="));
        assert_eq!(read.get("PORTS"), Some("80|22"));
        assert_eq!(read.get("REPO_URL"), None);
        assert_eq!(read.get("GROUP_NAME"), None);
    }

    #[test]
    fn commas_survive_in_the_json_form() {
        let read = LaunchParameters::parse(r#"{"LIST":"a,b=c"}"#).unwrap();
        assert_eq!(read.get("LIST"), Some("a,b=c"));
        assert_eq!(LaunchParameters::parse(&read.to_json()).unwrap(), read);
    }

    #[test]
    fn faults_are_named_without_showing_values() {
        let fault = LaunchParameters::parse("A=1,canary").unwrap_err().to_string();
        assert!(
            fault.contains("parameter 2") && !fault.contains("canary"),
            "{fault}"
        );
        let fault = LaunchParameters::parse(r#"{"A": ["canary"]}"#)
            .unwrap_err()
            .to_string();
        assert!(!fault.contains("canary"), "{fault}");
        assert!(LaunchParameters::parse(&"x".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn debug_output_hides_secrets() {
        let mut parameters = LaunchParameters::default();
        parameters.set(key::JOIN_TOKEN, "canary");
        assert!(!format!("{parameters:?}").contains("canary"));
    }
}

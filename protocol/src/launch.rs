//! Launch parameters: what a member is told when it is started.
//!
//! Refuses to know where the text came from; its forms are read in `parse`.

mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use parse::{InvalidLaunchParameters, Parsed, parse};

/// Longest launch-parameter text, bytes.
pub const MAX_BYTES: usize = 64 << 10;
/// Most parameters.
pub const MAX_PARAMETERS: usize = 1024;
/// Longest name, bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Longest value, bytes.
pub const MAX_VALUE_BYTES: usize = 32 << 10;

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
    /// The group that the cartridge is in, by its alias; empty: none.
    pub const GROUP_NAME: &str = "GROUP_NAME";
    /// The clusters that start before this one, `|` between them.
    pub const DEPENDENCY_CLUSTER_IDS: &str = "DEPENDENCY_CLUSTER_IDS";
    /// Their aliases, `|` between them.
    pub const DEPENDENCY_ALIASES: &str = "DEPENDENCY_ALIASES";
    /// What this cluster shares, `<alias>-<key>`, `|` between them.
    pub const EXPORT_METADATA_KEYS: &str = "EXPORT_METADATA_KEYS";
    /// What the clusters share that start before this one, in the same form.
    pub const IMPORT_METADATA_KEYS: &str = "IMPORT_METADATA_KEYS";
    /// Where values are shared over HTTP: the part of the address before `/metadata/api`.
    pub const METADATA_SERVICE_URL: &str = "METADATA_SERVICE_URL";
    /// Opens what the application's cartridges share. Secret.
    pub const TOKEN: &str = "TOKEN";
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
    /// What samples are about: `auto`, `member` or `machine`.
    pub const SCOPE: &str = "CARTRIDGE_SCOPE";
}

/// Keys whose values must never be shown.
pub const SECRET_KEYS: [&str; 3] = [key::JOIN_TOKEN, "CARTRIDGE_KEY", key::TOKEN];

/// The parameters, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LaunchParameters(BTreeMap<String, String>);

/// Whether a value says something: empty ones and `null` count as absent, as Stratos has it.
pub fn is_present(value: &str) -> bool {
    !value.is_empty() && !value.eq_ignore_ascii_case("null")
}

impl LaunchParameters {
    /// Reads any of the forms; see [`parse`].
    pub fn parse(text: &str) -> Result<Self, InvalidLaunchParameters> {
        parse(text).map(|parsed| parsed.parameters)
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

//! What the agent is told, from one table of options: where each value came from, and all faults at once.
//!
//! Refuses to know how flags, environment and files are read; they arrive as maps of text.

mod resolve;
mod values;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use cartridge_protocol::launch::key;
use cartridge_protocol::{MemberId, Millis, Secret};

pub use resolve::{Resolved, Row, Sources, resolve};

use crate::lifecycle::Rules;
use crate::probe::Probe;

/// Where the agent keeps its own files.
pub const STATE_DIR: &str = "CARTRIDGE_STATE_DIR";
/// Seconds that a hook may take.
pub const HOOK_SECONDS: &str = "CARTRIDGE_HOOK_SECONDS";
/// Seconds that the application has for its first answer.
pub const START_SECONDS: &str = "CARTRIDGE_START_SECONDS";
/// Seconds that it has after a switch of the release.
pub const RELEASE_SECONDS: &str = "CARTRIDGE_RELEASE_SECONDS";

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// Its name in the environment, in files and among the launch parameters.
    pub key: &'static str,
    /// Its flag. Secrets have none: arguments are public.
    pub flag: Option<&'static str>,
    /// What it takes when nobody says anything.
    pub default: Option<&'static str>,
    /// It must be given.
    pub required: bool,
    /// What it is for, and what is accepted.
    pub help: &'static str,
}

const fn opt(key: &'static str, flag: &'static str, help: &'static str) -> Opt {
    Opt {
        key,
        flag: Some(flag),
        default: None,
        required: false,
        help,
    }
}

const fn required(key: &'static str, flag: &'static str, help: &'static str) -> Opt {
    Opt {
        required: true,
        ..opt(key, flag, help)
    }
}

const fn default(key: &'static str, flag: &'static str, default: &'static str, help: &'static str) -> Opt {
    Opt {
        default: Some(default),
        ..opt(key, flag, help)
    }
}

/// All options. Launch parameters that are not in it go to the hooks unread.
pub const OPTIONS: [Opt; 22] = [
    required(key::MEMBER_ID, "member-id", "This member's id"),
    required(
        key::INCARNATION,
        "incarnation",
        "Which life of the member this is: a number from 1",
    ),
    required(
        key::LINK,
        "link",
        "The orchestrator: https://host:port, or http://127.x.y.z:port on this machine",
    ),
    Opt {
        flag: None,
        ..required(
            key::JOIN_TOKEN,
            "",
            "The single-use join token; never a flag, because arguments are public",
        )
    },
    opt(
        key::LINK_CA,
        "link-ca",
        "PEM file of the authority that signed the orchestrator's certificate",
    ),
    default(
        STATE_DIR,
        "state-dir",
        "/var/lib/cartridge-agent",
        "Folder for the agent's own files: an absolute path",
    ),
    default(
        key::ADDRESS,
        "address",
        "127.0.0.1",
        "The address that the application listens on",
    ),
    opt(
        key::PORTS,
        "ports",
        "Ports that must answer before the member is Active: 80|22",
    ),
    opt(
        key::PORT_MAPPINGS,
        "port-mappings",
        "Named ports: NAME:http|PROTOCOL:http|PORT:8080|PROXY_PORT:80;...",
    ),
    opt(
        key::COMMAND,
        "command",
        "The application's command: a JSON array of strings",
    ),
    opt(
        key::ENVIRONMENT,
        "environment",
        "Its extra environment: a JSON object of strings",
    ),
    opt(
        key::PROBE,
        "probe",
        r#"{"http":{"port":"http","path":"/health"}} or {"tcp":{}}"#,
    ),
    default(
        key::ON_RELEASE,
        "on-release",
        "restart",
        "What a new release does to the application: nothing or restart",
    ),
    opt(
        key::HOOKS,
        "hooks",
        "Folder with the hooks, such as InstanceStartedEvent.sh: an absolute path",
    ),
    opt(
        key::BALANCER,
        "balancer",
        "The balancer plugin's command: a JSON array of strings",
    ),
    default(
        key::ALLOW_FILE_REPOSITORIES,
        "allow-file-repositories",
        "false",
        "Accept file:// repositories: true or false",
    ),
    opt(
        key::APPLICATION_PATH,
        "application-path",
        "Folder for the releases: an absolute path",
    ),
    opt(
        key::APPLICATION_ID,
        "application-id",
        "The application, for hooks",
    ),
    opt(key::CLUSTER_ID, "cluster-id", "The cluster, for hooks"),
    default(
        HOOK_SECONDS,
        "hook-seconds",
        "60",
        "Seconds that a hook may take: 1 to 86400",
    ),
    default(
        START_SECONDS,
        "start-seconds",
        "600",
        "Seconds until the first answer of the application: 1 to 86400",
    ),
    default(
        RELEASE_SECONDS,
        "release-seconds",
        "10",
        "Seconds until it answers from a new release: 1 to 86400",
    ),
];

/// What the agent works with.
#[derive(Debug)]
pub struct Settings {
    /// Who.
    pub member: MemberId,
    /// Which life.
    pub incarnation: u64,
    /// The orchestrator, without a slash at the end.
    pub link: String,
    /// Whom to trust.
    pub link_ca: Option<PathBuf>,
    /// The join token.
    pub token: Secret,
    /// The agent's folder.
    pub state_dir: PathBuf,
    /// The application's address.
    pub address: IpAddr,
    /// Its first port.
    pub port: Option<u16>,
    /// What is asked of it.
    pub probe: Probe,
    /// Its command.
    pub command: Option<Vec<String>>,
    /// Its extra environment.
    pub environment: BTreeMap<String, String>,
    /// The hooks.
    pub hooks: Option<PathBuf>,
    /// The balancer plugin.
    pub balancer: Option<Vec<String>>,
    /// Repositories by `file://`.
    pub allow_file: bool,
    /// The releases.
    pub shelf: PathBuf,
    /// Time for one hook.
    pub hook_within: Millis,
    /// For the life of the member.
    pub rules: Rules,
    /// Everything that hooks are told, without the join token.
    pub parameters: BTreeMap<String, String>,
}

/// Why a value is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {problem}{}\n    accepted: {accepts}", origin.map(|o| format!(" (from {o})")).unwrap_or_default())]
pub struct Fault {
    /// Which option.
    pub key: &'static str,
    /// What is wrong, with the value unless it is secret.
    pub problem: String,
    /// Where the value came from.
    pub origin: Option<&'static str>,
    /// What is accepted.
    pub accepts: &'static str,
}

/// Whether an address given as the link is this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The address when nobody names one.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

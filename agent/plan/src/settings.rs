//! What the agent is told, from one table of options: where each value came from, and all faults at once.
//!
//! Refuses to know how flags, environment and files are read; they arrive as maps of text.

mod duty;
mod files;
mod logs;
mod options;
pub mod reload;
pub mod report;
mod resolve;
mod secrecy;
mod sources;
mod stratos;
mod table;
mod values;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use cartridge_protocol::{MemberId, Millis, Secret};

pub use duty::Duty;
pub use files::{EXISTING_FILES, FileSettings, PUSH_BACK, RELEASE_FILES, SUPER_TENANT_PATH, TENANT_PATH};
pub use logs::{LOG_BYTES, LOG_FILES, LOG_LINES, LOG_START, LogFiles, LogSettings};
pub use options::{
    CONFIG, HOOK_SECONDS, HOOK_USER, LAUNCH_PARAMS, LOG, OPTIONS, Opt, RELEASE_SECONDS, START_SECONDS,
    STATE_DIR,
};
pub use options::{
    OOM_SCORE_ADJ, RESTART, RESTART_LIMIT, RESTART_SECONDS, SIDECAR, STOP_SECONDS, UPGRADE_KEYS,
    UPGRADE_SECONDS,
};
pub use options::{USER_DATA, USER_DATA_SECONDS, USER_DATA_SERVER};
pub use resolve::{Resolved, Row, WantedUserData, resolve, state_dir, user_data};
pub use sources::{FromStratos, Origin, PassedOn, Sources, environment_names};
pub use table::{help, markdown};

use crate::artifacts;
use crate::lifecycle::Rules;
use crate::plugin::Plugins;
use crate::probe::Probe;
use crate::sample::scope::Wanted;

/// What the agent works with.
#[derive(Clone, Debug)]
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
    /// What is accepted from a repository.
    pub artifacts: artifacts::Rules,
    /// All other plugins.
    pub plugins: Plugins,
    /// How files are kept.
    pub files: FileSettings,
    /// What samples are about.
    pub scope: Wanted,
    /// The releases of the member's own repository.
    pub shelf: PathBuf,
    /// Whom they run as; as the agent where nobody says.
    pub hook_user: Option<crate::account::Wish>,
    /// Time for one hook.
    pub hook_within: Millis,
    /// How much the agent writes: levels by module.
    pub log: String,
    /// How the agent is a process.
    pub duty: Duty,
    /// For the life of the member.
    pub rules: Rules,
    /// What the application writes.
    pub logs: LogSettings,
    /// All of it as it was read, to be compared.
    pub values: reload::Values,
    /// The file that the launch parameters came from.
    pub parameter_file: Option<String>,
    /// Everything that hooks are told, without the join token.
    pub parameters: BTreeMap<String, String>,
}

/// Why a value is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {problem}{}\n    accepted: {accepts}", said(*origin, *by))]
pub struct Fault {
    /// Which option, or name of Stratos.
    pub key: &'static str,
    /// What is wrong, with the value unless it is secret.
    pub problem: String,
    /// Where the value came from.
    pub origin: Option<Origin>,
    /// The name of Stratos that the option was given by.
    pub by: Option<&'static str>,
    /// What is accepted.
    pub accepts: &'static str,
}

fn said(origin: Option<Origin>, by: Option<&str>) -> String {
    match (origin, by) {
        (Some(origin), Some(by)) => format!(" (from {origin}, as {by})"),
        (Some(origin), None) => format!(" (from {origin})"),
        (None, _) => String::new(),
    }
}

/// Whether an address given as the link is this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host in an address given as the link.
pub(crate) fn host_of(link: &str) -> &str {
    let rest = link.split_once("://").map_or(link, |(_, rest)| rest);
    match rest.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => rest,
    }
}

/// The address when nobody names one.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

//! `cartridge serve`: its options, and the order in which everything starts.
//!
//! This file refuses to know what is served.

mod data;
mod start;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use self::start::serve;

/// Options of `cartridge serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeOptions {
    /// Folder with everything the orchestrator keeps. Only one orchestrator at a time may use it
    #[arg(
        long,
        env = "CARTRIDGE_DATA",
        default_value = "./cartridge-data",
        value_name = "DIR"
    )]
    pub data: PathBuf,
    /// Where to listen for people and agents, always with TLS. Port 0 takes a free one
    #[arg(
        long,
        env = "CARTRIDGE_LISTEN",
        default_value = "127.0.0.1:9443",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,
    /// The agent that members are started with. Default: cartridge-agent beside this program
    #[arg(long, env = "CARTRIDGE_AGENT", value_name = "FILE")]
    pub agent: Option<PathBuf>,
    /// The plugin that balancers run. Default: cartridge-plugin-balancer beside this program
    #[arg(long, env = "CARTRIDGE_BALANCER_PLUGIN", value_name = "FILE")]
    pub balancer: Option<PathBuf>,
    /// Let agents fetch from file:// repositories. For development on one machine
    #[arg(long, env = "CARTRIDGE_ALLOW_FILE_REPOSITORIES")]
    pub allow_file_repositories: bool,
    /// Seconds between measurements of a member
    #[arg(long, env = "CARTRIDGE_SAMPLE_INTERVAL", default_value = "1", value_name = "SECONDS",
          value_parser = clap::value_parser!(u16).range(1..=5))]
    pub sample_interval: u16,
    /// Seconds between reports of a member when nothing changes. Balancers report each second at least
    #[arg(long, env = "CARTRIDGE_PUBLISH_INTERVAL", default_value = "5", value_name = "SECONDS",
          value_parser = clap::value_parser!(u16).range(1..=5))]
    pub publish_interval: u16,
}

/// Why the orchestrator cannot start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another orchestrator is at work there.
    #[error("another orchestrator uses {0}; only one at a time may. Stop it first, or choose another --data")]
    Locked(String),
    /// Something that belongs together is incomplete.
    #[error("{0}")]
    Incomplete(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}; choose another --listen")]
    Listen(SocketAddr, std::io::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    /// The installation's key.
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// The journal's beginning does not fit.
    #[error(transparent)]
    World(#[from] cartridge_orchestrator_plan::world::Inapplicable),
    /// Passwords and tokens.
    #[error(transparent)]
    Auth(#[from] crate::auth::AuthFault),
    /// A part ended that must not.
    #[error("the writer of the journal ended")]
    WriterEnded,
}

//! The command line: flags from the table of options, the other sources, and what each command prints.
//!
//! Refuses to know what the options mean.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use cartridge_agent_plan::settings::{OPTIONS, Resolved, Sources, resolve};
use cartridge_protocol::launch::{LaunchParameters, MAX_BYTES};
use clap::{Arg, ArgMatches, Command};

/// Environment variable with the file of launch parameters.
pub const LAUNCH_PARAMS: &str = "CARTRIDGE_LAUNCH_PARAMS";

const EXAMPLES: &str = "Examples:
  cartridge-agent --launch-params /etc/cartridge/launch-params
  CARTRIDGE_LAUNCH_PARAMS=/payload/launch-params cartridge-agent run
  cartridge-agent check --config /etc/cartridge/agent.conf

Every option is also read from the environment, from the file of --config and
from the launch parameters, in this order, under the name in brackets.

Exit codes:
  0  the member has ended
  1  it could not begin
  2  wrong configuration
  3  another agent runs here";

/// The command line.
pub fn command() -> Command {
    let mut command = Command::new("cartridge-agent")
        .about("Runs one member of a cartridge cluster")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .after_help(EXAMPLES)
        .arg(path(
            "config",
            "Configuration file: a JSON object of strings, or lines KEY=VALUE",
        ))
        .arg(path(
            "launch-params",
            "Launch parameters: a JSON object of strings, or K=V,K=V [CARTRIDGE_LAUNCH_PARAMS]",
        ))
        .subcommand(Command::new("run").about("Runs the member until it ends (the default)"))
        .subcommand(
            Command::new("check")
                .about("Prints the configuration, where each value comes from, and all faults"),
        )
        .subcommand(Command::new("version").about("Prints the version"));
    for option in &OPTIONS {
        if let Some(flag) = option.flag {
            let default = option
                .default
                .map(|d| format!(" (default: {d})"))
                .unwrap_or_default();
            let help = format!("{}{default} [{}]", option.help, option.key);
            command = command.arg(
                Arg::new(option.key)
                    .long(flag)
                    .value_name("VALUE")
                    .help(help)
                    .global(true),
            );
        }
    }
    command
}

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("PATH")
        .help(help)
        .global(true)
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {why}")]
pub struct SourceError {
    what: &'static str,
    path: String,
    why: String,
}

/// Reads all sources and resolves them.
pub fn read(matches: &ArgMatches) -> Result<Resolved, SourceError> {
    let flags = OPTIONS
        .iter()
        .filter(|o| o.flag.is_some())
        .filter_map(|o| {
            matches
                .get_one::<String>(o.key)
                .map(|v| (o.key.to_owned(), v.clone()))
        })
        .collect();
    let environment = OPTIONS
        .iter()
        .filter_map(|o| std::env::var(o.key).ok().map(|v| (o.key.to_owned(), v)))
        .collect();
    let launch = matches
        .get_one::<String>("launch-params")
        .cloned()
        .or_else(|| std::env::var(LAUNCH_PARAMS).ok());
    let file = matches.get_one::<String>("config");
    Ok(resolve(&Sources {
        flags,
        environment,
        file: file
            .map(|p| parameters("--config", p))
            .transpose()?
            .unwrap_or_default(),
        launch: launch
            .map(|p| parameters("launch parameters", &p))
            .transpose()?
            .unwrap_or_default(),
    }))
}

fn parameters(what: &'static str, path: &str) -> Result<BTreeMap<String, String>, SourceError> {
    let wrong = |why: String| SourceError {
        what,
        path: path.to_owned(),
        why,
    };
    let mut text = String::new();
    std::fs::File::open(Path::new(path))
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text))
        .map_err(|e| wrong(e.to_string()))?;
    let read = LaunchParameters::parse(&text).map_err(|e| wrong(e.to_string()))?;
    Ok(read.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

/// What `check` prints: every value with its origin.
pub fn table(resolved: &Resolved) -> String {
    let wide = resolved.rows.iter().map(|r| r.key.len()).max().unwrap_or(0);
    resolved
        .rows
        .iter()
        .map(|row| format!("{:wide$}  {}  (from {})\n", row.key, row.shown, row.origin))
        .collect()
}

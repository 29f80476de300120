//! The command line: commands, and flags from the table of options.
//!
//! Refuses to know what the options mean.

mod cloud;
mod commands;
pub mod local;
mod print;
mod run_hook;
mod share;
mod sources;
mod upgrade;

use cartridge_agent_plan::settings::{OPTIONS, Opt, STATE_DIR};
use clap::{Arg, ArgAction, ArgMatches, Command};

pub use commands::{obey, reread};
use print::out;
pub use sources::read;

const EXAMPLES: &str = "Examples:
  cartridge-agent --launch-params /etc/cartridge/launch-params
  CARTRIDGE_LAUNCH_PARAMS=/payload/launch-params cartridge-agent run
  cartridge-agent check --config /etc/cartridge/agent.conf
  cartridge-agent status

Every option is also read from the environment, from the file of --config and
from the launch parameters, in this order, under the name in brackets. A flag
may be given once; of a name that comes twice in a text the last value counts.

Exit codes:
  0  the member has ended
  1  it could not begin
  2  wrong configuration
  3  another agent runs here
  4  no agent runs here, or not for you to ask (status, sync, run-hook, share)
  5  the agent here gives no answer that can be used (the same)
  6  the hook was not run (run-hook)";

const STATUS_EXAMPLES: &str = "Examples:
  cartridge-agent status
  cartridge-agent status --output json
  cartridge-agent status --state-dir /var/lib/cartridge-agent

Only root and the user that the agent runs as may ask.

Exit codes:
  0  the agent has answered
  2  wrong configuration
  4  no agent runs here, or not for you to ask
  5  it gives no answer that can be used";

const SYNC_EXAMPLES: &str = "Examples:
  cartridge-agent sync
  cartridge-agent sync --within 300

Looks at the repository now, stages what is new there, and says what came of it.
Which commit is current stays the orchestrator's decision.

Exit codes:
  0  it was looked at, and what is there is on the shelf
  1  something went wrong, or there is no repository
  2  wrong configuration
  4  no agent runs here, or not for you to ask
  5  it gives no answer that can be used";

const VERSION_EXAMPLES: &str = "Examples:
  cartridge-agent version
  cartridge-agent version --output json";

const RUN_EXAMPLES: &str = "Example:
  cartridge-agent run --launch-params /etc/cartridge/launch-params";

const CHECK_EXAMPLES: &str = "Examples:
  cartridge-agent check
  cartridge-agent check --launch-params /payload/launch-params
  cartridge-agent check --output json

Secrets are not shown. Nothing is contacted, but for the cloud's user-data where
--user-data asks for it.

Exit codes:
  0  the agent could begin with this
  2  there are faults; all of them are on standard error";

const UPGRADE_EXAMPLES: &str = "Example:
  cartridge-agent upgrade /root/cartridge-agent-0.2.0

The application runs on. A new agent that does not prove itself is replaced by
the old one.

Exit codes:
  0  the agent is the new one
  1  it is not, and why
  4  no agent runs here, or not for you to ask
  5  it gives no answer that can be used";

const OPTIONS_EXAMPLES: &str = "Examples:
  cartridge-agent options
  cartridge-agent options --markdown";

const HOOKS_EXAMPLES: &str = "Examples:
  cartridge-agent hooks
  cartridge-agent hooks --markdown";

/// The command line.
pub fn command() -> Command {
    Command::new("cartridge-agent")
        .about("Runs one member of a cartridge cluster")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .max_term_width(80)
        .after_help(EXAMPLES)
        .args(all_options())
        .subcommand(
            Command::new("run")
                .about("Runs the member until it ends (the default)")
                .args(all_options())
                .after_help(RUN_EXAMPLES),
        )
        .subcommand(
            Command::new("check")
                .about("Prints the configuration, where each value comes from, and all faults")
                .args(all_options())
                .arg(output())
                .after_help(CHECK_EXAMPLES),
        )
        .subcommand(
            Command::new("options")
                .about("Prints the table of all options")
                .arg(as_markdown())
                .after_help(OPTIONS_EXAMPLES),
        )
        .subcommand(
            Command::new("hooks")
                .about("Prints all hooks, when each is run, and what it is told")
                .arg(as_markdown())
                .after_help(HOOKS_EXAMPLES),
        )
        .subcommand(
            Command::new("status")
                .about("Says what the agent that runs here does")
                .args(options_to_find_the_agent())
                .arg(output())
                .after_help(STATUS_EXAMPLES),
        )
        .subcommand(
            Command::new("sync")
                .about("Has the agent that runs here look at the repository now")
                .args(options_to_find_the_agent())
                .arg(within())
                .arg(output())
                .after_help(SYNC_EXAMPLES),
        )
        .subcommand(run_hook::command())
        .subcommand(share::command())
        .subcommand(
            Command::new("upgrade")
                .about("Has the agent that runs here become the one in a file, and waits how it goes")
                .arg(
                    Arg::new("file")
                        .value_name("FILE")
                        .required(true)
                        .value_parser(clap::value_parser!(std::path::PathBuf))
                        .help("The new binary; beside it FILE.statement, signed"),
                )
                .args(options_to_find_the_agent())
                .arg(within().default_value("300"))
                .after_help(UPGRADE_EXAMPLES),
        )
        .subcommand(
            Command::new("version")
                .about("Prints the version")
                .arg(output())
                .after_help(VERSION_EXAMPLES),
        )
}

/// Where a running agent is, all of them tell by its state folder.
fn options_to_find_the_agent() -> impl Iterator<Item = Arg> {
    let wanted = |o: &&Opt| o.source || o.key == STATE_DIR;
    OPTIONS.iter().filter(wanted).filter_map(argument)
}

fn as_markdown() -> Arg {
    Arg::new("markdown")
        .long("markdown")
        .action(ArgAction::SetTrue)
        .help("As in the documentation")
}

fn within() -> Arg {
    Arg::new("within")
        .long("within")
        .value_name("SECONDS")
        .value_parser(clap::value_parser!(u64).range(1..=3600))
        .default_value("60")
        .help("Longest wait for the outcome")
}

fn all_options() -> impl Iterator<Item = Arg> {
    OPTIONS.iter().filter_map(argument)
}

fn argument(option: &Opt) -> Option<Arg> {
    let default = option
        .default
        .map(|d| format!(" (default: {d})"))
        .unwrap_or_default();
    let argument = Arg::new(option.key)
        .long(option.flag?)
        .value_name("VALUE")
        .help(format!("{}{default} [{}]", option.help, option.key));
    Some(argument)
}

fn output() -> Arg {
    Arg::new("output")
        .long("output")
        .short('o')
        .value_parser(["text", "json"])
        .default_value("text")
        .help("For people or for programs")
}

/// Whether the answer is for a program.
pub fn wants_json(matches: &ArgMatches) -> bool {
    let output = matches.try_get_one::<String>("output").ok().flatten();
    output.is_some_and(|form| form == "json")
}

/// The value of a flag, given before the command or after it; after it is stronger.
fn flag<'a>(matches: &'a ArgMatches, key: &str) -> Option<&'a String> {
    let below = matches.subcommand().map(|(_, below)| below);
    let value = |matches: &'a ArgMatches| matches.try_get_one::<String>(key).ok().flatten();
    below.and_then(value).or_else(|| value(matches))
}

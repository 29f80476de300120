//! `share`: values for the other cartridges of the application. Refuses to know how they get there.

use std::process::ExitCode;

use cartridge_protocol::ValueKey;
use cartridge_protocol::local::{Answer, Ask};
use cartridge_protocol::values::{Share, SharePlace, SharedValues};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::commands::{CONFIGURATION, FAILED, NO_ANSWER, answered, fail, print, seconds};
use super::{options_to_find_the_agent, within};

const EXAMPLES: &str = "Examples:
  cartridge-agent share URL http://10.0.0.7:8080/
  cartridge-agent share --application PEERS a b
  cartridge-agent share URL                        (nothing under it any more)
  $CARTRIDGE_AGENT share IP \"$ADDRESS\"             (in a hook)

Members of all cartridges of the application find them in the environment of their
hooks and their application, as CARTRIDGE_SHARED_<ALIAS>_URL; with --application
as CARTRIDGE_SHARED_PEERS. What a cluster shares replaces what it shared under the
key before; what is shared for the application is added to what is there.

Exit codes:
  0  they are shared, durably
  1  they are not, and why
  2  wrong configuration, or more than is accepted
  4  no agent runs here, or not for you to ask
  5  it gives no answer that can be used";

pub(super) fn command() -> Command {
    Command::new("share")
        .about("Shares values with the other cartridges of the application")
        .arg(
            Arg::new("key")
                .value_name("KEY")
                .required(true)
                .help("Letters, digits, '.', '_' and '-'"),
        )
        .arg(
            Arg::new("values")
                .value_name("VALUE")
                .num_args(0..)
                .help("None at all: nothing is shared under the key any more"),
        )
        .arg(
            Arg::new("application")
                .long("application")
                .action(ArgAction::SetTrue)
                .help("For the application as a whole instead of the member's cluster"),
        )
        .args(options_to_find_the_agent())
        .arg(within())
        .after_help(EXAMPLES)
}

pub(super) fn obey(matches: &ArgMatches, asked: &ArgMatches) -> ExitCode {
    let text = asked.get_one::<String>("key").map_or("", String::as_str);
    let key = match ValueKey::new(text) {
        Ok(key) => key,
        Err(fault) => return fail(&format!("KEY {fault}"), CONFIGURATION),
    };
    let values = asked.get_many::<String>("values").into_iter().flatten();
    let share = Share {
        key,
        values: values.cloned().collect(),
        place: if asked.get_flag("application") {
            SharePlace::Application
        } else {
            SharePlace::Cluster
        },
    };
    let mut alone = SharedValues::default();
    alone.share(None, &share.key, &share.values, true);
    if let Err(fault) = alone.check() {
        return fail(&fault.to_string(), CONFIGURATION);
    }
    let within = seconds(asked, 60);
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    answered(
        matches,
        Ask::Share { share, within_ms },
        within,
        |answer| match answer {
            Answer::Shared => print(""),
            Answer::Refused(why) => fail(&why, FAILED),
            _ => fail("the agent answered something else", NO_ANSWER),
        },
    )
}

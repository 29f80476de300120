//! Every command but `run`: what it prints, and the exit code that it ends with.
//!
//! Refuses to run a member.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cartridge_agent_plan::hook::pages;
use cartridge_agent_plan::picture;
use cartridge_agent_plan::settings::{self, Fault, Resolved, Settings};
use cartridge_protocol::local::{Answer, Ask};
use cartridge_protocol::{link, local, plugin};
use clap::ArgMatches;
use serde_json::{Value, json};

use super::local::{NoAnswer, ask};
use super::upgrade::{self, NotUpgraded};
use super::{cloud, out, read, run_hook, share, wants_json};

/// Something went wrong.
pub(super) const FAILED: u8 = 1;
/// Wrong configuration.
pub(super) const CONFIGURATION: u8 = 2;
/// No agent runs here.
const NOBODY: u8 = 4;
/// The agent that runs here gives no answer that can be used.
pub(super) const NO_ANSWER: u8 = 5;
/// A hook was not run.
pub(super) const NOT_RUN: u8 = 6;

/// Obeys the command line: the settings to run a member with, or the exit code of what was done instead.
pub fn obey(matches: &ArgMatches) -> Result<Settings, ExitCode> {
    let (name, asked) = matches.subcommand().unwrap_or(("run", matches));
    Err(match name {
        "version" => version(wants_json(asked)),
        "options" if asked.get_flag("markdown") => print(&settings::markdown()),
        "options" => print(&settings::help()),
        "hooks" if asked.get_flag("markdown") => print(&pages::markdown()),
        "hooks" => print(&pages::help()),
        "check" => match resolved(matches) {
            Ok(resolved) => check(&resolved, wants_json(asked)),
            Err(done) => done,
        },
        "status" => status(matches, wants_json(asked)),
        "sync" => sync(matches, asked),
        "upgrade" => upgrade(matches, asked),
        "run-hook" => run_hook::obey(matches, asked),
        "share" => share::obey(matches, asked),
        _ => return resolved(matches)?.settings.map_err(|faults| refuse(&faults)),
    })
}

fn resolved(matches: &ArgMatches) -> Result<Resolved, ExitCode> {
    let mut sources = read(matches);
    cloud::add(&mut sources).map_err(|interrupted| fail(&interrupted.to_string(), FAILED))?;
    Ok(settings::resolve(&sources))
}

/// Reads everything once more as it was read at the start; what a cloud said then holds.
pub fn reread() -> Resolved {
    let mut sources = read(&super::command().get_matches());
    cloud::add_again(&mut sources);
    settings::resolve(&sources)
}

fn version(as_json: bool) -> ExitCode {
    let version = crate::version::version();
    let commit = option_env!("CARTRIDGE_COMMIT");
    if !as_json {
        let commit = commit.map(|c| format!(" ({c})")).unwrap_or_default();
        return print(&format!("cartridge-agent {version}{commit}\n"));
    }
    let features: &[&str] = if cfg!(feature = "failpoints") {
        &["failpoints"]
    } else {
        &[]
    };
    print_json(&json!({
        "name": "cartridge-agent",
        "version": version,
        "commit": commit,
        "features": features,
        "protocols": {"link": link::VERSION, "plugin": plugin::VERSION, "local": local::VERSION},
    }))
}

fn check(resolved: &Resolved, as_json: bool) -> ExitCode {
    let printed = if as_json {
        print_json(&settings::report::json(resolved))
    } else {
        print(&settings::report::text(resolved))
    };
    match &resolved.settings {
        Ok(_) => printed,
        Err(_) if as_json => ExitCode::from(CONFIGURATION),
        Err(faults) => refuse(faults),
    }
}

fn status(matches: &ArgMatches, as_json: bool) -> ExitCode {
    answered(matches, Ask::Status, Duration::ZERO, |answer| match answer {
        Answer::Picture(picture) if as_json => print_json(&json!(picture)),
        Answer::Picture(picture) => print(&picture::text(&picture)),
        Answer::Refused(why) => fail(&why, FAILED),
        _ => fail("the agent answered something else", NO_ANSWER),
    })
}

fn sync(matches: &ArgMatches, asked: &ArgMatches) -> ExitCode {
    let within = seconds(asked, 60);
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    answered(matches, Ask::Sync { within_ms }, within, |answer| match answer {
        Answer::Synced(synced) => {
            let printed = if wants_json(asked) {
                print_json(&json!(synced))
            } else {
                print(&picture::synced(&synced))
            };
            if synced.fault.is_some() {
                ExitCode::from(FAILED)
            } else {
                printed
            }
        }
        Answer::Refused(why) => fail(&why, FAILED),
        _ => fail("the agent answered something else", NO_ANSWER),
    })
}

fn upgrade(matches: &ArgMatches, asked: &ArgMatches) -> ExitCode {
    let folder = match settings::state_dir(&read(matches)) {
        Ok(folder) => folder,
        Err(fault) => return refuse(&[fault]),
    };
    let within = seconds(asked, 300);
    let file = asked.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    match upgrade::upgrade(&folder, &file, within) {
        Ok(text) => print(&format!("{text}\n")),
        Err(NotUpgraded::NoAnswer(error @ (NoAnswer::Nobody(_) | NoAnswer::Denied(_)))) => {
            fail(&error.to_string(), NOBODY)
        }
        Err(NotUpgraded::NoAnswer(error)) => fail(&error.to_string(), NO_ANSWER),
        Err(error) => fail(&error.to_string(), FAILED),
    }
}

/// How long the caller waits.
pub(super) fn seconds(asked: &ArgMatches, usual: u64) -> Duration {
    Duration::from_secs(asked.get_one("within").copied().unwrap_or(usual))
}

/// Asks, and ends as `take` says of the last line of the answer.
pub(super) fn answered(
    matches: &ArgMatches,
    question: Ask,
    within: Duration,
    mut take: impl FnMut(Answer) -> ExitCode,
) -> ExitCode {
    let mut code = None;
    match conversation(matches, question, within, |answer| code = Some(take(answer))) {
        Err(code) => code,
        Ok(()) => code.unwrap_or_else(|| fail("the agent ended before it answered", NO_ANSWER)),
    }
}

/// Asks; `take` is given every line of the answer.
pub(super) fn conversation(
    matches: &ArgMatches,
    question: Ask,
    within: Duration,
    take: impl FnMut(Answer),
) -> Result<(), ExitCode> {
    let folder = settings::state_dir(&read(matches)).map_err(|fault| refuse(&[fault]))?;
    ask(&folder, question, within, take).map_err(|error| {
        let code = match error {
            NoAnswer::Nobody(_) | NoAnswer::Denied(_) => NOBODY,
            NoAnswer::Silent { .. } | NoAnswer::Unreadable { .. } => NO_ANSWER,
        };
        fail(&error.to_string(), code)
    })
}

pub(super) fn print_json(value: &Value) -> ExitCode {
    print(&format!("{value:#}\n"))
}

pub(super) fn print(text: &str) -> ExitCode {
    match out(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot write: {error}"), FAILED),
    }
}

pub(super) fn fail(why: &str, code: u8) -> ExitCode {
    eprintln!("cartridge-agent: {why}");
    ExitCode::from(code)
}

fn refuse(faults: &[Fault]) -> ExitCode {
    for fault in faults {
        eprintln!("cartridge-agent: {fault}");
    }
    ExitCode::from(CONFIGURATION)
}

//! `run-hook`: has the agent that runs here run a hook now, and shows what it writes and how it went; or what it would be
//! told. Refuses to run anything itself.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use cartridge_agent_plan::hook::asked::{NoSuchRun, asked};
use cartridge_protocol::local::{Answer, Ask, Output, OutputStream, Ran};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::commands::{
    CONFIGURATION, FAILED, NO_ANSWER, NOT_RUN, conversation, fail, print, print_json, seconds,
};
use super::{options_to_find_the_agent, out, output, wants_json, within};

const EXAMPLES: &str = "Examples:
  cartridge-agent run-hook StartServers
  cartridge-agent run-hook instance-started --within 30 --output json
  cartridge-agent run-hook ArtifactUpdatedEvent --print-environment
  cartridge-agent run-hook CopyArtifacts /srv/first /srv/tenant-4

It runs as it would by itself: as the same user, with the same environment and
deadline, after hooks that run already, and is ended when the member ends.
Nothing in the member's life follows from it. Of each stream 64 KiB are shown,
without secrets. Who stops waiting does not end the hook.

Exit codes:
  0  it went well, or its environment is printed
  1  it failed, or was ended, and how
  2  wrong configuration, or no such event
  4  no agent runs here, or not for you to ask
  5  it gives no answer that can be used, or none in time
  6  it was not run: the cartridge has none, or it may not be run";

/// The command.
pub fn command() -> Command {
    Command::new("run-hook")
        .about("Has the agent that runs here run one of its hooks now")
        .arg(
            Arg::new("event")
                .value_name("EVENT")
                .required(true)
                .help("The hook's name, such as StartServers or start-servers"),
        )
        .arg(
            Arg::new("arguments")
                .value_name("ARGUMENT")
                .num_args(0..)
                .help("For CopyArtifacts: where to copy from, and where to"),
        )
        .arg(
            Arg::new("print-environment")
                .long("print-environment")
                .action(ArgAction::SetTrue)
                .help("Print what it would be told instead of running it"),
        )
        .args(options_to_find_the_agent())
        .arg(within().default_value("300"))
        .arg(output())
        .after_help(EXAMPLES)
}

/// Does what the command says.
pub fn obey(matches: &ArgMatches, words: &ArgMatches) -> ExitCode {
    let hook = words.get_one::<String>("event").cloned().unwrap_or_default();
    let arguments: Vec<String> = words
        .get_many("arguments")
        .map(|all| all.cloned().collect())
        .unwrap_or_default();
    if let Err(fault) = asked(&hook, &arguments) {
        return unknown(&fault);
    }
    let as_json = wants_json(words);
    if words.get_flag("print-environment") {
        return environment(matches, Ask::HookEnvironment { hook, arguments }, as_json);
    }
    let within = seconds(words, 300);
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let ask = Ask::RunHook {
        hook,
        arguments,
        within_ms,
    };
    run(matches, ask, within, as_json)
}

fn unknown(fault: &NoSuchRun) -> ExitCode {
    fail(&fault.to_string(), CONFIGURATION)
}

fn run(matches: &ArgMatches, ask: Ask, within: Duration, as_json: bool) -> ExitCode {
    let mut outputs: Vec<Output> = Vec::new();
    let mut last = None;
    let talked = conversation(matches, ask, within, |answer| match answer {
        Answer::Output(output) if as_json => outputs.push(output),
        Answer::Output(output) => show(&output),
        other => last = Some(other),
    });
    if let Err(code) = talked {
        return code;
    }
    match last {
        Some(Answer::Ran(ran)) => {
            let failed = ran.fault.is_some();
            let printed = if as_json {
                print_json(&report(&ran, &outputs))
            } else {
                eprintln!("cartridge-agent: {}", words(&ran));
                ExitCode::SUCCESS
            };
            if failed { ExitCode::from(FAILED) } else { printed }
        }
        Some(Answer::NotRun(why)) => fail(&why, NOT_RUN),
        Some(Answer::Refused(why)) => fail(&why, NO_ANSWER),
        None => fail("the agent ended before it answered", NO_ANSWER),
        Some(_) => fail("the agent answered something else", NO_ANSWER),
    }
}

fn report(ran: &Ran, outputs: &[Output]) -> serde_json::Value {
    let written = |stream| {
        let texts = outputs.iter().filter(|output| output.stream == stream);
        texts.map(|output| output.text.as_str()).collect::<String>()
    };
    let mut report = json!(ran);
    report["stdout"] = written(OutputStream::Out).into();
    report["stderr"] = written(OutputStream::Err).into();
    report
}

fn words(ran: &Ran) -> String {
    let took = cartridge_protocol::Millis(ran.took_ms);
    match (&ran.fault, ran.programs) {
        (Some(fault), _) => format!("{} {fault}", ran.hook),
        (None, 1) => format!("{} went well in {took}", ran.hook),
        (None, programs) => format!("{} went well in {took}, {programs} programs", ran.hook),
    }
}

/// A terminal obeys control characters, so none is sent to one.
fn show(output: &Output) {
    let plain = |text: &str| -> String {
        let visible = |c: char| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        };
        text.chars().map(visible).collect()
    };
    // Who reads no longer misses nothing.
    match output.stream {
        OutputStream::Out if std::io::stdout().is_terminal() => drop(out(&plain(&output.text))),
        OutputStream::Out => drop(out(&output.text)),
        OutputStream::Err if std::io::stderr().is_terminal() => eprint!("{}", plain(&output.text)),
        OutputStream::Err => drop(std::io::stderr().write_all(output.text.as_bytes())),
    }
}

fn environment(matches: &ArgMatches, ask: Ask, as_json: bool) -> ExitCode {
    let mut told = BTreeMap::new();
    let mut last = None;
    let talked = conversation(matches, ask, Duration::ZERO, |answer| match answer {
        Answer::Variable(variable) => drop(told.insert(variable.name, variable.value)),
        other => last = Some(other),
    });
    match (talked, last) {
        (Err(code), _) => code,
        (Ok(()), Some(Answer::NotRun(why))) => fail(&why, NOT_RUN),
        (Ok(()), Some(Answer::Refused(why))) => fail(&why, NO_ANSWER),
        (Ok(()), Some(_)) => fail("the agent answered something else", NO_ANSWER),
        (Ok(()), None) if told.is_empty() => fail("the agent ended before it answered", NO_ANSWER),
        (Ok(()), None) if as_json => print_json(&json!(told)),
        (Ok(()), None) => {
            let rows = told
                .iter()
                .map(|(name, value)| format!("{name}={}\n", one_row(value)));
            print(&rows.collect::<String>())
        }
    }
}

/// One line each, whatever the value holds.
fn one_row(value: &str) -> String {
    let row = |c: char| -> String {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    value.chars().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_one_row_whatever_it_holds() {
        assert_eq!(one_row("a\nb\x1b[31mä"), "a\\nb\\u{1b}[31mä");
    }
}

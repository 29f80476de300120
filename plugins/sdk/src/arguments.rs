//! The command line of a plugin: its arguments by number, `--help`, and nothing that is not understood.
//!
//! Refuses to know what the arguments mean.

use std::io::Write;
use std::process::ExitCode;

/// Reads the command line. `about` says what the plugin is for, `wanted` names its arguments.
///
/// # Errors
/// There is nothing to run: help was asked for and printed, or the command line is wrong and was refused; end with
/// this exit code.
pub fn arguments<const N: usize>(about: &str, wanted: [&str; N]) -> Result<[String; N], ExitCode> {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or_default();
    let (text, code) = match read(words, wanted) {
        Ok(Some(arguments)) => return Ok(arguments),
        Ok(None) => (help(program, about, &wanted), 0),
        Err(fault) => (format!("{program}: {fault}; see {program} --help\n"), 2),
    };
    // Nobody is left to tell if the pipe is closed.
    let _ = if code == 0 {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        std::io::stderr().write_all(text.as_bytes())
    };
    Err(ExitCode::from(code))
}

fn help(program: &str, about: &str, wanted: &[&str]) -> String {
    let arguments: String = wanted.iter().map(|name| format!(" {name}")).collect();
    format!(
        "{about}\n\nUsage: {program}{arguments}\n\nA plugin of cartridge-agent: it reads one JSON object per line on standard input, answers on standard\noutput, and writes words for people to standard error. To try it by hand:\n\n    cartridge-agent plugin check {program}{arguments}\n"
    )
}

/// None: help is wanted.
fn read<const N: usize>(
    words: impl Iterator<Item = String>,
    wanted: [&str; N],
) -> Result<Option<[String; N]>, String> {
    let mut given = Vec::new();
    for word in words {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            flag if flag.starts_with('-') => return Err(format!("unknown flag {flag:?}")),
            _ if given.len() == N => return Err(format!("unexpected argument {word:?}")),
            _ => given.push(word),
        }
    }
    let missing = wanted.get(given.len()).copied().unwrap_or_default();
    <[String; N]>::try_from(given)
        .map(Some)
        .map_err(|_| format!("{missing} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_it<const N: usize>(words: &[&str], wanted: [&str; N]) -> Result<Option<[String; N]>, String> {
        read(words.iter().map(|word| (*word).to_owned()), wanted)
    }

    #[test]
    fn arguments_are_taken_by_number_and_nothing_else_is_accepted() {
        assert_eq!(try_it(&["x"], ["FILE"]), Ok(Some(["x".to_owned()])));
        assert_eq!(try_it(&[], []), Ok(Some([])));
        assert_eq!(try_it(&["x", "-h"], ["FILE"]), Ok(None));
        for (words, why) in [
            (&["--port"][..], "unknown flag \"--port\""),
            (&["x", "y"], "unexpected argument \"y\""),
            (&[], "FILE is missing"),
        ] {
            assert_eq!(try_it(words, ["FILE"]), Err(why.to_owned()));
        }
        assert!(help("p", "Does.", &["FILE"]).contains("Usage: p FILE\n"));
    }
}

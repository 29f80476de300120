//! `cartridge-hello`: a small web application for demonstrations and tests.
//!
//! It shows its current release, burns CPU and waits on demand, and ends in order. It refuses to know about
//! agents and orchestrators: all it gets is environment variables.

mod burn;
mod config;
mod release;
mod serve;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::config::Config;

/// Threads for burning CPU, and two for files.
const BLOCKING_THREADS: usize = burn::THREADS + 2;
/// How long burning threads may go on when everything else has ended.
const RUNTIME_END: Duration = Duration::from_millis(200);

const HELP: &str = "A small web application for demonstrations and tests: it shows its release, burns CPU and waits on demand.

Usage: cartridge-hello

It takes no arguments; all settings are environment variables:
  CARTRIDGE_ADDRESS  address to listen on (default: 127.0.0.1)
  PORT               port to listen on (default: 8080)
  CARTRIDGE_RELEASE  folder to show
  CARTRIDGE_MEMBER   name to show, else MEMBER_ID
  HELLO_CPU_MS       CPU time that a request burns, or ?cpu_ms= (default: 0)
  HELLO_WAIT_MS      time that a request waits, or ?wait_ms= (default: 0)
  HELLO_ACCESS_LOG   1: one line per request on standard output
";

/// What to end with at once: help was asked for, or something that is not understood.
fn asked_otherwise() -> Option<ExitCode> {
    let word = std::env::args().nth(1)?;
    // Nobody is left to tell if the pipe is closed.
    if word == "--help" || word == "-h" {
        let _ = std::io::stdout().write_all(HELP.as_bytes());
        return Some(ExitCode::SUCCESS);
    }
    let _ = writeln!(
        std::io::stderr(),
        "cartridge-hello: {word:?} is not understood; see cartridge-hello --help"
    );
    Some(ExitCode::from(2))
}

fn main() -> ExitCode {
    if let Some(code) = asked_otherwise() {
        return code;
    }
    let ended = Config::from(|name| std::env::var(name).ok()).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(|error| format!("cannot start: {error}"))?;
        let ended = runtime.block_on(serve::run(config));
        runtime.shutdown_timeout(RUNTIME_END);
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(std::io::stderr(), "cartridge-hello: {why}");
            ExitCode::FAILURE
        }
    }
}

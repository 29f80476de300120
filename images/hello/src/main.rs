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

fn main() -> ExitCode {
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

//! The agent's process: names pinned first, then settings, then one thread that runs the member.

use std::process::ExitCode;

use cartridge_agent::agent::{self, AgentError};
use cartridge_agent::cli;
use cartridge_agent::host::state::StateError;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// In a static binary, glibc would load the host's name-service modules and crash in them: only files and DNS.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
fn pin_names() {
    unsafe extern "C" {
        fn __nss_configure_lookup(
            database: *const core::ffi::c_char,
            line: *const core::ffi::c_char,
        ) -> core::ffi::c_int;
    }
    for (database, line) in [
        (c"hosts", c"files dns"),
        (c"passwd", c"files"),
        (c"group", c"files"),
        (c"services", c"files"),
        (c"protocols", c"files"),
        (c"networks", c"files"),
    ] {
        // SAFETY: both are NUL-terminated, and no other thread exists yet.
        unsafe { __nss_configure_lookup(database.as_ptr(), line.as_ptr()) };
    }
}

#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
fn pin_names() {}

fn main() -> ExitCode {
    pin_names();
    let matches = cli::command().get_matches();
    if matches.subcommand_name() == Some("version") {
        println!("cartridge-agent {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let check = matches.subcommand_name() == Some("check");
    let matches = matches.subcommand().map_or(&matches, |(_, sub)| sub);
    let resolved = match cli::read(matches) {
        Ok(resolved) => resolved,
        Err(error) => {
            eprintln!("cartridge-agent: {error}");
            return ExitCode::from(2);
        }
    };
    if check {
        print!("{}", cli::table(&resolved));
    }
    match resolved.settings {
        Ok(_) if check => ExitCode::SUCCESS,
        Ok(settings) => run(settings),
        Err(faults) => {
            for fault in faults {
                eprintln!("cartridge-agent: {fault}");
            }
            ExitCode::from(2)
        }
    }
}

fn run(settings: cartridge_agent_plan::settings::Settings) -> ExitCode {
    // `debug`, or `cartridge_agent::plugin=debug,info`. (EnvFilter knows more, and brings regular expressions.)
    let asked = std::env::var("CARTRIDGE_LOG").ok();
    let filter: Targets = asked
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    tracing_subscriber::registry().with(lines).with(filter).init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_stack_size(512 << 10)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    let ended = tokio::task::LocalSet::new().block_on(&runtime, agent::run(settings));
    // Blocking work that does not heed its stop must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            match error {
                AgentError::State(StateError::Taken { .. }) => ExitCode::from(3),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

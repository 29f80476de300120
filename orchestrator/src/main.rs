//! `cartridge`: server and command line in one program. Names are pinned first, then the command decides the runtime.

use std::process::ExitCode;

use cartridge_orchestrator::cli::{self, Cli, Command};
use cartridge_orchestrator::serve::{ServeOptions, serve};

/// Threads of the server: planning on one, everybody else on the other.
const SERVER_THREADS: usize = 2;

/// In a static binary, glibc would load the host's name-service modules and crash in them: only files and DNS.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
fn pin_names() {
    unsafe extern "C" {
        fn __nss_configure_lookup(
            database: *const core::ffi::c_char,
            line: *const core::ffi::c_char,
        ) -> core::ffi::c_int;
    }
    let lines = [
        (c"hosts", c"files dns"),
        (c"passwd", c"files"),
        (c"group", c"files"),
        (c"services", c"files"),
        (c"protocols", c"files"),
        (c"networks", c"files"),
    ];
    for (database, line) in lines {
        // SAFETY: both are NUL-terminated, and no other thread exists yet.
        unsafe { __nss_configure_lookup(database.as_ptr(), line.as_ptr()) };
    }
}

#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
fn pin_names() {}

fn main() -> ExitCode {
    pin_names();
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.command {
        Command::Serve(options) => server(options),
        _ => command(cli),
    }
}

fn server(options: ServeOptions) -> ExitCode {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SERVER_THREADS)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime
            .block_on(Box::pin(serve(options)))
            .map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("cartridge: {e}");
            ExitCode::FAILURE
        }
    }
}

fn command(cli: Cli) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(Box::pin(cli::run(cli))),
        Err(e) => {
            eprintln!("cartridge: {e}");
            ExitCode::FAILURE
        }
    }
}

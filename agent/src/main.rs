//! The agent's process: names pinned first, then settings, then one thread that runs the member.

use std::process::ExitCode;

use cartridge_agent::agent::{self, AgentError, Ended};
use cartridge_agent::cli;
use cartridge_agent::host::duty;
use cartridge_agent::host::git::{confined, fetcher};
use cartridge_agent::host::hooks::warden;
use cartridge_agent::host::level;
use cartridge_agent::host::slice;
use cartridge_agent::host::state::StateError;
use cartridge_agent::host::upgrade::exec::{Inherited, Next};
use cartridge_agent::host::upgrade::{Store, rehearsal, trap};
use cartridge_agent::version::misbehaves;
use cartridge_agent_plan::settings::Settings;

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

/// Another agent runs here.
const TAKEN: u8 = 3;
/// What a program that panics ends with.
const PANICKED: u8 = 101;
/// How long an idle thread stays. Always one has to: none can be had later where a storm of processes fills the limit.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(86_400);

fn main() -> ExitCode {
    // Before anything can go wrong: an agent on trial has a way back.
    let inherited = Inherited::take();
    if inherited.document.is_some() && misbehaves("crashes") {
        std::process::abort();
    }
    if inherited.document.is_none() && !rehearsal::is_asked_for() && misbehaves("dies-at-start") {
        std::process::abort();
    }
    if let Some(code) = warden::run_if_asked() {
        return code;
    }
    if let Some(code) = fetcher::asked().or_else(confined::asked) {
        return code;
    }
    pin_names();
    match cli::obey(&cli::command().get_matches()) {
        Ok(settings) if rehearsal::is_asked_for() => rehearsal::perform(&settings),
        Ok(settings) => run(settings, inherited),
        Err(done) => done,
    }
}

fn run(settings: Settings, inherited: Inherited) -> ExitCode {
    level::begin(&settings.log);
    if let Some(told) = boot(&settings, &inherited) {
        tracing::error!("{told}");
    }
    let handed = inherited.handover(&settings).ok().flatten();
    duty::begin(
        settings.duty.oom_score_adj,
        handed.map(|handed| handed.of_children),
    );
    slice::shorten();
    let mut inherited = inherited;
    loop {
        let slot = inherited.slot.clone();
        let next = match live(&settings, inherited) {
            Ok(next) => next,
            Err(code) => return code,
        };
        let error = next.begin();
        tracing::error!(%error, "this process cannot become another agent");
        inherited = Inherited::after(*next, error.to_string(), slot);
    }
}

/// A start of the installed binary may lead to another one.
fn boot(settings: &Settings, inherited: &Inherited) -> Option<String> {
    if inherited.document.is_some() || inherited.slot.is_some() {
        return None;
    }
    let keys = settings.duty.upgrade_keys.as_ref()?;
    Store::new(&settings.state_dir, keys).boot()
}

/// Runs the member; the agent that goes on with it, or the exit code.
fn live(settings: &Settings, inherited: Inherited) -> Result<Box<Next>, ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(KEEP_ALIVE)
        .thread_stack_size(512 << 10)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            trap::take();
            return Err(ExitCode::FAILURE);
        }
    };
    // Where a storm of processes leaves no room for a thread, there is one already.
    drop(runtime.spawn_blocking(|| ()));
    let run = agent::run(settings.clone(), inherited, cli::reread);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tokio::task::LocalSet::new().block_on(&runtime, run)
    }));
    // Blocking work that does not heed its stop must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    let error = match ended {
        Ok(Ok(Ended::Become(next))) => return Ok(next),
        Ok(Ok(Ended::Exit(exit))) => {
            trap::take();
            return Err(ExitCode::from(exit));
        }
        Ok(Err(error)) => error,
        Err(_) => {
            trap::take();
            return Err(ExitCode::from(PANICKED));
        }
    };
    tracing::error!("{error}");
    trap::take();
    Err(match error {
        AgentError::State(StateError::Taken { .. }) => ExitCode::from(TAKEN),
        _ => ExitCode::FAILURE,
    })
}

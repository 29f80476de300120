//! `make demo`: the whole loop for real on this machine, narrated. With `CHECK=1` it ends with a verdict; otherwise
//! it stays up until Ctrl-C.
//!
//! It refuses to pretend: every line tells what was seen through the API, a socket or a process.

mod following;
mod healing;
mod narrator;
mod stage;
mod story;
mod table;

use std::process::ExitCode;
use std::sync::Arc;

use narrator::Narrator;
use stage::Stage;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let check = std::env::var_os("CHECK").is_some_and(|value| !value.is_empty() && value != "0");
    let narrator = Arc::new(Narrator::new());
    let mut stage = match Stage::set(Arc::clone(&narrator)).await {
        Ok(stage) => stage,
        Err(fault) => {
            narrator.fault(&fault.to_string());
            return ExitCode::FAILURE;
        }
    };
    let told = tokio::select! {
        told = story::tell(&mut stage) => told,
        () = stopped() => return ExitCode::FAILURE,
    };
    let report = stage.load.report();
    table::show(&narrator, &stage.times, &report);
    let reasons = table::reasons(told.as_ref().err(), &report);
    for reason in &reasons {
        narrator.fault(reason);
    }
    if reasons.is_empty() {
        narrator.step(
            "Verdict: everything happened as told, and no request failed but those on killed processes.",
        );
    } else {
        narrator.fact(&format!("the server's log ends with:\n{}", stage.stack.log_end()));
    }
    if !check {
        stage.how_to_look();
        stopped().await;
    }
    if !reasons.is_empty() {
        stage.keep_files();
    }
    drop(stage);
    if reasons.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Somebody wants it to end: Ctrl-C, or SIGTERM. Everything that was started is ended by what then is dropped.
async fn stopped() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

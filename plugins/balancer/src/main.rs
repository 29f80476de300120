//! `cartridge-plugin-balancer`: the built-in balancer as a process.
//!
//! This file refuses to know about HTTP and about frames.

use std::process::ExitCode;

use cartridge_plugin_balancer::{HttpBalancer, Limits};
use cartridge_plugin_sdk::{arguments, run_balancer};
use tracing_subscriber::EnvFilter;

const ABOUT: &str = "Spreads HTTP requests over the members of clusters, as its agent tells it.
RUST_LOG says how much it writes to standard error: info, debug, ...";

fn main() -> ExitCode {
    if let Err(code) = arguments(ABOUT, []) {
        return code;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let limits = Limits::default().within_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    run_balancer(runtime, HttpBalancer::new(limits))
}

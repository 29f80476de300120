//! How much the agent itself writes, and that this may change while it runs. Refuses to know what is written.

use std::sync::OnceLock;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::stderr::Stderr;

type Change = Box<dyn Fn(Targets) + Send + Sync>;

static CHANGE: OnceLock<Change> = OnceLock::new();

/// Begins to write, this much: `debug`, or `cartridge_agent::plugin=debug,info`. (EnvFilter knows more, and brings regular
/// expressions.)
pub fn begin(levels: &str) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| Stderr)
        .log_internal_errors(false)
        .with_target(false);
    let (filter, handle) = reload::Layer::new(read(levels));
    tracing_subscriber::registry().with(lines).with(filter).init();
    let change = move |levels| {
        let _ = handle.reload(levels);
    };
    let _ = CHANGE.set(Box::new(change));
}

/// From now on this much.
pub fn change(levels: &str) {
    if let Some(change) = CHANGE.get() {
        change(read(levels));
    }
}

fn read(levels: &str) -> Targets {
    levels
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO))
}

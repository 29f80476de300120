//! HTTP for Git, from a thread that may block: one small runtime and one connection pool per set of trusted
//! authorities, for the whole process. It refuses to know Git.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use tokio::runtime::{Builder, Runtime};

use super::fault::{Fault, GitError, plain};
use super::{Stop, trust};

/// Longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence of a server that has promised more.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// How long an idle connection is kept for the next look at the branch.
const IDLE: Duration = Duration::from_secs(90);

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
});
static CLIENTS: Mutex<BTreeMap<Option<PathBuf>, Client>> = Mutex::new(BTreeMap::new());

/// The client that trusts the machine's authorities and those in `roots`.
pub(super) fn client(roots: Option<&Path>) -> Result<Client, GitError> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = roots.map(Path::to_path_buf);
    if let Some(client) = clients.get(&key) {
        return Ok(client.clone());
    }
    let path = key.clone().unwrap_or_else(|| "the built-in authorities".into());
    let tls = trust::settings(roots).map_err(|reason| GitError::Local {
        path: path.clone(),
        reason,
    })?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("git/2 (cartridge-agent ", env!("CARGO_PKG_VERSION"), ")"))
        .build()
        .map_err(|error| GitError::Local {
            path,
            reason: chain(&error),
        })?;
    clients.insert(key, client.clone());
    Ok(client)
}

/// Waits for `work`, but no longer than `stop` allows.
pub(super) fn wait<T>(
    stop: &Stop,
    work: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, Fault> {
    let runtime = RUNTIME
        .as_ref()
        .map_err(|error| Fault::Unreachable(error.to_string()))?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = stop.raised() => Err(Fault::Stopped),
            done = work => done.map_err(|error| Fault::Unreachable(chain(&error.without_url()))),
        }
    })
}

/// Lets the runtime, which stood still since the last call, take back the connection that became idle then.
pub(super) async fn catch_up() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

/// An error with its causes, which is where reqwest keeps what a person needs.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    plain(&text)
}

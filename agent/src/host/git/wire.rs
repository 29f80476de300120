//! HTTP for Git, from a thread that may block: one small runtime and one connection pool per set of trusted
//! authorities, for the whole process. It refuses to know Git.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use cartridge_agent_plan::artifacts::{Addresses, Rules};
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::runtime::{Builder, Runtime};

use super::fault::{Fault, GitError, plain};
use super::{Stop, trust};

/// Longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept for the next look at the branch.
const IDLE: Duration = Duration::from_secs(90);
/// Most clients that are kept.
const MOST_CLIENTS: usize = 4;

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
});
static CLIENTS: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// A client, and what it was made for.
struct Known {
    authority: Option<PathBuf>,
    addresses: Addresses,
    client: Client,
}

/// Looks names up and leaves out every address that may not be connected to: what is checked is what is connected
/// to, whatever the name says the next time.
struct Names {
    accepted: Addresses,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let accepted = self.accepted;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let fitting = permitted(found, accepted)?;
            Ok(Box::new(fitting.into_iter()) as Addrs)
        })
    }
}

/// Those of the addresses of a name that may be connected to; none is an error that says why.
fn permitted(
    found: impl Iterator<Item = SocketAddr>,
    accepted: Addresses,
) -> Result<Vec<SocketAddr>, std::io::Error> {
    let mut fault = None;
    let mut fitting = Vec::new();
    for address in found {
        match accepted.fault(address.ip()) {
            None => fitting.push(address),
            Some(reason) => fault = Some(format!("its address {} {reason}", address.ip())),
        }
    }
    match fault {
        Some(fault) if fitting.is_empty() => Err(std::io::Error::other(fault)),
        _ => Ok(fitting),
    }
}

/// The client that trusts the machine's authorities and those that are named, and goes only where it may.
pub(super) fn client(rules: &Rules) -> Result<Client, GitError> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |known: &&Known| known.authority == rules.authority && known.addresses == rules.addresses;
    if let Some(known) = clients.iter().find(same) {
        return Ok(known.client.clone());
    }
    let path = rules.authority.clone();
    let path = path.unwrap_or_else(|| "the built-in authorities".into());
    let tls = trust::settings(rules.authority.as_deref()).map_err(|reason| GitError::Setting {
        path: path.clone(),
        reason,
    })?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        // A proxy would connect to wherever it likes.
        .no_proxy()
        .dns_resolver(Names {
            accepted: rules.addresses,
        })
        .referer(false)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("git/2 (cartridge-agent ", env!("CARGO_PKG_VERSION"), ")"))
        .build()
        .map_err(|error| GitError::Setting {
            path,
            reason: chain(&error),
        })?;
    if clients.len() == MOST_CLIENTS {
        clients.remove(0);
    }
    clients.push(Known {
        authority: rules.authority.clone(),
        addresses: rules.addresses,
        client: client.clone(),
    });
    Ok(client)
}

/// How long a server is waited for.
#[derive(Clone)]
pub(super) struct Patience {
    pub stop: Stop,
    /// Longest silence.
    pub silence: Duration,
}

/// Waits for `work`, but not for ever.
pub(super) fn wait<T>(
    patience: &Patience,
    work: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, Fault> {
    race(patience, async {
        work.await
            .map_err(|error| Fault::Unreachable(chain(&error.without_url())))
    })
}

/// The addresses of a host that may be connected to.
pub(super) fn look_up(
    patience: &Patience,
    host: &str,
    port: u16,
    accepted: Addresses,
) -> Result<Vec<SocketAddr>, Fault> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    race(patience, async {
        let found = tokio::net::lookup_host((bare, port)).await;
        let fitting = found.and_then(|found| permitted(found, accepted));
        fitting.map_err(|error| Fault::Unreachable(plain(&error.to_string())))
    })
}

fn race<T>(patience: &Patience, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let runtime = RUNTIME
        .as_ref()
        .map_err(|error| Fault::Unreachable(error.to_string()))?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = patience.stop.raised() => Err(Fault::Stopped),
            () = tokio::time::sleep(patience.silence) => Err(Fault::Unreachable(format!(
                "it said nothing for {} s",
                patience.silence.as_secs()
            ))),
            done = work => done,
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

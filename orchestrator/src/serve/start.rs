//! Starts everything in order, runs until told to stop, and stops in the reverse order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cartridge_orchestrator_plan::observe::Observations;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::data::{Data, begin};
use super::{ServeError, ServeOptions};
use crate::auth::Auth;
use crate::clock::Clock;
use crate::engine::{Engine, Intervals, LinkPlace, Parts, State};
use crate::identity::write_private;
use crate::lines::{Limits, Lines};
use crate::provision::process::{Process, Settings};
use crate::provision::{Exit, Provisioners, mock::Mock, takeover};
use crate::{api, auth, link, listen, tls};

/// Exit notices that may wait.
const MAX_EXITS: usize = 1024;
/// Where `--listen` with port 0 looks: above the members' ports, below the kernel's own.
const FREE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;
/// For the port that agents know.
const BIND_TRIES: u32 = 20;
const BIND_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Serves until SIGTERM or SIGINT; members run on (S31).
pub async fn serve(options: ServeOptions) -> Result<(), ServeError> {
    let clock = Clock::start();
    let data = Data::lock(&options.data).await?;
    let (journal, mut world, identity) = data.open()?;
    begin(&journal, &mut world, clock).await?;
    let installation = world.installation.clone();
    let listener = bind(&data.path, options.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|e| ServeError::Listen(options.listen, e))?;
    let tls = certificate(&data.path, &installation, address)?;
    let place = LinkPlace {
        url: format!("https://{}", reachable(address)),
        ca: tls.ca.clone(),
    };
    let stopping = CancellationToken::new();
    let seen = Observations {
        began: clock.now(),
        ..Observations::default()
    };
    let lines = Lines::open(&data.path.join("lines"), Limits::default());
    let (engine, waiting) = Engine::new(Parts {
        lines: lines.clone(),
        state: State {
            world,
            seen,
            ..State::default()
        },
        journal: journal.clone(),
        identity: Arc::new(identity),
        clock,
        intervals: intervals(&options),
        stopping: stopping.clone(),
    });
    let (exits, noticed) = mpsc::channel(MAX_EXITS);
    let mut provisioners = Provisioners::default();
    provisioners.add(
        "process",
        Process::new(settings(&options, &data.path, &installation), exits.clone()),
    );
    provisioners.add("mock", Mock::new(engine.clone(), exits));
    let provisioners = Arc::new(provisioners);
    tokio::spawn(notice(engine.clone(), noticed));
    let lists = takeover::take_over(&engine, &provisioners).await;
    tokio::spawn(takeover::go_on(engine.clone(), Arc::clone(&provisioners), lists));
    let router = routes(&engine, &data.path, &place)?;
    let server = tokio::spawn(listen::serve(
        listener,
        tls.config,
        router,
        engine.clone(),
        stopping.clone(),
    ));
    println!(
        "cartridge {} serves {} from {}",
        env!("CARGO_PKG_VERSION"),
        place.url,
        data.path.display()
    );
    let result = run(&engine, waiting, provisioners, place).await;
    stopping.cancel();
    let _ = server.await;
    journal.close().await;
    lines.close().await;
    tracing::info!("stopped; members run on");
    result
}

async fn run(
    engine: &Engine,
    waiting: crate::engine::Waiting,
    provisioners: Arc<Provisioners>,
    place: LinkPlace,
) -> Result<(), ServeError> {
    let stopping = engine.stopping();
    let own = engine.clone();
    let writer = tokio::spawn(async move { own.run(waiting, provisioners, place).await });
    tokio::pin!(writer);
    tokio::select! {
        ended = writer.as_mut() => return finished(ended),
        () = asked_to_stop() => stopping.cancel(),
    }
    finished(writer.await)
}

fn finished(
    ended: Result<Result<(), crate::journal::JournalError>, tokio::task::JoinError>,
) -> Result<(), ServeError> {
    match ended {
        Ok(result) => result.map_err(ServeError::from),
        Err(_) => Err(ServeError::WriterEnded),
    }
}

async fn asked_to_stop() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

async fn notice(engine: Engine, mut noticed: mpsc::Receiver<Exit>) {
    while let Some(exit) = noticed.recv().await {
        tracing::info!(member = %exit.member, incarnation = exit.incarnation, "{}", exit.reason);
        engine.instance_gone(&exit.member, exit.incarnation, exit.reason);
    }
}

fn intervals(options: &ServeOptions) -> Intervals {
    Intervals {
        sample_ms: u64::from(options.sample_interval) * 1000,
        publish_ms: u64::from(options.publish_interval) * 1000,
    }
}

fn settings(options: &ServeOptions, data: &Path, installation: &str) -> Settings {
    Settings {
        members: data.join("members"),
        installation: installation.to_owned(),
        agent: binary(options.agent.as_ref(), "cartridge-agent"),
        balancer: binary(options.balancer.as_ref(), "cartridge-plugin-balancer"),
        allow_file_repositories: options.allow_file_repositories,
        own_cgroups: true,
    }
}

/// The given one, or the one beside this program. Absolute, because members run elsewhere.
fn binary(given: Option<&PathBuf>, name: &str) -> PathBuf {
    let path = match given {
        Some(path) => path.clone(),
        None => {
            let own = std::env::current_exe().unwrap_or_default();
            own.parent()
                .map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
        }
    };
    if !path.is_file() {
        tracing::warn!(
            "{} is not there: members of provider `process` cannot be started",
            path.display()
        );
    }
    std::path::absolute(&path).unwrap_or(path)
}

/// Port 0 means a free one, but the same again after a restart: agents that run know us by it.
async fn bind(data: &Path, wanted: SocketAddr) -> Result<TcpListener, ServeError> {
    let last = data.join("listen");
    let fault = |e| ServeError::Listen(wanted, e);
    let before = std::fs::read_to_string(&last)
        .ok()
        .and_then(|text| text.trim().parse::<SocketAddr>().ok());
    let again = before.filter(|before| wanted.port() == 0 && before.ip() == wanted.ip());
    let remembered = match again {
        Some(again) => bind_again(again).await,
        None => None,
    };
    let listener = match remembered {
        Some(listener) => listener,
        None if wanted.port() == 0 => bind_free(wanted).await.map_err(fault)?,
        None => TcpListener::bind(wanted).await.map_err(fault)?,
    };
    let address = listener.local_addr().map_err(fault)?;
    if before.is_some_and(|before| before != address) {
        tracing::warn!(
            "agents that were started under another address no longer find us and will be replaced"
        );
    }
    write_private(&last, address.to_string().as_bytes()).map_err(fault)?;
    Ok(listener)
}

/// A child of the orchestrator before us can hold the port until it has become an agent: a moment's patience.
async fn bind_again(again: SocketAddr) -> Option<TcpListener> {
    for _ in 0..BIND_TRIES {
        match TcpListener::bind(again).await {
            Ok(listener) => return Some(listener),
            Err(e) => {
                tracing::warn!("{again}, where agents that run look for us, cannot be listened on yet: {e}")
            }
        }
        tokio::time::sleep(BIND_PAUSE).await;
    }
    None
}

/// A free port that the kernel does not give to outgoing connections, so that it is still free after a restart.
async fn bind_free(wanted: SocketAddr) -> std::io::Result<TcpListener> {
    let width = FREE_PORTS.end() - FREE_PORTS.start();
    let offset = u16::try_from(std::process::id() % u32::from(width)).unwrap_or(0);
    for step in 0..width {
        let port = FREE_PORTS.start() + (offset + step) % width;
        if let Ok(listener) = TcpListener::bind((wanted.ip(), port)).await {
            return Ok(listener);
        }
    }
    TcpListener::bind(wanted).await
}

/// Where agents on this machine reach a listener on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

fn certificate(data: &Path, installation: &str, address: SocketAddr) -> Result<tls::Tls, ServeError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut names = vec!["localhost".to_owned()];
    let host = host.trim();
    if !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    {
        names.push(host.to_owned());
    }
    let mut addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if !addresses.contains(&address.ip()) && !address.ip().is_unspecified() {
        addresses.push(address.ip());
    }
    Ok(tls::open(data, installation, &names, &addresses)?)
}

fn routes(engine: &Engine, data: &Path, place: &LinkPlace) -> Result<axum::Router, ServeError> {
    first_start(data, place)?;
    let api = api::router(engine.clone(), Auth::open(data)?);
    Ok(link::router(engine.clone()).merge(api))
}

/// Makes the administrator's password once, and the file that the command line finds everything in.
fn first_start(data: &Path, place: &LinkPlace) -> Result<(), ServeError> {
    let path = data.join("client.json");
    let fault = |source| ServeError::File {
        path: path.display().to_string(),
        source,
    };
    let mut client = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => serde_json::Map::new(),
    };
    client.insert("server".to_owned(), place.url.clone().into());
    client.insert("ca".to_owned(), place.ca.display().to_string().into());
    let write = |client: &serde_json::Map<String, serde_json::Value>| {
        let text = serde_json::to_vec_pretty(client)?;
        write_private(&path, &text)
    };
    let made = auth::ensure_admin(data, |made| {
        client.insert("user".to_owned(), made.user.clone().into());
        client.insert("password".to_owned(), made.password.expose().into());
        write(&client).map_err(|source| auth::AuthFault::File {
            path: path.clone(),
            source,
        })
    })?;
    if made.is_some() {
        println!("the administrator's password is in {}", path.display());
    } else if path.exists() {
        write(&client).map_err(fault)?;
    }
    Ok(())
}

//! The loop of a balancer plugin: a frame in, a call, a frame out, one at a time.
//!
//! This file refuses to know how requests get to members.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use cartridge_protocol::plugin::{Answer, Call, Kind, Response};
use cartridge_protocol::sample::{BalancerReading, ClusterReading};
use cartridge_protocol::topology::Topology;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::runtime::Runtime;

use crate::admission::{Admission, admit};
use crate::answer;
use crate::line::{Line, next_line};

/// How long what is left of a runtime may take to end after the balancer has stopped.
const RUNTIME_END: Duration = Duration::from_millis(200);

/// Something that spreads requests over members.
///
/// Calls come one at a time. `set_members` gets only what [`admit`] let pass.
pub trait Balancer: Send {
    /// Why a call was refused, in words that say what to do.
    type Error: Display + Send;

    /// The plugin's name.
    fn name(&self) -> &str;

    /// Serve exactly this. On an error nothing may have changed.
    fn set_members(&mut self, topology: &Topology) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What was measured since the last call; one row per cluster served.
    fn read(&mut self) -> impl Future<Output = Result<Vec<ClusterReading>, Self::Error>> + Send;

    /// Finish what is under way, within a few seconds, and end.
    fn stop(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}

/// The whole `main` of a balancer plugin: serves stdin and stdout until stdin ends or SIGTERM comes.
pub fn run_balancer(runtime: std::io::Result<Runtime>, balancer: impl Balancer) -> ExitCode {
    let served = runtime.and_then(|runtime| {
        let served = runtime.block_on(serve_balancer(balancer));
        // A read of stdin cannot be interrupted; it must not hold up the end.
        runtime.shutdown_timeout(RUNTIME_END);
        served
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "plugin ended");
            ExitCode::FAILURE
        }
    }
}

/// Serves stdin and stdout until stdin ends or SIGTERM or SIGINT comes, then stops the balancer.
///
/// # Errors
/// The pipes broke; the balancer has been stopped all the same.
pub async fn serve_balancer(balancer: impl Balancer) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve_balancer_on(balancer, tokio::io::stdin(), tokio::io::stdout(), stop).await
}

/// Serves any pair of pipes until `input` ends or `stop` completes, then stops the balancer.
///
/// # Errors
/// The pipes broke; the balancer has been stopped all the same.
pub async fn serve_balancer_on<R, W>(
    mut balancer: impl Balancer,
    input: R,
    mut output: W,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let served = tokio::select! {
        served = answer_all(&mut balancer, BufReader::new(input), &mut output) => served,
        () = stop => Ok(()),
    };
    balancer.stop().await;
    served
}

async fn answer_all<R, W>(
    balancer: &mut impl Balancer,
    mut input: BufReader<R>,
    output: &mut W,
) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut in_force = None;
    loop {
        let response = match next_line(&mut input).await? {
            Line::Whole(line) => reply(balancer, &mut in_force, &line).await,
            Line::TooLong(length) => answer::too_long(length).into(),
            Line::End => return Ok(()),
        };
        output.write_all(&answer::line(&response)?).await?;
        output.flush().await?;
    }
}

async fn reply(balancer: &mut impl Balancer, in_force: &mut Option<Topology>, line: &[u8]) -> Response {
    let request = match answer::understand(line) {
        Ok(request) => request,
        Err(line) => return line.into(),
    };
    let answered = match request.call {
        Call::Describe(versions) => answer::describe(balancer.name(), Kind::Balancer, versions),
        Call::SetMembers(topology) => set_members(balancer, in_force, topology).await,
        Call::Read => read(balancer, in_force.as_ref()).await,
        other => Err(answer::not_mine(Kind::Balancer, &other)),
    };
    answer::answered(request.id, answered)
}

async fn set_members(
    balancer: &mut impl Balancer,
    in_force: &mut Option<Topology>,
    topology: Topology,
) -> Result<Answer, String> {
    let revision = topology.revision;
    match admit(in_force.as_ref(), &topology).map_err(|refusal| refusal.to_string())? {
        Admission::InForce => {}
        Admission::Apply => {
            balancer
                .set_members(&topology)
                .await
                .map_err(|error| error.to_string())?;
            tracing::info!(revision, clusters = topology.clusters.len(), "topology applied");
            *in_force = Some(topology);
        }
    }
    Ok(Answer::Applied { revision })
}

async fn read(balancer: &mut impl Balancer, in_force: Option<&Topology>) -> Result<Answer, String> {
    let clusters = balancer.read().await.map_err(|error| error.to_string())?;
    Ok(Answer::Read(BalancerReading {
        revision: in_force.map_or(0, |topology| topology.revision),
        clusters,
    }))
}

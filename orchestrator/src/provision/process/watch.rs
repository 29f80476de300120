//! Notices that an agent ended, ends what it left behind, and says so. Refuses to start anything.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

use super::tagged::{self, Pid};
use super::{Life, Process, blocking};
use crate::provision::Exit;

/// The agent found its lock taken: another one of the same life runs.
const LOCK_TAKEN: i32 = 3;

/// Watches an agent that we started.
pub(super) fn child(process: &Process, life: Life, mut child: Child) {
    begin(process, &life);
    let process = process.clone();
    tokio::spawn(async move {
        let status = child.wait().await;
        if status
            .as_ref()
            .is_ok_and(|status| status.code() == Some(LOCK_TAKEN))
        {
            let tag = process.tag(&life);
            if let Ok(Some(agent)) = blocking(move || tagged::agent(&tag)).await {
                wait(agent, &process.tag(&life)).await;
                ended(&process, life, "agent ended".to_owned()).await;
                return;
            }
        }
        let reason = status.map_or_else(|e| format!("agent ended: {e}"), explain);
        ended(&process, life, reason).await;
    });
}

/// Watches an agent that an orchestrator before us started. Watching it already is fine.
pub(super) fn adopted(process: &Process, life: Life, agent: Pid) {
    if !begin(process, &life) {
        return;
    }
    let process = process.clone();
    tokio::spawn(async move {
        wait(agent, &process.tag(&life)).await;
        ended(&process, life, "agent ended".to_owned()).await;
    });
}

fn begin(process: &Process, life: &Life) -> bool {
    process
        .0
        .watched
        .lock()
        .expect("no holder of this lock panics")
        .insert(life.clone())
}

async fn wait(agent: Pid, tag: &str) {
    // An error means that it is over already, and so does a number that is somebody else's by now.
    let Ok(pinned) = tagged::open(agent) else { return };
    if !tagged::is_agent(agent, tag) {
        return;
    }
    // SAFETY: the descriptor is owned by what wraps it and cannot be closed or exchanged before that is dropped.
    if let Ok(pinned) = unsafe { AsyncFd::register_with_interest(pinned, Interest::READABLE) } {
        let _ = pinned.readable().await;
    }
}

async fn ended(process: &Process, life: Life, reason: String) {
    process
        .0
        .watched
        .lock()
        .expect("no holder of this lock panics")
        .remove(&life);
    if let Err(e) = process.end(&life).await {
        tracing::error!(member = %life.0, "{e}");
    }
    let exit = Exit {
        member: life.0,
        incarnation: life.1,
        reason,
    };
    let _ = process.0.exits.send(exit).await;
}

fn explain(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("agent ended: exit code {code}"),
        (_, Some(signal)) => format!("agent ended: signal {signal}"),
        _ => "agent ended".to_owned(),
    }
}

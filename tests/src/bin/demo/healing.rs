//! The middle of the story: an application, an agent and the orchestrator are killed, and nothing is lost or doubled.
//!
//! It refuses to excuse a request that no kill explains.

use std::time::{Duration, Instant};

use cartridge_tests::api::Member;
use cartridge_tests::load::Kill;
use cartridge_tests::process;

use crate::stage::{Fault, Stage, unexpected};
use crate::story::{CROWDED, IN_PRIVATE, PACKED, PER_MEMBER, on_release};

/// A member in `private` that serves.
async fn victim(stage: &Stage) -> Result<Member, Fault> {
    let members = stage.serving().await?;
    match members.into_iter().rfind(|m| m.network_partition == "private") {
        Some(member) => Ok(member),
        None => unexpected("no member serves in private"),
    }
}

pub(crate) async fn kill_application(stage: &mut Stage, good: &str) -> Result<(), Fault> {
    let victim = victim(stage).await?;
    stage.narrator.step(&format!(
        "kill -9 of the application of {}: its agent starts it again.",
        victim.member
    ));
    let since = Instant::now();
    let before: Vec<_> = {
        let processes = stage.stack.processes();
        process::children_of(&processes, &victim.member)
            .iter()
            .map(|p| p.pid)
            .collect()
    };
    if before.is_empty() {
        return unexpected(format!("{} has no application process", victim.member));
    }
    stage.load.note_kill(Kill::now(Some(victim.member.clone())));
    for pid in &before {
        process::kill9(*pid).map_err(std::io::Error::from)?;
    }
    let look = async || {
        let processes = stage.stack.processes();
        let now = process::children_of(&processes, &victim.member);
        now.iter().any(|p| !before.contains(&p.pid)).then_some(())
    };
    stage.until("a new process of the application", look).await?;
    healed(stage, CROWDED, good).await?;
    stage.took("healed: application killed", since);
    Ok(())
}

pub(crate) async fn kill_agent(stage: &mut Stage, good: &str) -> Result<(), Fault> {
    let victim = victim(stage).await?;
    stage.narrator.step(&format!(
        "kill -9 of the agent of {}: the member is replaced.",
        victim.member
    ));
    let (since, after) = (Instant::now(), stage.events.newest());
    let processes = stage.stack.processes();
    let Some(agent) = process::agent_of(&processes, &victim.member) else {
        return unexpected(format!("{} has no agent process", victim.member));
    };
    stage.load.note_kill(Kill::now(Some(victim.member.clone())));
    process::kill9(agent.pid).map_err(std::io::Error::from)?;
    stage.event(after, "member-failed", Some(&victim.member)).await?;
    healed(stage, CROWDED, good).await?;
    let old = |p: &process::MemberProcess| p.tag == agent.tag;
    let look = async || (!stage.stack.processes().iter().any(old)).then_some(());
    stage.until("nothing left of the killed life", look).await?;
    stage.took("healed: agent killed", since);
    Ok(())
}

pub(crate) async fn kill_orchestrator(stage: &mut Stage, good: &str) -> Result<(), Fault> {
    stage.narrator.step(&format!(
        "Load rises to {PACKED}, and the orchestrator is killed (-9) in the middle of scaling out."
    ));
    let (since, after) = (Instant::now(), stage.events.newest());
    let rising = stage.ramp(CROWDED, PACKED, Duration::from_secs(18));
    let planned = stage.event(after, "member-planned", None).await?;
    stage.stack.kill9().await?;
    stage.narrator.fact(&format!(
        "killed after {} was planned; requests must be answered all the same",
        planned.text
    ));
    stage.traffic_goes_on(300).await?;
    stage.stack.restart().await?;
    stage
        .narrator
        .fact("the orchestrator is back on the same journal");
    let _ = rising.await;
    healed(stage, PACKED, good).await?;
    stage.took("healed: orchestrator killed in mid-scale", since);
    Ok(())
}

/// As many members as the load needs (two fit into `private`), each once, on the good commit, and requests are answered.
async fn healed(stage: &Stage, in_flight: usize, good: &str) -> Result<(), Fault> {
    let needed = in_flight.div_ceil(PER_MEMBER).saturating_sub(IN_PRIVATE);
    // The accepted commit, not the rejected head of the branch.
    let members = on_release(stage, needed, good).await?;
    stage.traffic_goes_on(50).await?;
    stage.narrator.fact(&format!(
        "{} members serve, each once: none lost, none twice",
        members.len()
    ));
    Ok(())
}

//! How fast a member starts, how fast a decision becomes a member, how fast a killed one is replaced.

use std::time::{Duration, Instant};

use cartridge_tests::api::Member;
use cartridge_tests::blueprint::Plan;
use cartridge_tests::measure::median;
use cartridge_tests::process;
use cartridge_tests::stack::{self, Stack};
use serde_json::{Value, json};

use crate::{Failure, Row, row};

const ROUNDS: usize = 9;
/// Most agents killed on one server: from the third that had not lived for a minute on, replacements wait.
const KILLS: usize = 2;
const DEADLINE: Duration = Duration::from_secs(30);

async fn wait(stack: &Stack, ready: impl Fn(&[Member]) -> bool) -> Result<Vec<Member>, Failure> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let members = stack.api().members().await?;
        if ready(&members) {
            return Ok(members);
        }
        if Instant::now() > deadline {
            return Err(format!("waited in vain: {members:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn active(members: &[Member]) -> usize {
    members.iter().filter(|m| m.is_active()).count()
}

async fn scale(stack: &Stack, cluster: &str, size: u32) -> Result<(), Failure> {
    let path = format!("/api/clusters/{cluster}/scale");
    stack.api().post(&path, Some(&json!({"size": size}))).await?;
    Ok(())
}

/// An order to have one member more, until it is active.
async fn order_to_active(stack: &Stack, cluster: &str) -> Result<f64, Failure> {
    wait(stack, |members| members.len() == 1 && active(members) == 1).await?;
    let begun = Instant::now();
    scale(stack, cluster, 2).await?;
    wait(stack, |members| active(members) == 2).await?;
    let took = begun.elapsed();
    scale(stack, cluster, 1).await?;
    Ok(took.as_secs_f64() * 1000.0)
}

/// From the death of a process until its member is active again with a new one, or its replacement is.
async fn killed_to_active(stack: &Stack, agent: bool) -> Result<f64, Failure> {
    wait(stack, |members| members.len() == 1 && active(members) == 1).await?;
    let status: Value = stack.api().get("/api/status").await?;
    let before = status["seq"].as_u64().ok_or("the status names no position")?;
    let processes = stack.processes();
    let victim = processes
        .iter()
        .find(|p| p.is_agent() == agent)
        .ok_or("nothing to kill")?;
    let begun = Instant::now();
    process::kill9(victim.pid)?;
    let member = format!("/api/members/{}", victim.tag.member);
    loop {
        let healed = if agent {
            let events: Vec<Value> = stack.api().get(&format!("/api/events?after={before}")).await?;
            let replaced = |event: &Value| {
                event["kind"] == "member-activated" && event["member"] != victim.tag.member.as_str()
            };
            events.iter().any(replaced)
        } else {
            // An agent that starts its application again within one report never says that it was away.
            let member: Value = stack.api().get(&member).await?;
            member["agent"]["restarts"].as_u64() > Some(0) && member["phase"] == "active"
        };
        if healed {
            return Ok(begun.elapsed().as_secs_f64() * 1000.0);
        }
        if begun.elapsed() > DEADLINE {
            return Err(format!("nobody noticed that {victim:?} died").into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Medians.
pub async fn figures() -> Result<Vec<Row>, Failure> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &[]).await?;
    let plan = Plan::hello(&stack::bin_dir(), "speed");
    plan.deploy(stack.api()).await?;
    let cluster = plan.cluster();
    let (mut orders, mut applications, mut agents) = (Vec::new(), Vec::new(), Vec::new());
    scale(&stack, &cluster, 1).await?;
    for _ in 0..ROUNDS {
        orders.push(order_to_active(&stack, &cluster).await?);
    }
    drop(stack);
    for round in (0..ROUNDS).step_by(KILLS) {
        let folder = tempfile::tempdir()?;
        let stack = Stack::start(folder.path(), &[]).await?;
        plan.deploy(stack.api()).await?;
        for _ in round..(round + KILLS).min(ROUNDS) {
            applications.push(killed_to_active(&stack, false).await?);
            agents.push(killed_to_active(&stack, true).await?);
        }
    }
    let shown = |values: &mut [f64]| format!("{:.0} ms", median(values));
    Ok(vec![
        row(
            "order, agent's start -> new member Active",
            shown(&mut orders),
            "",
            "under 1 s, of which the start 150 ms",
        ),
        row(
            "kill -9 of an application -> serving again",
            shown(&mut applications),
            "Swarm 5.6 s (measured before)",
            "under 3 s",
        ),
        row(
            "kill -9 of an agent -> replacement Active",
            shown(&mut agents),
            "Swarm 5.6 s (measured before)",
            "under 3 s",
        ),
    ])
}

//! What the orchestrator costs with ten thousand simulated members.

use std::time::{Duration, Instant};

use cartridge_tests::blueprint::Plan;
use cartridge_tests::measure::usage;
use cartridge_tests::stack::{self, Stack};
use serde_json::Value;

use crate::{Failure, Row, row};

const CLUSTERS: u32 = 20;
const MEMBERS_EACH: u32 = 500;
const LENGTH: Duration = Duration::from_secs(30);

async fn active(stack: &Stack) -> Result<u64, Failure> {
    let status: Value = stack.api().get("/api/status").await?;
    Ok(status["activeMembers"].as_u64().unwrap_or(0))
}

/// Processor share, memory per member, the slowest passes.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub async fn figures() -> Result<Vec<Row>, Failure> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &[]).await?;
    let pid = u32::try_from(stack.pid().ok_or("the server ended")?)?;
    let empty = usage(pid)?;
    let begun = Instant::now();
    for cluster in 0..CLUSTERS {
        let mut plan = Plan::hello(&stack::bin_dir(), &format!("many{cluster}"));
        plan.provider = "mock".to_owned();
        plan.partitions = vec![(format!("many{cluster}-np"), "127.0.0.1".to_owned(), MEMBERS_EACH)];
        (plan.min, plan.max) = (MEMBERS_EACH, MEMBERS_EACH);
        plan.deploy(stack.api()).await?;
    }
    let wanted = u64::from(CLUSTERS * MEMBERS_EACH);
    while active(&stack).await? < wanted {
        if begun.elapsed() > Duration::from_secs(300) {
            return Err(format!("{} of {wanted} members became active", active(&stack).await?).into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let started = begun.elapsed();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begin = usage(pid)?;
    let begun = Instant::now();
    tokio::time::sleep(LENGTH).await;
    let end = usage(pid)?;
    let share = (end.cpu - begin.cpu).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    let each = (end.rss_kib - empty.rss_kib) as f64 / f64::from(CLUSTERS * MEMBERS_EACH);
    let status: Value = stack.api().get("/api/status").await?;
    let mut rows = vec![
        row(
            "deploy -> 10,000 members Active",
            format!("{:.1} s", started.as_secs_f64()),
            "",
            "",
        ),
        row("CPU, share of one core", format!("{share:.1} %"), "", ""),
        row(
            "RSS per member, simulation included",
            format!("{each:.2} KiB"),
            "",
            "",
        ),
        row("p99 of a pass", format!("{} ms", status["pass"]["p99Ms"]), "", ""),
    ];
    rows.extend(crate::api::figures(stack.api()).await?);
    Ok(rows)
}

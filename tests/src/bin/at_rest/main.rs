//! `make at-rest`: prints which functions an agent at rest runs, for its build to lay them together
//! (`agent/build.rs`).
//!
//! A member that polls its Git repository is left alone until it is at rest; then each function of its agent gets a
//! breakpoint, which goes when it is hit. What is printed are names without their hashes, sorted, each once: the next
//! compiler makes other hashes of the same names. It refuses to know how they are laid.

mod names;
mod trace;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use cartridge_tests::blueprint::Plan;
use cartridge_tests::git_server::{GitServer, Settings};
use cartridge_tests::repository::Repository;
use cartridge_tests::stack::{self, Stack};
use serde_json::json;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Until the application has been well for long.
const WARM_UP: Duration = Duration::from_secs(15);
/// How long the member is watched: several polls, and each rare turn of the agent.
const LENGTH: Duration = Duration::from_secs(100);
const POLL_SECONDS: u64 = 20;

const HEAD: &str = "\
# What an agent at rest runs, by the names of the linker without their hashes. Made by `make at-rest`.
";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(names) => {
            print!("{HEAD}");
            for name in &names {
                println!("{name}");
            }
            eprintln!("{} names", names.len());
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("cartridge-at-rest: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<BTreeSet<String>, Failure> {
    let functions = names::of(&stack::binary("cartridge-agent")?).await?;
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("git");
    let repository = Repository::create(&root.join("rest.git"), &folder.path().join("work")).await?;
    repository.publish(&[("page", "rest")], "All of it").await?;
    let server = GitServer::start(Settings {
        root,
        ..Settings::default()
    })
    .await?;
    let url = server.url("rest.git");
    repository.push_to(&url).await?;

    let stack = Stack::start(&folder.path().join("data"), &[]).await?;
    let mut plan = Plan::hello(&stack::bin_dir(), "rest");
    plan.max = 1;
    plan.repository = Some(json!({"repoUrl": url, "branch": "main", "pollSeconds": POLL_SECONDS}));
    plan.deploy(stack.api()).await?;
    let agent = stack.active_agent().await?;
    eprintln!("waiting until the agent is at rest, then {LENGTH:?} more");
    tokio::time::sleep(WARM_UP).await;
    let addresses: Vec<u64> = functions.keys().copied().collect();
    let hit = tokio::task::spawn_blocking(move || trace::run(agent, &addresses, LENGTH)).await??;
    Ok(hit
        .iter()
        .flat_map(|address| &functions[address])
        .cloned()
        .collect())
}

//! A push of one changed file until every member serves it, beside `git pull` in place and a full checkout.

use std::path::Path;
use std::time::{Duration, Instant};

use cartridge_tests::blueprint::Plan;
use cartridge_tests::git_server::{GitServer, Settings};
use cartridge_tests::measure::median;
use cartridge_tests::repository::{Repository, git};
use cartridge_tests::stack::{self, Stack};
use serde_json::json;

use crate::{Failure, Row, row};

const FILES: u32 = 10_000;
const BYTES: u64 = 200 << 20;
const ROUNDS: usize = 5;
const MEMBERS: u32 = 2;

async fn all_serve(stack: &Stack, commit: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let members = stack.api().members().await?;
        let serving = members
            .iter()
            .filter(|m| m.is_active() && m.release.as_deref() == Some(commit))
            .count();
        if serving == MEMBERS as usize {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{serving} members serve {commit}: {members:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn timed_git(folder: &Path, arguments: &[&str]) -> Result<f64, Failure> {
    let begun = Instant::now();
    git(folder, arguments).await?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// Medians of several pushes.
pub async fn figures() -> Result<Vec<Row>, Failure> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("git");
    let repository = Repository::create(&root.join("big.git"), &folder.path().join("work")).await?;
    repository.fill(FILES, BYTES, 7).await?;
    repository.publish(&[("changing", "0")], "All of it").await?;
    let server = GitServer::start(Settings {
        root,
        ..Settings::default()
    })
    .await?;
    let url = server.url("big.git");
    repository.push_to(&url).await?;

    let stack = Stack::start(&folder.path().join("data"), &[]).await?;
    server.set_hook(Some(stack.api().web_hook()));
    let mut plan = Plan::hello(&stack::bin_dir(), "files");
    plan.min = MEMBERS;
    plan.repository = Some(json!({"repoUrl": url, "branch": "main", "pollSeconds": 3600}));
    plan.deploy(stack.api()).await?;
    all_serve(&stack, &repository.head().await?).await?;

    let pulled = folder.path().join("pulled");
    git(
        folder.path(),
        &["clone", "-q", &url, &pulled.display().to_string()],
    )
    .await?;
    let (mut whole, mut ours) = (Vec::new(), Vec::new());
    let (mut pulls, mut checkouts) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        repository.write("changing", format!("{round}")).await?;
        let commit = repository.commit("One file").await?;
        let begun = Instant::now();
        repository.push().await?;
        let pushed = begun.elapsed();
        all_serve(&stack, &commit).await?;
        let took = begun.elapsed();
        whole.push(took.as_secs_f64() * 1000.0);
        // A pull begins when the push has ended, and so does this clock.
        ours.push(took.saturating_sub(pushed).as_secs_f64() * 1000.0);
        pulls.push(timed_git(&pulled, &["pull", "-q"]).await?);
        let fresh = folder.path().join(format!("fresh-{round}"));
        let target = fresh.display().to_string();
        checkouts.push(timed_git(&pulled, &["worktree", "add", "-q", "--detach", &target, &commit]).await?);
        git(&pulled, &["worktree", "remove", "--force", &target]).await?;
    }
    let (own, pull, checkout) = (median(&mut ours), median(&mut pulls), median(&mut checkouts));
    let beside = |own: f64| {
        format!(
            "git pull {pull:.0} ms ({:.2}x), checkout {checkout:.0} ms ({:.2}x)",
            own / pull,
            own / checkout
        )
    };
    let whole = median(&mut whole);
    Ok(vec![
        row(
            "push done -> switched on all (2) members",
            format!("{own:.0} ms"),
            beside(own),
            "1.5x pull, 0.1x checkout",
        ),
        row(
            "the same, the push itself included",
            format!("{whole:.0} ms"),
            beside(whole),
            "",
        ),
    ])
}

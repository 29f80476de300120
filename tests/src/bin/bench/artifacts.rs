//! A push of one changed file until every member serves it, beside `git pull` in place and a full checkout.

use std::path::{Path, PathBuf};
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
const ALONE: u32 = 1;

async fn all_serve(stack: &Stack, members: u32, commit: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let all = stack.api().members().await?;
        let serving = all
            .iter()
            .filter(|m| m.is_active() && m.release.as_deref() == Some(commit))
            .count();
        if serving == members as usize {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{serving} members serve {commit}: {all:?}").into());
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

    let peers = Peers::cloned(folder.path(), &url).await?;
    let mut rows = Vec::new();
    for members in [ALONE, MEMBERS] {
        let stack = Stack::start(&folder.path().join(format!("data-{members}")), &[]).await?;
        server.set_hook(Some(stack.api().web_hook()));
        let mut plan = Plan::hello(&stack::bin_dir(), "files");
        plan.min = members;
        plan.repository = Some(json!({"repoUrl": url, "branch": "main", "pollSeconds": 3600}));
        plan.deploy(stack.api()).await?;
        all_serve(&stack, members, &repository.head().await?).await?;
        rows.extend(of(&stack, members, &repository, &peers).await?);
    }
    Ok(rows)
}

/// What others do with the same change.
struct Peers {
    folder: PathBuf,
    pulled: PathBuf,
}

impl Peers {
    async fn cloned(folder: &Path, url: &str) -> Result<Self, Failure> {
        let pulled = folder.join("pulled");
        git(folder, &["clone", "-q", url, &pulled.display().to_string()]).await?;
        Ok(Self {
            folder: folder.to_path_buf(),
            pulled,
        })
    }

    async fn pull(&self) -> Result<f64, Failure> {
        timed_git(&self.pulled, &["pull", "-q"]).await
    }

    async fn checkout(&self, commit: &str) -> Result<f64, Failure> {
        let target = self.folder.join(format!("fresh-{commit}")).display().to_string();
        let add = ["worktree", "add", "-q", "--detach", &target, commit];
        let took = timed_git(&self.pulled, &add).await?;
        git(&self.pulled, &["worktree", "remove", "--force", &target]).await?;
        Ok(took)
    }
}

async fn of(
    stack: &Stack,
    members: u32,
    repository: &Repository,
    peers: &Peers,
) -> Result<Vec<Row>, Failure> {
    let (mut whole, mut ours) = (Vec::new(), Vec::new());
    let (mut pulls, mut checkouts) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        repository.write("changing", format!("{members} {round}")).await?;
        let commit = repository.commit("One file").await?;
        let begun = Instant::now();
        repository.push().await?;
        let pushed = begun.elapsed();
        all_serve(stack, members, &commit).await?;
        let took = begun.elapsed();
        whole.push(took.as_secs_f64() * 1000.0);
        // A pull begins when the push has ended, and so does this clock.
        ours.push(took.saturating_sub(pushed).as_secs_f64() * 1000.0);
        pulls.push(peers.pull().await?);
        checkouts.push(peers.checkout(&commit).await?);
    }
    let (own, pull, checkout) = (median(&mut ours), median(&mut pulls), median(&mut checkouts));
    let beside = |own: f64| {
        format!(
            "git pull {pull:.0} ms ({:.2}x), checkout {checkout:.0} ms ({:.2}x)",
            own / pull,
            own / checkout
        )
    };
    let (aim, what) = if members == ALONE {
        (
            "1.0x pull, 0.1x checkout",
            "push done -> switched on the one member",
        )
    } else {
        (
            "1.5x pull, 0.1x checkout",
            "push done -> switched on all (2) members",
        )
    };
    let whole = median(&mut whole);
    Ok(vec![
        row(what, format!("{own:.0} ms"), beside(own), aim),
        row(
            "  the same, the push itself included",
            format!("{whole:.0} ms"),
            beside(whole),
            "",
        ),
    ])
}

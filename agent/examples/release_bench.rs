//! How long a new release takes, beside `git pull` in place and a full checkout, over HTTP on loopback.
//!
//! `cargo run --profile quick -p cartridge-agent --example release_bench [files] [bytes per file]`. It prints
//! milliseconds, the median of five changes of one file each. It refuses to judge them.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cartridge_agent::host::git::{self, Remote, Stop, fetcher};
use cartridge_agent::host::shelf::Shelf;
use cartridge_agent_plan::release::{self, Move, Wanted};
use cartridge_protocol::CommitId;
use support::{Repo, Server, git_in};
use tempfile::TempDir;

const ROUNDS: usize = 5;

/// What one change cost.
#[derive(Default)]
struct Costs {
    head: Vec<f64>,
    stage: Vec<f64>,
    switch: Vec<f64>,
    prune: Vec<f64>,
    pull: Vec<f64>,
    checkout: Vec<f64>,
}

fn ms<T>(into: &mut Vec<f64>, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    into.push(begun.elapsed().as_secs_f64() * 1000.0);
    done
}

fn settle(shelf: &Shelf, remote: &Remote, wanted: &Wanted, costs: &mut Costs) {
    loop {
        let step = release::next(&shelf.state().expect("a state"), wanted);
        let into = match step {
            Move::Nothing => return,
            Move::Stage(_) | Move::Remake { .. } => &mut costs.stage,
            Move::Switch(_) => &mut costs.switch,
            _ => &mut costs.prune,
        };
        ms(into, || shelf.carry_out(&step, remote, &Stop::new())).expect("a move");
    }
}

fn fill(repo: &Repo, files: u32, bytes: usize) -> CommitId {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for n in 0..files {
        let mut content = Vec::with_capacity(bytes + 8);
        while content.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend_from_slice(&state.to_le_bytes());
        }
        content.truncate(bytes);
        repo.write(&format!("folder-{}/part-{}/file-{n}", n % 20, n % 200), content);
    }
    // Packed before, so that nobody's figures hold the server's housekeeping.
    repo.git(&["config", "gc.auto", "0"]);
    let commit = repo.commit();
    repo.git(&["repack", "-a", "-d", "-q"]);
    commit
}

fn checkout_all(from: &Path, place: &Path) {
    let prefix = format!("--prefix={}/", place.display());
    git_in(from, &["checkout-index", "-a", "-q", &prefix], b"");
}

fn show(what: &str, mut figures: Vec<f64>) {
    figures.sort_by(f64::total_cmp);
    if let (Some(middle), Some(most)) = (figures.get(figures.len() / 2), figures.last()) {
        println!("{what:<44} {middle:>9.1} ms   (most {most:.1})");
    }
}

fn main() -> ExitCode {
    if let Some(code) = fetcher::asked() {
        return code;
    }
    measure();
    ExitCode::SUCCESS
}

fn measure() {
    let mut arguments = std::env::args().skip(1);
    let files = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    let bytes = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let repo = Repo::new();
    let mut commit = fill(&repo, files, bytes);
    let server = Server::start(repo.path());
    let remote = support::remote(server.url(".git"));
    let place = TempDir::new().expect("a folder");
    let shelf = Shelf::open(&place.path().join("shelf")).expect("a shelf");
    // What was written so far is not ours to flush.
    nix::unistd::sync();
    let (clone, mut first, mut cloning) = (place.path().join("clone"), Costs::default(), Vec::new());
    let wanted = |commit: &CommitId, previous: Option<&CommitId>| Wanted {
        commit: Some(commit.clone()),
        previous: previous.cloned(),
        keep: 1,
        ..Wanted::default()
    };
    settle(&shelf, &remote, &wanted(&commit, None), &mut first);
    let path = clone.to_str().expect("a plain path");
    ms(&mut cloning, || {
        git_in(
            place.path(),
            &["clone", "-q", "--depth", "1", &remote.url, path],
            b"",
        )
    });

    let mut costs = Costs::default();
    for round in 0..ROUNDS {
        repo.write("folder-7/part-7/file-7", format!("round {round}"));
        let next = repo.commit();
        nix::unistd::sync();
        for _ in 0..3 {
            ms(&mut costs.head, || git::head(&remote, &Stop::new())).expect("a head");
        }
        settle(&shelf, &remote, &wanted(&next, Some(&commit)), &mut costs);
        nix::unistd::sync();
        ms(&mut costs.pull, || git_in(&clone, &["pull", "-q"], b""));
        // Not removed in between: ext4 is slow to hand out what was just given back.
        let fresh = place.path().join(format!("fresh-{round}"));
        ms(&mut costs.checkout, || checkout_all(&clone, &fresh));
        commit = next;
    }
    println!("{files} files of {bytes} bytes, one changed, {ROUNDS} rounds");
    show("first release: fetch, stage, seal", first.stage);
    show("  git clone --depth 1", cloning);
    show("look at the branch (head)", costs.head);
    show("next release: fetch, stage, flush, seal", costs.stage);
    show("  switch", costs.switch);
    show("  prune", costs.prune);
    show("  git pull in place", costs.pull);
    show("  git checkout of everything", costs.checkout);
}

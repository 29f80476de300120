//! How long a new release takes, beside `git pull` in place and full checkouts, over HTTP on loopback.
//!
//! `cargo run --profile quick -p cartridge-agent --example release_bench [files] [bytes per file]`. It prints the median
//! of nine changes of one file each: milliseconds, those of the processor, KiB given to the disk to write, the last two
//! with all child processes. It refuses to judge them.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cartridge_agent::host::git::{self, Remote, Stop, fetcher};
use cartridge_agent::host::shelf::Shelf;
use cartridge_agent_plan::release::{self, Move, Wanted};
use cartridge_protocol::CommitId;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use support::{Repo, Server, git_in};
use tempfile::TempDir;

const ROUNDS: usize = 9;

/// What a piece of work took of each.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    ms: f64,
    cpu_ms: f64,
    written_kib: f64,
}

impl Cost {
    /// Of this process and of all its children that have ended, so far.
    fn so_far() -> Self {
        let mut all = Self::default();
        for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
            let usage = getrusage(who).expect("the kernel counts");
            for time in [usage.user_time(), usage.system_time()] {
                all.cpu_ms += time.num_microseconds() as f64 / 1000.0;
            }
            // In blocks of 512 bytes, whatever the file system's are.
            all.written_kib += usage.block_writes() as f64 / 2.0;
        }
        all
    }

    fn plus(self, other: Self) -> Self {
        Self {
            ms: self.ms + other.ms,
            cpu_ms: self.cpu_ms + other.cpu_ms,
            written_kib: self.written_kib + other.written_kib,
        }
    }
}

/// What one change cost.
#[derive(Default)]
struct Costs {
    head: Vec<Cost>,
    stage: Vec<Cost>,
    switch: Vec<Cost>,
    prune: Vec<Cost>,
    pull: Vec<Cost>,
    checkout: Vec<Cost>,
    worktree: Vec<Cost>,
}

fn taking<T>(into: &mut Vec<Cost>, work: impl FnOnce() -> T) -> T {
    let (begun, before) = (Instant::now(), Cost::so_far());
    let done = work();
    let after = Cost::so_far();
    into.push(Cost {
        ms: begun.elapsed().as_secs_f64() * 1000.0,
        cpu_ms: after.cpu_ms - before.cpu_ms,
        written_kib: after.written_kib - before.written_kib,
    });
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
        taking(into, || shelf.carry_out(&step, remote, &Stop::new())).expect("a move");
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

/// A folder of its own for the commit, as git-sync makes it: the files, and an index that knows them.
fn worktree(from: &Path, place: &Path) {
    let path = place.to_str().expect("a plain path");
    git_in(from, &["worktree", "add", "-q", "--detach", path, "HEAD"], b"");
}

fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let mut figures: Vec<f64> = costs.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Beside `ours`, if it is a peer's.
fn show(what: &str, costs: &[Cost], ours: Option<&[Cost]>) {
    if costs.is_empty() {
        return;
    }
    let (ms, cpu) = (median(costs, |c| c.ms), median(costs, |c| c.cpu_ms));
    let written = median(costs, |c| c.written_kib);
    let beside = ours.map_or(String::new(), |ours| {
        format!(
            "   ours {:.2}x, {:.2}x, {:.2}x",
            median(ours, |c| c.ms) / ms,
            median(ours, |c| c.cpu_ms) / cpu,
            median(ours, |c| c.written_kib) / written
        )
    });
    println!("{what:<42} {ms:>8.1} ms {cpu:>8.1} ms CPU {written:>8.0} KiB{beside}");
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
    taking(&mut cloning, || {
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
            taking(&mut costs.head, || git::head(&remote, &Stop::new())).expect("a head");
        }
        settle(&shelf, &remote, &wanted(&next, Some(&commit)), &mut costs);
        nix::unistd::sync();
        taking(&mut costs.pull, || git_in(&clone, &["pull", "-q"], b""));
        // Not removed in between: ext4 is slow to hand out what was just given back.
        let fresh = place.path().join(format!("fresh-{round}"));
        taking(&mut costs.checkout, || checkout_all(&clone, &fresh));
        nix::unistd::sync();
        let fresh = place.path().join(format!("worktree-{round}"));
        taking(&mut costs.worktree, || worktree(&clone, &fresh));
        commit = next;
    }
    println!("{files} files of {bytes} bytes, one changed, {ROUNDS} rounds");
    show("first release: fetch, stage, seal", &first.stage, None);
    show("  git clone --depth 1", &cloning, Some(&first.stage));
    print(&costs);
}

fn print(costs: &Costs) {
    let next: Vec<Cost> = costs
        .stage
        .iter()
        .zip(&costs.switch)
        .map(|(a, b)| a.plus(*b))
        .collect();
    show("look at the branch (head)", &costs.head, None);
    show("next release: fetch, stage, flush, seal", &costs.stage, None);
    show("  switch", &costs.switch, None);
    show("  prune", &costs.prune, None);
    show("notice -> switched", &next, None);
    show("  git pull in place", &costs.pull, Some(&next));
    show(
        "  git worktree add, as git-sync does",
        &costs.worktree,
        Some(&next),
    );
    show("  git checkout-index, files only", &costs.checkout, Some(&next));
}

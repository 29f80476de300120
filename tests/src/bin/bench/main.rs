//! `make bench`: every figure we claim, each beside its peer where one is named, from one run on this machine.
//!
//! Medians of several runs; ratios within this run. Nothing here decides whether a figure is good.

mod api;
mod artifacts;
mod footprint;
mod latency;
mod scale;

use std::process::ExitCode;

/// One figure beside its peer.
struct Row {
    what: String,
    ours: String,
    peers: String,
    aim: String,
}

/// Figures are printed as they are had, so that a run that is cut short has shown something.
fn print(title: &str, rows: &[Row]) {
    println!("\n{title}");
    let head = ("", "ours", "peers in this run", "aim");
    println!("  {:<44} {:>14}   {:<46} {}", head.0, head.1, head.2, head.3);
    for row in rows {
        println!(
            "  {:<44} {:>14}   {:<46} {}",
            row.what, row.ours, row.peers, row.aim
        );
    }
}

fn row(what: &str, ours: String, peers: impl Into<String>, aim: &str) -> Row {
    Row {
        what: what.to_owned(),
        ours,
        peers: peers.into(),
        aim: aim.to_owned(),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let mut failed = false;
    let mut show = |title: &str, figures: Result<Vec<Row>, Failure>| match figures {
        Ok(rows) => print(title, &rows),
        Err(fault) => {
            failed = true;
            eprintln!("\n{title}: {fault}");
        }
    };
    if wanted("footprint") {
        show(
            "The agent at rest, measuring each second, publishing each five, for 60 s",
            footprint::figures().await,
        );
    }
    if wanted("latency") {
        show("How fast members come and come back", latency::figures().await);
    }
    if wanted("artifacts") {
        show(
            "One file changed in 200 MB / 10,000 files",
            artifacts::figures().await,
        );
    }
    if wanted("scale") {
        show("10,000 mock members, 1 s samples", scale::figures().await);
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

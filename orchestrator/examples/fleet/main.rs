//! What the orchestrator costs with 100,000 members in 1,000 clusters that report each five seconds: its engine, journal
//! and decisions as in the server, one thread, no simulation of members beside it. HTTP and TLS are not in it; reading the
//! JSON of each batch is.
//!
//! `cargo run --release -p cartridge-orchestrator --example fleet [MEMBERS [CLUSTERS [SECONDS]]]`

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod made;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cartridge_orchestrator::clock::Clock;
use cartridge_orchestrator::engine::{Engine, Intervals, LinkPlace, Parts, State, Waiting};
use cartridge_orchestrator::identity::Identity;
use cartridge_orchestrator::journal::Journal;
use cartridge_orchestrator::lines::Lines;
use cartridge_orchestrator::provision::Provisioners;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::MemberId;
use cartridge_protocol::link::{Batch, Phase, Status};
use cartridge_protocol::sample::{Sample, Scope as Measured};
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_secs(5);

type Fault = Box<dyn Error>;

fn main() -> Result<(), Fault> {
    let mut words = std::env::args().skip(1);
    let mut number = |otherwise: u32| words.next().map_or(Ok(otherwise), |word| word.parse());
    let (members, clusters, seconds) = (number(100_000)?, number(1_000)?, number(75)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(members, clusters, u64::from(seconds)))
}

async fn measure(members: u32, clusters: u32, seconds: u64) -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let empty = resident_kib()?;
    let applications = clusters / made::CLUSTERS_EACH;
    let (world, journal) = made::fleet(folder.path(), members / clusters, applications).await?;
    let all: Vec<MemberId> = world.members.keys().cloned().collect();
    let made_in = began.elapsed().as_secs_f64();
    println!(
        "{} members in {clusters} clusters, made in {made_in:.1} s",
        all.len()
    );
    trim();
    let facts = resident_kib()?;
    let (engine, waiting) = engine(world, journal, CancellationToken::new())?;
    let place = LinkPlace {
        url: "https://127.0.0.1:1".to_owned(),
        ca: folder.path().join("ca.pem"),
    };
    for member in &all {
        engine.instance_runs(member, 1);
    }
    let own = engine.clone();
    let writer =
        tokio::spawn(async move { own.run(waiting, Arc::new(Provisioners::default()), place).await });

    let (cpu, begun) = (processor()?, Instant::now());
    let mut round = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        round += 1;
        paced(&engine, &all, round).await?;
    }
    let share = (processor()? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    let passes = engine.stats().passes;
    trim();
    let full = resident_kib()?;
    row(
        "reports while measured",
        format!("{round} rounds of {}", all.len()),
    );
    row(
        "CPU, share of one core, members' JSON included",
        format!("{share:.1} %"),
    );
    for (what, micros) in [
        ("p50 of a pass", passes.p50_us),
        ("p99 of a pass (aim: under 50 ms)", passes.p99_us),
        ("longest pass", passes.max_us),
    ] {
        row(what, format!("{:.1} ms", micros as f64 / 1000.0));
    }
    for (what, kib) in [
        ("RSS per member, facts", facts),
        ("RSS per member (aim: under 2,048)", full),
    ] {
        let each = (kib - empty) as f64 * 1024.0 / all.len() as f64;
        row(what, format!("{each:.0} bytes"));
    }
    let rate = flat_out(&engine, &all, round + 1)?;
    row(
        "ingest, flat out (aim: above 50,000)",
        format!("{rate:.0} samples/s"),
    );
    engine.stopping().cancel();
    writer.await??;
    match engine.read(|world, _, _| world.members.len()) {
        left if left == all.len() => Ok(()),
        left => Err(format!("{left} members are left of {}", all.len()).into()),
    }
}

fn engine(world: World, journal: Journal, stopping: CancellationToken) -> Result<(Engine, Waiting), Fault> {
    let state = State {
        world,
        ..State::default()
    };
    Ok(Engine::new(Parts {
        state,
        journal,
        identity: Arc::new(Identity::from_key(&[7; 32]).ok_or("no key")?),
        clock: Clock::start(),
        lines: Lines::nowhere(),
        intervals: Intervals {
            sample_ms: 5_000,
            publish_ms: 5_000,
        },
        stopping,
    }))
}

fn row(what: &str, figure: String) {
    println!("  {what:<52} {figure:>24}");
}

/// Every member reports once, evenly over the interval.
async fn paced(engine: &Engine, all: &[MemberId], round: u64) -> Result<(), Fault> {
    const SLICES: usize = 500;
    let begun = Instant::now();
    let slice = all.len().div_ceil(SLICES);
    for (number, members) in (1_u32..).zip(all.chunks(slice)) {
        for member in members {
            report(engine, member, &body(round)?)?;
        }
        let due = INTERVAL * number / u32::try_from(SLICES)?;
        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
    }
    Ok(())
}

/// Every member reports once, as fast as it goes.
fn flat_out(engine: &Engine, all: &[MemberId], round: u64) -> Result<f64, Fault> {
    let body = body(round)?;
    let begun = Instant::now();
    for member in all {
        report(engine, member, &body)?;
    }
    Ok(all.len() as f64 / begun.elapsed().as_secs_f64())
}

fn report(engine: &Engine, member: &MemberId, body: &[u8]) -> Result<(), Fault> {
    let batch: Batch = serde_json::from_slice(body)?;
    let taken = engine.report(member, 1, batch);
    taken
        .map(drop)
        .map_err(|fence| format!("{member}: {fence:?}").into())
}

/// What a member says: it is well, and as busy as always, more or less.
fn body(round: u64) -> Result<Vec<u8>, Fault> {
    let load = 0.3 + (round % 7) as f64 / 100.0;
    let batch = Batch {
        sequence: round,
        status: Status {
            phase: Phase::Active,
            revision: 1,
            ..Status::starting()
        },
        sample: Some(Sample {
            sequence: round * 5,
            scope: Measured::CgroupV2,
            load: Some([load; 3]),
            cores: 1.0,
            memory_used: Some(1 << 28),
            memory_limit: Some(1 << 30),
            cpu_percent: Some(load * 100.0),
            throttled: None,
            pressure: None,
            readers: Vec::new(),
        }),
        balancer: None,
        notices: Vec::new(),
        logs: Vec::new(),
        logs_dropped: 0,
    };
    Ok(serde_json::to_vec(&batch)?)
}

/// What is resident and its own: files that are mapped do not count.
fn resident_kib() -> Result<u64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("no RssAnon")?;
    Ok(number.parse()?)
}

/// Gives back what is free: what is left is in use, or lies between what is.
fn trim() {
    // SAFETY: it touches free memory of the allocator only.
    unsafe { libc::malloc_trim(0) };
}

fn processor() -> Result<Duration, Fault> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    Ok(Duration::from_micros(u64::try_from(
        micros(usage.user_time()) + micros(usage.system_time()),
    )?))
}

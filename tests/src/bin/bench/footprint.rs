//! What the agent costs at rest, beside node_exporter (scraped each second), collectd (cpu, load, memory at 1 s) and a
//! bare agent in Python.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cartridge_tests::blueprint::Plan;
use cartridge_tests::measure::{Usage, usage};
use cartridge_tests::stack::{self, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::{Failure, Row, row};

const LENGTH: Duration = Duration::from_secs(60);
/// Until the application has been well for long.
const WARM_UP: Duration = Duration::from_secs(15);
const BROKER: &str = "18830";
const PYTHON_AGENT: &str = include_str!("../../../peers/python_agent.py");
const EXPORTER: &str = "127.0.0.1:19100";

/// What a process used during the measured time, scaled to a minute and to a second.
struct Rate {
    end: Usage,
    cpu_ms_per_minute: f64,
    switches_per_second: f64,
}

fn rate(begin: Usage, end: Usage, length: Duration) -> Rate {
    let seconds = length.as_secs_f64();
    Rate {
        end,
        cpu_ms_per_minute: (end.cpu - begin.cpu).as_secs_f64() * 1000.0 * 60.0 / seconds,
        #[allow(clippy::cast_precision_loss, reason = "a small count")]
        switches_per_second: (end.switches - begin.switches) as f64 / seconds,
    }
}

fn start(program: &str, arguments: &[&str]) -> Result<Child, Failure> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{program}: {e}").into())
}

fn collectd(folder: &Path) -> Result<Child, Failure> {
    let configuration = folder.join("collectd.conf");
    std::fs::write(
        &configuration,
        format!(
            "BaseDir \"{0}\"\nPIDFile \"{0}/pid\"\nInterval 1\nLoadPlugin cpu\nLoadPlugin load\nLoadPlugin memory\n",
            folder.display()
        ),
    )?;
    start(
        "/usr/sbin/collectd",
        &["-f", "-C", &configuration.display().to_string()],
    )
}

/// A broker, and the agent in Python that publishes to it.
async fn python(folder: &Path) -> Result<(Child, Child), Failure> {
    let broker = start("/usr/sbin/mosquitto", &["-p", BROKER])?;
    let repository = folder.join("python.git");
    let made = Command::new("git")
        .args(["init", "-q"])
        .arg(&repository)
        .status()
        .await?;
    let commit = [
        "-c",
        "user.name=b",
        "-c",
        "user.email=b@b",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "b",
    ];
    let committed = Command::new("git")
        .arg("-C")
        .arg(&repository)
        .args(commit)
        .status()
        .await?;
    if !made.success() || !committed.success() {
        return Err("no repository for the agent in Python".into());
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while tokio::net::TcpStream::connect(format!("127.0.0.1:{BROKER}"))
        .await
        .is_err()
    {
        if Instant::now() > deadline {
            return Err("the MQTT broker does not answer".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let script = folder.join("agent.py");
    std::fs::write(&script, PYTHON_AGENT)?;
    let words = [
        script.display().to_string(),
        BROKER.into(),
        repository.display().to_string(),
    ];
    let agent = start("/usr/bin/python3", &words.each_ref().map(String::as_str))?;
    Ok((broker, agent))
}

async fn scrape_each_second() {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let Ok(mut socket) = tokio::net::TcpStream::connect(EXPORTER).await else {
            continue;
        };
        let asked = b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
        let mut answer = Vec::new();
        if socket.write_all(asked).await.is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(2), socket.read_to_end(&mut answer)).await;
        }
    }
}

/// Size, memory, processor time and wake-ups.
pub async fn figures() -> Result<Vec<Row>, Failure> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(&folder.path().join("data"), &[]).await?;
    let mut plan = Plan::hello(&stack::bin_dir(), "rest");
    plan.max = 1;
    plan.deploy(stack.api()).await?;
    let agent = u32::try_from(stack.active_agent().await?)?;
    let exporter = start(
        "prometheus-node-exporter",
        &[&format!("--web.listen-address={EXPORTER}")],
    )?;
    let collectd = collectd(folder.path())?;
    let (_broker, python) = python(folder.path()).await?;
    let scraping = tokio::spawn(scrape_each_second());

    let pids: Vec<u32> = [Some(agent), exporter.id(), collectd.id(), python.id()]
        .into_iter()
        .map(|pid| pid.ok_or("a peer ended early"))
        .collect::<Result<_, _>>()?;
    tokio::time::sleep(WARM_UP).await;
    let begun = Instant::now();
    let begin: Vec<Usage> = pids.iter().map(|pid| usage(*pid)).collect::<Result<_, _>>()?;
    tokio::time::sleep(LENGTH).await;
    let length = begun.elapsed();
    let rates: Vec<Rate> = pids
        .iter()
        .zip(begin)
        .map(|(pid, begin)| Ok(rate(begin, usage(*pid)?, length)))
        .collect::<Result<_, std::io::Error>>()?;
    scraping.abort();

    let binary = stack::binary("cartridge-agent")?;
    let size = std::fs::metadata(&binary)?.len();
    let packed = Command::new("gzip")
        .arg("-9c")
        .arg(&binary)
        .output()
        .await?
        .stdout
        .len();
    Ok(rows(&rates, size, packed))
}

/// One figure out of what was measured.
type Figure = fn(&Rate) -> f64;

#[allow(clippy::cast_precision_loss, reason = "sizes for people")]
fn rows(rates: &[Rate], size: u64, packed: usize) -> Vec<Row> {
    let beside = |figure: Figure| {
        let ours = figure(&rates[0]);
        let peer = |rate: &Rate| format!("{:.1} ({:.2}x)", figure(rate), ours / figure(rate));
        (
            format!("{ours:.2}"),
            format!(
                "node_exporter {}, collectd {}, Python {}",
                peer(&rates[1]),
                peer(&rates[2]),
                peer(&rates[3])
            ),
        )
    };
    let mib = |bytes: f64| format!("{:.2}", bytes / 1_048_576.0);
    let mut rows = vec![
        row("size, static and stripped, MiB", mib(size as f64), "", "under 8"),
        row("the same, gzipped, MiB", mib(packed as f64), "", "under 3.5"),
    ];
    let figures: [(&str, Figure, &str); 4] = [
        ("RSS, MiB", |rate| rate.end.rss_kib as f64 / 1024.0, "under 6"),
        ("PSS, MiB", |rate| rate.end.pss_kib as f64 / 1024.0, "under 5"),
        ("CPU, ms a minute", |rate| rate.cpu_ms_per_minute, "under 20"),
        (
            "context switches a second",
            |rate| rate.switches_per_second,
            "at most 3",
        ),
    ];
    for (what, figure, aim) in figures {
        let (ours, peers) = beside(figure);
        rows.push(row(what, ours, peers, aim));
    }
    rows
}

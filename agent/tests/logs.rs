//! The real agent binary and what an application writes: files through rotations and kill -9, floods, the last words.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, Run};
use harness::{Fake, Member, agent, desired, is_active, start};

/// What an orchestrator keeps: of each stream what it has not seen.
fn kept(batches: &[Batch]) -> BTreeMap<String, Vec<String>> {
    let mut kept: BTreeMap<String, (u64, u64, Vec<String>)> = BTreeMap::new();
    for line in batches.iter().flat_map(|batch| &batch.logs) {
        let (number, sequence, lines) = kept.entry(line.stream.clone()).or_default();
        let again = line.sequence.is_some_and(|this| this <= *sequence);
        if line.number <= *number || again {
            continue;
        }
        *number = line.number;
        *sequence = line.sequence.unwrap_or(0);
        lines.extend(line.text.split('\n').map(str::to_owned));
    }
    kept.into_iter()
        .map(|(stream, (_, _, lines))| (stream, lines))
        .collect()
}

fn of(fake: &Fake, stream: &str) -> Vec<String> {
    kept(&fake.batches()).remove(stream).unwrap_or_default()
}

/// The application is a shell script, and there is nothing to probe.
fn script(launch: &mut LaunchParameters, text: &str) {
    let words = serde_json::to_string(&["/bin/sh", "-c", text]);
    launch.set(key::COMMAND, words.unwrap());
    launch.set(key::PORTS, "");
    launch.set(key::PROBE, "");
}

fn follow(launch: &mut LaunchParameters, folder: &Path, name: &str) -> PathBuf {
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    launch.set("CARTRIDGE_LOG_FILES", logs.join(name).to_str().unwrap());
    logs
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// Writes numbered lines and rotates its file now and then, until it is told to stop.
#[allow(
    clippy::disallowed_methods,
    reason = "an application that writes now and then"
)]
fn writer(path: PathBuf, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut written = Vec::new();
        let mut file = append(&path);
        while !stop.load(Ordering::Relaxed) {
            let line = format!("line {:06} of {}", written.len(), path.display());
            writeln!(file, "{line}").unwrap();
            written.push(line);
            if written.len() % 97 == 0 {
                for n in (1..30).rev() {
                    let _ = std::fs::rename(
                        format!("{}.{n}", path.display()),
                        format!("{}.{}", path.display(), n + 1),
                    );
                }
                std::fs::rename(&path, format!("{}.1", path.display())).unwrap();
                file = append(&path);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        written
    })
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(30), wait).await.is_ok(),
        "never: {what}"
    );
}

#[tokio::test]
async fn lines_of_rotating_files_come_once_and_in_order_although_the_agent_is_killed_again_and_again() {
    let mut parameters = LaunchParameters::default();
    let mut member = start(desired(), |folder, launch| {
        follow(launch, folder, "*.log");
        script(launch, "echo I am $$; exec sleep 1000");
        parameters = launch.clone();
    })
    .await;
    let fake = member.fake.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let path = member.folder.path().join("logs/app.log");
    let writer = writer(path.clone(), stop.clone());
    let stream = path.to_str().unwrap().to_owned();
    for round in 1..=6 {
        until("lines", || of(&fake, &stream).len() > round * 60).await;
        member.agent.kill().await.unwrap();
        // Dead for a while, in which files are rotated.
        tokio::time::sleep(Duration::from_millis(round as u64 * 150)).await;
        member.agent = agent(member.folder.path(), &parameters);
    }
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().unwrap();
    until("the last line", || of(&fake, &stream).last() == written.last()).await;
    let heard = of(&fake, &stream);
    assert_eq!(heard, written, "{}", member.log());
    let sent: usize = fake
        .batches()
        .iter()
        .flat_map(|b| &b.logs)
        .filter(|l| l.stream == stream)
        .count();
    println!("{} lines, {} sent, 6 deaths", written.len(), sent);
}

#[tokio::test]
async fn the_last_words_of_an_application_come_before_its_agent_goes() {
    let mut member = start(desired(), |folder, launch| {
        let log = follow(launch, folder, "app.log").join("app.log");
        let log = log.display();
        script(
            launch,
            &format!("trap 'echo bye; echo bye >> {log}; exit 0' TERM; echo up; while :; do sleep 0.1; done"),
        );
    })
    .await;
    let fake = member.fake.clone();
    fake.hear(0, "Active", is_active).await;
    until("the first word", || of(&fake, "out") == ["up"]).await;
    fake.want(|d| d.run = Run::Stop { within_ms: 5_000 });
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
    let stream = member.folder.path().join("logs/app.log");
    assert_eq!(of(&fake, stream.to_str().unwrap()), ["bye"]);
    assert_eq!(of(&fake, "out"), ["up", "bye"]);
}

#[tokio::test]
async fn stack_traces_on_the_output_are_one_entry_and_control_characters_are_data() {
    let member = start(desired(), |_, launch| {
        script(
            launch,
            r"printf 'boom\n\tat a.b(C.java:1)\nCaused by: x\n\t... 3 more\nred \033[31m\000 text\n'; exec sleep 1000",
        );
    })
    .await;
    until("both", || of(&member.fake, "out").len() == 5).await;
    let batches = member.fake.batches();
    let texts: Vec<&str> = batches
        .iter()
        .flat_map(|b| &b.logs)
        .map(|l| l.text.as_str())
        .collect();
    assert_eq!(
        texts,
        [
            "boom\n\tat a.b(C.java:1)\nCaused by: x\n\t... 3 more",
            "red \u{1b}[31m\0 text"
        ]
    );
}

fn status(member: &Member, field: &str) -> u64 {
    let pid = member.agent.id().unwrap();
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace()
        .nth(1)
        .or(line.split_whitespace().next())
        .unwrap()
        .parse()
        .unwrap_or_else(|_| {
            line.trim_start_matches(':')
                .split_whitespace()
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
}

/// Each stream has a rate of its own, and room of its own while nobody takes anything.
#[tokio::test]
async fn a_stream_that_babbles_costs_another_none_of_its_lines_although_nobody_listens_for_a_while() {
    let member = start(desired(), |_, launch| {
        script(
            launch,
            "yes again & i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i >&2; sleep 0.05; done; exec sleep 1000",
        );
    })
    .await;
    let fake = member.fake.clone();
    fake.hear(0, "Active", is_active).await;
    fake.die();
    tokio::time::sleep(Duration::from_secs(3)).await;
    fake.come_back().await;
    until("the last line", || {
        of(&fake, "err").last().map(String::as_str) == Some("60")
    })
    .await;
    let all: Vec<String> = (1..=60).map(|n: u32| n.to_string()).collect();
    assert_eq!(of(&fake, "err"), all);
    let told = |line: &String| line.starts_with('(') && line.contains("lines were not kept");
    assert!(of(&fake, "out").iter().any(told), "what babbles is counted");
}

#[tokio::test]
async fn an_application_that_babbles_delays_no_sample_and_takes_no_memory() {
    let member = start(desired(), |folder, launch| {
        follow(launch, folder, "*.log");
        script(
            launch,
            "exec yes 'a line that says nothing at all, again and again'",
        );
    })
    .await;
    let fake = member.fake.clone();
    fake.hear(0, "Active", is_active).await;
    let path = member.folder.path().join("logs/flood.log");
    let stop = Arc::new(AtomicBool::new(false));
    let flood = {
        let (path, stop) = (path.clone(), stop.clone());
        std::thread::spawn(move || {
            let block = "another line that says nothing, into a file\n".repeat(20_000);
            let mut file = append(&path);
            let mut written = 0u64;
            while !stop.load(Ordering::Relaxed) {
                file.write_all(block.as_bytes()).unwrap();
                written += block.len() as u64;
                if written % (256 << 20) < block.len() as u64 {
                    file.set_len(0).unwrap();
                }
            }
            written
        })
    };
    let mut gaps = Vec::new();
    let mut at = fake.batches().len();
    at = fake.hear(at, "a sample", |batch| batch.sample.is_some()).await;
    for _ in 0..25 {
        let before = Instant::now();
        at = fake.hear(at, "a sample", |batch| batch.sample.is_some()).await;
        gaps.push(before.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let written = flood.join().unwrap();
    let worst = *gaps.iter().max().unwrap();
    let most = status(&member, "VmHWM");
    let told: u64 = kept(&fake.batches())["out"]
        .iter()
        .filter_map(|line| {
            line.strip_prefix('(')?
                .split_once(" lines were not kept")?
                .0
                .parse::<u64>()
                .ok()
        })
        .sum();
    println!(
        "{} MiB into the file; {told} lines of output counted; longest wait for a sample {worst:?}; most memory {most} KiB",
        written >> 20
    );
    assert!(
        worst < Duration::from_secs(1),
        "samples each 200 ms came as {gaps:?}"
    );
    assert!(most < 64 << 10, "{most} KiB");
    assert!(told > 100_000, "only {told} lines were told");
    let file = of(&fake, path.to_str().unwrap());
    assert!(
        file.iter().any(|line| line.contains("bytes were not kept")),
        "{} lines",
        file.len()
    );
}

/// Voluntary switches of all threads: how often it woke.
fn wakes(member: &Member) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", member.agent.id().unwrap())).unwrap();
    tasks
        .flatten()
        .filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("status")).ok()?;
            text.lines().find_map(|line| {
                line.strip_prefix("voluntary_ctxt_switches:")?
                    .trim()
                    .parse::<u64>()
                    .ok()
            })
        })
        .sum()
}

async fn wakes_in_ten_seconds(files: usize) -> u64 {
    let seldom = Desired {
        sample_interval_ms: 1_000,
        publish_interval_ms: 5_000,
        ..desired()
    };
    let member = start(seldom, |folder, launch| {
        script(launch, "exec sleep 1000");
        if files > 0 {
            let logs = follow(launch, folder, "*.log");
            for n in 0..files {
                std::fs::write(logs.join(format!("{n}.log")), "one line\n").unwrap();
            }
        }
    })
    .await;
    if files > 0 {
        until("all files", || kept(&member.fake.batches()).len() == files).await;
    }
    // The first writing down, and threads that wait for more work, are over.
    tokio::time::sleep(Duration::from_secs(16)).await;
    let before = wakes(&member);
    tokio::time::sleep(Duration::from_secs(10)).await;
    wakes(&member) - before
}

#[tokio::test]
async fn ten_files_that_nobody_writes_to_wake_nobody() {
    let (without, with) = tokio::join!(wakes_in_ten_seconds(0), wakes_in_ten_seconds(10));
    println!("in ten seconds: {without} wake-ups without files, {with} with ten");
    assert!(with <= without + 4, "{without} without, {with} with ten files");
}

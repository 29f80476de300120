//! The agent as process 1 of real containers: orphans, signals, exit codes, a storm of processes, no memory left.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../agent/tests/orchestrator/mod.rs"]
mod orchestrator;

use std::path::Path;
use std::time::{Duration, Instant};

use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, Phase, Run};
use cartridge_tests::docker::{Container, Image};
use cartridge_tests::stack;
use orchestrator::Fake;

/// Time between samples and between batches.
const PERIOD: Duration = Duration::from_millis(1_000);

fn desired() -> Desired {
    serde_json::from_value(serde_json::json!({
        "revision": 1, "epoch": 1, "run": "serve", "artifacts": null, "topology": null,
        "sample_interval_ms": PERIOD.as_millis() as u64, "publish_interval_ms": PERIOD.as_millis() as u64,
    }))
    .unwrap()
}

struct Member {
    container: Container,
    fake: Fake,
    _image: Image,
    _folder: tempfile::TempDir,
}

/// A member whose application is a shell script, in a container with these options.
async fn start(options: &[&str], script: &str, more: &[(&str, &str)]) -> Member {
    let fake = Fake::start(desired()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut launch = LaunchParameters::default();
    for (name, value) in [
        (key::MEMBER_ID, "app.web.hello.domain-1"),
        (key::INCARNATION, "1"),
        (key::LINK, &format!("http://{}", fake.address)),
        (key::JOIN_TOKEN, "token"),
        (
            key::COMMAND,
            &serde_json::to_string(&["/bin/sh", "-c", script]).unwrap(),
        ),
        ("CARTRIDGE_STATE_DIR", "/state"),
    ]
    .iter()
    .chain(more)
    {
        launch.set(*name, *value);
    }
    std::fs::write(folder.path().join("launch-params"), launch.to_json()).unwrap();
    let agent = stack::binary("cartridge-agent").unwrap();
    let image = Image::of("agent", &[("/cartridge-agent", Path::new(&agent))]);
    let mount = format!("{}:/launch:ro", folder.path().display());
    let mut all = vec!["--network", "host", "-v", &mount, "-v", "/state"];
    all.extend(options);
    let command = ["/cartridge-agent", "--launch-params", "/launch/launch-params"];
    Member {
        container: Container::run_with_tools(&image, &all, &command),
        fake,
        _image: image,
        _folder: folder,
    }
}

fn is_active(batch: &Batch) -> bool {
    batch.status.phase == Phase::Active
}

fn says(line: &str) -> impl Fn(&Batch) -> bool {
    move |batch| batch.logs.iter().any(|l| l.text == line)
}

fn reason(batch: &Batch) -> &str {
    match &batch.status.phase {
        Phase::Suspended { reason } | Phase::Failed { reason } => reason,
        _ => "",
    }
}

fn zombies(of: i32) -> usize {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    let state = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let all = children.split_whitespace();
    all.filter(|pid| state(pid).contains(") Z ")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_orphans_leave_no_zombies_and_docker_stop_ends_the_member_in_order() {
    let script = "trap 'echo usr1' USR1; trap 'echo bye; exit 0' TERM; i=0; \
        while [ $i -lt 10000 ]; do ( : & ); i=$((i+1)); done; echo done; while :; do sleep 0.05; done";
    let member = start(&[], script, &[]).await;
    let one = member.container.pid();
    let fake = member.fake.clone();
    let heard = tokio::spawn(async move { fake.hear(0, "the end of the storm", says("done")).await });
    let mut peak = 0;
    while !heard.is_finished() {
        peak = peak.max(zombies(one));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let at = heard.await.unwrap();
    println!("{peak} zombies at most among 10,000 orphans");
    assert!(peak <= 300, "{peak} zombies at once");
    let deadline = Instant::now() + Duration::from_secs(2);
    while zombies(one) > 0 {
        assert!(Instant::now() < deadline, "{} zombies stay", zombies(one));
    }
    member.container.signal("USR1");
    member
        .fake
        .hear(at, "the signal in the application", says("usr1"))
        .await;
    let begun = Instant::now();
    member.container.signal("TERM");
    assert_eq!(member.container.exit_code(Duration::from_secs(9)), 0);
    println!("ended {:?} after the signal", begun.elapsed());
    member.fake.hear(at, "its farewell", says("bye")).await;
    let last = member.fake.batches().last().unwrap().status.phase.clone();
    assert_eq!(last, Phase::Stopped, "{}", member.container.logs());
}

/// Started by the agent in a container: every process of it only ever starts more.
#[test]
#[ignore = "is started by the agent under test, as its application"]
fn storm() {
    loop {
        // SAFETY: neither parent nor child does anything but fork again.
        unsafe { nix::libc::fork() };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_processes_fills_the_limit_and_the_agent_goes_on_and_ends_it() {
    let script = "sleep 2; echo storm; exec /storm --exact storm --ignored";
    let me = format!("{}:/storm:ro", std::env::current_exe().unwrap().display());
    let member = start(&["--pids-limit", "64", "-v", &me], script, &[]).await;
    let at = member.fake.hear(0, "the beginning", says("storm")).await;
    // Fifteen periods in the middle of it.
    let (mut times, mut at) = (vec![Instant::now()], at);
    let full = || {
        let path = format!(
            "/proc/{}/root/sys/fs/cgroup/pids/pids.current",
            member.container.pid()
        );
        std::fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
    };
    let mut fullest = 0;
    for _ in 0..15 {
        at = member
            .fake
            .hear(at, "the next batch", |b| b.sample.is_some())
            .await;
        times.push(Instant::now());
        fullest = fullest.max(full().unwrap_or(0));
    }
    let mut waits: Vec<Duration> = times.windows(2).map(|two| two[1] - two[0]).collect();
    waits.sort_unstable();
    println!(
        "{fullest} processes; time between batches: {:?} at the middle, {:?} at most",
        waits[7], waits[14]
    );
    assert!(fullest >= 60, "there was no storm: {fullest} processes");
    assert!(waits[14] < 2 * PERIOD, "{waits:?}");
    let begun = Instant::now();
    member.fake.want(|d| d.run = Run::Stop { within_ms: 2_000 });
    assert_eq!(
        member.container.exit_code(Duration::from_secs(10)),
        0,
        "{}",
        member.container.logs()
    );
    println!("all of it ended {:?} after the order", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_uses_up_the_memory_is_killed_and_told_and_the_agent_lives_on() {
    let script = "sleep 1; x=$(head -c 500000000 /dev/zero | tr '\\0' x); echo unreachable";
    let member = start(&["--memory", "64m", "--memory-swap", "64m"], script, &[]).await;
    let one = member.container.pid();
    let killed = |b: &Batch| reason(b).contains("killed, out of memory");
    let at = member.fake.hear(0, "the death by memory", killed).await;
    println!("{}", reason(&member.fake.batches()[at - 1]));
    // It goes on like that until it is given up, and the agent is the same all along.
    let at = member
        .fake
        .hear(at, "giving up", |b| {
            matches!(b.status.phase, Phase::Failed { .. })
        })
        .await;
    let given_up = member.fake.batches()[at - 1].clone();
    assert_eq!(
        reason(&given_up).matches("killed, out of memory").count(),
        6,
        "{}",
        reason(&given_up)
    );
    assert_eq!(member.container.pid(), one);
    member.fake.want(|d| d.run = Run::Stop { within_ms: 1_000 });
    assert_eq!(member.container.exit_code(Duration::from_secs(10)), 137);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_times_the_memory_runs_out_and_it_is_never_the_agent_that_ends() {
    // A last line without an end, that `tail` has to keep until it comes; it offers itself before the shell. A shell that is
    // taken all the same is started again, however often.
    let script =
        "while :; do (echo 1000 > /proc/self/oom_score_adj; exec tail /dev/zero) > /dev/null 2>&1; done";
    let again = [
        ("CARTRIDGE_RESTART_LIMIT", "0"),
        ("CARTRIDGE_RESTART_SECONDS", "1"),
    ];
    let member = start(&["--memory", "32m", "--memory-swap", "32m"], script, &again).await;
    let one = member.container.pid();
    let path = format!("/proc/{one}/root/sys/fs/cgroup/memory/memory.oom_control");
    let kills = || {
        let told = std::fs::read_to_string(&path).unwrap();
        let kills = told.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.unwrap().parse::<u32>().unwrap()
    };
    let (begun, mut at, mut last, mut longest) = (Instant::now(), 0, Instant::now(), Duration::ZERO);
    while kills() < 1000 {
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "{} kills\n{}",
            kills(),
            member.container.logs()
        );
        at = member.fake.hear(at, "the next batch", |_| true).await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    println!(
        "{} kills in {:.1?}; {longest:.1?} at most between two batches",
        kills(),
        begun.elapsed()
    );
    assert_eq!(member.container.pid(), one);
    assert!(longest < 4 * PERIOD, "{longest:?} of silence");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_ends_with_the_code_of_the_application_that_was_the_reason() {
    let never = [("CARTRIDGE_RESTART", "never")];
    let member = start(&[], "sleep 0.5; echo no luck >&2; exit 42", &never).await;
    let at = member
        .fake
        .hear(0, "the end", |b| reason(b).contains("exit code 42"))
        .await;
    assert!(reason(&member.fake.batches()[at - 1]).contains("no luck"));
    member.fake.want(|d| d.run = Run::Stop { within_ms: 1_000 });
    assert_eq!(member.container.exit_code(Duration::from_secs(10)), 42);
    // And with none, where it was asked to end while all was well.
    let member = start(&[], "exec sleep 600", &[]).await;
    member.fake.hear(0, "Active", is_active).await;
    member.container.signal("TERM");
    assert_eq!(member.container.exit_code(Duration::from_secs(10)), 0);
}

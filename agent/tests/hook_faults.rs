//! The real agent binary and hooks that hang, crash, babble, flee, or are not what they should be.
//!
//! Rows 23 to 28 of the fault matrix and S18: no descendant survives but servers of hooks that start servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Phase, Run};
use futures_util::future::join_all;
use harness::{Fake, Member, desired, hook, is_active, start};

/// No application, no ports; every process that a hook starts carries the mark in its environment.
fn marked(launch: &mut LaunchParameters, mark: &str) {
    for name in [key::COMMAND, key::PROBE, key::PORTS] {
        launch.set(name, "");
    }
    launch.set("MARK", mark);
    launch.set("CARTRIDGE_HOOK_SECONDS", "1");
}

/// Processes that carry the mark: hooks, what they started, and the warden between them and the agent.
fn left(mark: &str) -> Vec<String> {
    let wanted = format!("STRATOS_MARK={mark}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let carries = |path: &Path| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|v| v == wanted.as_bytes())
    };
    entries
        .filter(|e| {
            e.file_name()
                .to_string_lossy()
                .bytes()
                .all(|b| b.is_ascii_digit())
        })
        .filter(|e| carries(&e.path()))
        .map(|e| std::fs::read_to_string(e.path().join("cmdline")).unwrap_or_default())
        .collect()
}

async fn until_nothing_is_left(mark: &str, within: Duration) {
    let begun = Instant::now();
    while !left(mark).is_empty() {
        assert!(
            begun.elapsed() < within,
            "after {within:?} there are {:?}",
            left(mark)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn says(hook: &'static str, what: &'static str) -> impl Fn(&Batch) -> bool {
    move |b| {
        b.notices
            .iter()
            .any(|n| n.kind == "hook" && n.text.starts_with(hook) && n.text.contains(what))
    }
}

async fn with(name: &str, script: &str, mark: &str) -> (Member, Fake) {
    let member = start(desired(), |folder, launch| {
        marked(launch, mark);
        hook(folder, name, script);
    })
    .await;
    let fake = member.fake.clone();
    (member, fake)
}

/// Ways to stay alive: a plain child, one that ignores being asked, one in a session of its own, one whose parents have
/// ended, and one that does it all and goes on making children.
const FLIGHTS: [(&str, &str); 5] = [
    ("child", "sleep 600 &"),
    (
        "deaf",
        "sh -c \"trap '' TERM HUP INT; while :; do sleep 600; done\" &",
    ),
    ("session", "setsid sleep 600 > /dev/null 2>&1 < /dev/null &"),
    ("orphan", "(setsid sh -c '(sleep 600 &) &' &) &"),
    (
        "hydra",
        "for n in 1 2 3 4; do (setsid sh -c \"trap '' TERM; while :; do (sleep 0.02 &); sleep 0.01; done\" &) & done",
    ),
];

/// All of them at once, each with a member of its own.
async fn each_flight(play: impl AsyncFn(&'static str, &'static str)) {
    join_all(FLIGHTS.map(|(flight, script)| play(flight, script))).await;
}

/// Row 23.
#[tokio::test]
async fn nothing_is_left_of_a_hook_that_hangs_whatever_it_started() {
    each_flight(async |flight: &'static str, script: &'static str| {
        let mark = format!("hang-{flight}");
        let script = format!("trap '' TERM\n{script}\nwhile :; do sleep 600; done");
        let (_member, fake) = with("InstanceActivatedEvent", &script, &mark).await;
        fake.hear(0, flight, says("InstanceActivatedEvent", "took longer than 1 s"))
            .await;
        assert_eq!(left(&mark), Vec::<String>::new(), "{flight}");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_of_a_hook_that_fails_even_one_that_starts_servers() {
    each_flight(async |flight: &'static str, script: &'static str| {
        let mark = format!("fail-{flight}");
        let (_member, fake) = with("StartServers", &format!("{script}\nexit 7"), &mark).await;
        fake.hear(0, flight, says("StartServers", "exit code 7")).await;
        assert_eq!(left(&mark), Vec::<String>::new(), "{flight}");
    })
    .await;
}

#[tokio::test]
async fn what_a_hook_leaves_behind_when_it_succeeds_lives_on_only_where_servers_are_started() {
    for (name, lives_on) in [
        ("InstanceStartedEvent", true),
        ("StartServers", true),
        ("InstanceActivatedEvent", false),
    ] {
        each_flight(async |flight: &'static str, script: &'static str| {
            let mark = format!("{name}-{flight}");
            let (mut member, fake) = with(name, &format!("{script}\nsleep 0.1"), &mark).await;
            let at = fake.hear(0, "Active", is_active).await;
            if lives_on {
                // The hook's warden has ended: nobody would end them now.
                assert!(!left(&mark).is_empty(), "{name} {flight} was ended");
            } else {
                let told = |b: &Batch| {
                    b.logs
                        .iter()
                        .any(|l| l.stream == name && l.text.contains("left behind"))
                };
                fake.hear(at - 1, "what became of it", told).await;
                until_nothing_is_left(&mark, Duration::from_secs(5)).await;
            }
            // With the member, servers end too.
            fake.want(|d| d.run = Run::Stop { within_ms: 2_000 });
            assert_eq!(member.exits().await, Some(0), "{}", member.log());
            until_nothing_is_left(&mark, Duration::from_secs(5)).await;
        })
        .await;
    }
}

/// The clean-up hook runs last of all: nobody would be there to end what it left.
#[tokio::test]
async fn nothing_is_left_of_the_clean_up_hook() {
    each_flight(async |flight: &'static str, script: &'static str| {
        let mark = format!("clean-{flight}");
        let (mut member, fake) = with("clean", script, &mark).await;
        fake.hear(0, "Active", is_active).await;
        fake.want(|d| d.run = Run::Stop { within_ms: 5_000 });
        assert_eq!(member.exits().await, Some(0), "{}", member.log());
        assert_eq!(left(&mark), Vec::<String>::new(), "{flight}");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_of_a_hook_when_the_agent_is_killed() {
    each_flight(async |flight: &'static str, script: &'static str| {
        let mark = format!("killed-{flight}");
        let (mut member, fake) = with("StartServers", &format!("{script}\nsleep 600"), &mark).await;
        fake.hear(0, "Starting", |b| b.status.phase == Phase::Starting)
            .await;
        let begun = Instant::now();
        while left(&mark).len() < 3 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", left(&mark));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        member.agent.start_kill().unwrap();
        member.agent.wait().await.unwrap();
        until_nothing_is_left(&mark, Duration::from_secs(5)).await;
    })
    .await;
}

/// Row 28.
#[tokio::test]
async fn a_stop_ends_the_hook_that_runs_and_those_that_wait_and_then_cleans_up() {
    each_flight(async |flight: &'static str, script: &'static str| {
        let mark = format!("stop-{flight}");
        let mut member = start(desired(), |folder, launch| {
            marked(launch, &mark);
            launch.set("CARTRIDGE_HOOK_SECONDS", "600");
            hook(
                folder,
                "StartServers",
                &format!("trap '' TERM\n{script}\necho begun >> ../events; sleep 600; sleep 600"),
            );
            hook(folder, "InstanceActivatedEvent", "echo activated >> ../events");
            hook(folder, "clean", "echo clean >> ../events");
        })
        .await;
        let fake = member.fake.clone();
        let events = member.folder.path().join("events");
        let begun = Instant::now();
        while !events.exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{}", member.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let begun = Instant::now();
        fake.want(|d| d.run = Run::Stop { within_ms: 6_000 });
        assert_eq!(member.exits().await, Some(0), "{}", member.log());
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert_eq!(std::fs::read_to_string(events).unwrap(), "begun\nclean\n");
        assert_eq!(left(&mark), Vec::<String>::new(), "{flight}");
    })
    .await;
}

/// What is done to the folder, and what people are told.
type Case = (&'static str, fn(&Path), &'static str);

fn place(folder: &Path, text: &[u8], mode: u32) {
    let path = folder.join("hooks/StartServers.sh");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

const CASES: [Case; 20] = [
    (
        "exit 1",
        |f| place(f, b"#!/bin/sh\nexit 1", 0o755),
        "ended with exit code 1",
    ),
    (
        "exit 255",
        |f| place(f, b"#!/bin/sh\nexit 255", 0o755),
        "ended with exit code 255",
    ),
    (
        "its last words",
        |f| place(f, b"#!/bin/sh\necho no such device >&2; exit 32", 0o755),
        "ended with exit code 32: no such device",
    ),
    (
        "SIGSEGV",
        |f| place(f, b"#!/bin/sh\nkill -SEGV $$", 0o755),
        "ended with signal 11 (SIGSEGV)",
    ),
    (
        "SIGKILL",
        |f| place(f, b"#!/bin/sh\nkill -KILL $$", 0o755),
        "ended with signal 9 (SIGKILL)",
    ),
    (
        "not executable",
        |f| place(f, b"#!/bin/sh\n", 0o644),
        "StartServers.sh is not executable: run chmod +x",
    ),
    (
        "no first line",
        |f| place(f, b"echo hello\n", 0o755),
        "must begin with #! and name an interpreter",
    ),
    ("empty", |f| place(f, b"", 0o755), "must begin with #!"),
    (
        "no interpreter",
        |f| place(f, b"#!\n", 0o755),
        "names no interpreter",
    ),
    (
        "a bad interpreter",
        |f| place(f, b"#!/no/such/shell\n", 0o755),
        "needs /no/such/shell, which its first line names and which is not there",
    ),
    (
        "Windows lines",
        |f| place(f, b"#!/bin/sh\r\necho\r\n", 0o755),
        "lines that end as on Windows",
    ),
    (
        "an interpreter that is no program",
        |f| place(f, b"#!/etc/passwd\n", 0o755),
        "ended with exit code 126: cannot be started",
    ),
    (
        "a broken binary",
        |f| place(f, b"\x7fELF\x02\x01garbage", 0o755),
        "ended with exit code ",
    ),
    (
        "writable by all",
        |f| place(f, b"#!/bin/sh\n", 0o757),
        "may be written by everybody: run chmod o-w",
    ),
    (
        "a foreign owner",
        |f| {
            place(f, b"#!/bin/sh\n", 0o755);
            std::os::unix::fs::chown(f.join("hooks/StartServers.sh"), Some(4711), None).unwrap();
        },
        "belongs to user 4711",
    ),
    (
        "a folder writable by all",
        |f| {
            place(f, b"#!/bin/sh\n", 0o755);
            std::fs::set_permissions(f.join("hooks"), std::fs::Permissions::from_mode(0o777)).unwrap();
        },
        "hooks may be written by everybody",
    ),
    (
        "a link out of the folder",
        |f| {
            std::fs::write(f.join("elsewhere.sh"), "#!/bin/sh\n").unwrap();
            symlink(f.join("elsewhere.sh"), f.join("hooks/StartServers.sh")).unwrap();
        },
        "leads out of the folder of hooks, to",
    ),
    (
        "a link to nowhere",
        |f| symlink("nowhere", f.join("hooks/StartServers.sh")).unwrap(),
        "cannot be read: No such file",
    ),
    (
        "a folder in its place",
        |f| std::fs::create_dir(f.join("hooks/StartServers.sh")).unwrap(),
        "is no file",
    ),
    (
        "a pipe in its place",
        |f| {
            nix::unistd::mkfifo(
                &f.join("hooks/StartServers.sh"),
                nix::sys::stat::Mode::from_bits_truncate(0o755),
            )
            .unwrap();
        },
        "is no file",
    ),
];

/// Row 24: the exact reason is told, and the member goes on, as Stratos has it.
#[tokio::test]
async fn whatever_is_wrong_with_a_hook_is_told_exactly() {
    for (name, prepare, told) in CASES {
        let member = start(desired(), |folder, launch| {
            marked(launch, "case");
            std::fs::create_dir(folder.join("hooks")).unwrap();
            prepare(folder);
        })
        .await;
        member.fake.hear(0, name, says("StartServers: ", told)).await;
        member.fake.hear(0, name, is_active).await;
    }
}

/// Row 24: what Stratos took for a failure is none.
#[tokio::test]
async fn words_on_standard_error_are_no_failure() {
    let (mut member, fake) = with("StartServers", "echo a warning >&2", "stderr").await;
    let told = |b: &Batch| {
        b.logs
            .iter()
            .any(|l| l.stream == "StartServers" && l.text == "a warning")
    };
    fake.hear(0, "the words", told).await;
    fake.hear(0, "Active", is_active).await;
    fake.want(|d| d.run = Run::Stop { within_ms: 2_000 });
    assert_eq!(member.exits().await, Some(0));
    let complaints: Vec<_> = fake
        .batches()
        .into_iter()
        .flat_map(|b| b.notices)
        .filter(|n| n.kind == "hook")
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Row 27.
#[tokio::test]
async fn a_server_that_keeps_the_pipe_holds_nobody_up() {
    let (mut member, fake) = with("StartServers", "sleep 600 &", "pipe").await;
    let begun = Instant::now();
    fake.hear(0, "Active", is_active).await;
    assert!(
        begun.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        begun.elapsed()
    );
    fake.want(|d| d.run = Run::Stop { within_ms: 2_000 });
    assert_eq!(member.exits().await, Some(0));
    assert_eq!(left("pipe"), Vec::<String>::new());
}

fn memory(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// Row 26: bytes without a line's end, then lines that are neither text nor harmless. `CARTRIDGE_OUTPUT_GIB=10` writes more.
#[tokio::test]
async fn a_gigabyte_of_output_costs_no_memory_and_no_heartbeat() {
    let wanted = std::env::var("CARTRIDGE_OUTPUT_GIB").ok();
    let gib: u64 = wanted.map_or(1, |text| text.parse().expect("a number of gibibytes"));
    let member = start(desired(), |folder, launch| {
        marked(launch, "flood");
        launch.set("CARTRIDGE_HOOK_SECONDS", (120 * gib).to_string());
        let half = format!("head -c {}", gib << 29);
        let script = format!(
            "{half} /dev/zero & yes \"$(printf '\\033]0;x\\007\\377\\200')\" | {half} >&2; wait; echo done > ../done"
        );
        hook(folder, "InstanceActivatedEvent", &script);
    })
    .await;
    let fake = member.fake.clone();
    let mut at = fake.hear(0, "Active", is_active).await;
    let agent = member.agent.id().unwrap();
    let (begun, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    while !member.folder.path().join("done").exists() {
        assert!(begun.elapsed() < Duration::from_secs(100 * gib));
        at = fake.hear(at, "the next batch", |_| true).await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    let (highest, now) = (memory(agent, "VmHWM"), memory(agent, "VmRSS"));
    println!(
        "{gib} GiB in {:?}: at most {highest} MiB, {now} MiB at the end, longest silence {longest:?}",
        begun.elapsed()
    );
    assert!(highest < 64, "{highest} MiB");
    assert!(
        longest < Duration::from_secs(1),
        "{longest:?} between two batches that are 200 ms apart"
    );
    assert!(fake.batches().iter().flat_map(|b| &b.logs).count() < 2_500);
}

/// Row 25: a storm of processes, as far as a machine that others use allows.
#[tokio::test]
async fn a_storm_of_processes_is_ended_within_its_deadline_and_the_agent_speaks_on() {
    let storm = "storm() { if [ $1 -gt 0 ]; then (setsid sh -c 'sleep 600' &) ; storm $(($1 - 1)) & storm $(($1 - 1)) & fi; wait; }; \
                 trap '' TERM; storm 7; sleep 600";
    let (member, fake) = with("InstanceActivatedEvent", storm, "storm").await;
    let begun = Instant::now();
    fake.hear(
        0,
        "the end of it",
        says("InstanceActivatedEvent", "took longer than 1 s"),
    )
    .await;
    println!("ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(left("storm"), Vec::<String>::new());
    assert!(member.log().contains("took longer"));
}

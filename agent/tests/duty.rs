//! The agent as the process that others depend on: signals, orphans, restarts, the service manager.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, Phase, Run};
use harness::{Fake, Member, desired, is_active, is_suspended, start, start_as};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// An application that listens nowhere: a shell script.
fn script(launch: &mut LaunchParameters, text: &str) {
    let command = serde_json::to_string(&["/bin/sh", "-c", text]).unwrap();
    launch.set(key::COMMAND, &command);
    launch.set(key::PROBE, "");
    launch.set(key::PORTS, "");
}

fn send(member: &Member, signal: Signal) {
    let pid = i32::try_from(member.agent.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

async fn says(fake: &Fake, line: &str) {
    fake.hear(0, line, |b| b.logs.iter().any(|l| l.text == line))
        .await;
}

fn failed(batch: &Batch) -> Option<&str> {
    match &batch.status.phase {
        Phase::Failed { reason } => Some(reason),
        _ => None,
    }
}

/// Started by the agent: leaves 10,000 processes without a parent, each of which ends at once, then itself.
#[test]
#[ignore = "is started by the agent under test, as its application"]
fn ten_thousand_orphans() {
    for _ in 0..10_000 {
        // SAFETY: the child calls nothing but fork and _exit.
        unsafe {
            match nix::libc::fork() {
                0 => {
                    nix::libc::fork();
                    nix::libc::_exit(0)
                }
                child => nix::libc::waitpid(child, std::ptr::null_mut(), 0),
            };
        }
    }
    // SAFETY: nothing needs to run at this end.
    unsafe { nix::libc::_exit(7) };
}

#[tokio::test]
async fn ten_thousand_orphans_leave_no_zombies_and_the_applications_own_end_is_not_lost() {
    let member = start(desired(), |_, launch| {
        script(launch, "");
        let me = std::env::current_exe().unwrap();
        let words = [
            me.to_str().unwrap(),
            "--exact",
            "ten_thousand_orphans",
            "--ignored",
        ];
        launch.set(key::COMMAND, serde_json::to_string(&words).unwrap());
        launch.set("CARTRIDGE_RESTART", "never");
    })
    .await;
    let (agent, begun) = (member.agent.id().unwrap(), Instant::now());
    let zombies = || {
        let children = std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap();
        let state = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let all = children.split_whitespace();
        all.filter(|pid| state(pid).contains(") Z ")).count()
    };
    let fake = member.fake.clone();
    let ended = tokio::spawn(async move { fake.hear(0, "its end", |b| failed(b).is_some()).await });
    let (mut peak, mut looks) = (0, 0);
    while !ended.is_finished() {
        peak = peak.max(zombies());
        looks += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let at = ended.await.unwrap();
    let reason = failed(&member.fake.batches()[at - 1]).unwrap().to_owned();
    println!(
        "{peak} zombies at most in {looks} looks; all over after {:?}",
        begun.elapsed()
    );
    assert!(reason.contains("exit code 7"), "{reason}");
    assert!(peak <= 300, "{peak} zombies at once");
    // One turn of the reaper later, at most.
    for _ in 0..100 {
        if zombies() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} zombies are left", zombies());
}

#[tokio::test]
async fn signals_of_the_application_are_passed_on_and_a_hangup_ends_nothing() {
    let text = "for s in USR1 USR2 WINCH HUP; do trap \"echo got $s\" $s; done; echo ready; while :; do sleep 0.05; done";
    let member = start(desired(), |_, launch| script(launch, text)).await;
    let fake = member.fake.clone();
    says(&fake, "ready").await;
    for (signal, line) in [
        (Signal::SIGUSR1, "got USR1"),
        (Signal::SIGUSR2, "got USR2"),
        (Signal::SIGWINCH, "got WINCH"),
    ] {
        send(&member, signal);
        says(&fake, line).await;
    }
    let at = fake.batches().len();
    send(&member, Signal::SIGHUP);
    fake.hear(at + 2, "more after a hangup", is_active).await;
    assert!(
        !fake
            .batches()
            .iter()
            .flat_map(|b| &b.logs)
            .any(|l| l.text == "got HUP")
    );
    assert!(member.log().contains("look again"));
}

#[tokio::test]
async fn each_signal_that_asks_for_the_end_is_heeded_and_a_second_one_hurries() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let stubborn = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done";
        let mut member = start(desired(), |_, launch| script(launch, stubborn)).await;
        says(&member.fake, "ready").await;
        let begun = Instant::now();
        send(&member, signal);
        says(&member.fake, "asked").await;
        tokio::time::sleep(Duration::from_millis(600).saturating_sub(begun.elapsed())).await;
        send(&member, signal);
        assert_eq!(member.exits().await, Some(0), "{}", member.log());
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{signal}: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn a_stop_by_signal_ends_within_the_time_even_if_nobody_is_left_to_hear_of_it() {
    let mut member = start(desired(), |_, launch| {
        script(launch, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
        launch.set("CARTRIDGE_STOP_SECONDS", "2");
    })
    .await;
    says(&member.fake, "ready").await;
    member.fake.die();
    let begun = Instant::now();
    send(&member, Signal::SIGTERM);
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_application_that_is_never_started_again_gives_its_exit_code_and_last_words_to_the_agent() {
    let mut member = start(desired(), |_, launch| {
        let text =
            "sleep 0.3; echo one >&2; echo two >&2; echo 'no such database' >&2; printf half >&2; exit 42";
        script(launch, text);
        launch.set("CARTRIDGE_RESTART", "on-failure");
        launch.set("CARTRIDGE_RESTART_LIMIT", "1");
    })
    .await;
    let fake = member.fake.clone();
    let at = fake.hear(0, "its end", is_suspended).await;
    let at = fake.hear(at, "giving up", |b| failed(b).is_some()).await;
    let reason = failed(&fake.batches()[at - 1]).unwrap().to_owned();
    assert!(
        reason.contains("the application ended 2 times within 60.0 s"),
        "{reason}"
    );
    let words = "saying \"two / no such database / half\"";
    assert_eq!(reason.matches(words).count(), 2, "{reason}");
    assert!(reason.contains("exit code 42 after 3"), "{reason}");
    fake.want(|d| d.run = Run::Stop { within_ms: 1_000 });
    assert_eq!(member.exits().await, Some(42), "{}", member.log());
}

#[tokio::test]
async fn children_have_the_mask_that_the_agent_was_given_and_go_first_where_memory_runs_out() {
    let fake = Fake::start(desired()).await;
    let text = "echo \"umask $(umask)\"; echo \"adj $(cat /proc/self/oom_score_adj)\"; sleep 600";
    // SAFETY: umask has no effect but on the new process.
    let mask = |command: &mut tokio::process::Command| unsafe {
        command.pre_exec(|| {
            nix::libc::umask(0o002);
            Ok(())
        });
    };
    let member = start_as(fake.clone(), |_, launch| script(launch, text), mask);
    says(&fake, "umask 0002").await;
    says(&fake, "adj 500").await;
    let agent = member.agent.id().unwrap();
    let own = |name: &str| std::fs::read_to_string(format!("/proc/{agent}/{name}")).unwrap();
    // Lower than before is what not everybody may ask for, root in a container for one.
    let allowed = std::fs::write("/proc/self/oom_score_adj", "-900").is_ok();
    let expected = if allowed { "-900" } else { "0" };
    assert_eq!(own("oom_score_adj").trim(), expected);
    assert!(own("status").contains("Umask:\t0022"));
}

#[tokio::test]
async fn what_the_agent_was_started_with_is_what_a_child_gets_that_asks_for_it() {
    let fake = Fake::start(desired()).await;
    let change = |_: &std::path::Path, launch: &mut LaunchParameters| {
        script(launch, "echo \"adj $(cat /proc/self/oom_score_adj)\"; sleep 600");
        launch.set("CARTRIDGE_OOM_SCORE_ADJ", "inherit");
    };
    // SAFETY: nothing but a write to a file of its own happens between fork and exec.
    let own = |command: &mut tokio::process::Command| unsafe {
        command.pre_exec(|| std::fs::write("/proc/self/oom_score_adj", "123"));
    };
    let _member = start_as(fake.clone(), change, own);
    says(&fake, "adj 123").await;
}

#[tokio::test]
async fn an_agent_without_standard_streams_runs_as_any_other() {
    let fake = Fake::start(desired()).await;
    // SAFETY: close has no effect but on the new process.
    let bare = |command: &mut tokio::process::Command| unsafe {
        command.pre_exec(|| {
            for stream in 0..3 {
                nix::libc::close(stream);
            }
            Ok(())
        });
    };
    let mut member = start_as(
        fake.clone(),
        |_, launch| script(launch, "echo ready; exec sleep 600"),
        bare,
    );
    says(&fake, "ready").await;
    fake.hear(0, "Active", is_active).await;
    send(&member, Signal::SIGTERM);
    assert_eq!(member.exits().await, Some(0));
}

#[tokio::test]
async fn a_reader_of_the_agents_lines_that_stops_reading_or_goes_away_stops_nothing() {
    for reads in [true, false] {
        let often = Desired {
            sample_interval_ms: 50,
            publish_interval_ms: 50,
            ..desired()
        };
        let fake = Fake::start(often).await;
        let (reader, writer) = std::io::pipe().unwrap();
        let mut writer = Some(writer);
        let piped = |command: &mut tokio::process::Command| {
            command
                .stderr(writer.take().unwrap())
                .env("CARTRIDGE_LOG", "trace");
        };
        let _member = start_as(fake.clone(), |_, launch| script(launch, "exec sleep 600"), piped);
        let held = reads.then_some(reader);
        let at = fake.hear(0, "Active", is_active).await;
        // Far more than fits into a pipe is written meanwhile.
        fake.hear(at + 100, "a hundred more", is_active).await;
        drop(held);
    }
}

#[tokio::test]
async fn a_sidecar_probes_and_reports_and_leaves_the_application_alone() {
    let fake = Fake::start(desired()).await;
    let mut port = 0;
    let mut member = start_as(
        fake.clone(),
        |folder, launch| {
            launch.set(key::COMMAND, "");
            launch.set(key::HOOKS, "");
            launch.set("CARTRIDGE_SIDECAR", "true");
            port = launch.get(key::PORTS).unwrap().parse().unwrap();
            assert!(!folder.join("hooks").exists());
        },
        |_| {},
    );
    // Somebody else's, started by somebody else.
    let others = || {
        let me = std::env::current_exe().unwrap();
        tokio::process::Command::new(me)
            .args(["--exact", "harness::application", "--ignored"])
            .env("CARTRIDGE_ADDRESS", "127.0.0.1")
            .env("PORT", port.to_string())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    fake.hear(0, "Starting", |b| b.status.phase == Phase::Starting)
        .await;
    let mut application = others();
    let at = fake.hear(0, "Active", is_active).await;
    application.kill().await.unwrap();
    let at = fake.hear(at, "Suspended", is_suspended).await;
    let mut application = others();
    let at = fake
        .hear(at, "Active again", |b| is_active(b) && b.status.restarts == 0)
        .await;
    fake.hear(at, "a sample", |b| b.sample.is_some()).await;
    fake.want(|d| d.run = Run::Stop { within_ms: 1_000 });
    let begun = Instant::now();
    fake.hear(at, "Stopped", |b| b.status.phase == Phase::Stopped)
        .await;
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(
        application.try_wait().unwrap(),
        None,
        "the application was touched"
    );
    assert_eq!(
        member.application(),
        i32::try_from(application.id().unwrap()).unwrap()
    );
}

/// What the service manager heard, until `wanted` was among it.
fn hears(manager: &UnixDatagram, heard: &mut Vec<String>, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut buffer = [0; 4096];
    while !heard.iter().any(|text| text.contains(wanted)) {
        assert!(Instant::now() < deadline, "never heard {wanted}: {heard:?}");
        if let Ok(length) = manager.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_hears_ready_status_life_reload_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let name = format!("cartridge-test-{}", std::process::id());
    let abstracted = SocketAddr::from_abstract_name(&name).unwrap();
    for (address, manager) in [
        (
            path.to_str().unwrap().to_owned(),
            UnixDatagram::bind(&path).unwrap(),
        ),
        (format!("@{name}"), UnixDatagram::bind_addr(&abstracted).unwrap()),
    ] {
        manager
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let fake = Fake::start(desired()).await;
        let prepare = |command: &mut tokio::process::Command| {
            command
                .env("NOTIFY_SOCKET", &address)
                .env("WATCHDOG_USEC", "1000000");
        };
        let text = "echo \"socket ${NOTIFY_SOCKET:-none} ${WATCHDOG_USEC:-none}\"; exec sleep 600";
        let mut member = start_as(fake.clone(), |_, launch| script(launch, text), prepare);
        let mut heard = Vec::new();
        hears(&manager, &mut heard, "STATUS=active");
        let agent = member.agent.id().unwrap();
        assert_eq!(heard[0], format!("READY=1\nMAINPID={agent}"));
        hears(&manager, &mut heard, "WATCHDOG=1");
        says(&fake, "socket none none").await;
        heard.clear();
        send(&member, Signal::SIGHUP);
        hears(&manager, &mut heard, "RELOADING=1\nMONOTONIC_USEC=");
        hears(&manager, &mut heard, "READY=1");
        // A loop that does not turn gives no sign of life.
        send(&member, Signal::SIGSTOP);
        let _ = drain(&manager);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(drain(&manager), Vec::<String>::new());
        send(&member, Signal::SIGCONT);
        heard.clear();
        hears(&manager, &mut heard, "WATCHDOG=1");
        send(&member, Signal::SIGTERM);
        hears(&manager, &mut heard, "STOPPING=1");
        assert_eq!(member.exits().await, Some(0), "{}", member.log());
    }
}

fn drain(manager: &UnixDatagram) -> Vec<String> {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = manager.recv(&mut buffer) {
        heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    heard
}

//! The real agent binary against a tiny orchestrator: a member's life from joining to its end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::time::{Duration, Instant};

use cartridge_protocol::launch::key;
use cartridge_protocol::link::{Batch, Desired, Phase, Run};
use harness::{MEMBER, Member, agent, desired, hook, is_active, is_suspended, parameters, start};

#[tokio::test]
async fn a_member_joins_serves_survives_a_crash_and_stops_in_order() {
    let begun = Instant::now();
    let mut member = start(desired(), |folder, _| {
        for name in [
            "InstanceStartedEvent",
            "StartServers",
            "InstanceActivatedEvent",
            "clean",
        ] {
            hook(
                folder,
                name,
                "echo \"$STRATOS_EVENT $STRATOS_MEMBER_ID\" >> ../events; env >> ../env",
            );
        }
    })
    .await;
    let fake = member.fake.clone();
    let at = fake.hear(0, "Active", is_active).await;
    println!("Active after {:?}", begun.elapsed());
    let join = fake.join();
    assert_eq!(
        (join.member.as_str(), join.incarnation, join.token.expose()),
        (MEMBER, 1, "canary-token")
    );
    assert!(
        fake.bearers()
            .iter()
            .all(|b| b.starts_with("bearer ") && b.len() == 7 + 64)
    );

    let first = member.application();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let at = fake.hear(at, "Suspended", is_suspended).await;
    let at = fake
        .hear(at, "Active again", |b| is_active(b) && b.status.restarts == 1)
        .await;
    assert_ne!(member.application(), first);
    let at = fake
        .hear(at, "a sample", |b| {
            b.sample.as_ref().is_some_and(|s| s.memory_used > Some(0))
        })
        .await;
    assert!(
        fake.batches()
            .iter()
            .flat_map(|b| &b.logs)
            .any(|l| l.stream == "out" && l.text == format!("I am {first}"))
    );

    fake.want(|d| d.run = Run::Stop { within_ms: 5_000 });
    let at = fake
        .hear(at, "Stopping", |b| b.status.phase == Phase::Stopping)
        .await;
    fake.hear(at, "Stopped", |b| b.status.phase == Phase::Stopped)
        .await;
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
    assert!(member.port_is_closed());
    hooks_ran_in_order_without_the_token(&member);
}

fn hooks_ran_in_order_without_the_token(member: &Member) {
    let events = std::fs::read_to_string(member.folder.path().join("events")).unwrap();
    let expected = [
        "InstanceStartedEvent",
        "StartServers",
        "InstanceActivatedEvent",
        "clean",
    ];
    assert_eq!(
        events.lines().collect::<Vec<_>>(),
        expected.map(|e| format!("{e} {MEMBER}"))
    );
    let environment = std::fs::read_to_string(member.folder.path().join("env")).unwrap();
    assert!(!environment.contains("canary-token") && !member.log().contains("canary-token"));
}

#[tokio::test]
async fn the_loss_of_the_orchestrator_stops_nothing_and_its_return_finds_the_same_member() {
    let member = start(desired(), |_, _| {}).await;
    let fake = member.fake.clone();
    fake.hear(0, "Active", is_active).await;
    let before = member.application();
    fake.die();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(before),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let restarted = async {
        while member.port_is_closed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), restarted)
        .await
        .expect("restarted without an orchestrator");
    let heard = fake.batches().len();
    fake.come_back().await;
    let at = fake
        .hear(heard, "Active after the return", |b| {
            is_active(b) && b.status.restarts == 1
        })
        .await;
    let told = |b: &Batch| {
        b.notices
            .iter()
            .any(|n| n.kind == "application" && n.text.contains("signal 9"))
    };
    assert!(
        fake.batches()[heard..].iter().any(told),
        "what happened meanwhile was not told"
    );
    assert_eq!(fake.joins(), 1, "a known member does not join twice");
    fake.hear(at, "more", is_active).await;
}

#[tokio::test]
async fn a_fenced_member_ends_itself_and_its_application() {
    let mut member = start(desired(), |_, _| {}).await;
    let fake = member.fake.clone();
    fake.hear(0, "Active", is_active).await;
    fake.fence();
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
    assert!(member.port_is_closed());
}

#[tokio::test]
async fn a_second_agent_in_the_same_folder_is_refused_and_harms_nobody() {
    let member = start(desired(), |_, _| {}).await;
    member.fake.hear(0, "Active", is_active).await;
    let launch = parameters(&member.fake, member.port, member.folder.path());
    let mut second = agent(member.folder.path(), &launch);
    let code = tokio::time::timeout(Duration::from_secs(10), second.wait())
        .await
        .unwrap()
        .unwrap()
        .code();
    assert_eq!(code, Some(3));
    assert!(member.log().contains("another agent runs here") && member.log().contains(MEMBER));
    assert!(!member.port_is_closed());
}

#[tokio::test]
async fn an_agent_that_was_killed_takes_its_application_along_and_rejoins_as_itself() {
    let mut member = start(desired(), |_, _| {}).await;
    let fake = member.fake.clone();
    let at = fake.hear(0, "Active", is_active).await;
    member.agent.start_kill().unwrap();
    member.agent.wait().await.unwrap();
    let launch = parameters(&fake, member.port, member.folder.path());
    let last = fake.batches().last().map(|b| b.sequence).unwrap();
    member.agent = agent(member.folder.path(), &launch);
    fake.hear(at, "Active again", |b| is_active(b) && b.sequence > last + 1000)
        .await;
    let bearers = fake.bearers();
    assert!(
        bearers.iter().all(|b| *b == bearers[0]),
        "another credential was made"
    );
}

#[tokio::test]
async fn an_application_that_never_stays_up_fails_the_member() {
    let member = start(desired(), |_, launch| {
        launch.set(key::COMMAND, r#"["/bin/sh","-c","exit 7"]"#)
    })
    .await;
    let failed =
        |b: &Batch| matches!(&b.status.phase, Phase::Failed { reason } if reason.contains("exit code 7"));
    member.fake.hear(0, "Failed", failed).await;
}

#[tokio::test]
async fn a_hook_that_hangs_does_not_hold_up_a_stop() {
    let mut member = start(desired(), |folder, _| {
        hook(
            folder,
            "StartServers",
            "trap '' TERM; sleep 600 & wait; sleep 600",
        )
    })
    .await;
    let fake = member.fake.clone();
    let at = fake
        .hear(0, "Starting", |b| b.status.phase == Phase::Starting)
        .await;
    let begun = Instant::now();
    fake.want(|d| d.run = Run::Stop { within_ms: 1_000 });
    fake.hear(at, "Stopped", |b| b.status.phase == Phase::Stopped)
        .await;
    assert_eq!(member.exits().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_order_from_a_deposed_orchestrator_is_ignored() {
    let member = start(
        Desired {
            epoch: 5,
            revision: 50,
            ..desired()
        },
        |_, _| {},
    )
    .await;
    let fake = member.fake.clone();
    let at = fake.hear(0, "Active", is_active).await;
    fake.want(|d| {
        d.epoch = 4;
        d.revision = 60;
        d.run = Run::Stop { within_ms: 0 };
    });
    fake.want(|d| {
        d.epoch = 5;
        d.revision = 49;
    });
    fake.want(|d| {
        d.revision = 51;
        d.run = Run::Serve;
    });
    let at = fake.hear(at, "revision 51", |b| b.status.revision == 51).await;
    assert!(
        fake.batches()[..at]
            .iter()
            .all(|b| !matches!(b.status.phase, Phase::Stopping | Phase::Stopped))
    );
}

#[tokio::test]
async fn sigterm_ends_the_member_in_order() {
    let mut member = start(desired(), |_, _| {}).await;
    let fake = member.fake.clone();
    let at = fake.hear(0, "Active", is_active).await;
    let pid = i32::try_from(member.agent.id().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    fake.hear(at, "Stopped", |b| b.status.phase == Phase::Stopped)
        .await;
    assert_eq!(member.exits().await, Some(0));
    assert!(member.port_is_closed());
}

#[tokio::test]
async fn a_server_that_a_hook_left_behind_is_measured_reaped_and_ended_with_the_member() {
    let mut member = start(desired(), |folder, launch| {
        launch.set(key::COMMAND, "");
        launch.set(key::PROBE, "");
        launch.set(key::PORTS, "");
        // A daemon, whose parent ends, and an orphan that ends itself.
        let script =
            "setsid sh -c 'echo $$ > ../daemon; while :; do :; done' > /dev/null 2>&1 &\nsh -c 'sleep 0.1 &'";
        hook(folder, "StartServers", script);
    })
    .await;
    let fake = member.fake.clone();
    let at = fake.hear(0, "Active", is_active).await;
    let busy = |b: &Batch| {
        b.sample
            .as_ref()
            .is_some_and(|s| s.cpu_percent > Some(5.0) && s.load.is_some_and(|l| l[0] > 0.0))
    };
    let at = fake.hear(at, "the daemon's CPU time in a sample", busy).await;
    let agent = member.agent.id().unwrap();
    let zombies = || {
        let children = std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap();
        let state = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        children
            .split_whitespace()
            .filter(|pid| state(pid).contains(") Z "))
            .count()
    };
    let reaped = async {
        while zombies() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reaped)
        .await
        .unwrap();
    let daemon = std::fs::read_to_string(member.folder.path().join("daemon")).unwrap();
    fake.want(|d| d.run = Run::Stop { within_ms: 1_000 });
    fake.hear(at, "Stopped", |b| b.status.phase == Phase::Stopped)
        .await;
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
    assert!(
        !std::path::Path::new(&format!("/proc/{}", daemon.trim())).exists(),
        "the daemon lives on"
    );
}

#[tokio::test]
#[ignore = "a measurement: prints the agent's own CPU time and memory for a minute of an active member"]
async fn what_an_active_minute_costs() {
    let one_second = Desired {
        sample_interval_ms: 1_000,
        publish_interval_ms: 1_000,
        ..desired()
    };
    let member = start(one_second, |_, _| {}).await;
    let fake = member.fake.clone();
    let mut at = fake.hear(0, "Active", is_active).await;
    let agent = member.agent.id().unwrap();
    let used = || {
        let tasks = std::fs::read_dir(format!("/proc/{agent}/task")).unwrap();
        let text =
            |t: std::fs::DirEntry| std::fs::read_to_string(t.path().join("schedstat")).unwrap_or_default();
        let nanoseconds = |t: String| {
            t.split(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or(0)
        };
        tasks.flatten().map(text).map(nanoseconds).sum::<u64>()
    };
    let (begun, before) = (Instant::now(), used());
    while begun.elapsed() < Duration::from_secs(20) {
        at = fake.hear(at, "the next batch", |_| true).await;
    }
    let milliseconds = (used() - before) as f64 / 1e6 / begun.elapsed().as_secs_f64() * 60.0;
    let status = std::fs::read_to_string(format!("/proc/{agent}/status")).unwrap();
    let memory: Vec<&str> = status
        .lines()
        .filter(|l| l.starts_with("VmRSS") || l.starts_with("RssAnon"))
        .collect();
    println!("{milliseconds:.0} ms of CPU time a minute; {memory:?}");
}

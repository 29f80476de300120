//! What an agent takes over from the one before it in the same folder, and what it does not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::path::Path;
use std::time::{Duration, Instant};

use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, Phase, Run};
use harness::{Member, agent, desired, is_active, parameters, start};

fn exists(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|text| !text.contains(") Z "))
}

async fn kill_and_start_again(member: &mut Member, change: impl FnOnce(&mut LaunchParameters)) {
    member.agent.start_kill().unwrap();
    member.agent.wait().await.unwrap();
    let mut launch = parameters(&member.fake, member.port, member.folder.path());
    change(&mut launch);
    member.agent = agent(member.folder.path(), &launch);
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name))
        .unwrap()
        .trim()
        .to_owned()
}

/// An application whose helper has left its session, and says who both are.
const HELPED: &str = "setsid sh -c 'echo $$ > ../helper.new; mv ../helper.new ../helper; exec sleep 600' & \
    echo $$ > ../main; while [ ! -e ../helper ]; do sleep 0.01; done; wait";

fn helped(launch: &mut LaunchParameters) {
    launch.set(
        key::COMMAND,
        serde_json::to_string(&["/bin/sh", "-c", HELPED]).unwrap(),
    );
    launch.set(key::PROBE, "");
    launch.set(key::PORTS, "");
}

#[tokio::test]
async fn an_agent_that_was_killed_comes_back_as_the_same_member_and_nothing_of_before_runs_on() {
    let mut member = start(desired(), |_, launch| helped(launch)).await;
    let fake = member.fake.clone();
    let folder = member.folder.path().to_path_buf();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !folder.join("helper").exists() {
        assert!(Instant::now() < deadline, "the application never began");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let at = fake.hear(0, "Active", is_active).await;
    let before = [read(&folder, "main"), read(&folder, "helper")];
    assert!(before.iter().all(|pid| exists(pid)));
    std::fs::remove_file(folder.join("helper")).unwrap();
    // Its token was used up, and it has none any more that would be accepted.
    let last = fake.batches().last().unwrap().sequence;
    kill_and_start_again(&mut member, helped).await;
    fake.hear(at, "Active again", |b| is_active(b) && b.sequence > last)
        .await;
    assert!(before.iter().all(|pid| !exists(pid)), "{}", member.log());
    let deadline = Instant::now() + Duration::from_secs(10);
    while read(&folder, "main") == before[0] {
        assert!(Instant::now() < deadline, "the application was not started again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let bearers = fake.bearers();
    assert!(
        bearers.iter().all(|bearer| *bearer == bearers[0]),
        "another credential was made"
    );
    assert_eq!(fake.joins(), 1, "a known member does not join twice");
    fake.want(|d| d.run = Run::Stop { within_ms: 1_000 });
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
}

#[tokio::test]
async fn an_order_that_is_older_than_what_an_earlier_agent_saw_is_ignored_and_told() {
    let mut member = start(
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
    member.agent.start_kill().unwrap();
    member.agent.wait().await.unwrap();
    for (epoch, revision) in [(4, 60), (5, 49)] {
        fake.want(|d| {
            (d.epoch, d.revision) = (epoch, revision);
            d.run = Run::Stop { within_ms: 0 };
        });
        kill_and_start_again(&mut member, |_| {}).await;
        let text = format!("epoch {epoch}, revision {revision}: epoch 5, revision 50 was seen before");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !member.log().contains(&text) {
            assert!(Instant::now() < deadline, "{}", member.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    // The newest counts, and what was ignored is told with it.
    fake.want(|d| {
        (d.epoch, d.revision) = (5, 51);
        d.run = Run::Serve;
    });
    let at = fake
        .hear(at, "Active again", |b| is_active(b) && b.status.revision == 51)
        .await;
    let told = |b: &Batch| {
        b.notices
            .iter()
            .any(|n| n.text.contains("ignored an order of epoch 5, revision 49"))
    };
    assert!(fake.batches().iter().any(told));
    let stopped = |b: &Batch| matches!(b.status.phase, Phase::Stopping | Phase::Stopped);
    assert!(!fake.batches()[..at].iter().any(stopped));
}

#[tokio::test]
async fn a_life_that_is_over_does_not_begin_again_where_a_later_one_was() {
    let mut member = start(desired(), |_, launch| launch.set(key::INCARNATION, "2")).await;
    member.fake.hear(0, "Active", is_active).await;
    kill_and_start_again(&mut member, |_| {}).await;
    assert_eq!(member.exits().await, Some(1));
    assert!(
        member.log().contains("life 2 of this member has begun"),
        "{}",
        member.log()
    );
    kill_and_start_again(&mut member, |launch| launch.set(key::INCARNATION, "3")).await;
    let fake = member.fake.clone();
    let deadline = Instant::now() + Duration::from_secs(10);
    while fake.joins() < 2 {
        assert!(Instant::now() < deadline, "{}", member.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let state = member.folder.path().join("state");
    assert!(!state.join("credential-2").exists() && state.join("credential-3").exists());
}

//! The real agent binary beside a balancer plugin, well-behaved and otherwise.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::path::Path;

use cartridge_protocol::NetworkPartitionId;
use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, Phase, Run};
use cartridge_protocol::topology::Topology;
use harness::{desired, is_active, start};

/// A plugin in a shell script: the frames are that simple.
const PLUGIN: &str = r#"
echo started >> ../plugin-starts
while read -r line; do
  id=$(echo "$line" | sed 's/{"id":\([0-9]*\).*/\1/')
  case "$line" in
    *'"describe"'*) echo "{\"id\":$id,\"ok\":{\"described\":{\"name\":\"sh\",\"version\":VERSION,\"kind\":\"balancer\"}}}" ;;
    *'"set-members"'*)
      revision=$(echo "$line" | sed 's/.*"revision":\([0-9]*\).*/\1/')
      APPLY
      echo "{\"id\":$id,\"ok\":{\"applied\":{\"revision\":$revision}}}" ;;
    *'"read"'*) echo "{\"id\":$id,\"ok\":{\"read\":{\"revision\":$revision,\"clusters\":[]}}}" ;;
  esac
done
echo input closed >> ../plugin-starts
"#;

fn topology(revision: u64) -> Topology {
    Topology {
        revision,
        network_partition: NetworkPartitionId::new("np").unwrap(),
        listen: "127.0.0.1".parse().unwrap(),
        clusters: Vec::new(),
    }
}

fn balancing() -> Desired {
    Desired {
        topology: Some(topology(1)),
        ..desired()
    }
}

fn plugin(script: String) -> impl FnOnce(&Path, &mut LaunchParameters) {
    move |folder, launch| {
        let path = folder.join("plugin.sh");
        std::fs::write(&path, script).unwrap();
        launch.set(
            key::BALANCER,
            serde_json::to_string(&["/bin/sh", path.to_str().unwrap()]).unwrap(),
        );
        // A balancer has neither an application nor a probe of its own.
        for absent in [key::COMMAND, key::PROBE] {
            launch.set(absent, "");
        }
    }
}

fn script(version: &str, apply: &str) -> String {
    PLUGIN.replace("VERSION", version).replace("APPLY", apply)
}

fn told(what: &str) -> impl Fn(&Batch) -> bool {
    move |b| {
        b.notices
            .iter()
            .any(|n| n.kind == "plugin" && n.text.contains(what))
    }
}

#[tokio::test]
async fn a_balancer_is_active_once_its_plugin_serves_and_follows_every_revision() {
    let mut member = start(balancing(), plugin(script("1", ":"))).await;
    let fake = member.fake.clone();
    let at = fake
        .hear(0, "Active", |b| is_active(b) && b.status.topology == Some(1))
        .await;
    fake.want(|d| d.topology = Some(topology(2)));
    let at = fake
        .hear(at, "revision 2", |b| b.status.topology == Some(2))
        .await;
    fake.want(|d| d.topology = Some(topology(1)));
    let at = fake
        .hear(at, "the desired revision", |b| b.status.revision == 3)
        .await;
    assert_eq!(
        fake.batches()[at - 1].status.topology,
        Some(2),
        "a topology went back"
    );
    let at = fake
        .hear(at, "a reading", |b| {
            b.balancer.as_ref().is_some_and(|r| r.revision == 2)
        })
        .await;
    fake.want(|d| d.run = Run::Stop { within_ms: 2_000 });
    fake.hear(at, "Stopped", |b| b.status.phase == Phase::Stopped)
        .await;
    assert_eq!(member.exits().await, Some(0));
    let said = std::fs::read_to_string(member.folder.path().join("plugin-starts")).unwrap();
    assert_eq!(said, "started\ninput closed\n");
}

#[tokio::test]
async fn a_plugin_that_dies_is_named_started_again_and_told_everything() {
    let dies_once = "[ -e ../died ] || { touch ../died; exit 7; }";
    let member = start(balancing(), plugin(script("1", dies_once))).await;
    let at = member.fake.hear(0, "a notice", told("ended")).await;
    member
        .fake
        .hear(at, "Active", |b| is_active(b) && b.status.topology == Some(1))
        .await;
}

#[tokio::test]
async fn a_topology_that_is_refused_for_a_while_is_offered_again_and_the_reason_is_told_once() {
    let refuses_twice = r#"
      echo x >> ../refused
      if [ "$(wc -l < ../refused)" -lt 3 ]; then echo "{\"id\":$id,\"error\":\"address in use\"}"; continue; fi"#;
    let member = start(balancing(), plugin(script("1", refuses_twice))).await;
    let at = member
        .fake
        .hear(0, "Active", |b| is_active(b) && b.status.topology == Some(1))
        .await;
    let mut told: Vec<u64> = member.fake.batches()[..at]
        .iter()
        .flat_map(|b| &b.notices)
        .filter(|n| n.text.contains("address in use"))
        .map(|n| n.number)
        .collect();
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_reading_follows_a_topology_at_once_not_at_the_next_interval() {
    let slow = Desired {
        sample_interval_ms: 3_600_000,
        publish_interval_ms: 3_600_000,
        ..balancing()
    };
    let member = start(slow, plugin(script("1", ":"))).await;
    let fake = member.fake.clone();
    let at = fake
        .hear(0, "Active", |b| is_active(b) && b.status.topology == Some(1))
        .await;
    fake.want(|d| d.topology = Some(topology(2)));
    fake.hear(at, "a reading of revision 2", |b| {
        b.balancer.as_ref().is_some_and(|r| r.revision == 2)
    })
    .await;
}

#[tokio::test]
async fn a_plugin_that_babbles_speaks_unasked_or_speaks_another_version_is_named() {
    let refuses = script("1", r#"echo "{\"id\":$id,\"error\":\"no such port\"}"; continue"#);
    for (script, complaint) in [
        (script("1", "echo hello"), "babbles"),
        (script("9", ":"), "speaks version 9"),
        (
            script("1", "echo '{\"id\":77,\"ok\":{\"applied\":{\"revision\":1}}}'"),
            "answers question 77",
        ),
        (refuses, "no such port"),
        ("exit 0".to_owned(), "ended"),
    ] {
        let member = start(balancing(), plugin(script)).await;
        let at = member.fake.hear(0, complaint, told(complaint)).await;
        assert!(
            member.fake.batches()[..at].iter().all(|b| !is_active(b)),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn a_plugin_that_hangs_or_is_endless_is_ended_in_time() {
    for (script, complaint) in [
        (
            "trap '' TERM; while :; do sleep 1; done".to_owned(),
            "does not answer describe",
        ),
        (
            "head -c 5000000 /dev/zero | tr '\\0' 'x'; sleep 600".to_owned(),
            "more than",
        ),
    ] {
        let member = start(balancing(), plugin(script)).await;
        let heard = |b: &Batch| {
            told(complaint)(b) || told("babbles")(b) || told("unasked")(b) || told("without being asked")(b)
        };
        member.fake.hear(0, complaint, heard).await;
    }
}

//! The real agent binary is told what runs around its member, and runs the hooks about it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cartridge_protocol::launch::key;
use cartridge_protocol::link::{Batch, Run};
use cartridge_protocol::surroundings::{
    DomainMapping, Neighbours, Peer, PeerPhase, SignUp, Surroundings, Tenant,
};
use cartridge_protocol::{
    ApplicationId, CartridgeType, ClusterId, MemberId, NetworkPartitionId, PartitionId,
};
use harness::{MEMBER, Member, desired, hook, is_active, start};

const CLUSTER: &str = "app.web.hello.domain";

fn around(revision: u64, others: &[(&str, PeerPhase)]) -> Surroundings {
    let peer = |id: &str, phase| Peer {
        member: MemberId::new(id).unwrap(),
        incarnation: 1,
        cluster_instance: "app-1".into(),
        network_partition: NetworkPartitionId::new("here").unwrap(),
        partition: PartitionId::new("p1").unwrap(),
        phase,
        address: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))),
        ports: BTreeMap::from([("http".to_owned(), 8080)]),
    };
    let own = [peer(MEMBER, PeerPhase::Starting)];
    let others = others
        .iter()
        .map(|(n, phase)| peer(&format!("{CLUSTER}-{n}"), *phase));
    Surroundings {
        revision,
        application: ApplicationId::new("app").unwrap(),
        clusters: vec![Neighbours {
            cluster: ClusterId::new(CLUSTER).unwrap(),
            service: CartridgeType::new("hello").unwrap(),
            alias: "web".into(),
            hosts: vec![],
            balancer: false,
            members: own.into_iter().chain(others).collect(),
        }],
        omitted: 0,
        service_properties: BTreeMap::from([("colour".to_owned(), "green".to_owned())]),
        cluster_properties: BTreeMap::new(),
        member_properties: BTreeMap::new(),
        tenants: None,
        sign_ups: None,
        domain_mappings: None,
    }
}

async fn recording(names: &[&str]) -> Member {
    start(desired(), |folder, launch| {
        for name in [key::COMMAND, key::PROBE, key::PORTS] {
            launch.set(name, "");
        }
        launch.set(key::CLUSTER_ID, CLUSTER);
        for name in names {
            let script = "env > ../env-$STRATOS_EVENT; echo \"$STRATOS_EVENT $STRATOS_MEMBER_ACTIVATED_MEMBER_ID\" >> ../events";
            hook(folder, name, script);
        }
    })
    .await
}

fn recorded(member: &Member) -> Vec<String> {
    let text = std::fs::read_to_string(member.folder.path().join("events")).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn told(member: &Member, event: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(member.folder.path().join(format!("env-{event}"))).unwrap();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

async fn until_recorded(member: &Member, expected: &[&str]) {
    let so = async {
        while recorded(member) != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(15), so).await.is_err() {
        panic!(
            "expected {expected:?}, recorded {:?}\n{}",
            recorded(member),
            member.log()
        );
    }
}

fn tell(member: &Member, told: Surroundings) {
    member.fake.want(|d| d.surroundings = Some(Arc::new(told)));
}

#[tokio::test]
async fn the_first_topology_is_introduced_once_before_the_member_begins_and_later_changes_are_told() {
    let names = [
        "CompleteTopologyEvent",
        "InstanceStartedEvent",
        "MemberInitializedEvent",
        "member-started",
        "MemberActivatedEvent",
        "MemberSuspendedEvent",
        "MemberTerminatedEvent",
    ];
    let mut member = recording(&names).await;
    let fake = member.fake.clone();
    let wants = |b: &Batch| b.status.wants_surroundings;
    let at = fake.hear(0, "that it wants to be told", wants).await;
    assert!(recorded(&member).is_empty(), "it begins when it was told");
    tell(&member, around(1, &[("2", PeerPhase::Active)]));
    fake.hear(at, "Active", is_active).await;
    let mut expected = vec!["CompleteTopologyEvent", "InstanceStartedEvent"];
    until_recorded(&member, &expected).await;
    let first = told(&member, "CompleteTopologyEvent");
    assert!(first["STRATOS_TOPOLOGY_JSON"].contains(CLUSTER));
    assert!(first["STRATOS_MEMBER_LIST_JSON"].contains(MEMBER));
    assert_eq!(first["STRATOS_SERVICE_PROPERTY_colour"], "green");

    let others = [("2", PeerPhase::Suspended), ("3", PeerPhase::Initialized)];
    tell(&member, around(2, &others));
    expected.extend(["MemberSuspendedEvent", "MemberInitializedEvent"]);
    until_recorded(&member, &expected).await;
    tell(
        &member,
        around(3, &[("2", PeerPhase::Suspended), ("3", PeerPhase::Starting)]),
    );
    expected.push("MemberStartedEvent");
    until_recorded(&member, &expected).await;
    tell(&member, around(4, &[("3", PeerPhase::Active)]));
    let activated = format!("MemberActivatedEvent {CLUSTER}-3");
    expected.extend(["MemberTerminatedEvent", &activated]);
    until_recorded(&member, &expected).await;
    let activated = told(&member, "MemberActivatedEvent");
    assert_eq!(activated["STRATOS_MEMBER_ACTIVATED_MEMBER_IP"], "10.0.0.7");
    assert_eq!(activated["STRATOS_MEMBER_ACTIVATED_PORTS"], "http,8080,8080|");
    assert!(!activated["STRATOS_TOPOLOGY_JSON"].contains(&format!("{CLUSTER}-2")));
    fake.want(|d| d.run = Run::Stop { within_ms: 5_000 });
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
}

/// An orchestrator that knows tenants only has to fill these in.
#[tokio::test]
async fn tenants_sign_ups_and_domains_are_told_once_an_orchestrator_has_them() {
    let names = [
        "CompleteTenantEvent",
        "DomainMappingAddedEvent",
        "tenant-unsubscribed",
        "TenantSubscribedEvent",
    ];
    let member = recording(&names).await;
    member.fake.hear(0, "Active", is_active).await;
    tell(&member, around(1, &[]));
    let mut with_tenants = around(2, &[]);
    with_tenants.tenants = Some(vec![Tenant {
        tenant_id: 7,
        tenant_domain: "seven.example".into(),
    }]);
    with_tenants.sign_ups = Some(vec![SignUp { tenant_id: 7 }]);
    with_tenants.domain_mappings = Some(vec![DomainMapping {
        tenant_id: 7,
        service_name: CartridgeType::new("hello").unwrap(),
        cluster_id: ClusterId::new(CLUSTER).unwrap(),
        domain_name: "shop.example".into(),
        context_path: None,
    }]);
    let mut gone = with_tenants.clone();
    tell(&member, with_tenants);
    let mut expected = vec![
        "CompleteTenantEvent",
        "DomainMappingAddedEvent",
        "TenantSubscribedEvent",
    ];
    until_recorded(&member, &expected).await;
    assert_eq!(
        told(&member, "CompleteTenantEvent")["STRATOS_TENANT_LIST_JSON"],
        r#"[{"tenantId":7,"tenantDomain":"seven.example"}]"#
    );
    assert_eq!(
        told(&member, "DomainMappingAddedEvent")["STRATOS_SUBSCRIPTION_DOMAIN_NAME"],
        "shop.example"
    );
    (gone.revision, gone.sign_ups) = (3, Some(vec![]));
    tell(&member, gone);
    expected.push("ApplicationSignUpRemovedEvent");
    until_recorded(&member, &expected).await;
}

#[tokio::test]
async fn a_member_without_such_hooks_does_not_ask_to_be_told() {
    let member = recording(&["InstanceStartedEvent", "clean"]).await;
    member.fake.hear(0, "Active", is_active).await;
    assert!(member.fake.batches().iter().all(|b| !b.status.wants_surroundings));
}

#[tokio::test]
async fn an_orchestrator_that_does_not_tell_holds_a_member_up_for_five_seconds_only() {
    let begun = std::time::Instant::now();
    let member = recording(&["CompleteTopologyEvent", "InstanceStartedEvent"]).await;
    let at = member.fake.hear(0, "Active", is_active).await;
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(recorded(&member), ["InstanceStartedEvent"]);
    member
        .fake
        .want(|d| d.surroundings = Some(Arc::new(around(1, &[]))));
    until_recorded(&member, &["InstanceStartedEvent", "CompleteTopologyEvent"]).await;
    member.fake.hear(at, "still Active", is_active).await;
}

/// Row 28 of the fault matrix: a flood around the member neither queues up nor keeps its own hooks waiting.
#[tokio::test]
async fn a_flood_of_changes_is_told_as_its_newest_state_and_a_stop_comes_through() {
    let mut member = start(desired(), |folder, launch| {
        for name in [key::COMMAND, key::PROBE, key::PORTS] {
            launch.set(name, "");
        }
        for name in ["MemberActivatedEvent", "MemberSuspendedEvent"] {
            hook(folder, name, "echo $STRATOS_EVENT >> ../events; sleep 0.2");
        }
        hook(folder, "clean", "echo clean >> ../events");
    })
    .await;
    let fake = member.fake.clone();
    let at = fake.hear(0, "Active", is_active).await;
    fake.want(|d| d.surroundings = Some(Arc::new(around(1, &[("2", PeerPhase::Active)]))));
    for revision in 2..400 {
        let phase = if revision % 2 == 0 {
            PeerPhase::Suspended
        } else {
            PeerPhase::Active
        };
        fake.want(|d| d.surroundings = Some(Arc::new(around(revision, &[("2", phase)]))));
        tokio::task::yield_now().await;
    }
    fake.hear(at, "the last of them", |b| b.status.revision >= 399)
        .await;
    fake.want(|d| d.run = Run::Stop { within_ms: 5_000 });
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
    let events = recorded(&member);
    assert_eq!(events.last().map(String::as_str), Some("clean"));
    assert!(events.len() < 50, "{} hooks were run", events.len());
}

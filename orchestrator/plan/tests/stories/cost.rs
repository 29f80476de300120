//! A pass over ten thousand members is cheap, and a pass over one cluster of them cheaper.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "measures the decisions, which may not"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cartridge_orchestrator_plan::decide::{Scope, View, decide};
use cartridge_orchestrator_plan::observe::{MemberObservation, Observations, Window};
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::link::{Phase, Status};
use cartridge_protocol::{ApplicationId, Millis};

use crate::harness::fixture::{self, Shape};
use crate::harness::orchestrator::Orchestrator;

/// A hundred applications with a hundred members each, all ready and heard.
fn fleet() -> Orchestrator {
    let shape = Shape {
        min: 100,
        max: 200,
        partition_max: 200,
        balanced: false,
        network_partitions: 1,
        ..Shape::default()
    };
    let now = Millis(1000);
    let mut orchestrator = Orchestrator::default();
    for record in fixture::records(&shape) {
        match record {
            Record::ApplicationPut(blueprint) => {
                for number in 0..100 {
                    let mut blueprint = blueprint.clone();
                    blueprint.application_id = ApplicationId::new(format!("shop{number}")).unwrap();
                    assert!(orchestrator.append(Record::ApplicationPut(blueprint), now));
                }
            }
            Record::ApplicationDeployed { policy, .. } => {
                for number in 0..100 {
                    let application = ApplicationId::new(format!("shop{number}")).unwrap();
                    let policy = policy.clone();
                    assert!(orchestrator.append(Record::ApplicationDeployed { application, policy }, now));
                }
            }
            other => assert!(orchestrator.append(other, now)),
        }
    }
    orchestrator
}

fn bring_up(world: &World, now: Millis) -> (Vec<Record>, Observations) {
    let mut seen = Observations::default();
    let mut records = Vec::new();
    for member in world.members.values() {
        let (id, incarnation) = (member.id.clone(), member.incarnation);
        records.push(Record::MemberEnsured {
            member: id.clone(),
            incarnation,
            instance: "i".into(),
            address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            ports: std::collections::BTreeMap::new(),
        });
        records.push(Record::MemberJoined {
            member: id.clone(),
            incarnation,
            credential_sha256: "h".into(),
        });
        let said = MemberObservation {
            incarnation,
            sequence: 1,
            heard: now,
            status: Status {
                phase: Phase::Active,
                ..Status::starting()
            },
            load: Window::default(),
            memory: Window::default(),
            sample: None,
        };
        seen.members.insert(id, said);
    }
    (records, seen)
}

#[test]
fn ten_thousand_members_are_decided_on_in_a_fraction_of_a_second() {
    let now = Millis(1000);
    let mut orchestrator = fleet();
    let begun = Instant::now();
    let records = orchestrator.pass(now);
    let planning = begun.elapsed();
    let planned = records
        .iter()
        .filter(|record| matches!(record, Record::MemberPlanned { .. }))
        .count();
    assert_eq!(planned, 10_000);
    let (facts, seen) = bring_up(&orchestrator.world, now);
    orchestrator.seen = seen;
    for fact in facts {
        assert!(orchestrator.append(fact, now));
    }
    orchestrator.pass(now);
    let view = View {
        world: &orchestrator.world,
        seen: &orchestrator.seen,
        now,
    };
    let begun = Instant::now();
    assert_eq!(decide(&view, Scope::All).records, []);
    let all = begun.elapsed();
    let one: BTreeSet<_> = view.world.clusters.keys().take(1).cloned().collect();
    let begun = Instant::now();
    assert_eq!(decide(&view, Scope::Clusters(&one)).records, []);
    let single = begun.elapsed();
    eprintln!("planning 10,000: {planning:?}; a quiet pass over all: {all:?}; over one cluster: {single:?}");
    // Unoptimised, on a busy machine: only the order of magnitude is held.
    assert!(all < Duration::from_secs(2), "{all:?}");
    assert!(planning < Duration::from_secs(60), "{planning:?}");
}

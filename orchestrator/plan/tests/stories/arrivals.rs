//! Sizing by what arrives at the balancers.

use cartridge_orchestrator_plan::blueprint::ArrivalPolicy;
use cartridge_orchestrator_plan::record::Record;

use crate::harness::fixture::{self, Shape};
use crate::harness::truth;
use crate::{running, since};

/// Ten workers with 0.1 s of service each: 100 requests per second and member, at ten in flight.
fn by_arrivals() -> Shape {
    Shape {
        network_partitions: 1,
        requests_in_flight: None,
        arrivals: Some(ArrivalPolicy {
            workers: 10,
            wait_seconds: 0.1,
            service_seconds: None,
            violation_price: 130.0,
        }),
        ..Shape::default()
    }
}

#[test]
fn what_arrives_brings_members_and_what_does_not_takes_them() {
    let mut sim = running(&by_arrivals());
    sim.demand = 10.0;
    sim.seconds(120);
    // How sudden it began is remembered for a while.
    sim.until("two suffice", 900, |sim| sim.active() == 2);
    let begun = sim.orchestrator.journal.len();
    sim.demand = 32.0;
    sim.until("320 requests per second need four", 120, |sim| sim.active() == 4);
    let factors: Vec<&str> = since(&sim, begun)
        .filter_map(|record| match record {
            Record::ClusterResized { factor, .. } => Some(factor.as_str()),
            _ => None,
        })
        .collect();
    assert!(
        !factors.is_empty() && factors.iter().all(|factor| *factor == "arrivals"),
        "{factors:?}"
    );
    sim.demand = 5.0;
    for _ in 0..900 {
        sim.second();
        truth::holds(&sim);
        if sim.active() == 2 {
            return;
        }
    }
    panic!("{}", sim.picture());
}

#[test]
fn how_long_members_start_is_learned() {
    let mut sim = running(&by_arrivals());
    sim.demand = 35.0;
    sim.until("four are needed", 200, |sim| sim.active() == 4);
    let delay = sim.orchestrator.seen.starts.delay(&fixture::cluster(), -1.0);
    assert!((0.0..120.0).contains(&delay), "{delay}");
}

#[test]
fn without_readings_nothing_shrinks_by_arrivals() {
    let mut sim = running(&by_arrivals());
    sim.demand = 38.0;
    sim.until("four are needed", 200, |sim| sim.active() == 4);
    // Whatever the balancers said is forgotten, as after a restart.
    sim.orchestrator.seen.arrivals.clear();
    sim.orchestrator.seen.clusters.clear();
    let begun = sim.orchestrator.journal.len();
    sim.second();
    let shrunk = since(&sim, begun)
        .any(|record| matches!(record, Record::ClusterResized { from, to, .. } if to < from));
    assert!(!shrunk && sim.active() == 4, "{}", sim.picture());
}

//! What people order binds automation, across restarts.

use cartridge_orchestrator_plan::desired::topology;
use cartridge_orchestrator_plan::record::Record;
use cartridge_protocol::CartridgeType;

use crate::harness::fixture::{Shape, app, np};
use crate::{count, running};

#[test]
fn a_pause_outlives_a_crash_and_only_facts_are_recorded_meanwhile() {
    let mut sim = running(&Shape::default());
    sim.order(Record::AutomationPaused {
        by: "anna".into(),
        reason: "maintenance".into(),
    });
    sim.crash_orchestrator();
    let victim = sim
        .agents
        .keys()
        .find(|member| member.as_str().contains("web"))
        .unwrap()
        .clone();
    sim.seconds(30);
    sim.kill(&victim);
    let begun = sim.orchestrator.journal.len();
    sim.demand = 100.0;
    sim.seconds(120);
    assert_eq!(
        count(&sim, begun, |r| matches!(r, Record::MemberFailed { .. })),
        1
    );
    assert_eq!(
        count(&sim, begun, |r| matches!(
            r,
            Record::MemberPlanned { .. } | Record::ClusterResized { .. }
        )),
        0
    );
    let notes: String = sim
        .orchestrator
        .last
        .report
        .clusters
        .iter()
        .flat_map(|row| row.notes.clone())
        .collect();
    assert!(notes.contains("paused"), "{notes}");
    sim.order(Record::AutomationResumed { by: "anna".into() });
    sim.until("it goes on", 120, |sim| sim.active() >= 4);
}

#[test]
fn a_topology_that_lost_a_cluster_is_newer_than_the_one_before() {
    let mut sim = running(&Shape::default());
    let world = &sim.orchestrator.world;
    let balancer = world.balancer(&app(), &np(1)).unwrap().id.clone();
    let before = topology(world, &balancer).unwrap();
    let mut cartridge = world.cartridges[&CartridgeType::new("php").unwrap()].clone();
    cartridge.port_mapping[0].proxy_port = 0;
    sim.order(Record::CartridgePut(Box::new(cartridge)));
    let after = topology(&sim.orchestrator.world, &balancer).unwrap();
    assert!(before.clusters.len() == 1 && after.clusters.is_empty());
    assert!(
        after.revision > before.revision,
        "{} after {}",
        after.revision,
        before.revision
    );
}

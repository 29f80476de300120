//! What people order binds automation, across restarts.

use cartridge_orchestrator_plan::record::Record;

use crate::harness::fixture::Shape;
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

//! Growing, shrinking, ordered sizes, drains.

use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::MemberPhase;
use cartridge_protocol::{MemberId, Millis};

use crate::harness::fixture::{self, Shape};
use crate::harness::sim::Sim;
use crate::harness::truth;
use crate::{count, running, since};

#[test]
fn load_brings_members_and_calm_takes_them_one_by_one() {
    let mut sim = running(&Shape::default());
    sim.demand = 38.0;
    sim.until("four are needed", 60, |sim| sim.active() == 4);
    sim.demand = 5.0;
    let begun = sim.orchestrator.journal.len();
    let calm = sim.now;
    while sim.active() > 2 {
        sim.second();
        truth::holds(&sim);
        assert!(sim.now.since(calm) < Millis::from_secs(400), "{}", sim.picture());
    }
    let drains: Vec<Millis> = sim.orchestrator.journal[begun..]
        .iter()
        .zip(&sim.orchestrator.times[begun..])
        .filter(|(entry, _)| matches!(entry.record, Record::MemberDraining { .. }))
        .map(|(_, at)| *at)
        .collect();
    assert!(
        drains[0].since(calm) >= Millis::from_secs(20),
        "not before the stabilisation time is over"
    );
    assert!(
        drains[1].since(drains[0]) >= Millis::from_secs(60),
        "the budget is one per minute: {drains:?}"
    );
}

#[test]
fn a_sustained_overload_is_followed_within_two_evaluations_up_to_the_maximum() {
    let mut sim = running(&Shape::default());
    sim.seconds(10);
    let wanted = |sim: &Sim| -> u32 {
        let cluster = &sim.orchestrator.world.clusters[&fixture::cluster()];
        cluster.instances.values().map(|instance| instance.desired).sum()
    };
    assert_eq!(wanted(&sim), 2);
    sim.demand = 38.0;
    // The balancer tells it in this second; what counts is the mean of three.
    sim.seconds(3);
    assert!(wanted(&sim) > 2, "{}", sim.picture());
    sim.seconds(2);
    assert_eq!(wanted(&sim), 4, "{}", sim.picture());
}

#[test]
fn a_drained_member_is_told_to_stop_when_its_balancer_let_go() {
    let mut sim = running(&Shape::default());
    let member = MemberId::new("shop.web.php.domain-1").unwrap();
    sim.faults.delay_ms = 3000;
    sim.order(Record::MemberDraining {
        member: member.clone(),
        incarnation: 1,
        reason: "ordered".into(),
    });
    sim.drained.insert(member.clone(), sim.now);
    let balancer = MemberId::new("shop.lb-np1.cartridge-balancer.domain-1").unwrap();
    loop {
        sim.second();
        truth::holds(&sim);
        match sim
            .orchestrator
            .world
            .members
            .get(&member)
            .map(|member| &member.phase)
        {
            Some(MemberPhase::Draining { .. }) => {}
            _ => break,
        }
    }
    assert!(!sim.agents[&balancer].sends_to(&member));
    sim.until("somebody took its place", 60, |sim| sim.active() == 2);
}

#[test]
fn a_balancer_that_does_not_answer_delays_a_stop_by_thirty_seconds_at_most() {
    let mut sim = running(&Shape::default());
    let balancer = MemberId::new("shop.lb-np1.cartridge-balancer.domain-1").unwrap();
    let member = MemberId::new("shop.web.php.domain-1").unwrap();
    // Alive, but none of its readings arrives: its agent speaks, its plugin does not.
    sim.agents.get_mut(&balancer).unwrap().paused = sim.now.plus(Millis::from_secs(14));
    sim.order(Record::MemberDraining {
        member: member.clone(),
        incarnation: 1,
        reason: "ordered".into(),
    });
    sim.seconds(10);
    let phase = |sim: &crate::harness::sim::Sim| {
        sim.orchestrator
            .world
            .members
            .get(&member)
            .map(|m| m.phase.clone())
    };
    assert!(
        matches!(phase(&sim), Some(MemberPhase::Draining { .. })),
        "{}",
        sim.picture()
    );
    sim.seconds(21);
    assert!(
        !matches!(phase(&sim), Some(MemberPhase::Draining { .. })),
        "{}",
        sim.picture()
    );
}

#[test]
fn an_ordered_size_is_taken_at_once_in_both_directions() {
    let mut sim = running(&Shape::default());
    let order = |size: Option<u32>| Record::ClusterSizeOrdered {
        cluster: fixture::cluster(),
        size,
        by: "anna".into(),
    };
    sim.order(order(Some(4)));
    sim.until("four were ordered", 60, |sim| sim.active() == 4);
    let begun = sim.orchestrator.journal.len();
    sim.order(order(Some(2)));
    sim.seconds(2);
    assert_eq!(
        count(&sim, begun, |record| matches!(
            record,
            Record::MemberDraining { .. }
        )),
        2
    );
    let factor = since(&sim, begun).find_map(|record| match record {
        Record::ClusterResized { factor, .. } => Some(factor.clone()),
        _ => None,
    });
    assert_eq!(factor.as_deref(), Some("order"));
}

#[test]
fn nothing_shrinks_while_members_are_silent() {
    let shape = Shape {
        min: 1,
        max: 5,
        partition_max: 5,
        ..Shape::default()
    };
    let mut sim = running(&shape);
    sim.demand = 48.0;
    sim.until("five are needed", 60, |sim| sim.active() == 5);
    sim.demand = 1.0;
    // Two of five fall silent again and again, never long enough to be replaced.
    let begun = sim.orchestrator.journal.len();
    for agent in sim.agents.values_mut() {
        agent.told = None;
    }
    sim.seconds(1);
    for _ in 0..20 {
        for number in [2, 3] {
            let member = MemberId::new(format!("shop.web.php.domain-{number}")).unwrap();
            sim.agents.get_mut(&member).unwrap().paused = sim.now.plus(Millis::from_secs(25));
        }
        sim.seconds(18);
        for agent in sim.agents.values_mut() {
            agent.paused = Millis::ZERO;
            agent.told = None;
        }
        sim.seconds(1);
    }
    let shrunk = count(&sim, begun, |record| {
        matches!(record, Record::MemberDraining { .. })
    });
    assert!(
        shrunk <= 1,
        "{shrunk} were taken out while 40 % were silent most of the time"
    );
}

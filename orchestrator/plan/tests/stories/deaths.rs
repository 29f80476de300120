//! Members die, fall silent, never start; and sometimes it is we who do not hear.

use cartridge_orchestrator_plan::desired::endpoints;
use cartridge_orchestrator_plan::record::Record;
use cartridge_protocol::{MemberId, Millis};

use crate::harness::fixture::{self, Shape};
use crate::harness::provisioner::Trouble;
use crate::harness::sim::Sim;
use crate::{count, running};

fn four() -> Shape {
    Shape {
        min: 4,
        max: 6,
        partition_max: 6,
        ..Shape::default()
    }
}

fn member(number: u64) -> MemberId {
    MemberId::new(format!("shop.web.php.domain-{number}")).unwrap()
}

fn failed(record: &Record) -> bool {
    matches!(record, Record::MemberFailed { .. })
}

#[test]
fn a_confirmed_death_is_replaced_in_the_pass_that_learns_of_it() {
    let mut sim = running(&Shape::default());
    sim.orchestrator.gone(&member(1), sim.now);
    let records = sim.orchestrator.pass(sim.now);
    assert!(failed(&records[0]), "{records:#?}");
    assert!(
        matches!(&records[1], Record::MemberPlanned { .. }),
        "{records:#?}"
    );
}

#[test]
fn clients_are_not_sent_to_a_balancer_that_died_until_the_next_one_is_ready() {
    let mut sim = running(&Shape::default());
    let listed = |sim: &Sim| endpoints(&sim.orchestrator.world, &fixture::app()).len();
    assert_eq!(listed(&sim), 1);
    sim.kill(&MemberId::new("shop.lb-np1.cartridge-balancer.domain-1").unwrap());
    sim.until("it is not listed", 5, |sim| listed(sim) == 0);
    sim.until("the next one is", 60, |sim| listed(sim) == 1);
    let balancers = sim
        .agents
        .values()
        .filter(|agent| agent.balancer && !agent.exited);
    assert_eq!(
        balancers.map(|agent| agent.member.as_str()).collect::<Vec<_>>(),
        ["shop.lb-np1.cartridge-balancer.domain-2"]
    );
}

#[test]
fn one_silent_member_is_replaced_after_twenty_seconds() {
    let mut sim = running(&four());
    let begun = sim.orchestrator.journal.len();
    sim.agents.get_mut(&member(2)).unwrap().told = None;
    sim.second(); // It is heard now.
    sim.agents.get_mut(&member(2)).unwrap().paused = Millis::from_secs(10_000);
    sim.seconds(20);
    assert_eq!(count(&sim, begun, failed), 0);
    sim.seconds(2);
    assert_eq!(count(&sim, begun, failed), 1);
    sim.until("four again", 60, |sim| sim.active() == 4);
    assert!(!sim.agents.contains_key(&member(2)), "what was silent is removed");
}

#[test]
fn a_pause_of_ten_seconds_is_no_death() {
    let mut sim = running(&four());
    let begun = sim.orchestrator.journal.len();
    sim.agents.get_mut(&member(2)).unwrap().paused = sim.now.plus(Millis::from_secs(10));
    sim.seconds(40);
    assert_eq!(count(&sim, begun, failed), 0);
}

#[test]
fn when_most_are_silent_it_is_not_believed() {
    let mut sim = running(&four());
    let begun = sim.orchestrator.journal.len();
    for number in 1..=3 {
        sim.agents.get_mut(&member(number)).unwrap().paused = sim.now.plus(Millis::from_secs(300));
    }
    sim.seconds(200);
    assert_eq!(sim.orchestrator.journal.len(), begun, "{}", sim.picture());
    let notes: String = sim
        .orchestrator
        .last
        .report
        .clusters
        .iter()
        .flat_map(|row| row.notes.clone())
        .collect();
    assert!(notes.contains("none is replaced"), "{notes}");
}

#[test]
fn when_nobody_is_heard_nothing_is_done_at_all() {
    let mut sim = running(&Shape::default());
    let begun = sim.orchestrator.journal.len();
    sim.split = sim.now.plus(Millis::from_secs(3600));
    sim.seconds(600);
    assert_eq!(sim.orchestrator.journal.len(), begun);
}

#[test]
fn a_dead_balancer_is_replaced_when_its_ports_are_free() {
    let mut sim = running(&Shape::default());
    let balancer = MemberId::new("shop.lb-np1.cartridge-balancer.domain-1").unwrap();
    sim.kill(&balancer);
    sim.until("it is noticed", 10, |sim| {
        !sim.orchestrator.world.members.contains_key(&balancer)
    });
    let next = MemberId::new("shop.lb-np1.cartridge-balancer.domain-2").unwrap();
    sim.until("the next serves", 60, |sim| {
        sim.agents
            .get(&next)
            .is_some_and(|agent| agent.sends_to(&member(1)))
    });
    let records = sim.orchestrator.journal.iter().map(|entry| &entry.record);
    let of = |record: &&Record| match record {
        Record::MemberRemoved { member, .. } => *member == balancer,
        Record::MemberPlanned { member, .. } => *member == next,
        _ => false,
    };
    let order: Vec<&Record> = records.filter(of).collect();
    assert!(
        matches!(
            order[..],
            [Record::MemberRemoved { .. }, Record::MemberPlanned { .. }]
        ),
        "{order:?}"
    );
}

#[test]
fn what_never_starts_is_tried_ever_more_rarely() {
    let mut sim = Sim::new(&Shape::default(), 3);
    sim.faults.provisioner = Trouble {
        fails: 1000,
        ..Trouble::default()
    };
    sim.seconds(600);
    let first = count(&sim, 0, |record| matches!(record, Record::MemberPlanned { .. }));
    let length = sim.orchestrator.journal.len();
    sim.seconds(3600);
    let later = count(&sim, length, |record| {
        matches!(record, Record::MemberPlanned { .. })
    });
    assert!(
        first > 3 && later <= 45,
        "{first} in ten minutes, then {later} in an hour, of three at a time"
    );
    sim.faults = crate::harness::sim::Faults::default();
    sim.until("it starts when it can", 400, |sim| sim.active() == 2);
}

#[test]
fn an_orchestrator_that_comes_back_takes_nothing_away() {
    let mut sim = running(&four());
    sim.demand = 58.0;
    sim.until("grown", 120, |sim| sim.active() == 6);
    sim.demand = 1.0;
    sim.crash_orchestrator();
    let begun = sim.orchestrator.journal.len();
    while sim.now < sim.down {
        sim.second();
    }
    sim.seconds(18);
    assert_eq!(
        count(&sim, begun, |record| !matches!(
            record,
            Record::OrchestratorStarted { .. }
        )),
        0
    );
    sim.until("in time it shrinks", 600, |sim| sim.active() == 4);
}

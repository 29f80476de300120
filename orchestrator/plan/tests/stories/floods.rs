//! Members that change without end: what they say is followed, but not as often as they say it.

use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::MemberPhase;
use cartridge_protocol::link::Phase;
use cartridge_protocol::{MemberId, Millis};

use crate::harness::fixture::{self, Shape};
use crate::harness::sim::Sim;
use crate::{count, running};

fn member(number: u64) -> MemberId {
    MemberId::new(format!("shop.web.php.domain-{number}")).unwrap()
}

/// The member says this, and it is decided.
fn says(sim: &mut Sim, phase: Phase) -> Vec<Record> {
    let now = sim.now;
    let members = &mut sim.orchestrator.seen.members;
    members.change(|_| true, |said| said.heard = now);
    let said = sim.orchestrator.seen.members.get_mut(&member(1)).unwrap();
    said.status.phase = phase;
    sim.orchestrator.pass(now)
}

fn suspended() -> Phase {
    Phase::Suspended {
        reason: "its port does not answer".into(),
    }
}

/// What the orchestrator does not believe of it.
fn other(sim: &Sim) -> Phase {
    match sim.orchestrator.world.members[&member(1)].phase {
        MemberPhase::Active => suspended(),
        _ => Phase::Active,
    }
}

fn follows(record: &Record) -> bool {
    matches!(
        record,
        Record::MemberActivated { .. } | Record::MemberSuspended { .. } | Record::MemberSwitched { .. }
    )
}

/// Toggles every 10 ms for so many seconds.
fn toggles(sim: &mut Sim, seconds: u64) -> usize {
    let begun = sim.orchestrator.journal.len();
    for n in 0..seconds * 100 {
        sim.now = sim.now.plus(Millis(10));
        says(sim, if n % 2 == 0 { suspended() } else { Phase::Active });
    }
    count(sim, begun, follows)
}

#[test]
fn a_member_that_toggles_does_not_flood_the_journal_and_is_followed_all_the_same() {
    let mut sim = running(&Shape::default());
    let burst = toggles(&mut sim, 3);
    assert!((15..=21).contains(&burst), "{burst}");
    sim.now = sim.now.plus(Millis(10));
    let news = other(&sim);
    assert_eq!(says(&mut sim, news), []);
    let notes: String = sim
        .orchestrator
        .last
        .report
        .clusters
        .iter()
        .flat_map(|row| row.notes.clone())
        .collect();
    assert!(notes.contains(member(1).as_str()), "{notes}");
    let later = toggles(&mut sim, 100);
    assert!((40..=51).contains(&later), "one in two seconds: {later}");

    sim.now = sim.now.plus(Millis(10));
    let news = other(&sim);
    assert_eq!(says(&mut sim, news.clone()), []);
    let wake = sim.orchestrator.last.wake.unwrap();
    assert!(
        wake.since(sim.now) <= Millis::from_secs(2),
        "the plan says when it goes on"
    );
    sim.now = wake;
    assert!(says(&mut sim, news).iter().any(follows));

    sim.now = sim.now.plus(Millis::from_secs(60));
    assert!(
        toggles(&mut sim, 1) >= 19,
        "after a calm while it is followed at once again"
    );
}

#[test]
fn the_end_of_a_member_that_toggles_is_recorded_at_once() {
    let mut sim = running(&Shape::default());
    toggles(&mut sim, 3);
    sim.now = sim.now.plus(Millis(10));
    let records = says(
        &mut sim,
        Phase::Failed {
            reason: "it gave up".into(),
        },
    );
    assert!(matches!(records[0], Record::MemberFailed { .. }), "{records:?}");
}

#[test]
fn members_that_die_soon_after_they_became_ready_are_replaced_ever_more_rarely() {
    let mut sim = running(&Shape {
        min: 1,
        ..Shape::default()
    });
    let planned = |record: &Record| match record {
        Record::MemberPlanned { member, .. } => member.as_str().contains(".web."),
        _ => false,
    };
    let lives = |sim: &mut Sim, seconds: u64| {
        let begun = sim.orchestrator.journal.len();
        for _ in 0..seconds {
            sim.second();
            let active: Vec<MemberId> = sim
                .orchestrator
                .world
                .members
                .values()
                .filter(|member| member.phase == MemberPhase::Active && member.id.as_str().contains(".web."))
                .map(|member| member.id.clone())
                .collect();
            active.iter().for_each(|member| sim.kill(member));
        }
        count(sim, begun, planned)
    };
    let first = lives(&mut sim, 600);
    let later = lives(&mut sim, 3600);
    assert!(
        first > 5 && later <= 15,
        "{first} in ten minutes, then {later} in an hour"
    );

    sim.until("the next one comes", 400, |sim| sim.active() == 1);
    sim.seconds(61);
    let last = member(sim.orchestrator.world.clusters[&fixture::cluster()].next_member - 1);
    sim.orchestrator.gone(&last, sim.now);
    let records = sim.orchestrator.pass(sim.now);
    assert!(
        records.iter().any(planned),
        "it had lasted, so the next comes at once: {records:?}"
    );
    let instance = &sim.orchestrator.world.clusters[&fixture::cluster()].instances[&fixture::np(1)];
    assert_eq!(instance.failures, 0);
}

#[test]
fn what_died_while_the_orchestrator_was_dead_is_replaced_at_once() {
    let mut sim = running(&Shape {
        min: 4,
        max: 6,
        partition_max: 6,
        ..Shape::default()
    });
    sim.orchestrator.crash(sim.now);
    sim.now = sim.now.plus(Millis::from_secs(1));
    (1..=4).for_each(|number| sim.orchestrator.gone(&member(number), sim.now));
    let records = sim.orchestrator.pass(sim.now);
    let planned = |record: &&Record| matches!(record, Record::MemberPlanned { .. });
    assert_eq!(records.iter().filter(planned).count(), 4, "{records:#?}");
}

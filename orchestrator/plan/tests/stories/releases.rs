//! A commit reaches every member, or none.

use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::MemberPhase;
use cartridge_protocol::Millis;

use crate::harness::fixture::{self, Shape};
use crate::harness::sim::Sim;
use crate::harness::truth;
use crate::{count, running};

fn shape() -> Shape {
    Shape {
        min: 4,
        max: 4,
        repository: true,
        ..Shape::default()
    }
}

fn accepted(sim: &Sim) -> Option<cartridge_protocol::CommitId> {
    sim.orchestrator.world.clusters[&fixture::cluster()]
        .release
        .accepted
        .clone()
}

fn all_have(sim: &Sim, number: u64) -> bool {
    let commit = fixture::commit(number);
    let cluster = &sim.orchestrator.world.clusters[&fixture::cluster()];
    let mut members = sim.orchestrator.world.members_of(cluster);
    members.all(|m| m.release.as_ref() == Some(&commit) && m.phase == MemberPhase::Active)
        && accepted(sim) == Some(commit)
}

#[test]
fn the_first_release_is_the_head_and_members_wait_for_it() {
    let sim = running(&shape());
    assert!(all_have(&sim, 1), "{}", sim.picture());
}

#[test]
fn a_member_that_waits_for_the_first_commit_is_not_replaced() {
    let mut sim = Sim::new(&shape(), 1);
    sim.repository.head = None;
    sim.seconds(600);
    assert_eq!(
        count(&sim, 0, |record| matches!(record, Record::MemberFailed { .. })),
        0
    );
    sim.repository.head = Some(fixture::commit(1));
    sim.until("it runs", 60, |sim| sim.active() == 4);
}

#[test]
fn a_new_commit_reaches_one_member_first_and_then_the_others_with_no_gap() {
    let mut sim = running(&shape());
    sim.push_commit(false);
    let mut most_out = 0;
    for _ in 0..300 {
        sim.second();
        truth::holds(&sim);
        most_out = most_out.max(4 - sim.active());
        if all_have(&sim, 2) {
            break;
        }
    }
    assert!(all_have(&sim, 2), "{}", sim.picture());
    assert!(most_out <= 1, "{most_out} were out at once");
}

#[test]
fn a_bad_commit_stops_at_one_member_and_is_never_tried_again() {
    let mut sim = running(&shape());
    let begun = sim.orchestrator.journal.len();
    sim.push_commit(true);
    sim.seconds(300);
    assert!(all_have(&sim, 1), "{}", sim.picture());
    assert_eq!(
        count(&sim, begun, |r| matches!(r, Record::ReleaseRejected { .. })),
        1
    );
    assert_eq!(
        count(&sim, begun, |r| matches!(r, Record::ReleaseProposed { .. })),
        1
    );
    assert_eq!(
        count(&sim, begun, |r| matches!(r, Record::MemberUpdating { .. })),
        1,
        "only the first tried"
    );
    sim.push_commit(false);
    sim.until("the next good one is taken", 300, |sim| all_have(sim, 3));
}

#[test]
fn a_newer_head_replaces_what_is_being_brought() {
    let mut sim = running(&shape());
    sim.push_commit(false);
    sim.seconds(5);
    sim.push_commit(false);
    sim.until("the newest wins", 400, |sim| all_have(sim, 3));
    let proposed = count(&sim, 0, |r| matches!(r, Record::ReleaseProposed { .. }));
    sim.seconds(120);
    assert_eq!(
        count(&sim, 0, |r| matches!(r, Record::ReleaseProposed { .. })),
        proposed,
        "no going to and fro"
    );
}

#[test]
fn an_only_member_switches_while_it_serves() {
    let mut sim = running(&Shape {
        min: 1,
        max: 1,
        repository: true,
        ..Shape::default()
    });
    let begun = sim.orchestrator.journal.len();
    sim.push_commit(false);
    sim.until("it has it", 120, |sim| all_have(sim, 2));
    let live = count(&sim, begun, |r| {
        matches!(r, Record::MemberUpdating { live: true, .. })
    });
    assert_eq!(live, 1);
}

#[test]
fn a_pinned_commit_holds_until_the_branch_is_followed_again() {
    let mut sim = running(&shape());
    sim.push_commit(false);
    sim.until("the second", 300, |sim| all_have(sim, 2));
    sim.order(Record::ReleaseProposed {
        cluster: fixture::cluster(),
        commit: fixture::commit(1),
        by: "anna".into(),
        pinned: true,
    });
    sim.until("back to the first", 300, |sim| all_have(sim, 1));
    sim.seconds(60);
    assert!(all_have(&sim, 1));
    sim.order(Record::ReleaseUnpinned {
        cluster: fixture::cluster(),
        by: "anna".into(),
    });
    sim.until("the head again", 300, |sim| all_have(sim, 2));
}

#[test]
fn a_roll_out_goes_on_where_a_crash_of_the_orchestrator_left_it() {
    let mut sim = running(&shape());
    sim.push_commit(false);
    for _ in 0..8 {
        sim.seconds(6);
        sim.crash_orchestrator();
        sim.down = Millis::ZERO;
        truth::holds(&sim);
    }
    sim.until("all have it", 600, |sim| all_have(sim, 2));
}

#[test]
fn new_members_of_a_settled_cluster_start_with_what_is_accepted() {
    let mut sim = running(&shape());
    let victim = sim
        .agents
        .keys()
        .find(|member| member.as_str().contains("web"))
        .unwrap()
        .clone();
    sim.kill(&victim);
    let begun = sim.orchestrator.journal.len();
    sim.until("four again", 60, |sim| {
        sim.active() == 4 && !sim.orchestrator.world.members.contains_key(&victim)
    });
    assert!(all_have(&sim, 1));
    assert_eq!(
        count(&sim, begun, |r| matches!(r, Record::MemberUpdating { .. })),
        0
    );
}

//! What is heard late, twice, in part, or of somebody who was sent away: it must not be believed too much.

use cartridge_orchestrator_plan::answer::{JoinRefused, Joining, join};
use cartridge_orchestrator_plan::record::Record;
use cartridge_protocol::{MemberId, Millis};

use crate::harness::fixture::Shape;
use crate::harness::network::Said;
use crate::harness::orchestrator::Heard;
use crate::harness::sim::Sim;
use crate::{count, running};

fn member(number: u64) -> MemberId {
    MemberId::new(format!("shop.web.php.domain-{number}")).unwrap()
}

fn failed(record: &Record) -> bool {
    matches!(record, Record::MemberFailed { .. })
}

/// What the member says now.
fn word(sim: &mut Sim, number: u64) -> Box<Said> {
    let now = sim.now;
    let agent = sim.agents.get_mut(&member(number)).unwrap();
    agent.told = None;
    agent.say(0.0, 30.0, now).unwrap()
}

#[test]
fn a_list_that_lacks_a_member_is_not_believed_while_the_member_speaks() {
    let mut sim = running(&Shape::default());
    let said = word(&mut sim, 1);
    assert_eq!(sim.orchestrator.hear(said, sim.now), Heard::Yes);
    let begun = sim.orchestrator.journal.len();
    sim.orchestrator.missing(&member(1), sim.now);
    sim.seconds(60);
    assert_eq!(count(&sim, begun, failed), 0, "{}", sim.picture());
    // Silent, and still not listed: it is lost, before silence alone would say so.
    sim.agents.get_mut(&member(1)).unwrap().paused = Millis::from_secs(100_000);
    sim.orchestrator.missing(&member(1), sim.now);
    sim.seconds(17);
    assert_eq!(count(&sim, begun, failed), 1);
}

#[test]
fn a_word_that_was_under_way_for_long_is_no_sign_of_life() {
    let mut sim = running(&Shape::default());
    let late = word(&mut sim, 1);
    let said = word(&mut sim, 1);
    sim.orchestrator.hear(said.clone(), sim.now);
    let heard = sim.orchestrator.seen.members[&member(1)].heard;
    let later = sim.now.plus(Millis::from_secs(9));
    assert_eq!(sim.orchestrator.hear(late, later), Heard::Yes);
    assert_eq!(sim.orchestrator.hear(said, later), Heard::Yes, "the same again");
    assert_eq!(sim.orchestrator.seen.members[&member(1)].heard, heard);
}

#[test]
fn who_was_sent_away_before_it_came_is_told_that_it_is_over() {
    let mut sim = Sim::new(&Shape::default(), 1);
    sim.orchestrator.pass(sim.now);
    sim.order(Record::MemberDraining {
        member: member(1),
        incarnation: 1,
        reason: "ordered by anna".into(),
    });
    let comes = Joining {
        member: member(1),
        incarnation: 1,
        credential_sha256: "hash".into(),
    };
    let refused = join(&sim.orchestrator.world, &comes, sim.now).unwrap_err();
    assert_eq!(refused, JoinRefused::Over);
}

//! The second reader refuses plans that the deciders never make: each is forged here.

use cartridge_orchestrator_plan::check::check;
use cartridge_orchestrator_plan::decide::{Planned, View};
use cartridge_orchestrator_plan::record::Record;
use cartridge_protocol::MemberId;

use crate::harness::fixture::{self, Shape};
use crate::harness::sim::Sim;
use crate::running;

fn member(number: u64) -> MemberId {
    MemberId::new(format!("shop.web.php.domain-{number}")).unwrap()
}

fn drain(number: u64) -> Record {
    Record::MemberDraining {
        member: member(number),
        incarnation: 1,
        reason: "forged".into(),
    }
}

fn resize(from: u32, to: u32) -> Record {
    Record::ClusterResized {
        cluster: fixture::cluster(),
        network_partition: fixture::np(1),
        from,
        to,
        factor: "forged".into(),
        reason: "forged".into(),
    }
}

/// The invariant that refuses the plan; empty: none does.
fn refused(sim: &Sim, records: Vec<Record>) -> String {
    let view = View {
        world: &sim.orchestrator.world,
        seen: &sim.orchestrator.seen,
        now: sim.now,
    };
    let planned = Planned {
        records,
        ..Planned::default()
    };
    check(&view, &planned)
        .err()
        .map_or(String::new(), |broken| broken.invariant.to_owned())
}

#[test]
fn draining_two_of_three_at_once_breaks_the_budget() {
    let sim = running(&Shape {
        min: 3,
        ..Shape::default()
    });
    assert_eq!(refused(&sim, vec![drain(1)]), "");
    assert_eq!(refused(&sim, vec![drain(1), drain(2)]), "S7 destruction budget");
}

#[test]
fn draining_the_last_endpoint_is_refused() {
    let sim = running(&Shape {
        min: 1,
        ..Shape::default()
    });
    assert_eq!(refused(&sim, vec![drain(1)]), "S13 non-empty endpoints");
    let updating = Record::MemberUpdating {
        member: member(1),
        incarnation: 1,
        commit: fixture::commit(2),
        live: false,
    };
    assert_eq!(refused(&sim, vec![updating]), "S13 non-empty endpoints");
}

#[test]
fn stopping_before_the_balancer_let_go_is_refused() {
    let sim = running(&Shape {
        min: 3,
        ..Shape::default()
    });
    let stopping = Record::MemberStopping {
        member: member(1),
        incarnation: 1,
        reason: "forged".into(),
    };
    assert_eq!(refused(&sim, vec![drain(1), stopping]), "S14 drain");
}

#[test]
fn sizes_out_of_bounds_and_surplus_members_are_refused() {
    let sim = running(&Shape::default());
    assert_eq!(refused(&sim, vec![resize(2, 1)]), "S6 bounds");
    assert_eq!(refused(&sim, vec![resize(2, 5)]), "S6 bounds");
    assert_eq!(refused(&sim, vec![resize(2, 4)]), "");
    let planned = Record::MemberPlanned {
        group_instance: 0,
        member: member(3),
        incarnation: 1,
        cluster: fixture::cluster(),
        network_partition: fixture::np(1),
        partition: cartridge_protocol::PartitionId::new("a").unwrap(),
        reason: "forged".into(),
    };
    assert_eq!(refused(&sim, vec![planned.clone()]), "S6 bounds");
    assert_eq!(
        refused(&sim, vec![planned.clone(), planned]),
        "S4 one fact after another"
    );
}

#[test]
fn shrinking_while_members_are_silent_is_refused() {
    let mut sim = running(&Shape {
        min: 1,
        ..Shape::default()
    });
    sim.demand = 38.0;
    sim.until("four are needed", 60, |sim| sim.active() == 4);
    for number in [1, 2] {
        sim.agents.get_mut(&member(number)).unwrap().paused = cartridge_protocol::Millis(u64::MAX);
    }
    sim.seconds(17);
    assert_eq!(refused(&sim, vec![resize(4, 3)]), "S8 ignorance freezes");
    assert_eq!(refused(&sim, vec![drain(3)]), "S8 ignorance freezes");
}

#[test]
fn beginning_anything_while_paused_is_refused() {
    let mut sim = running(&Shape::default());
    sim.order(Record::AutomationPaused {
        by: "anna".into(),
        reason: "maintenance".into(),
    });
    assert_eq!(refused(&sim, vec![resize(2, 3)]), "S32 pause is durable");
}

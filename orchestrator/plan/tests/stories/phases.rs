//! Every phase of a member against every record about members: the table of what fits.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::{MemberPhase, World};
use cartridge_protocol::{MemberId, Millis, PartitionId};

use crate::harness::fixture::{self, Shape};

fn id() -> MemberId {
    MemberId::new("shop.web.php.domain-1").unwrap()
}

fn apply(world: &mut World, record: Record) -> bool {
    let entry = Entry {
        seq: world.seq + 1,
        at_unix_ms: 0,
        record,
    };
    world.apply(&entry, Millis(5)).is_ok()
}

/// Name, record, in the order of the columns of the table.
fn events() -> Vec<(&'static str, Record)> {
    let (member, incarnation) = (id(), 1);
    macro_rules! plain {
        ($kind:ident) => { Record::$kind { member: member.clone(), incarnation } };
        ($kind:ident, $($field:ident: $value:expr),+) => {
            Record::$kind { member: member.clone(), incarnation, $($field: $value),+ }
        };
    }
    let ensured = Record::MemberEnsured {
        member: member.clone(),
        incarnation,
        instance: "i".into(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ports: BTreeMap::new(),
    };
    vec![
        ("ensured", ensured),
        (
            "ensure-failed",
            plain!(MemberEnsureFailed, attempt: 1, reason: "r".into()),
        ),
        ("joined", plain!(MemberJoined, credential_sha256: "h".into())),
        ("activated", plain!(MemberActivated)),
        ("suspended", plain!(MemberSuspended, reason: "r".into())),
        (
            "updating",
            plain!(MemberUpdating, commit: fixture::commit(2), live: false),
        ),
        ("cleared", plain!(MemberCleared)),
        ("switched", plain!(MemberSwitched, commit: fixture::commit(2))),
        ("draining", plain!(MemberDraining, reason: "r".into())),
        ("stopping", plain!(MemberStopping, reason: "r".into())),
        ("stopped", plain!(MemberStopped)),
        (
            "failed",
            plain!(MemberFailed, reason: "r".into(), active_ms: None),
        ),
        ("removed", plain!(MemberRemoved)),
    ]
}

fn named(name: &str) -> Record {
    events().into_iter().find(|(known, _)| *known == name).unwrap().1
}

/// A world with one member that went through these records.
fn after(path: &[&str]) -> World {
    let mut world = World::default();
    for record in fixture::records(&Shape::default()) {
        assert!(apply(&mut world, record));
    }
    assert!(apply(
        &mut world,
        Record::BurstStarted {
            application: fixture::app(),
            network_partition: fixture::np(1),
            reason: "deployed".into(),
        }
    ));
    assert!(apply(
        &mut world,
        Record::MemberPlanned {
            group_instance: 0,
            member: id(),
            incarnation: 1,
            cluster: fixture::cluster(),
            network_partition: fixture::np(1),
            partition: PartitionId::new("a").unwrap(),
            reason: "r".into(),
        }
    ));
    for step in path {
        assert!(apply(&mut world, named(step)), "{step} of {path:?}");
    }
    world
}

#[test]
fn each_phase_takes_exactly_the_records_that_lead_on_from_it() {
    let table: [(&[&str], &str); 11] = [
        (&[], "ensured ensure-failed joined draining failed"),
        (&["ensured"], "joined draining failed"),
        (&["joined"], "ensured switched draining failed"),
        (&["ensured", "joined"], "activated switched draining failed"),
        (
            &["ensured", "joined", "activated"],
            "suspended updating switched draining failed",
        ),
        (
            &["ensured", "joined", "activated", "suspended"],
            "activated updating switched draining failed",
        ),
        (
            &["ensured", "joined", "activated", "updating"],
            "updating cleared switched draining failed",
        ),
        (
            &["ensured", "joined", "activated", "updating", "cleared"],
            "updating switched draining failed",
        ),
        (&["ensured", "joined", "activated", "draining"], "stopping failed"),
        (
            &["ensured", "joined", "activated", "draining", "stopping"],
            "stopped failed",
        ),
        (&["ensured", "joined", "activated", "failed"], "removed"),
    ];
    for (path, fitting) in table {
        let world = after(path);
        let taken: Vec<&str> = events()
            .into_iter()
            .filter(|(_, record)| apply(&mut world.clone(), record.clone()))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(taken.join(" "), fitting, "after {path:?}");
    }
}

#[test]
fn a_record_of_another_life_never_fits() {
    let world = after(&["ensured", "joined", "activated"]);
    let stale = Record::MemberFailed {
        member: id(),
        incarnation: 2,
        reason: "r".into(),
        active_ms: None,
    };
    assert!(world.fits(&stale).is_err());
}

#[test]
fn a_removed_member_leaves_nothing_and_its_number_is_not_used_again() {
    let world = after(&["ensured", "joined", "activated", "failed", "removed"]);
    assert!(world.members.is_empty());
    let cluster = &world.clusters[&fixture::cluster()];
    assert!(cluster.members.is_empty());
    assert_eq!(cluster.next_member, 2);
}

#[test]
fn switching_ends_an_update_wherever_it_stands() {
    for path in [
        &["ensured", "joined", "activated", "updating", "switched"][..],
        &[
            "ensured",
            "joined",
            "activated",
            "updating",
            "cleared",
            "switched",
        ][..],
    ] {
        let world = after(path);
        assert_eq!(world.members[&id()].phase, MemberPhase::Active);
        assert_eq!(world.members[&id()].release, Some(fixture::commit(2)));
    }
}

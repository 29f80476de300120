//! What follows from lists, one after the other.

use cartridge_protocol::{NetworkPartitionId, PartitionId};

use super::*;
use crate::record::{Entry, Record};

fn id(number: u64) -> MemberId {
    MemberId::new(format!("app.web.c.domain-{number}")).unwrap()
}

fn apply(world: &mut World, record: Record) {
    let entry = Entry {
        seq: world.seq + 1,
        at_unix_ms: 0,
        record,
    };
    world.apply(&entry, Millis::ZERO).unwrap();
}

/// Of two members that were planned, the first ran and was removed; the second runs.
fn world() -> World {
    let mut world = World::default();
    let network_partition = NetworkPartitionId::new("np").unwrap();
    let place = serde_json::json!({"id": "np", "provider": "mock", "partitions": [{"id": "p1"}]});
    let place = crate::blueprint::parse::network_partition(&place).unwrap();
    apply(&mut world, Record::NetworkPartitionPut(Box::new(place)));
    let cluster = ClusterId::new("app.web.c.domain").unwrap();
    world.clusters.insert(cluster.clone(), bare(&cluster));
    for number in 1..=2 {
        let (member, incarnation) = (id(number), 1);
        apply(
            &mut world,
            Record::MemberPlanned {
                group_instance: 0,
                member: member.clone(),
                incarnation,
                cluster: cluster.clone(),
                network_partition: network_partition.clone(),
                partition: PartitionId::new("p1").unwrap(),
                reason: String::new(),
            },
        );
        apply(
            &mut world,
            Record::MemberEnsured {
                member,
                incarnation,
                instance: "i".to_owned(),
                address: "127.0.0.1".parse().unwrap(),
                ports: BTreeMap::new(),
            },
        );
    }
    let (member, incarnation) = (id(1), 1);
    let failed = Record::MemberFailed {
        member: member.clone(),
        incarnation,
        reason: String::new(),
        active_ms: None,
    };
    apply(&mut world, failed);
    apply(&mut world, Record::MemberRemoved { member, incarnation });
    world
}

fn bare(id: &ClusterId) -> crate::world::Cluster {
    serde_json::from_value(serde_json::json!({
        "id": id, "application": "app", "alias": "web", "cartridge": "c", "role": {"role": "application"},
        "autoscaling_policy": null, "deployment_policy": null, "min": 1, "max": 2, "hosts": [], "repository": null,
        "next_member": 1, "ordered_size": null, "looks": 0, "members": [],
        "instances": {"np": {"desired": 2, "since": 0, "ending": null}},
        "release": {"accepted": null, "proposed": null, "rejected": [], "pinned": false},
    }))
    .unwrap()
}

fn found(number: u64, minutes: u64) -> Found {
    Found {
        member: id(number),
        incarnation: 1,
        running: true,
        age: Some(Duration::from_secs(60 * minutes)),
    }
}

#[test]
fn what_the_journal_removed_goes_at_once_and_what_it_never_knew_stays_until_it_is_old() {
    let world = world();
    let mut past = Past::default();
    let young = [found(1, 0), found(2, 0), found(9, 8)];
    let first = past.judge(&world, "mock", &young, Millis::from_secs(5));
    assert_eq!(first.remove, [(id(1), 1)]);
    assert_eq!(first.strangers, [found(9, 8)]);
    assert_eq!(first.missing, []);
    let second = past.judge(&world, "mock", &[found(2, 1), found(9, 9)], Millis::from_secs(66));
    assert_eq!(
        (second.remove, second.strangers),
        (vec![], vec![found(9, 9)]),
        "too young"
    );
    let third = past.judge(
        &world,
        "mock",
        &[found(2, 3), found(9, 11)],
        Millis::from_secs(126),
    );
    assert_eq!((third.remove, third.strangers), (vec![(id(9), 1)], vec![]));
    let again = past.judge(
        &world,
        "mock",
        &[found(2, 4), found(9, 12)],
        Millis::from_secs(186),
    );
    assert_eq!(again.remove, [(id(9), 1)], "its removal failed");
}

#[test]
fn an_old_stranger_stays_at_the_first_list_and_at_a_second_one_right_after() {
    let world = world();
    let mut past = Past::default();
    for at in [5, 64] {
        let verdict = past.judge(
            &world,
            "mock",
            &[found(2, 99), found(9, 99)],
            Millis::from_secs(at),
        );
        assert_eq!(verdict.remove, [], "at {at} s");
    }
    let gone = past.judge(&world, "mock", &[found(2, 99)], Millis::from_secs(100));
    assert_eq!(gone, Verdict::default());
    let back = past.judge(
        &world,
        "mock",
        &[found(2, 99), found(9, 99)],
        Millis::from_secs(200),
    );
    assert_eq!(back.remove, [], "it was away: its time begins anew");
}

#[test]
fn a_member_is_missing_when_two_lists_lack_it_or_the_first_one_does() {
    let world = world();
    let mut past = Past::default();
    let at_the_start = past.judge(&world, "mock", &[], Millis::from_secs(1));
    assert_eq!(at_the_start.missing, [(id(2), 1)]);
    let mut past = Past::default();
    let mut gone = |found: &[Found], at| past.judge(&world, "mock", found, Millis::from_secs(at)).missing;
    assert_eq!(gone(&[found(2, 1)], 1), []);
    assert_eq!(
        gone(&[], 61),
        [],
        "a single list can have been made while it began"
    );
    assert_eq!(gone(&[found(2, 1)], 121), []);
    assert_eq!(gone(&[], 181), []);
    assert_eq!(gone(&[], 241), [(id(2), 1)]);
}

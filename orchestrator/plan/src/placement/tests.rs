//! Placement against brute force.

use std::collections::BTreeSet;

use cartridge_protocol::{ApplicationId, CartridgeType, ClusterId, Millis, PolicyId};
use proptest::prelude::*;

use super::*;
use crate::blueprint::{DeploymentPartition, DeploymentPolicy};

/// One case: partitions as (partitionMax, capacity), members as (own cluster, partition, phase, requests in flight).
#[derive(Clone, Debug)]
struct Case {
    algorithm: PartitionAlgorithm,
    partitions: Vec<(u32, Option<u32>)>,
    members: Vec<(bool, usize, u8, u64)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let algorithm = prop_oneof![
        Just(PartitionAlgorithm::OneAfterAnother),
        Just(PartitionAlgorithm::RoundRobin)
    ];
    let partitions = prop::collection::vec((1u32..5, prop::option::of(0u32..6)), 1..5);
    let members = prop::collection::vec((any::<bool>(), 0usize..4, 0u8..9, 0u64..3), 0..14);
    (algorithm, partitions, members).prop_map(|(algorithm, partitions, members)| Case {
        algorithm,
        partitions,
        members,
    })
}

fn phase(kind: u8) -> MemberPhase {
    let reason = String::new;
    match kind {
        0 => MemberPhase::Planned { attempts: 0 },
        1 => MemberPhase::Ensured,
        2 => MemberPhase::Starting,
        3 => MemberPhase::Suspended { reason: reason() },
        4 => MemberPhase::Draining { reason: reason() },
        5 => MemberPhase::Stopping,
        6 => MemberPhase::Ended { failure: None },
        _ => MemberPhase::Active,
    }
}

fn cluster(alias: &str) -> Cluster {
    let json = serde_json::json!({
        "id": format!("app.{alias}.php.domain"), "application": "app", "alias": alias, "cartridge": "php",
        "role": {"role": "application"}, "autoscaling_policy": null, "deployment_policy": "d", "min": 1, "max": 99,
        "hosts": [], "repository": null, "next_member": 1, "instances": {}, "ordered_size": null,
        "release": {"accepted": null, "proposed": null, "rejected": [], "pinned": false},
        "looks": 0, "members": [], "drains": [], "revision": 0, "told": 0,
    });
    serde_json::from_value(json).unwrap()
}

fn np() -> NetworkPartitionId {
    NetworkPartitionId::new("np").unwrap()
}

fn partition(i: usize) -> PartitionId {
    PartitionId::new(format!("p{i}")).unwrap()
}

fn add(world: &mut World, cluster: &ClusterId, number: u64, place: PartitionId, phase: MemberPhase) {
    let id = cluster.member(number).unwrap();
    let member = Member {
        group_instance: 0,
        id: id.clone(),
        incarnation: 1,
        cluster: cluster.clone(),
        network_partition: np(),
        partition: place,
        phase,
        since: Millis::ZERO,
        activated: None,
        changes: [].into(),
        instance: None,
        credential_sha256: None,
        ordered_commit: None,
        release: None,
        revision: 0,
        planned: 0,
    };
    world.members.insert(id.clone(), member);
    world.clusters.get_mut(cluster).unwrap().members.insert(id);
}

fn world_of(case: &Case) -> (World, Observations, ClusterId) {
    let mut world = World::default();
    let partitions = case
        .partitions
        .iter()
        .enumerate()
        .map(|(i, (_, capacity))| Partition {
            id: partition(i),
            description: String::new(),
            properties: capacity
                .iter()
                .map(|c| ("capacity".to_owned(), c.to_string()))
                .collect(),
        });
    let home = NetworkPartition {
        id: np(),
        provider: "mock".to_owned(),
        partitions: partitions.collect(),
        properties: Default::default(),
    };
    world.network_partitions.insert(np(), home);
    let allowed = case
        .partitions
        .iter()
        .enumerate()
        .map(|(i, (most, _))| DeploymentPartition {
            id: partition(i),
            partition_max: *most,
        });
    let policy = DeploymentPolicy {
        id: PolicyId::new("d").unwrap(),
        network_partitions: vec![DeploymentNetworkPartition {
            id: np(),
            partition_algo: case.algorithm,
            partitions: allowed.collect(),
        }],
    };
    world.deployment_policies.insert(policy.id.clone(), policy);
    let (own, other) = (cluster("own"), cluster("other"));
    let own_id = own.id.clone();
    let other_id = other.id.clone();
    world.clusters.insert(own.id.clone(), own);
    world.clusters.insert(other.id.clone(), other);
    let mut seen = Observations::default();
    let reading = seen.clusters.entry((own_id.clone(), np())).or_default();
    for (i, (mine, place, kind, in_flight)) in case.members.iter().enumerate() {
        let id = if *mine { &own_id } else { &other_id };
        let number = i as u64 + 1;
        add(
            &mut world,
            id,
            number,
            partition(place % case.partitions.len()),
            phase(*kind),
        );
        reading.members.insert(id.member(number).unwrap(), *in_flight);
    }
    (world, seen, own_id)
}

/// Members standing in a partition: of the cluster, and of all.
fn standing(world: &World, cluster: &ClusterId, place: &PartitionId) -> (u32, u32) {
    let there = world.members.values().filter(|m| m.partition == *place);
    let there: Vec<&Member> = there
        .filter(|m| !matches!(m.phase, MemberPhase::Ended { .. }))
        .collect();
    let own = there.iter().filter(|m| m.cluster == *cluster).count();
    (own as u32, there.len() as u32)
}

proptest! {
    #[test]
    fn the_next_member_goes_where_brute_force_says(case in cases()) {
        let (world, _, id) = world_of(&case);
        let mut open: Vec<(usize, u32)> = Vec::new();
        for (i, (most, capacity)) in case.partitions.iter().enumerate() {
            let (own, all) = standing(&world, &id, &partition(i));
            if own < *most && capacity.is_none_or(|capacity| all < capacity) {
                open.push((i, own));
            }
        }
        if case.algorithm == PartitionAlgorithm::RoundRobin {
            open.sort_by_key(|(i, own)| (*own, *i));
        }
        let expected = open.first().map(|(i, _)| partition(*i));
        prop_assert_eq!(place(&world, &world.clusters[&id], &np()), expected);
    }

    #[test]
    fn room_is_what_placing_one_after_another_reaches(case in cases()) {
        let (mut world, _, id) = world_of(&case);
        let most = room(&world, &world.clusters[&id], &np());
        let mut number = 1000;
        while let Some(place) = place(&world, &world.clusters[&id], &np()) {
            number += 1;
            prop_assert!(number < 1100, "placing does not end");
            add(&mut world, &id, number, place, MemberPhase::Active);
        }
        let reached: u32 = case.partitions.iter().enumerate().map(|(i, (most, _))| {
            standing(&world, &id, &partition(i)).0.min(*most)
        }).sum();
        prop_assert_eq!(most, reached);
        prop_assert_eq!(room(&world, &world.clusters[&id], &np()), reached, "filling changes no room");
    }

    #[test]
    fn no_other_member_should_have_gone_first(case in cases()) {
        let (world, seen, id) = world_of(&case);
        let class = |m: &Member| match m.phase {
            MemberPhase::Planned { .. } => 0,
            MemberPhase::Ensured => 1,
            MemberPhase::Starting => 2,
            MemberPhase::Suspended { .. } => 3,
            MemberPhase::Active => 4,
            _ => 9,
        };
        let index = |m: &Member| (0..case.partitions.len()).find(|i| partition(*i) == m.partition).unwrap();
        let rank = |m: &Member| {
            let fullness = match case.algorithm {
                PartitionAlgorithm::OneAfterAnother => 0,
                PartitionAlgorithm::RoundRobin => standing(&world, &id, &m.partition).0,
            };
            let busy = seen.clusters[&(id.clone(), np())].members[&m.id];
            let number: i64 = m.id.as_str().rsplit('-').next().unwrap().parse().unwrap();
            (class(m), -i64::from(fullness), -(index(m) as i64), busy, -number)
        };
        let own = world.members.values().filter(|m| m.cluster == id && class(m) < 9);
        let expected = own.min_by_key(|m| rank(m)).map(|m| m.id.clone());
        prop_assert_eq!(victim(&world, &seen, &world.clusters[&id], &np()), expected);
    }
}

#[test]
fn a_full_partition_does_not_hide_another_that_has_room() {
    // Stratos's round robin stopped here: the emptiest partition is full.
    let case = Case {
        algorithm: PartitionAlgorithm::RoundRobin,
        partitions: vec![(1, None), (5, None)],
        members: vec![(true, 0, 8, 0), (true, 1, 8, 0), (true, 1, 8, 0)],
    };
    let (world, _, id) = world_of(&case);
    assert_eq!(place(&world, &world.clusters[&id], &np()), Some(partition(1)));
}

#[test]
fn a_network_partition_that_the_policy_does_not_name_has_no_room() {
    let case = Case {
        algorithm: PartitionAlgorithm::OneAfterAnother,
        partitions: vec![(1, None)],
        members: Vec::new(),
    };
    let (world, seen, id) = world_of(&case);
    let elsewhere = NetworkPartitionId::new("elsewhere").unwrap();
    assert_eq!(place(&world, &world.clusters[&id], &elsewhere), None);
    assert_eq!(room(&world, &world.clusters[&id], &elsewhere), 0);
    assert_eq!(victim(&world, &seen, &world.clusters[&id], &elsewhere), None);
}

#[test]
fn one_balancer_stands_in_its_own_network_partition_and_takes_no_capacity() {
    let case = Case {
        algorithm: PartitionAlgorithm::OneAfterAnother,
        partitions: vec![(1, Some(1))],
        members: Vec::new(),
    };
    let (mut world, _, id) = world_of(&case);
    let mut balancer = cluster("lb-np");
    balancer.role = Role::Balancer {
        network_partition: np(),
    };
    balancer.deployment_policy = None;
    balancer.cartridge = CartridgeType::new("cartridge-balancer").unwrap();
    balancer.application = ApplicationId::new("app").unwrap();
    balancer.members = BTreeSet::new();
    let balancer_id = balancer.id.clone();
    world.clusters.insert(balancer_id.clone(), balancer);
    assert_eq!(
        place(&world, &world.clusters[&balancer_id], &np()),
        Some(partition(0))
    );
    assert_eq!(room(&world, &world.clusters[&balancer_id], &np()), 1);
    add(&mut world, &balancer_id, 1, partition(0), MemberPhase::Active);
    assert_eq!(place(&world, &world.clusters[&balancer_id], &np()), None);
    assert_eq!(place(&world, &world.clusters[&id], &np()), Some(partition(0)));
}

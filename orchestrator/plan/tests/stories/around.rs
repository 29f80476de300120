//! What members are told of what runs around them.

use cartridge_orchestrator_plan::around::surroundings;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::MemberId;
use cartridge_protocol::surroundings::{MAX_PEERS, PeerPhase, Surroundings};

use crate::harness::fixture::{self, Shape};
use crate::running;

fn told(world: &World, member: &MemberId) -> Surroundings {
    surroundings(world, member).expect("it is known")
}

#[test]
fn the_own_cluster_comes_first_and_everybody_is_in_it_once_with_phase_and_address() {
    let sim = running(&Shape::default());
    let world = &sim.orchestrator.world;
    let own = fixture::cluster().member(1).unwrap();
    let around = told(world, &own);
    assert_eq!(around.clusters[0].cluster, fixture::cluster());
    assert!(around.clusters.iter().any(|cluster| cluster.balancer));
    let mut peers: Vec<&MemberId> = around.peers().map(|(_, peer)| &peer.member).collect();
    peers.sort();
    assert_eq!(peers, world.members.keys().collect::<Vec<_>>());
    for (_, peer) in around.peers() {
        assert_eq!(peer.phase, PeerPhase::Active, "{peer:?}");
        assert_eq!(
            peer.address,
            world.members[&peer.member].instance.as_ref().map(|i| i.address)
        );
        assert_eq!(peer.cluster_instance, format!("{}-1", fixture::app()));
    }
    assert_eq!(around.omitted, 0);
    assert_eq!(
        surroundings(world, &"nobody.web.nobody.domain-1".parse().unwrap()),
        None
    );
}

#[test]
fn the_revision_never_goes_back_and_is_higher_whenever_something_else_is_told() {
    let mut sim = running(&Shape {
        repository: true,
        min: 1,
        ..Shape::default()
    });
    // It grows, bursts, updates, shrinks, leaves again.
    sim.demand = 58.0;
    sim.push_commit(true);
    sim.seconds(60);
    sim.demand = 0.0;
    sim.push_commit(false);
    sim.seconds(400);
    let own = fixture::cluster().member(1).unwrap();
    let (mut world, mut before): (World, Option<Surroundings>) = Default::default();
    let (mut changes, mut leaving) = (0, false);
    for (entry, at) in sim.orchestrator.journal.iter().zip(&sim.orchestrator.times) {
        world.apply(entry, *at).unwrap();
        let Some(now) = surroundings(&world, &own) else {
            continue;
        };
        leaving |= now
            .peers()
            .any(|(_, peer)| peer.phase == PeerPhase::InMaintenance);
        if let Some(before) = before.as_ref() {
            assert!(now.revision >= before.revision, "entry {}", entry.seq);
            let same = now.says_the_same(before);
            assert!(
                same || now.revision > before.revision,
                "entry {}: {:?}",
                entry.seq,
                entry.record
            );
            changes += usize::from(!same);
        }
        before = Some(now);
    }
    assert!(
        changes > 20 && leaving,
        "the story is rich enough: {changes} changes"
    );
}

#[test]
fn of_very_many_members_those_of_other_clusters_are_left_out_first_and_counted() {
    let sim = running(&Shape {
        min: 140,
        max: 150,
        partition_max: 200,
        balanced: false,
        network_partitions: 1,
        ..Shape::default()
    });
    let world = &sim.orchestrator.world;
    assert!(world.members.len() > MAX_PEERS, "{} members", world.members.len());
    let around = told(world, world.members.keys().next().unwrap());
    assert_eq!(around.peers().count(), MAX_PEERS);
    assert_eq!(around.omitted as usize, world.members.len() - MAX_PEERS);
}

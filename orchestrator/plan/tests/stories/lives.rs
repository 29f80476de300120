//! What a crash at every single entry leaves behind.

use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::Millis;

use crate::harness::fixture::{self, Shape};
use crate::harness::sim::Sim;
use crate::running;

#[test]
fn a_world_folded_from_the_journal_equals_one_from_a_snapshot_at_every_entry() {
    let mut sim = running(&Shape {
        repository: true,
        min: 1,
        ..Shape::default()
    });
    sim.demand = 58.0;
    sim.push_commit(true);
    sim.seconds(60);
    sim.demand = 0.0;
    sim.push_commit(false);
    sim.seconds(400);
    let journal = &sim.orchestrator.journal;
    assert!(journal.len() > 100, "the story is rich enough");
    let now = Millis(7_000_000);
    let (mut lived, mut replayed) = (World::default(), World::default());
    for (entry, at) in journal.iter().zip(&sim.orchestrator.times) {
        lived.apply(entry, *at).unwrap();
        replayed.apply(entry, now).unwrap();
        let text = serde_json::to_string(&lived).unwrap();
        let mut snapshot: World = serde_json::from_str(&text).unwrap();
        assert_eq!(snapshot, lived);
        snapshot.resume_at(now);
        assert_eq!(snapshot, replayed, "entry {}", entry.seq);
    }
    assert_eq!(lived, sim.orchestrator.world);
}

#[test]
fn an_orchestrator_that_crashes_after_every_pass_still_brings_the_application_up() {
    let mut sim = Sim::new(&Shape::default(), 5);
    for _ in 0..25 {
        sim.second();
        sim.orchestrator.crash(sim.now);
        sim.provisioner.crash();
        // Under way is what was begun: the provisioner's operations live in its own process.
        sim.seconds(1);
    }
    sim.until("it runs", 120, |sim| sim.active() == 2);
    let planned = sim.orchestrator.world.clusters[&fixture::cluster()].next_member - 1;
    assert_eq!(planned, 2, "nothing was planned twice");
}

#[test]
fn a_journal_with_a_gap_or_a_contradiction_is_refused_and_changes_nothing() {
    let sim = running(&Shape::default());
    let journal = &sim.orchestrator.journal;
    for (index, entry) in journal.iter().enumerate().skip(1) {
        let mut world = World::default();
        for entry in &journal[..index - 1] {
            world.apply(entry, Millis::ZERO).unwrap();
        }
        let before = world.clone();
        assert!(
            world.apply(entry, Millis::ZERO).is_err(),
            "entry {} without the one before",
            entry.seq
        );
        assert_eq!(world, before);
    }
}

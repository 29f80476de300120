//! Hundreds of installations with everything going wrong, second by second, each from its seed.

#[path = "../harness/mod.rs"]
mod harness;

use cartridge_orchestrator_plan::blueprint::{ArrivalPolicy, TerminationBehaviour};
use cartridge_orchestrator_plan::world::{MemberPhase, Role};
use harness::Chance;
use harness::fixture::{Composite, Shape};
use harness::provisioner::Trouble;
use harness::sim::{Faults, Sim};
use harness::truth;

/// How many seeds unless `CARTRIDGE_SEEDS` says otherwise.
const SEEDS: u64 = 200;
const BAD_SECONDS: u64 = 150;
const GOOD_SECONDS: u64 = 1500;

fn shape(chance: &mut Chance) -> Shape {
    let min = 1 + chance.below(3) as u32;
    Shape {
        min,
        max: min + chance.below(4) as u32,
        partition_max: 2 + chance.below(4) as u32,
        repository: chance.per_mille(500),
        balanced: chance.per_mille(850),
        everywhere: chance.per_mille(250),
        network_partitions: 1 + chance.below(3) as usize,
        requests_in_flight: Some(10.0),
        arrivals: (min == 2).then_some(ArrivalPolicy {
            workers: 10,
            wait_seconds: 0.1,
            service_seconds: None,
            violation_price: 130.0,
        }),
        stabilization_seconds: 20.0,
        composite: None,
    }
}

/// A composite application of any kind.
fn composite(chance: &mut Chance) -> Shape {
    let behaviours = [
        TerminationBehaviour::TerminateNone,
        TerminationBehaviour::TerminateDependents,
        TerminationBehaviour::TerminateAll,
    ];
    let composite = Composite {
        behaviour: behaviours[chance.below(3) as usize],
        instances: 1 + chance.below(3) as u32,
        dependents: chance.per_mille(500),
    };
    Shape {
        composite: Some(composite),
        partition_max: 6 + chance.below(20) as u32,
        ..shape(chance)
    }
}

fn faults(chance: &mut Chance) -> Faults {
    Faults {
        provisioner: Trouble {
            fails: chance.below(300),
            loses_answer: chance.below(200),
            slow_ms: chance.below(8000),
        },
        message_lost: chance.below(300),
        delay_ms: chance.below(3000),
        instance_dies: chance.below(8),
        exit_notice_lost: chance.below(500),
        agent_pauses: chance.below(10),
        orchestrator_crashes: chance.below(30),
        netsplit: chance.below(15),
        demand_changes: chance.below(60),
        new_commit: chance.below(40),
        bad_commit: 300,
        orders: if chance.per_mille(400) {
            chance.below(60)
        } else {
            0
        },
    }
}

/// Lives through the faults, then through quiet until nothing moves; gives the trace hash.
fn run(seed: u64, shape: fn(&mut Chance) -> Shape) -> u64 {
    let mut chance = Chance::new(seed);
    let mut sim = Sim::new(&shape(&mut chance), chance.next());
    sim.faults = faults(&mut chance);
    for _ in 0..BAD_SECONDS {
        sim.second();
        truth::holds(&sim);
    }
    sim.faults = Faults::default();
    while sim.now < sim.down {
        sim.second();
    }
    sim.set_right();
    let (mut still, mut length) = (0, 0);
    for _ in 0..GOOD_SECONDS {
        sim.second();
        truth::holds(&sim);
        sim.redeploy();
        let head_is_bad = sim
            .repository
            .head
            .as_ref()
            .is_some_and(|head| sim.repository.bad.contains(head));
        if head_is_bad && nothing_works(&sim) {
            sim.push_commit(false); // only a person can mend that
        }
        let before = std::mem::replace(&mut length, sim.orchestrator.journal.len());
        still = if before == length { still + 1 } else { 0 };
        if still == 90 && converged(&sim) {
            return sim.orchestrator.hash();
        }
    }
    panic!("seed {seed} did not come to rest\n{}", sim.picture());
}

fn nothing_works(sim: &Sim) -> bool {
    let mut clusters = sim.orchestrator.world.clusters.values();
    clusters.any(|cluster| cluster.repository.is_some() && cluster.release.accepted.is_none())
}

/// L1: as many members as wanted, all ready, nothing else; one commit everywhere.
fn converged(sim: &Sim) -> bool {
    let world = &sim.orchestrator.world;
    let sizes = world.clusters.values().all(|cluster| {
        cluster.instances.iter().all(|(np, instance)| {
            let active = world
                .members_in(cluster, np)
                .filter(|m| m.phase == MemberPhase::Active)
                .count();
            let room = cartridge_orchestrator_plan::placement::room(world, cluster, np);
            active == instance.desired.min(room) as usize && instance.ending.is_none()
        })
    });
    let only_active = world
        .members
        .values()
        .all(|member| member.phase == MemberPhase::Active);
    let instances = sim.agents.values().filter(|agent| !agent.exited).count() == world.members.len();
    let one_commit = world
        .clusters
        .values()
        .filter(|cluster| cluster.role == Role::Application && cluster.repository.is_some())
        .all(|cluster| {
            let accepted = cluster.release.accepted.as_ref();
            cluster.release.proposed.is_none()
                && world
                    .members_of(cluster)
                    .all(|member| member.release.as_ref() == accepted)
        });
    sizes && only_active && instances && one_commit
}

#[allow(
    clippy::disallowed_methods,
    reason = "chooses how long to search, decides nothing"
)]
fn seeds() -> u64 {
    let asked = std::env::var("CARTRIDGE_SEEDS");
    asked.map_or(SEEDS, |text| text.parse().expect("CARTRIDGE_SEEDS is a number"))
}

#[test]
fn whatever_goes_wrong_invariants_hold_and_all_comes_to_rest() {
    search(seeds(), shape);
}

#[test]
fn whatever_goes_wrong_composite_applications_come_to_rest_too() {
    search(seeds() / 2, composite);
}

fn search(seeds: u64, shape: fn(&mut Chance) -> Shape) {
    const WORKERS: u64 = 2;
    let share = |worker: u64| (worker..seeds).step_by(WORKERS as usize);
    let failing: Vec<u64> = std::thread::scope(|scope| {
        let search = |worker| {
            scope.spawn(move || {
                share(worker)
                    .filter(|seed| fails(*seed, shape))
                    .collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (0..WORKERS).map(search).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("failures are caught"))
            .collect()
    });
    assert!(failing.is_empty(), "these seeds fail, see above: {failing:?}");
}

/// Each of these once found a fault.
const FOUND: [u64; 8] = [158, 339, 1215, 1622, 1893, 2030, 2093, 2127];

/// The same of composite applications.
const FOUND_COMPOSITE: [u64; 7] = [4, 25, 39, 84, 96, 113, 1060];

#[test]
fn seeds_that_once_failed_hold() {
    let mut failing: Vec<u64> = FOUND.into_iter().filter(|seed| fails(*seed, shape)).collect();
    failing.extend(FOUND_COMPOSITE.into_iter().filter(|seed| fails(*seed, composite)));
    assert!(failing.is_empty(), "these seeds fail, see above: {failing:?}");
}

fn fails(seed: u64, shape: fn(&mut Chance) -> Shape) -> bool {
    let failed = std::panic::catch_unwind(|| run(seed, shape)).is_err();
    if failed {
        eprintln!("^ seed {seed}");
    }
    failed
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    for seed in [1, 7, 42] {
        assert_eq!(run(seed, shape), run(seed, shape));
        assert_eq!(run(seed, composite), run(seed, composite));
    }
}

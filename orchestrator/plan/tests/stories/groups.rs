//! Groups start in order, grow and shrink as one, and end together as the blueprint says.

use cartridge_orchestrator_plan::blueprint::TerminationBehaviour;
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::{MemberPhase, Standing};
use cartridge_protocol::{ClusterId, MemberId};

use crate::harness::fixture::{self, Composite, Shape};
use crate::harness::sim::Sim;
use crate::harness::truth;

fn shape(behaviour: TerminationBehaviour) -> Shape {
    Shape {
        min: 1,
        max: 2,
        partition_max: 20,
        network_partitions: 1,
        composite: Some(Composite {
            behaviour,
            instances: 3,
            dependents: false,
        }),
        ..Shape::default()
    }
}

fn cluster(alias: &str) -> ClusterId {
    ClusterId::new(format!("shop.{alias}.php.domain")).unwrap()
}

fn active(sim: &Sim, alias: &str) -> usize {
    let world = &sim.orchestrator.world;
    let Some(cluster) = world.clusters.get(&cluster(alias)) else {
        return 0;
    };
    world
        .members_of(cluster)
        .filter(|member| member.phase == MemberPhase::Active)
        .count()
}

fn instances(sim: &Sim, alias: &str) -> usize {
    let world = &sim.orchestrator.world;
    world
        .group_instances(&fixture::app(), &fixture::np(1), alias)
        .filter(|(_, one)| !one.ending)
        .count()
}

fn running(shape: &Shape) -> Sim {
    let mut sim = Sim::new(shape, 1);
    sim.until("one of each stands", 120, |sim| {
        ["db", "web", "mem"].iter().all(|alias| active(sim, alias) == 1) && all_active(sim)
    });
    sim.seconds(5);
    sim
}

fn all_active(sim: &Sim) -> bool {
    let clusters = sim.orchestrator.world.clusters.values();
    clusters
        .flat_map(|cluster| cluster.instances.values())
        .all(|instance| instance.parts.values().all(|part| *part == Standing::Active))
}

/// The first record for which this holds, counted from the start.
fn first(sim: &Sim, from: usize, which: impl Fn(&Record) -> bool) -> usize {
    let found = crate::since(sim, from).position(which);
    from + found.expect("it happened")
}

fn planned<'a>(alias: &'a str) -> impl Fn(&Record) -> bool + 'a {
    move |record| matches!(record, Record::MemberPlanned { cluster: of, .. } if *of == cluster(alias))
}

fn stands<'a>(alias: &'a str) -> impl Fn(&Record) -> bool + 'a {
    move |record| matches!(record, Record::PartChanged { cluster: of, to: Standing::Active, .. } if *of == cluster(alias))
}

fn lost(sim: &mut Sim, alias: &str) -> usize {
    let world = &sim.orchestrator.world;
    let member: MemberId = world.clusters[&cluster(alias)].members.first().unwrap().clone();
    let from = sim.orchestrator.journal.len();
    sim.kill(&member);
    sim.until("its loss is known", 30, |sim| {
        crate::count(sim, from, |record| matches!(record, Record::MemberFailed { .. })) == 1
    });
    from
}

fn terminated(sim: &Sim, from: usize) -> Vec<String> {
    let mut found: Vec<String> = crate::since(sim, from)
        .filter_map(|record| match record {
            Record::PartChanged {
                cluster,
                to: Standing::Terminating,
                ..
            } => cluster.as_str().split('.').nth(1).map(str::to_owned),
            _ => None,
        })
        .collect();
    found.sort();
    found
}

#[test]
fn each_starts_only_when_what_comes_before_it_is_active() {
    let sim = running(&shape(TerminationBehaviour::TerminateNone));
    for (before, after) in [("db", "web"), ("db", "mem"), ("web", "mem")] {
        let (stood, began) = (first(&sim, 0, stands(before)), first(&sim, 0, planned(after)));
        assert!(
            stood < began,
            "{before} stood at {stood}, {after} began at {began}"
        );
    }
}

#[test]
fn a_full_group_gets_another_instance_and_loses_it_when_all_fits_into_the_others() {
    let mut sim = running(&shape(TerminationBehaviour::TerminateNone));
    sim.demand = 39.0;
    sim.until(
        "four of the group's cartridges stand in two instances",
        240,
        |sim| active(sim, "web") == 4 && instances(sim, "front") == 2 && all_active(sim),
    );
    let world = &sim.orchestrator.world;
    let web = &world.clusters[&cluster("web")];
    for number in world.parts(web, &fixture::np(1)) {
        let own = world
            .members_of(web)
            .filter(|member| member.group_instance == number)
            .count();
        assert_eq!(own, 2, "requests are spread over all: so are members");
    }
    sim.demand = 2.0;
    for _ in 0..900 {
        sim.second();
        truth::holds(&sim);
        if instances(&sim, "front") == 1 && active(&sim, "web") == 1 {
            break;
        }
    }
    assert_eq!(instances(&sim, "front"), 1, "{}", sim.picture());
    sim.until("nothing of the other instance is left", 120, |sim| {
        let groups = &sim.orchestrator.world.applications[&fixture::app()].groups;
        groups[&fixture::np(1)]["front"].len() == 1 && active(sim, "web") == 1 && active(sim, "mem") == 1
    });
    sim.until("one of each and a balancer are left", 240, |sim| {
        sim.orchestrator.world.members.len() == 4
    });
    let length = sim.orchestrator.journal.len();
    sim.seconds(60);
    assert_eq!(sim.orchestrator.journal.len(), length, "it rests");
}

#[test]
fn a_nested_group_grows_by_itself_before_the_group_around_it() {
    let mut sim = running(&shape(TerminationBehaviour::TerminateNone));
    sim.demand = 29.0;
    sim.until("three of both", 240, |sim| {
        active(sim, "mem") >= 3 && active(sim, "web") >= 3 && all_active(sim)
    });
    let begun = |alias: &str| {
        crate::count(
            &sim,
            0,
            |record| matches!(record, Record::GroupInstanceStarted { group, .. } if group == alias),
        )
    };
    assert_eq!(begun("front"), 2, "one of two members at most: {}", sim.picture());
    assert!(begun("side") >= 2);
}

#[test]
fn terminate_none_replaces_who_is_missing_and_nobody_else() {
    let mut sim = running(&shape(TerminationBehaviour::TerminateNone));
    let from = lost(&mut sim, "db");
    sim.until("it is replaced", 60, |sim| {
        active(sim, "db") == 1 && all_active(sim)
    });
    assert_eq!(terminated(&sim, from), Vec::<String>::new());
}

#[test]
fn terminate_dependents_ends_what_comes_after_and_starts_it_again_in_order() {
    let mut sim = running(&shape(TerminationBehaviour::TerminateDependents));
    let from = lost(&mut sim, "db");
    sim.until("all stand again", 240, |sim| {
        all_active(sim) && ["db", "web", "mem"].iter().all(|alias| active(sim, alias) == 1)
    });
    assert_eq!(terminated(&sim, from), ["db", "mem", "web"]);
    for (before, after) in [("db", "web"), ("web", "mem")] {
        let (stood, began) = (
            first(&sim, from, stands(before)),
            first(&sim, from, planned(after)),
        );
        assert!(
            stood < began,
            "{before} stood at {stood}, {after} began at {began}"
        );
    }
}

#[test]
fn terminate_dependents_leaves_alone_what_does_not_come_after() {
    let mut shape = shape(TerminationBehaviour::TerminateDependents);
    // With one more instance than the minimum, the group is not lost when one of its parts is.
    shape.composite.as_mut().unwrap().instances = 3;
    let mut sim = running(&shape);
    let from = lost(&mut sim, "mem");
    sim.until("it is replaced", 120, |sim| {
        active(sim, "mem") == 1 && all_active(sim)
    });
    assert!(!terminated(&sim, from).contains(&"db".to_owned()));
}

#[test]
fn terminate_all_ends_the_whole_application_and_starts_it_again_in_order() {
    let mut sim = running(&shape(TerminationBehaviour::TerminateAll));
    let from = lost(&mut sim, "mem");
    sim.until("all stand again", 240, |sim| {
        all_active(sim) && ["db", "web", "mem"].iter().all(|alias| active(sim, alias) == 1)
    });
    assert_eq!(terminated(&sim, from), ["db", "mem", "web"]);
    let removed = |alias: &'static str| {
        let prefix = format!("shop.{alias}.");
        move |record: &Record| matches!(record, Record::MemberRemoved { member, .. } if member.as_str().starts_with(&prefix))
    };
    let began = first(&sim, from, planned("db"));
    for alias in ["db", "web", "mem"] {
        assert!(
            first(&sim, from, removed(alias)) < began,
            "all are gone before any starts"
        );
    }
}

#[test]
fn scaling_dependents_grow_by_one_factor() {
    let mut shape = shape(TerminationBehaviour::TerminateNone);
    shape.max = 6;
    shape.composite = Some(Composite {
        behaviour: TerminationBehaviour::TerminateNone,
        instances: 3,
        dependents: true,
    });
    let mut sim = running(&shape);
    let size = Record::ClusterSizeOrdered {
        cluster: cluster("web"),
        size: Some(3),
        by: "anna".into(),
    };
    sim.order(size);
    sim.until("three instances beside three members", 240, |sim| {
        active(sim, "web") == 3 && instances(sim, "side") == 3 && active(sim, "mem") == 3
    });
    let back = Record::ClusterSizeOrdered {
        cluster: cluster("web"),
        size: Some(1),
        by: "anna".into(),
    };
    sim.order(back);
    sim.until("and back", 400, |sim| {
        active(sim, "web") == 1 && instances(sim, "side") == 1 && active(sim, "mem") == 1
    });
}

#[test]
fn undeploying_a_composite_application_leaves_nothing_and_it_can_run_again() {
    let mut sim = running(&shape(TerminationBehaviour::TerminateAll));
    sim.order(Record::ApplicationUndeploying {
        application: fixture::app(),
        force: false,
    });
    sim.until("nothing is left", 120, |sim| {
        sim.orchestrator.world.clusters.is_empty()
    });
    assert!(
        sim.orchestrator.world.applications[&fixture::app()]
            .groups
            .is_empty()
    );
    assert!(sim.orchestrator.world.members.is_empty());
    sim.redeploy();
    sim.until("it runs again", 120, |sim| {
        ["db", "web", "mem"].iter().all(|alias| active(sim, alias) == 1)
    });
}

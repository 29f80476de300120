//! A running application follows its blueprint: who is named comes, who is not named goes, and nobody else is touched.

use std::collections::{BTreeMap, BTreeSet};

use cartridge_orchestrator_plan::blueprint::{Application, Cartridge, Dependencies, Group, Subscription};
use cartridge_orchestrator_plan::desired::topology;
use cartridge_orchestrator_plan::order::{Mode, Order, admit, outlook};
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::{Cluster, MemberPhase, Role, balancer_cluster};
use cartridge_protocol::topology::EndpointState;
use cartridge_protocol::{CartridgeType, ClusterId, GroupName, MemberId};

use crate::harness::Chance;
use crate::harness::fixture::{self, Shape};
use crate::harness::sim::Sim;
use crate::harness::truth;

const MOST: u64 = 240;

fn shape() -> Shape {
    Shape {
        min: 1,
        max: 4,
        partition_max: 20,
        network_partitions: 1,
        ..Shape::default()
    }
}

fn cluster(alias: &str) -> ClusterId {
    ClusterId::new(format!("shop.{alias}.php.domain")).unwrap()
}

fn named(alias: &str) -> Subscription {
    fixture::subscription(&shape(), alias)
}

/// Cartridges at the top level, and their chains.
fn of(aliases: &[&str], chains: &[&[&str]]) -> Application {
    let mut application = fixture::application(&shape());
    application.cartridges = aliases.iter().map(|alias| named(alias)).collect();
    let component = |alias: &&str| match alias.strip_prefix("group.") {
        Some(_) => (*alias).to_owned(),
        None => format!("cartridge.{alias}"),
    };
    let chains = chains.iter().map(|chain| chain.iter().map(component).collect());
    application.dependencies = Some(Dependencies {
        startup_orders: chains.collect(),
        ..Dependencies::default()
    });
    application
}

fn group(alias: &str, instances: u32, aliases: &[&str]) -> Group {
    Group {
        name: GroupName::new("some").unwrap(),
        alias: alias.into(),
        min_instances: instances,
        max_instances: instances,
        deployment_policy: None,
        cartridges: aliases.iter().map(|alias| named(alias)).collect(),
        groups: Vec::new(),
        dependencies: None,
    }
}

fn give(sim: &mut Sim, order: Order) {
    let records = admit(&sim.orchestrator.world, order).unwrap_or_else(|refusal| panic!("{refusal}"));
    for record in records {
        sim.order(record);
    }
}

fn put(sim: &mut Sim, application: &Application) {
    give(
        sim,
        Order::PutApplication {
            blueprint: Box::new(application.clone()),
            sealed: BTreeMap::new(),
            expected_revision: None,
            mode: Mode::Either,
        },
    );
}

fn some_group() -> Record {
    let document = serde_json::json!({"name": "some", "cartridges": ["php", "java"]});
    let group = cartridge_orchestrator_plan::blueprint::parse::cartridge_group(&document).unwrap();
    Record::CartridgeGroupPut(Box::new(group))
}

fn other_cartridge(name: &str) -> Cartridge {
    let mut cartridge = fixture::cartridge(&shape());
    cartridge.cartridge_type = CartridgeType::new(name).unwrap();
    cartridge
}

/// The application runs, and rests.
fn running(application: &Application) -> Sim {
    let mut sim = Sim::new(&shape(), 1);
    sim.order(some_group());
    sim.order(Record::CartridgePut(Box::new(other_cartridge("java"))));
    put(&mut sim, application);
    settle(&mut sim, application);
    sim
}

/// Lives on until exactly what is named stands, watching that all is well.
fn settle(sim: &mut Sim, application: &Application) {
    for _ in 0..MOST {
        if stands(sim, application) {
            return;
        }
        sim.second();
        truth::holds(sim);
    }
    panic!("{}", sim.picture());
}

fn stands(sim: &Sim, application: &Application) -> bool {
    let wanted: BTreeSet<ClusterId> = application
        .subscriptions()
        .map(|one| ClusterId::of(&fixture::app(), &one.alias, &one.cartridge_type).unwrap())
        .collect();
    let world = &sim.orchestrator.world;
    let clusters: Vec<&Cluster> = applications_clusters(sim);
    clusters.len() == wanted.len()
        && clusters.iter().all(|cluster| {
            let copies = world.copies(cluster, &fixture::np(1));
            let members: Vec<_> = world.members_of(cluster).collect();
            copies > 0
                && wanted.contains(&cluster.id)
                && members.len() == (cluster.min * copies) as usize
                && members
                    .iter()
                    .all(|member| member.phase == MemberPhase::Active && !cluster.is_outdated(member))
        })
        && world.applications[&fixture::app()]
            .groups
            .values()
            .flat_map(|here| here.values().flatten())
            .all(|(_, one)| !one.ending)
        && balancers(sim) == 1
}

fn applications_clusters(sim: &Sim) -> Vec<&Cluster> {
    let all = sim.orchestrator.world.clusters.values();
    all.filter(|cluster| cluster.role == Role::Application).collect()
}

fn balancers(sim: &Sim) -> usize {
    let world = &sim.orchestrator.world;
    let id = balancer_cluster(&fixture::app(), &fixture::np(1)).unwrap();
    world.clusters.get(&id).map_or(0, |cluster| {
        let active = |id: &&MemberId| world.members[*id].phase == MemberPhase::Active;
        cluster.members.iter().filter(active).count()
    })
}

fn members(sim: &Sim, alias: &str) -> BTreeSet<MemberId> {
    let known = sim.orchestrator.world.clusters.get(&cluster(alias));
    known.map_or_else(BTreeSet::new, |cluster| cluster.members.clone())
}

fn position(sim: &Sim, from: usize, what: &str, which: impl Fn(&Record) -> bool) -> usize {
    let found = crate::since(sim, from).position(which);
    found.unwrap_or_else(|| panic!("{what} never happened"))
}

/// Who gets the requests for a host name: the first in the balancer's table that has it.
fn ready_for(sim: &Sim, host: &str) -> usize {
    let id = balancer_cluster(&fixture::app(), &fixture::np(1)).unwrap();
    let table = topology(&sim.orchestrator.world, &id).unwrap();
    let row = table
        .clusters
        .iter()
        .find(|row| row.hosts.iter().any(|own| own == host));
    row.map_or(0, |row| {
        let ready = row
            .endpoints
            .iter()
            .filter(|one| one.state == EndpointState::Ready);
        ready.count()
    })
}

#[test]
fn who_is_named_anew_starts_in_its_place_in_the_order_and_nobody_else_is_touched() {
    let mut sim = running(&of(&["web"], &[]));
    let (from, web) = (sim.orchestrator.journal.len(), members(&sim, "web"));
    let after = of(&["web", "mem", "job"], &[&["web", "mem", "job"]]);
    put(&mut sim, &after);
    settle(&mut sim, &after);
    assert_eq!(members(&sim, "web"), web);
    let active = |alias: &'static str| {
        move |record: &Record| {
            matches!(record, Record::MemberActivated { member, .. }
            if member.as_str().starts_with(cluster(alias).as_str()))
        }
    };
    let planned = |alias: &'static str| move |record: &Record| matches!(record, Record::MemberPlanned { cluster: of, .. } if *of == cluster(alias));
    let stood = position(&sim, from, "mem stands", active("mem"));
    assert!(stood < position(&sim, from, "job begins", planned("job")));
    let touched = crate::since(&sim, from).any(|record| {
        matches!(
            record,
            Record::MemberDraining { .. } | Record::MemberFailed { .. }
        )
    });
    assert!(!touched, "somebody went");
}

#[test]
fn who_is_not_named_any_more_goes_last_started_first_and_nobody_else_is_touched() {
    let before = of(
        &["db", "web", "mem", "job"],
        &[&["db", "mem", "job"], &["db", "web"]],
    );
    let mut sim = running(&before);
    let (from, web) = (sim.orchestrator.journal.len(), members(&sim, "web"));
    let after = of(&["db", "web"], &[&["db", "web"]]);
    put(&mut sim, &after);
    settle(&mut sim, &after);
    assert_eq!(members(&sim, "web"), web);
    let goes = |alias: &'static str, gone: bool| {
        move |record: &Record| match record {
            Record::MemberDraining { member, .. } if !gone => {
                member.as_str().starts_with(cluster(alias).as_str())
            }
            Record::ClusterRetired { cluster: of } => gone && *of == cluster(alias),
            Record::MemberRemoved { member, .. } if gone => {
                member.as_str().starts_with(cluster(alias).as_str())
            }
            _ => false,
        }
    };
    let job = position(&sim, from, "job is gone", goes("job", true));
    assert!(job < position(&sim, from, "mem goes", goes("mem", false)));
    let drained = crate::count(&sim, from, |record| {
        matches!(record, Record::MemberDraining { .. })
    });
    assert_eq!(drained, 2);
    // Its numbers are not used again.
    put(&mut sim, &before);
    settle(&mut sim, &before);
    assert_eq!(
        members(&sim, "job").first().unwrap().as_str(),
        "shop.job.php.domain-2"
    );
}

#[test]
fn groups_come_and_go_with_all_that_is_in_them() {
    let plain = of(&["web"], &[]);
    let mut sim = running(&plain);
    let web = members(&sim, "web");
    let mut grouped = of(&["web"], &[&["web", "group.side"]]);
    let mut side = group("side", 2, &["mem"]);
    side.groups = vec![group("deep", 1, &["job"])];
    grouped.groups = vec![side];
    put(&mut sim, &grouped);
    settle(&mut sim, &grouped);
    assert_eq!((members(&sim, "mem").len(), members(&sim, "job").len()), (2, 2));
    put(&mut sim, &plain);
    settle(&mut sim, &plain);
    assert!(
        sim.orchestrator.world.applications[&fixture::app()]
            .groups
            .values()
            .all(BTreeMap::is_empty)
    );
    assert_eq!(members(&sim, "web"), web);
}

#[test]
fn another_cartridge_under_the_same_alias_serves_before_the_first_one_goes() {
    let before = of(&["web", "mem"], &[]);
    let mut sim = running(&before);
    let order = Record::ClusterSizeOrdered {
        cluster: cluster("web"),
        size: Some(3),
        by: "anna".into(),
    };
    sim.order(order);
    sim.until("three stand", 60, |sim| {
        ready_for(sim, "shop.web.example.org") == 3
    });
    let mem = members(&sim, "mem");
    let mut after = before.clone();
    after.cartridges[0].cartridge_type = CartridgeType::new("java").unwrap();
    put(&mut sim, &after);
    for _ in 0..120 {
        sim.second();
        truth::holds(&sim);
        let ready = ready_for(&sim, "shop.web.example.org");
        assert!(ready >= 3, "{ready} are ready\n{}", sim.picture());
        if !sim.orchestrator.world.clusters.contains_key(&cluster("web")) {
            break;
        }
    }
    assert!(members(&sim, "web").is_empty(), "{}", sim.picture());
    assert_eq!(members(&sim, "mem"), mem);
    settle(&mut sim, &after);
}

#[test]
fn who_never_becomes_ready_in_the_place_of_another_one_never_takes_it() {
    let before = of(&["web"], &[]);
    let mut sim = running(&before);
    let web = members(&sim, "web");
    let mut after = before.clone();
    after.cartridges[0].cartridge_type = CartridgeType::new("java").unwrap();
    sim.faults.provisioner.fails = 1000;
    put(&mut sim, &after);
    sim.seconds(120);
    assert_eq!(ready_for(&sim, "shop.web.example.org"), 1, "{}", sim.picture());
    put(&mut sim, &before);
    sim.faults.provisioner.fails = 0;
    settle(&mut sim, &before);
    assert_eq!(members(&sim, "web"), web, "the first one never went");
}

fn changed(sim: &Sim) -> Cartridge {
    let mut cartridge = sim.orchestrator.world.cartridges[&CartridgeType::new("php").unwrap()].clone();
    cartridge
        .property
        .insert("payload_parameter.COLOUR".into(), "green".into());
    cartridge
}

fn replaced(size: u32, room: u32) {
    let application = of(&["web", "mem"], &[]);
    let shape = Shape {
        partition_max: room,
        max: size,
        min: size,
        ..shape()
    };
    let mut sim = Sim::new(&shape, 1);
    sim.until("all stand", 120, |sim| {
        sim.active() == size as usize && balancers(sim) == 1
    });
    sim.seconds(3);
    let web = members(&sim, "web");
    let cartridge = changed(&sim);
    give(&mut sim, Order::PutCartridge(Box::new(cartridge), Mode::Replace));
    let least = if room > size { size } else { size - 1 };
    for _ in 0..900 {
        sim.second();
        truth::holds(&sim);
        let ready = ready_for(&sim, "shop.web.example.org");
        assert!(ready >= least as usize, "{ready} are ready\n{}", sim.picture());
        if members(&sim, "web").is_disjoint(&web) && members(&sim, "web").len() == size as usize {
            sim.until("all are new", 60, |sim| sim.active() == size as usize);
            return;
        }
    }
    panic!("{application:?}\n{}", sim.picture());
}

#[test]
fn members_of_a_changed_cartridge_are_replaced_while_as_many_as_before_serve() {
    replaced(1, 20);
    replaced(3, 20);
    replaced(12, 20);
}

#[test]
fn where_there_is_no_room_one_goes_first() {
    replaced(3, 3);
}

#[test]
fn where_fewer_fit_than_are_wanted_they_are_replaced_all_the_same() {
    let shape = Shape {
        partition_max: 2,
        max: 3,
        min: 3,
        ..shape()
    };
    let mut sim = Sim::new(&shape, 1);
    sim.until("two stand", 120, |sim| sim.active() == 2 && balancers(sim) == 1);
    sim.seconds(3);
    let web = members(&sim, "web");
    let cartridge = changed(&sim);
    give(&mut sim, Order::PutCartridge(Box::new(cartridge), Mode::Replace));
    sim.second();
    sim.until("both are new", 300, |sim| {
        truth::holds(sim);
        let ready = ready_for(sim, "shop.web.example.org");
        assert!(ready >= 1, "nobody is ready\n{}", sim.picture());
        members(sim, "web").is_disjoint(&web) && sim.active() == 2
    });
}

#[test]
fn the_only_member_stays_where_there_is_no_room_for_another_one() {
    let shape = Shape {
        partition_max: 1,
        max: 1,
        min: 1,
        ..shape()
    };
    let mut sim = Sim::new(&shape, 1);
    sim.until("it stands", 120, |sim| sim.active() == 1 && balancers(sim) == 1);
    let web = members(&sim, "web");
    let cartridge = changed(&sim);
    give(&mut sim, Order::PutCartridge(Box::new(cartridge), Mode::Replace));
    sim.seconds(60);
    assert_eq!(members(&sim, "web"), web);
    let notes = sim
        .orchestrator
        .last
        .report
        .clusters
        .iter()
        .flat_map(|row| &row.notes);
    assert!(
        notes
            .into_iter()
            .any(|note| note.contains("no room for another one")),
        "{}",
        sim.picture()
    );
}

#[test]
fn a_crash_at_any_second_of_an_update_changes_nothing_of_its_end() {
    let before = of(&["db", "web", "mem"], &[&["db", "web", "mem"]]);
    let mut after = of(&["db", "web", "new"], &[&["db", "new"]]);
    after.cartridges[1].cartridge_type = CartridgeType::new("java").unwrap();
    after.groups = vec![group("side", 1, &["job"])];
    for second in 0..40 {
        let mut sim = running(&before);
        let db = members(&sim, "db");
        put(&mut sim, &after);
        sim.seconds(second);
        sim.crash_orchestrator();
        sim.until("it is back", 60, |sim| sim.now >= sim.down);
        settle(&mut sim, &after);
        assert_eq!(members(&sim, "db"), db, "crashed after {second} s");
    }
}

#[test]
fn the_plan_is_told_before_it_is_carried_out() {
    let sim = running(&of(&["db", "web", "mem"], &[&["db", "web", "mem"]]));
    let mut after = of(&["db", "web", "new"], &[&["db", "new"]]);
    after.cartridges[0].cartridge_max = 3;
    let mut world = sim.orchestrator.world.clone();
    let order = Order::PutApplication {
        blueprint: Box::new(after),
        sealed: BTreeMap::new(),
        expected_revision: None,
        mode: Mode::Either,
    };
    for record in admit(&world, order).unwrap() {
        let entry = cartridge_orchestrator_plan::record::Entry {
            seq: world.seq + 1,
            at_unix_ms: 0,
            record,
        };
        world.apply(&entry, sim.now).unwrap();
    }
    let told = outlook(&sim.orchestrator.world, &world);
    let expected = [
        "shop.db.php.domain: cartridgeMax 4 -> 3; its 1 members stay",
        "shop.mem.php.domain goes, its 1 members finish their requests",
        "shop.new.php.domain comes after db, with 1 to 4 members",
        "shop.web.php.domain stays as it is, with its 1 members",
    ];
    assert_eq!(told, expected);
    assert!(outlook(&world, &world).is_empty());
}

#[test]
fn what_has_no_balancer_is_not_held_up_by_readings_that_never_come() {
    let shape = Shape {
        load_average: Some(50.0),
        ..shape()
    };
    let mut sim = Sim::new(&shape, 1);
    let mut java = other_cartridge("java");
    java.port_mapping[0].proxy_port = 0;
    sim.order(Record::CartridgePut(Box::new(java)));
    let mut application = of(&["web", "job"], &[]);
    application.cartridges[1].cartridge_type = CartridgeType::new("java").unwrap();
    put(&mut sim, &application);
    settle(&mut sim, &application);
    sim.seconds(40);
    let rows = &sim.orchestrator.last.report.clusters;
    let job = rows
        .iter()
        .find(|row| row.cluster.as_str() == "shop.job.java.domain");
    assert_eq!(job.map(|row| &row.frozen), Some(&None));
}

#[test]
fn who_is_under_way_to_a_commit_arrives_although_its_cluster_leaves() {
    let shape = Shape {
        repository: true,
        min: 2,
        ..shape()
    };
    let mut sim = Sim::new(&shape, 1);
    sim.until("two stand", 120, |sim| sim.active() == 2 && balancers(sim) == 1);
    sim.push_commit(false);
    let updating = |sim: &Sim| {
        let mut all = sim.orchestrator.world.members.values();
        all.any(|member| matches!(member.phase, MemberPhase::Updating { .. }))
    };
    sim.until("one is under way", 60, updating);
    // Nobody comes in its place.
    sim.faults.provisioner.fails = 1000;
    let mut after = fixture::application(&shape);
    after.cartridges[0].cartridge_type = CartridgeType::new("java").unwrap();
    put(&mut sim, &after);
    for _ in 0..60 {
        sim.second();
        truth::holds(&sim);
    }
    assert_eq!((updating(&sim), sim.active()), (false, 2), "{}", sim.picture());
}

/// Any blueprint of a small family: three cartridges at the top level, two groups, one in the other or not at all.
fn any(chance: &mut Chance) -> Application {
    let mut top: Vec<&str> = ["db", "web", "mem"]
        .into_iter()
        .filter(|_| chance.per_mille(600))
        .collect();
    if top.is_empty() {
        top.push("web");
    }
    let mut application = of(&top, &[]);
    if chance.per_mille(500) {
        let size = 1 + chance.below(2) as u32;
        let mut side = group("side", size, &["job"]);
        if chance.per_mille(400) {
            side.groups = vec![group("deep", 1, &["far"])];
        }
        application.groups.push(side);
    }
    application.each_subscription(|one| {
        one.cartridge_min = 1 + chance.below(2) as u32;
        if chance.per_mille(250) {
            one.cartridge_type = CartridgeType::new("java").unwrap();
        }
    });
    let mut all: Vec<String> = top.iter().map(|alias| format!("cartridge.{alias}")).collect();
    all.extend(application.groups.iter().map(Group::component));
    let chain: Vec<String> = all.into_iter().filter(|_| chance.per_mille(600)).collect();
    application.dependencies = (chain.len() > 1).then(|| Dependencies {
        startup_orders: vec![chain],
        ..Dependencies::default()
    });
    application
}

/// What a fresh deployment would have, too.
fn picture(sim: &Sim) -> Vec<String> {
    let world = &sim.orchestrator.world;
    let mut rows: Vec<String> = applications_clusters(sim)
        .into_iter()
        .map(|cluster| {
            let phases: Vec<_> = world
                .members_of(cluster)
                .map(|member| format!("{:?}", member.phase))
                .collect();
            let sizes: Vec<u32> = cluster
                .instances
                .values()
                .map(|instance| instance.desired)
                .collect();
            format!(
                "{} {:?} {:?} {}..{} {:?} {phases:?} {sizes:?}",
                cluster.id,
                cluster.group,
                cluster.hosts,
                cluster.min,
                cluster.max,
                cluster.autoscaling_policy
            )
        })
        .collect();
    for (np, here) in &world.applications[&fixture::app()].groups {
        for (alias, all) in here.iter().filter(|(_, all)| !all.is_empty()) {
            rows.push(format!("{np} {alias} {}", all.len()));
        }
    }
    rows.push(format!("{} balancers", balancers(sim)));
    rows
}

/// Clusters of which nothing was changed, by what surrounds them either.
fn unchanged(before: &Application, after: &Application) -> Vec<ClusterId> {
    let row = |one: &cartridge_orchestrator_plan::blueprint::Located<'_>| {
        let groups: Vec<(String, u32)> = one
            .groups
            .iter()
            .map(|group| (group.alias.clone(), group.min_instances))
            .collect();
        (one.subscription.clone(), groups)
    };
    let was: Vec<_> = before.located().iter().map(row).collect();
    let located = after.located();
    let same = located.iter().filter(|one| was.contains(&row(one)));
    same.map(|one| {
        ClusterId::of(
            &fixture::app(),
            &one.subscription.alias,
            &one.subscription.cartridge_type,
        )
        .unwrap()
    })
    .collect()
}

#[test]
fn any_sequence_of_updates_ends_where_a_fresh_deployment_ends_and_nothing_unchanged_restarts() {
    let seeds = 60;
    let mut updates = 0;
    for seed in 1..=seeds {
        let mut chance = Chance::new(seed);
        let mut blueprint = any(&mut chance);
        let mut sim = running(&blueprint);
        for _ in 0..4 {
            let next = any(&mut chance);
            if chance.per_mille(500) {
                settle(&mut sim, &blueprint);
            }
            // Before that, what an earlier update changed may still go.
            let calm = stands(&sim, &blueprint);
            let from = sim.orchestrator.journal.len();
            put(&mut sim, &next);
            updates += 1;
            let same = if calm {
                unchanged(&blueprint, &next)
            } else {
                Vec::new()
            };
            // The next one comes at any time, but in the end all come to rest.
            for _ in 0..chance.below(40) {
                sim.second();
                truth::holds(&sim);
            }
            let went = crate::since(&sim, from).find(|record| match record {
                Record::MemberDraining { member, .. } | Record::MemberFailed { member, .. } => same
                    .iter()
                    .any(|id| member.as_str().starts_with(&format!("{id}-"))),
                _ => false,
            });
            assert_eq!(went, None, "seed {seed}: {same:?}");
            blueprint = next;
        }
        settle(&mut sim, &blueprint);
        sim.seconds(30);
        truth::holds(&sim);
        let mut fresh = running(&blueprint);
        fresh.seconds(30);
        assert_eq!(picture(&sim), picture(&fresh), "seed {seed}");
    }
    eprintln!("{updates} updates of {seeds} applications");
}

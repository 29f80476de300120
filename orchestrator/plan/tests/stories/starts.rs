//! From the order to run to the first request, and back.

use cartridge_orchestrator_plan::decide::{Scope, View, decide};
use cartridge_orchestrator_plan::desired::{desired, endpoints, topology};
use cartridge_orchestrator_plan::outstanding::outstanding;
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::step::Step;
use cartridge_orchestrator_plan::world::{ApplicationStatus, balancer_cluster};
use cartridge_protocol::link::Run;

use crate::harness::fixture::{self, Shape};
use crate::harness::sim::Sim;
use crate::{count, running};

#[test]
fn a_deployment_becomes_members_a_balancer_and_an_address() {
    let sim = running(&Shape::default());
    let world = &sim.orchestrator.world;
    let balancer = balancer_cluster(&fixture::app(), &fixture::np(1)).unwrap();
    assert_eq!(balancer.as_str(), "shop.lb-np1.cartridge-balancer.domain");
    let table = topology(world, &balancer).unwrap();
    assert_eq!(table.listen.to_string(), "127.0.0.1");
    assert_eq!(table.clusters[0].endpoints.len(), 2);
    assert_eq!(table.clusters[0].hosts, ["shop.web.example.org"]);
    assert_eq!(table.clusters[0].listeners[0].port, 8080);
    let points = endpoints(world, &fixture::app());
    assert_eq!(points.len(), 1);
    assert_eq!((points[0].port, points[0].members), (8080, 2));
}

#[test]
fn all_that_is_missing_is_planned_in_one_pass() {
    let mut sim = Sim::new(&Shape::default(), 1);
    let records = sim.orchestrator.pass(sim.now);
    let planned = records
        .iter()
        .filter(|r| matches!(r, Record::MemberPlanned { .. }))
        .count();
    assert_eq!(planned, 3, "two members and a balancer: {records:#?}");
    let steps = outstanding(&sim.orchestrator.world, sim.now);
    assert_eq!(steps.len(), 3);
    assert_eq!(
        steps,
        outstanding(&sim.orchestrator.world, sim.now),
        "asked again, the same"
    );
}

#[test]
fn a_member_is_told_who_it_is() {
    let mut sim = Sim::new(
        &Shape {
            repository: true,
            ..Shape::default()
        },
        1,
    );
    sim.orchestrator.pass(sim.now);
    let steps = outstanding(&sim.orchestrator.world, sim.now);
    let spec = steps
        .iter()
        .find_map(|step| match step {
            Step::Ensure(spec) if !spec.balancer => Some(spec),
            _ => None,
        })
        .unwrap();
    let get = |name: &str| spec.parameters.get(name).map_or("", String::as_str);
    assert_eq!(get("APPLICATION_ID"), "shop");
    assert_eq!(get("CLUSTER_ID"), "shop.web.php.domain");
    assert_eq!(get("MEMBER_ID"), "shop.web.php.domain-1");
    assert_eq!(get("CLUSTER_INSTANCE_ID"), "shop-1");
    assert_eq!(get("HOST_NAME"), "shop.web.example.org");
    assert_eq!(
        get("PORT_MAPPINGS"),
        "NAME:http|PROTOCOL:http|PORT:80|PROXY_PORT:8080"
    );
    assert_eq!(get("TENANT_ID"), "-1234");
    assert_eq!(get("REPO_URL"), "http://git.example/shop.git");
    assert_eq!(get("CARTRIDGE_INSTALLATION"), "test");
    assert_eq!(get("COLOUR"), "blue");
    assert_eq!(spec.ports["http"], 80);
    let balancer = steps.iter().find_map(|step| match step {
        Step::Ensure(spec) if spec.balancer => Some(spec),
        _ => None,
    });
    assert!(balancer.unwrap().ports.values().any(|port| *port == 8080));
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    let sim = running(&Shape::default());
    let view = View {
        world: &sim.orchestrator.world,
        seen: &sim.orchestrator.seen,
        now: sim.now,
    };
    let planned = decide(&view, Scope::All);
    assert_eq!(planned.records, []);
    assert_eq!(
        planned,
        decide(&view, Scope::All),
        "the same view gives the same plan"
    );
    assert!(
        planned.report.clusters.iter().any(|row| !row.inputs.is_empty()),
        "reasons for doing nothing"
    );
    assert!(planned.wake.is_some_and(|wake| wake > sim.now));
}

#[test]
fn the_empty_scope_selects_nothing() {
    let sim = Sim::new(&Shape::default(), 1);
    let view = View {
        world: &sim.orchestrator.world,
        seen: &sim.orchestrator.seen,
        now: sim.now,
    };
    let planned = decide(&view, Scope::Clusters(&std::collections::BTreeSet::new()));
    assert_eq!(planned.records, []);
    assert!(!decide(&view, Scope::All).records.is_empty());
}

#[test]
fn an_application_ends_balancers_first_and_its_ids_are_not_used_again() {
    let mut sim = running(&Shape::default());
    let begun = sim.orchestrator.journal.len();
    sim.order(Record::ApplicationUndeploying {
        application: fixture::app(),
        force: false,
    });
    assert!(endpoints(&sim.orchestrator.world, &fixture::app()).is_empty());
    let stopped =
        |sim: &Sim| sim.orchestrator.world.applications[&fixture::app()].status == ApplicationStatus::Created;
    sim.until("nothing is left", 120, stopped);
    assert!(sim.agents.is_empty() && sim.orchestrator.world.clusters.is_empty());
    let drains: Vec<&str> = crate::since(&sim, begun)
        .filter_map(|record| match record {
            Record::MemberDraining { member, .. } => Some(member.as_str()),
            _ => None,
        })
        .collect();
    assert!(drains[0].contains("lb-np1"), "{drains:?}");
    sim.order(Record::ApplicationDeployed {
        application: fixture::app(),
        policy: fixture::policy("where"),
    });
    sim.until("it runs again", 120, |sim| sim.active() == 2);
    assert_eq!(
        sim.orchestrator.world.clusters[&fixture::cluster()].next_member,
        5
    );
}

#[test]
fn undeploying_by_force_does_not_drain() {
    let mut sim = running(&Shape::default());
    let begun = sim.orchestrator.journal.len();
    sim.order(Record::ApplicationUndeploying {
        application: fixture::app(),
        force: true,
    });
    sim.seconds(2);
    assert_eq!(
        count(&sim, begun, |record| matches!(
            record,
            Record::MemberStopping { .. }
        )),
        3
    );
    let members = sim.orchestrator.world.members.keys();
    for member in members {
        let told = desired(&sim.orchestrator.world, member).unwrap();
        assert!(matches!(told.run, Run::Stop { .. }));
    }
}

#[test]
fn a_topology_is_newer_when_a_cluster_in_it_is_not_wanted_any_more() {
    let mut sim = running(&Shape::default());
    let balancer = balancer_cluster(&fixture::app(), &fixture::np(1)).unwrap();
    let before = topology(&sim.orchestrator.world, &balancer).unwrap();
    sim.order(Record::ClusterResized {
        cluster: fixture::cluster(),
        network_partition: fixture::np(1),
        from: 2,
        to: 0,
        factor: "order".into(),
        reason: "the test says so".into(),
    });
    let after = topology(&sim.orchestrator.world, &balancer).unwrap();
    assert!(after.clusters != before.clusters && after.revision > before.revision);
}

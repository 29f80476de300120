//! Orders against a world that is built by orders.

mod domains;
mod groups;
mod sign_ups;
mod steering;
mod tenants;
mod updates;
mod values;

use cartridge_protocol::Millis;
use serde_json::{Value, json};

use super::*;
use crate::blueprint::parse;
use crate::record::Entry;

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn cartridge(name: &str, port: u16) -> Box<Cartridge> {
    let document = json!({"type": name, "category": "framework", "provider": "own", "host": "example.org",
        "portMapping": [{"protocol": "http", "port": 8080, "proxyPort": port}]});
    Box::new(parse::cartridge(&document).unwrap())
}

fn network_partition(name: &str, provider: &str, partitions: &[&str]) -> Order {
    let partitions: Vec<Value> = partitions.iter().map(|p| json!({"id": p})).collect();
    let document = json!({"id": name, "provider": provider, "partitions": partitions});
    Order::PutNetworkPartition(
        Box::new(parse::network_partition(&document).unwrap()),
        Mode::Either,
    )
}

fn deployment_policy(name: &str, network_partitions: &[&str]) -> Order {
    let parts: Vec<Value> = network_partitions
        .iter()
        .map(|np| json!({"id": np, "partitions": [{"id": "p1", "partitionMax": 5}]}))
        .collect();
    let document = json!({"id": name, "networkPartitions": parts});
    Order::PutDeploymentPolicy(
        Box::new(parse::deployment_policy(&document).unwrap()),
        Mode::Either,
    )
}

fn application_policy(name: &str, algorithm: &str, network_partitions: &[&str]) -> Order {
    let document = json!({"id": name, "algorithm": algorithm, "networkPartitions": network_partitions});
    Order::PutApplicationPolicy(
        Box::new(parse::application_policy(&document).unwrap()),
        Mode::Either,
    )
}

fn autoscaling_policy(name: &str) -> Order {
    let document = json!({"id": name, "loadThresholds": {"loadAverage": {"threshold": 70}}});
    Order::PutAutoscalingPolicy(
        Box::new(parse::autoscaling_policy(&document).unwrap()),
        Mode::Either,
    )
}

fn blueprint(name: &str, change: impl FnOnce(&mut Value)) -> Box<Application> {
    let mut document = json!({"applicationId": name, "alias": name, "components": {"cartridges": [{
        "type": "php", "cartridgeMin": 1, "cartridgeMax": 3, "subscribableInfo": {"alias": "web",
            "autoscalingPolicy": "busy", "deploymentPolicy": "both", "artifactRepository":
            {"repoUrl": "https://git.example.org/shop.git", "repoUsername": "reader"}}}]}});
    change(&mut document);
    Box::new(parse::application(&document).unwrap().0)
}

fn put(blueprint: Box<Application>) -> Order {
    Order::PutApplication {
        blueprint,
        sealed: BTreeMap::new(),
        expected_revision: None,
        mode: Mode::Either,
    }
}

fn deploy(application: &str, policy: &str) -> Order {
    Order::Deploy {
        application: id(application),
        policy: id(policy),
    }
}

/// Admits and applies: every record of an admitted order must fit the world.
fn ordered(world: &mut World, order: Order) -> Vec<Record> {
    let records = admit(world, order).unwrap();
    apply(world, &records);
    records
}

fn apply(world: &mut World, records: &[Record]) {
    for record in records {
        let entry = Entry {
            seq: world.seq + 1,
            at_unix_ms: 0,
            record: record.clone(),
        };
        world.apply(&entry, Millis::ZERO).unwrap();
    }
}

fn refused(world: &World, order: Order) -> Refusal {
    let before = world.clone();
    let refusal = admit(world, order).expect_err("was admitted");
    assert_eq!(*world, before, "a refused order changed the world");
    assert!(!refusal.message.contains('\n'), "{}", refusal.message);
    refusal
}

fn furnished() -> World {
    let mut world = World::default();
    ordered(&mut world, Order::PutCartridge(cartridge("php", 80), Mode::Add));
    ordered(&mut world, network_partition("near", "process", &["p1"]));
    ordered(&mut world, network_partition("far", "process", &["p1"]));
    ordered(&mut world, deployment_policy("both", &["near", "far"]));
    ordered(&mut world, autoscaling_policy("busy"));
    ordered(
        &mut world,
        application_policy("burst", "one-after-another", &["near", "far"]),
    );
    ordered(
        &mut world,
        application_policy("all", "all-at-once", &["near", "far"]),
    );
    ordered(&mut world, put(blueprint("shop", |_| {})));
    world
}

fn deployed() -> World {
    let mut world = furnished();
    ordered(&mut world, deploy("shop", "burst"));
    world
}

const WEB: &str = "shop.web.php.domain";

#[test]
fn modes_tell_adding_from_replacing() {
    let world = furnished();
    let add = refused(&world, Order::PutCartridge(cartridge("php", 81), Mode::Add));
    assert_eq!((add.code, add.field.as_deref()), (Code::Conflict, Some("type")));
    assert_eq!(
        add.message,
        "type: cartridge \"php\" exists already; replace it with PUT"
    );
    let replace = refused(&world, Order::PutCartridge(cartridge("ruby", 81), Mode::Replace));
    assert_eq!(replace.code, Code::NotFound);
    let read = mark(&world.cartridges["php"]);
    let other = refused(
        &world,
        Order::PutCartridge(cartridge("php", 81), Mode::IfStill(read + 1)),
    );
    assert_eq!(other.code, Code::Conflict);
    assert!(
        admit(
            &world,
            Order::PutCartridge(cartridge("php", 81), Mode::IfStill(read))
        )
        .is_ok()
    );
    let same = admit(&world, Order::PutCartridge(cartridge("php", 80), Mode::Either)).unwrap();
    assert_eq!(same, [], "what is so already needs no record");
}

#[test]
fn a_blueprint_names_everything_that_does_not_exist_at_once() {
    let order = put(blueprint("x", |document| {
        let first = &mut document["components"]["cartridges"][0];
        first["type"] = json!("ruby");
        first["subscribableInfo"]["autoscalingPolicy"] = json!("lazy");
        first["subscribableInfo"]["deploymentPolicy"] = json!("nowhere");
    }));
    let refusal = refused(&furnished(), order);
    assert_eq!(refusal.code, Code::Invalid);
    assert_eq!(refusal.field.as_deref(), Some("components.cartridges[0].type"));
    for named in [
        "cartridge \"ruby\"",
        "autoscaling policy \"lazy\"",
        "deployment policy \"nowhere\"",
    ] {
        assert!(refusal.message.contains(named), "{}", refusal.message);
    }
}

#[test]
fn ids_that_are_too_long_together_are_refused_before_anything_runs() {
    let long = "a".repeat(190);
    let refusal = refused(&furnished(), put(blueprint(&long, |_| {})));
    assert!(
        refusal.message.contains("too long together"),
        "{}",
        refusal.message
    );
}

#[test]
fn a_deployment_policy_names_existing_partitions() {
    let refusal = refused(&furnished(), deployment_policy("d", &["near", "mars"]));
    assert_eq!(
        refusal.message,
        "networkPartitions[1].id: there is no network partition \"mars\""
    );
    let mut world = furnished();
    ordered(&mut world, network_partition("other", "mock", &["p9"]));
    let refusal = refused(&world, deployment_policy("d", &["other"]));
    assert!(
        refusal
            .message
            .contains("network partition \"other\" has no partition \"p1\""),
        "{}",
        refusal.message
    );
}

#[test]
fn deploying_starts_the_first_group_or_all() {
    let started = |policy: &str| {
        let mut world = furnished();
        let records = ordered(&mut world, deploy("shop", policy));
        assert!(matches!(records[0], Record::ApplicationDeployed { .. }));
        records.len() - 1
    };
    assert_eq!(started("burst"), 1);
    assert_eq!(started("all"), 2);
}

#[test]
fn deploying_twice_and_undeploying_what_is_not_deployed_conflict() {
    let world = deployed();
    let again = refused(&world, deploy("shop", "burst"));
    assert_eq!(
        (again.code, again.message.as_str()),
        (Code::Conflict, "application \"shop\" is deployed already")
    );
    let undeploy = |force| Order::Undeploy {
        application: id("shop"),
        force,
    };
    assert_eq!(refused(&furnished(), undeploy(false)).code, Code::Conflict);
    let unknown = Order::Undeploy {
        application: id("none"),
        force: false,
    };
    assert_eq!(refused(&world, unknown).code, Code::NotFound);

    let mut world = deployed();
    ordered(&mut world, undeploy(false));
    assert_eq!(refused(&world, undeploy(false)).code, Code::Conflict);
    ordered(&mut world, undeploy(true));
    assert_eq!(refused(&world, undeploy(true)).code, Code::Conflict);
    assert_eq!(
        refused(&world, Order::RemoveApplication(id("shop"))).code,
        Code::Conflict
    );
}

#[test]
fn every_network_partition_of_the_application_policy_must_be_in_each_deployment_policy() {
    let mut world = furnished();
    ordered(&mut world, deployment_policy("both", &["near"]));
    let refusal = refused(&world, deploy("shop", "burst"));
    assert_eq!(refusal.code, Code::Invalid);
    assert_eq!(
        refusal.message,
        "policy: network partition \"far\" of application policy \"burst\" is not in deployment policy \"both\" of \
         cartridge \"web\": application bursting will fail"
    );
    ordered(
        &mut world,
        application_policy("lost", "all-at-once", &["atlantis"]),
    );
    assert!(
        refused(&world, deploy("shop", "lost"))
            .message
            .contains("\"atlantis\", which does not exist")
    );
    assert_eq!(refused(&world, deploy("shop", "unknown")).code, Code::Invalid);
    assert_eq!(refused(&world, deploy("unknown", "burst")).code, Code::NotFound);
}

#[test]
fn what_runs_must_still_fit_after_a_policy_changed() {
    let world = deployed();
    let refusal = refused(&world, deployment_policy("both", &["near"]));
    assert_eq!(refusal.code, Code::InUse);
    assert!(
        refusal
            .message
            .contains("application \"shop\" is deployed and would not fit"),
        "{}",
        refusal.message
    );
    assert_eq!(
        refused(&world, application_policy("burst", "all-at-once", &["mars"])).code,
        Code::InUse
    );
    assert_eq!(
        refused(&world, network_partition("near", "process", &["p2"])).code,
        Code::InUse
    );
    assert!(admit(&world, network_partition("near", "process", &["p1", "p2"])).is_ok());
}

#[test]
fn what_is_in_use_cannot_be_removed_and_the_user_is_named() {
    let world = deployed();
    let used = |order: Order, by: &str| {
        let refusal = refused(&world, order);
        assert_eq!(refusal.code, Code::InUse, "{}", refusal.message);
        assert!(refusal.message.ends_with(by), "{}", refusal.message);
    };
    used(
        Order::RemoveCartridge(id("php")),
        "in use by application \"shop\"",
    );
    used(
        Order::RemoveAutoscalingPolicy(id("busy")),
        "in use by application \"shop\"",
    );
    used(
        Order::RemoveDeploymentPolicy(id("both")),
        "in use by application \"shop\"",
    );
    used(
        Order::RemoveApplicationPolicy(id("burst")),
        "in use by application \"shop\"",
    );
    used(
        Order::RemoveNetworkPartition(id("near")),
        "in use by deployment policy \"both\"",
    );
    assert_eq!(
        refused(&world, Order::RemoveApplication(id("shop"))).code,
        Code::Conflict
    );
    assert_eq!(
        refused(&world, Order::RemoveCartridge(id("ruby"))).code,
        Code::NotFound
    );
}

#[test]
fn everything_can_be_removed_in_reverse_order() {
    let mut world = furnished();
    for order in [
        Order::RemoveApplication(id("shop")),
        Order::RemoveApplicationPolicy(id("burst")),
        Order::RemoveApplicationPolicy(id("all")),
        Order::RemoveAutoscalingPolicy(id("busy")),
        Order::RemoveDeploymentPolicy(id("both")),
        Order::RemoveNetworkPartition(id("near")),
        Order::RemoveNetworkPartition(id("far")),
        Order::RemoveCartridge(id("php")),
    ] {
        ordered(&mut world, order);
    }
    // Whose the application's name is, is all that is kept.
    let empty = World {
        seq: world.seq,
        former: [(id("shop"), TenantId::SUPER)].into_iter().collect(),
        ..World::default()
    };
    assert_eq!(world, empty);
}

#[test]
fn a_stale_revision_conflicts() {
    let mut world = furnished();
    let current = world.applications[&id::<ApplicationId>("shop")].revision;
    let edit = |revision| Order::PutApplication {
        blueprint: blueprint("shop", |document| document["description"] = json!("new")),
        sealed: BTreeMap::new(),
        expected_revision: Some(revision),
        mode: Mode::Replace,
    };
    let refusal = refused(&world, edit(current + 1));
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (Code::Conflict, Some("revision"))
    );
    ordered(&mut world, edit(current));
    assert_eq!(
        refused(&world, edit(current)).code,
        Code::Conflict,
        "the same edit twice"
    );
}

#[test]
fn a_kept_password_is_never_used_for_another_repository() {
    let mut world = furnished();
    let with = |url: &str, sealed: &[(&str, &str)]| Order::PutApplication {
        blueprint: blueprint("shop", |d| {
            d["components"]["cartridges"][0]["subscribableInfo"]["artifactRepository"]["repoUrl"] =
                json!(url);
        }),
        sealed: sealed
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        expected_revision: None,
        mode: Mode::Either,
    };
    let shop = id::<ApplicationId>("shop");
    ordered(
        &mut world,
        with("https://git.example.org/shop.git", &[("web", "sealed-1")]),
    );
    assert_eq!(world.sealed[&shop]["web"], "sealed-1");
    ordered(&mut world, with("https://git.example.org/shop.git", &[]));
    assert_eq!(
        world.sealed[&shop]["web"], "sealed-1",
        "reading and writing back keeps it"
    );
    ordered(&mut world, with("https://evil.example.org/shop.git", &[]));
    assert!(!world.sealed.contains_key(&shop), "another host must not get it");
    let stray = refused(
        &world,
        with("https://git.example.org/shop.git", &[("nobody", "x")]),
    );
    assert_eq!(stray.code, Code::Invalid);
}

#[test]
fn two_applications_cannot_listen_at_one_port_of_this_machine() {
    let mut world = deployed();
    ordered(&mut world, put(blueprint("other", |_| {})));
    let refusal = refused(&world, deploy("other", "burst"));
    assert_eq!(refusal.code, Code::Conflict);
    assert!(
        refusal
            .message
            .contains("application \"shop\" listens at 127.0.0.1 port 80 already"),
        "{}",
        refusal.message
    );
    ordered(&mut world, Order::PutCartridge(cartridge("php2", 81), Mode::Add));
    let elsewhere = blueprint("third", |d| {
        d["components"]["cartridges"][0]["type"] = json!("php2")
    });
    ordered(&mut world, put(elsewhere));
    ordered(&mut world, deploy("third", "burst"));
}

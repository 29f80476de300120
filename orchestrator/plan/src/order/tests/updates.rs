//! What a running application may become, and what is refused with field and reason.

use super::*;

fn field(document: &mut Value) -> &mut Value {
    &mut document["components"]["cartridges"]
}

fn another(alias: &str, cartridge: &str) -> Value {
    json!({"type": cartridge, "cartridgeMin": 1, "cartridgeMax": 3, "subscribableInfo": {"alias": alias,
        "autoscalingPolicy": "busy", "deploymentPolicy": "both"}})
}

fn put_cartridge(change: impl FnOnce(&mut Cartridge)) -> Order {
    let mut changed = cartridge("php", 80);
    change(&mut changed);
    Order::PutCartridge(changed, Mode::Replace)
}

fn with_a_member() -> World {
    let mut world = deployed();
    let planned = Record::MemberPlanned {
        member: id("shop.web.php.domain-1"),
        incarnation: 1,
        cluster: id(WEB),
        network_partition: id("near"),
        partition: id("p1"),
        group_instance: 0,
        reason: "for the test".into(),
    };
    apply(&mut world, &[planned]);
    world
}

#[test]
fn sizes_cartridges_and_their_number_change_while_it_runs() {
    let mut world = deployed();
    let larger = |d: &mut Value| field(d)[0]["cartridgeMax"] = json!(9);
    ordered(&mut world, put(blueprint("shop", larger)));
    assert_eq!(world.clusters[&id::<ClusterId>(WEB)].max, 9);
    let more = |d: &mut Value| field(d).as_array_mut().unwrap().push(another("cache", "php"));
    ordered(&mut world, put(blueprint("shop", more)));
    let cache = &world.clusters[&id::<ClusterId>("shop.cache.php.domain")];
    assert_eq!(cache.instances.len(), 1, "it is where the application is");
    ordered(&mut world, put(blueprint("shop", |_| {})));
    let cache = &world.clusters[&id::<ClusterId>("shop.cache.php.domain")];
    assert!(cache.leaving.is_some());
    ordered(&mut world, put(blueprint("shop", more)));
    let cache = &world.clusters[&id::<ClusterId>("shop.cache.php.domain")];
    assert!(cache.leaving.is_none(), "it stays after all");
}

#[test]
fn another_cartridge_under_an_alias_begins_with_the_size_of_the_first_one() {
    let mut world = deployed();
    ordered(&mut world, Order::PutCartridge(cartridge("java", 80), Mode::Add));
    let resized = Record::ClusterResized {
        cluster: id(WEB),
        network_partition: id("near"),
        from: 0,
        to: 3,
        factor: "order".into(),
        reason: "for the test".into(),
    };
    apply(&mut world, &[resized]);
    let other = |d: &mut Value| field(d)[0]["type"] = json!("java");
    let records = ordered(&mut world, put(blueprint("shop", other)));
    let begins = |record: &Record| matches!(record, Record::ClusterResized { from: 0, to: 3, .. });
    assert!(records.iter().any(begins), "{records:?}");
}

#[test]
fn a_cartridge_in_use_is_not_moved_between_groups() {
    let mut world = with_a_member();
    let pair = parse::cartridge_group(&json!({"name": "pair", "cartridges": ["php"]})).unwrap();
    ordered(&mut world, Order::PutCartridgeGroup(Box::new(pair), Mode::Add));
    let moved = |d: &mut Value| {
        let own = field(d)[0].take();
        d["components"] = json!({"groups": [{"name": "pair", "alias": "duo", "cartridges": [own]}]});
    };
    let refusal = refused(&world, put(blueprint("shop", moved)));
    let place = "components.groups[0].cartridges[0].subscribableInfo.alias";
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (Code::Conflict, Some(place))
    );
    assert!(
        refusal.message.contains("it cannot move to group \"duo\""),
        "{refusal}"
    );
}

#[test]
fn tenancy_cannot_change_while_it_runs() {
    let refusal = refused(
        &deployed(),
        put(blueprint("shop", |d| d["multiTenant"] = json!(true))),
    );
    assert_eq!(
        (refusal.code, refusal.field.as_deref()),
        (Code::Conflict, Some("multiTenant"))
    );
}

#[test]
fn an_added_cartridge_cannot_take_a_port_of_another_application() {
    let mut world = deployed();
    ordered(&mut world, Order::PutCartridge(cartridge("php2", 81), Mode::Add));
    let other = blueprint("other", |d| field(d)[0]["type"] = json!("php2"));
    ordered(&mut world, put(other));
    ordered(&mut world, deploy("other", "burst"));
    let more = |d: &mut Value| field(d).as_array_mut().unwrap().push(another("cache", "php2"));
    let refusal = refused(&world, put(blueprint("shop", more)));
    let field = Some("components.cartridges");
    assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Conflict, field));
    assert!(refusal.message.contains("port 81 already"), "{refusal}");
}

#[test]
fn what_members_are_started_with_renews_the_clusters_that_have_any() {
    let change = || put_cartridge(|one| one.base_dir = Some("/srv".into()));
    let renews = |records: &[Record]| {
        records
            .iter()
            .any(|one| matches!(one, Record::ClusterRenewed { .. }))
    };
    assert!(!renews(&ordered(&mut deployed(), change())), "nobody runs yet");
    let mut world = with_a_member();
    assert!(renews(&ordered(&mut world, change())));
    let described = put_cartridge(|one| {
        one.base_dir = Some("/srv".into());
        one.description = "for people".into();
    });
    assert!(!renews(&ordered(&mut world, described)));
}

#[test]
fn a_proxied_port_changes_its_number_and_name_but_neither_its_protocol_nor_goes_altogether() {
    let mut world = with_a_member();
    let made = Record::MemberEnsured {
        member: id("shop.web.php.domain-1"),
        incarnation: 1,
        instance: "i".into(),
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        ports: BTreeMap::from([("http-8080".to_owned(), 4000)]),
    };
    apply(&mut world, &[made]);
    let secure = put_cartridge(|one| one.port_mapping[0].protocol = "https".into());
    let refusal = refused(&world, secure);
    let field = Some("portMapping[0].protocol");
    assert_eq!((refusal.code, refusal.field.as_deref()), (Code::InUse, field));
    let bare = put_cartridge(|one| one.port_mapping.clear());
    assert_eq!(refused(&world, bare).field.as_deref(), Some("portMapping"));
    let moved = put_cartridge(|one| {
        one.port_mapping[0].name = "web".into();
        one.port_mapping[0].port = 9090;
    });
    ordered(&mut world, moved);
    let member: MemberId = id("shop.web.php.domain-1");
    let ports = &world.members[&member].instance.as_ref().unwrap().ports;
    assert_eq!(
        ports.get("web"),
        Some(4000),
        "balancers find it under the new name"
    );
}

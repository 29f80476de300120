//! Definitions of groups, and blueprints that use them.

use super::*;

fn definition(document: Value) -> Order {
    Order::PutCartridgeGroup(Box::new(parse::cartridge_group(&document).unwrap()), Mode::Either)
}

fn member(alias: &str) -> Value {
    json!({"type": "php", "cartridgeMin": 1, "cartridgeMax": 3,
        "subscribableInfo": {"alias": alias, "autoscalingPolicy": "busy"}})
}

fn composite(change: impl FnOnce(&mut Value)) -> Box<Application> {
    let mut document = json!({"applicationId": "shop", "alias": "shop", "components": {"groups": [{
        "name": "pair", "alias": "my-pair", "groupMinInstances": "1", "groupMaxInstances": 2,
        "deploymentPolicy": "both", "cartridges": [member("one"), member("two")]}]}});
    change(&mut document);
    Box::new(parse::application(&document).unwrap().0)
}

fn with_pair() -> World {
    let mut world = furnished();
    let pair = json!({"name": "pair", "cartridges": ["php"], "dependencies": {
        "startupOrders": [{"aliases": ["cartridge.one", "cartridge.two"]}], "terminationBehaviour": "terminate-all"}});
    ordered(&mut world, definition(pair));
    world
}

#[test]
fn a_blueprint_takes_over_what_the_definition_says() {
    let mut world = with_pair();
    ordered(&mut world, put(composite(|_| {})));
    let kept = world.applications["shop"].blueprint.groups[0]
        .dependencies
        .clone()
        .unwrap();
    assert_eq!(kept.startup_orders, [["cartridge.one", "cartridge.two"]]);
    let none = json!({"name": "pair", "cartridges": ["php"]});
    ordered(&mut world, definition(none));
    assert_eq!(
        world.applications["shop"].blueprint.groups[0].dependencies,
        Some(kept)
    );
    let refusal = refused(&world, Order::RemoveCartridgeGroup(id("pair")));
    assert_eq!(refusal.code, Code::InUse);
    let refusal = refused(&world, Order::RemoveCartridge(id("php")));
    assert_eq!(refusal.code, Code::InUse);
}

#[test]
fn a_group_without_definition_or_with_another_cartridge_is_refused_with_its_place() {
    let world = with_pair();
    let refusal = refused(
        &world,
        put(composite(|d| {
            d["components"]["groups"][0]["name"] = json!("none")
        })),
    );
    assert_eq!(refusal.field.as_deref(), Some("components.groups[0].name"));
    let refusal = refused(
        &world,
        put(composite(|d| {
            d["components"]["groups"][0]["cartridges"][1]["type"] = json!("other");
        })),
    );
    assert!(
        refusal
            .message
            .contains("components.groups[0].cartridges[1].type"),
        "{}",
        refusal.message
    );
}

#[test]
fn an_order_that_names_nobody_is_refused_in_the_words_of_stratos() {
    let world = with_pair();
    let refusal = refused(
        &world,
        put(composite(|d| {
            d["components"]["groups"][0]["cartridges"] = json!([member("one")]);
        })),
    );
    assert!(
        refusal.message.contains(
            "The startup-order defined in the [group] pair is not correct. [startup-order-alias] cartridge.two is \
             not there in the group."
        ),
        "{}",
        refusal.message
    );
}

#[test]
fn an_alias_may_be_the_type_where_only_one_has_it() {
    let mut world = with_pair();
    let typed = json!({"name": "pair", "cartridges": ["php"], "dependencies": {
        "scalingDependents": [{"aliases": "cartridge.php"}]}});
    ordered(&mut world, definition(typed));
    ordered(
        &mut world,
        put(composite(|d| {
            d["components"]["groups"][0]["cartridges"] = json!([member("one")]);
        })),
    );
    let kept = world.applications["shop"].blueprint.groups[0]
        .dependencies
        .clone()
        .unwrap();
    assert_eq!(kept.scaling_dependents, [["cartridge.one"]]);
}

#[test]
fn more_instances_than_can_stand_are_refused() {
    let world = with_pair();
    let refusal = refused(
        &world,
        put(composite(|d| {
            d["components"]["groups"][0]["groupMinInstances"] = json!(1001);
            d["components"]["groups"][0]["groupMaxInstances"] = json!(1001);
        })),
    );
    assert_eq!(refusal.field.as_deref(), Some("components.groups"));
    assert!(refusal.message.contains("1000"), "{}", refusal.message);
}

//! Values that cartridges share, as orders and as records.

use cartridge_protocol::values::{MAX_VALUE_BYTES, MAX_VALUES};

use super::*;
use crate::desired::desired;
use crate::launch::spec;

fn share(cluster: Option<&str>, key: &str, values: &[&str]) -> Order {
    Order::ShareValues {
        whose: whose(cluster),
        key: id(key),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        add: cluster.is_none(),
    }
}

fn whose(cluster: Option<&str>) -> Whose {
    Whose {
        cluster: cluster.map(str::to_owned),
        ..Whose::of(id("shop"))
    }
}

fn undeploy(world: &mut World) {
    let application: ApplicationId = id("shop");
    ordered(
        world,
        Order::Undeploy {
            application: application.clone(),
            force: true,
        },
    );
    apply(world, &[Record::ApplicationUndeployed { application }]);
}

fn of<'a>(world: &'a World, alias: Option<&str>, key: &str) -> Option<&'a Vec<String>> {
    world.values.get("shop")?.told.of(alias)?.get(key)
}

#[test]
fn what_is_shared_already_needs_no_record() {
    let mut world = deployed();
    assert_eq!(ordered(&mut world, share(None, "url", &["a", "b"])).len(), 1);
    assert_eq!(ordered(&mut world, share(None, "url", &["b", "a", "b"])), []);
    assert_eq!(ordered(&mut world, share(None, "url", &["c"])).len(), 1);
    assert_eq!(of(&world, None, "url").unwrap(), &["a", "b", "c"]);
    let web = Some("web");
    assert_eq!(ordered(&mut world, share(web, "ip", &["1"])).len(), 1);
    assert_eq!(ordered(&mut world, share(web, "ip", &["1"])), []);
    assert_eq!(ordered(&mut world, share(web, "ip", &["2"])).len(), 1);
    assert_eq!(of(&world, web, "ip").unwrap(), &["2"]);
    assert_eq!(ordered(&mut world, share(web, "ip", &[])).len(), 1);
    assert_eq!(of(&world, web, "ip"), None);
    let withdraw = |key: Option<&str>, value: Option<&str>| Order::WithdrawValues {
        whose: whose(None),
        key: key.map(id),
        value: value.map(str::to_owned),
    };
    assert_eq!(ordered(&mut world, withdraw(Some("url"), Some("z"))), []);
    assert_eq!(ordered(&mut world, withdraw(Some("url"), Some("a"))).len(), 1);
    assert_eq!(ordered(&mut world, withdraw(None, None)).len(), 1);
    assert_eq!(ordered(&mut world, withdraw(None, None)), []);
}

#[test]
fn who_is_unknown_or_of_an_earlier_deployment_shares_nothing_and_limits_are_kept() {
    let mut world = deployed();
    let unknown = Order::ShareValues {
        whose: Whose::of(id("nothing")),
        key: id("a"),
        values: vec!["1".into()],
        add: true,
    };
    assert_eq!(refused(&world, unknown).code, Code::NotFound);
    assert_eq!(
        refused(&world, share(Some("db"), "a", &["1"])).code,
        Code::NotFound
    );
    let present = world.applications.get("shop").unwrap().deployment();
    for (deployment, fits) in [(present, true), (Some(0), false)] {
        let order = Order::ShareValues {
            whose: Whose {
                deployment,
                ..whose(None)
            },
            key: id("a"),
            values: vec!["1".into()],
            add: true,
        };
        assert_eq!(admit(&world, order).is_ok(), fits, "{deployment:?}");
    }
    let long = "x".repeat(MAX_VALUE_BYTES + 1);
    let many: Vec<String> = (0..=MAX_VALUES).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for values in [&[long.as_str()][..], &many, &[]] {
        let refusal = refused(&world, share(None, "a", values));
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (Code::Invalid, Some("values"))
        );
    }
    undeploy(&mut world);
    ordered(&mut world, deploy("shop", "burst"));
    let again = world.applications.get("shop").unwrap().deployment();
    assert!(present.is_some() && again.is_some() && present != again);
}

#[test]
fn values_go_with_the_deployment_and_with_the_application() {
    let mut world = deployed();
    ordered(&mut world, share(None, "url", &["a"]));
    ordered(&mut world, share(Some("web"), "ip", &["1"]));
    undeploy(&mut world);
    assert!(world.values.get("shop").is_none());
    ordered(&mut world, share(None, "url", &["before it is deployed"]));
    ordered(&mut world, Order::RemoveApplication(id("shop")));
    assert!(world.values.get("shop").is_none());
}

#[test]
fn members_are_told_all_values_and_a_change_makes_what_they_are_told_newer() {
    let mut world = deployed();
    let (cluster, network_partition) = (id("shop.web.php.domain"), id("near"));
    let member: MemberId = id("shop.web.php.domain-1");
    apply(
        &mut world,
        &[Record::MemberPlanned {
            member: member.clone(),
            incarnation: 1,
            cluster,
            network_partition,
            partition: id("p1"),
            group_instance: 0,
            reason: String::new(),
        }],
    );
    let before = desired(&world, &member).unwrap();
    assert_eq!(before.values, None);
    ordered(&mut world, share(None, "url", &["a"]));
    let told = desired(&world, &member).unwrap();
    assert!(told.revision > before.revision);
    assert_eq!(told.values.unwrap().application[&id::<ValueKey>("url")], ["a"]);
    let whole = Order::WithdrawValues {
        whose: whose(None),
        key: None,
        value: None,
    };
    ordered(&mut world, whole);
    let after = desired(&world, &member).unwrap();
    assert!(after.revision > told.revision, "what is gone is news, too");
    assert_eq!(after.values, None);
    let parameters = spec(&world, world.members.get(&member).unwrap())
        .unwrap()
        .parameters;
    assert!(!parameters.contains_key("TOKEN"), "secrets are added elsewhere");
}

#[test]
fn a_snapshot_from_before_there_were_values_is_read() {
    let world = deployed();
    let mut text = serde_json::to_value(&world).unwrap();
    let fields = text.as_object_mut().unwrap();
    assert!(fields.remove("values").is_some());
    for state in fields["applications"].as_object_mut().unwrap().values_mut() {
        assert!(state.as_object_mut().unwrap().remove("deployed").is_some());
    }
    let read: World = serde_json::from_value(text).unwrap();
    assert!(read.values.is_empty());
    assert_eq!(read.applications.get("shop").unwrap().deployment(), Some(0));
}

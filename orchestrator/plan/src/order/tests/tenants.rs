//! Whose orders are carried out, and what of the world each tenant sees.

use super::*;

fn document(domain: &str) -> TenantDocument {
    let said = json!({"tenantDomain": domain, "admin": "boss"});
    parse::tenant(&said).unwrap().0
}

fn add(domain: &str) -> Order {
    Order::PutTenant {
        document: document(domain),
        at_unix_ms: 7,
        mode: Mode::Add,
    }
}

fn of(number: i64) -> TenantId {
    TenantId::new(number).unwrap()
}

fn carry_out(world: &mut World, tenant: i64, order: Order) -> Vec<Record> {
    let records = admit_as(world, of(tenant), order).unwrap();
    apply(world, &records);
    records
}

/// Two tenants with an application each, the first one's deployed.
fn shared() -> World {
    let mut world = furnished();
    carry_out(&mut world, -1234, add("one.example"));
    carry_out(&mut world, -1234, add("two.example"));
    carry_out(&mut world, 1, put(blueprint("one-shop", |_| {})));
    carry_out(&mut world, 2, put(blueprint("two-shop", |_| {})));
    carry_out(&mut world, 1, deploy("one-shop", "burst"));
    world
}

#[test]
fn tenants_are_numbered_from_one_and_never_again() {
    let mut world = furnished();
    carry_out(&mut world, -1234, add("one.example"));
    carry_out(&mut world, -1234, add("two.example"));
    assert_eq!(world.tenant_of_domain("two.example"), Some(of(2)));
    assert_eq!(world.tenant_of_domain("carbon.super"), Some(TenantId::SUPER));
    let refused = admit(&world, add("one.example")).unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert_eq!(
        admit(&world, add("carbon.super")).unwrap_err().code,
        Code::Invalid
    );
    let off = Order::ActivateTenant(id("one.example"), false);
    assert_eq!(carry_out(&mut world, -1234, off.clone()).len(), 1);
    assert!(!world.is_active(of(1)) && world.is_active(of(2)) && !world.is_active(of(3)));
    assert!(carry_out(&mut world, -1234, off).is_empty(), "twice is once");
}

#[test]
fn nobody_orders_anything_of_another_tenants() {
    let world = shared();
    let cluster: ClusterId = id("one-shop.web.php.domain");
    let member: MemberId = id("one-shop.web.php.domain-1");
    let by = || "eve".to_owned();
    let theirs = [
        Order::RemoveApplication(id("one-shop")),
        deploy("one-shop", "burst"),
        Order::Undeploy {
            application: id("one-shop"),
            force: true,
        },
        Order::Scale {
            cluster: cluster.clone(),
            size: Some(2),
            by: by(),
        },
        Order::ProposeRelease {
            cluster: cluster.clone(),
            commit: id(&"a".repeat(40)),
            by: by(),
        },
        Order::Rollback {
            cluster: cluster.clone(),
            by: by(),
        },
        Order::Unpin { cluster, by: by() },
        Order::Drain { member, by: by() },
        Order::Announce {
            repo_url: "https://git.example.org/shop.git".into(),
        },
    ];
    for order in theirs {
        let refused = admit_as(&world, of(2), order.clone()).unwrap_err();
        assert_eq!(refused.code, Code::NotFound, "{order:?}: {refused}");
    }
    for order in [
        application_policy("mine", "all-at-once", &["near"]),
        Order::RemoveCartridge(id("php")),
        Order::Pause {
            by: by(),
            reason: String::new(),
        },
        add("three.example"),
        Order::ActivateTenant(id("one.example"), false),
    ] {
        let refused = admit_as(&world, of(2), order.clone()).unwrap_err();
        assert_eq!(refused.code, Code::Forbidden, "{order:?}: {refused}");
    }
    // Their owner may, and who owns the machines.
    for tenant in [1, -1234] {
        let order = Order::Undeploy {
            application: id("one-shop"),
            force: false,
        };
        assert!(admit_as(&world, of(tenant), order).is_ok(), "{tenant}");
    }
}

#[test]
fn a_name_stays_its_tenants_and_none_may_be_mistaken_for_anothers() {
    let mut world = shared();
    carry_out(&mut world, 2, Order::RemoveApplication(id("two-shop")));
    for name in ["two-shop", "one-shop", "one-shop.web", "two-shop.a.b"] {
        for tenant in [1, 2] {
            let own = name.starts_with(if tenant == 1 { "one" } else { "two" });
            let admitted = admit_as(&world, of(tenant), put(blueprint(name, |_| {})));
            assert_eq!(admitted.is_ok(), own, "{name} of {tenant}");
            if let Err(refused) = admitted {
                assert_eq!(refused.code, Code::Conflict);
                assert!(!refused.message.contains("example"), "{refused}");
            }
        }
    }
    // What the super tenant changes stays whose it was.
    let change = put(blueprint("one-shop", |b| b["description"] = json!("changed")));
    carry_out(&mut world, -1234, change);
    assert_eq!(world.owner_of("one-shop"), Some(of(1)));
    assert_eq!(world.owner_of_cluster("two-shop.web.php.domain"), Some(of(2)));
    assert_eq!(world.owner_of_member("two-shop.web.php.domain-17"), Some(of(2)));
    assert_eq!(world.owner_of_member("moon-1"), None);
}

#[test]
fn only_the_super_tenant_offers_what_several_share() {
    let mut world = shared();
    let many = |name: &str| put(blueprint(name, |b| b["multiTenant"] = json!(true)));
    let refused = admit_as(&world, of(1), many("one-many")).unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("multiTenant"));
    carry_out(&mut world, -1234, many("many"));
    let mut common = cartridge("php", 80);
    common.multi_tenant = true;
    carry_out(&mut world, -1234, Order::PutCartridge(common, Mode::Either));
    let refused = admit_as(&world, of(1), put(blueprint("one-more", |_| {}))).unwrap_err();
    assert_eq!(refused.code, Code::Invalid, "{refused}");
}

#[test]
fn a_tenant_sees_its_own_and_a_world_with_tenants_is_kept_whole() {
    let world = shared();
    let seen = world.narrowed(of(1));
    assert_eq!(
        seen.applications.keys().map(|a| a.as_str()).collect::<Vec<_>>(),
        ["one-shop"]
    );
    assert!(
        seen.clusters
            .values()
            .all(|c| c.application.as_str() == "one-shop")
    );
    assert_eq!(seen.tenants.len(), 1);
    assert!(world.narrowed(of(2)).clusters.is_empty());
    assert_eq!(world.narrowed(TenantId::SUPER), world);
    let text = serde_json::to_string(&world).unwrap();
    assert_eq!(serde_json::from_str::<World>(&text).unwrap(), world);
}

#[test]
fn blueprints_of_before_there_were_tenants_are_the_super_tenants() {
    let one = blueprint("old", |_| {});
    let text = serde_json::to_string(&Record::ApplicationPut(one.clone())).unwrap();
    assert!(!text.contains("tenant\""), "{text}");
    assert_eq!(
        serde_json::from_str::<Record>(&text).unwrap(),
        Record::ApplicationPut(one)
    );
    assert!(
        serde_json::from_str::<World>(&serde_json::to_string(&furnished()).unwrap())
            .unwrap()
            .tenants
            .is_empty()
    );
}

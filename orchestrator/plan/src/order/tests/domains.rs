//! Which domains may lead where, and what ends with what.

use cartridge_protocol::surroundings::DomainMapping as Told;
use cartridge_protocol::topology::MappedHost;

use super::sign_ups::{of, offered, sign_off, sign_up};
use super::*;
use crate::around::surroundings;
use crate::desired::topology;
use crate::tenancy::{MAX_DOMAINS, MAX_DOMAINS_OF_TENANT};

fn map(tenant: i64, domains: &[(&str, &str, &str)]) -> Order {
    let row = |(domain, alias, path): &(&str, &str, &str)| json!({"domainName": domain, "cartridgeAlias": alias, "contextPath": path});
    let rows: Vec<Value> = domains.iter().map(row).collect();
    Order::MapDomains {
        application: id("many"),
        tenant: of(tenant),
        domains: parse::domain_mappings(&json!({"domainMappings": rows})).unwrap(),
    }
}

fn unmap(tenant: i64, domain: &str) -> Order {
    Order::UnmapDomain {
        application: id("many"),
        tenant: of(tenant),
        domain: id(domain),
    }
}

/// The application for several, which both tenants signed up for.
fn shared() -> World {
    let mut world = offered();
    ordered(&mut world, sign_up("many", 1, "web"));
    ordered(&mut world, sign_up("many", 2, "web"));
    world
}

/// Domains that lead into it.
fn names(world: &World) -> Vec<&str> {
    world.domains_of("many").map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_domain_leads_to_a_cartridge_until_it_does_not() {
    let mut world = shared();
    let records = ordered(
        &mut world,
        map(
            1,
            &[("Shop.Example", "web", "/t/one/"), ("one.example", "web", "/")],
        ),
    );
    assert_eq!(records.len(), 2);
    assert_eq!(names(&world), ["one.example", "shop.example"]);
    let (application, mapping) = world.domain(&id("shop.example")).unwrap();
    assert_eq!(application.as_str(), "many");
    assert_eq!((mapping.tenant, mapping.alias.as_str()), (of(1), "web"));
    assert_eq!(mapping.path.as_ref().unwrap().as_str(), "/t/one");
    assert_eq!(world.domain(&id("one.example")).unwrap().1.path, None);
    let text = serde_json::to_string(&world).unwrap();
    assert_eq!(serde_json::from_str::<World>(&text).unwrap(), world);
    for record in records {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
    }
    ordered(&mut world, unmap(1, "shop.example"));
    ordered(&mut world, unmap(-1234, "one.example"));
    assert!(world.domains.is_empty());
}

#[test]
fn what_cannot_be_mapped_is_refused_whole_and_in_clear_words() {
    let mut world = shared();
    ordered(&mut world, map(1, &[("taken.example", "web", "")]));
    let good = ("good.example", "web", "");
    for (bad, field, word) in [
        (
            ("taken.example", "web", ""),
            "domainMappings[1].domainName",
            "taken",
        ),
        (
            ("MANY.example.org", "web", ""),
            "domainMappings[1].domainName",
            "taken",
        ),
        (
            ("a.example", "tomcat", ""),
            "domainMappings[1].cartridgeAlias",
            "\"tomcat\"",
        ),
    ] {
        let refusal = refused(&world, map(2, &[good, bad]));
        assert_eq!(refusal.code, Code::Invalid);
        assert_eq!(refusal.field.as_deref(), Some(field));
        assert!(refusal.message.contains(word), "{refusal}");
        assert!(!refusal.message.contains("one.example"), "whose it is: {refusal}");
    }
    let stranger = refused(&world, map(-1234, &[good]));
    assert_eq!(stranger.code, Code::Invalid);
    assert!(stranger.message.contains("has not signed up"), "{stranger}");
    let mut absent = map(1, &[good]);
    if let Order::MapDomains { application, .. } = &mut absent {
        *application = id("moon");
    }
    assert_eq!(refused(&world, absent).code, Code::NotFound);
}

#[test]
fn faults_of_a_document_are_told_by_their_fields() {
    for (document, field) in [
        (
            json!({"domainMappings": [{"domainName": "a b", "cartridgeAlias": "web"}]}),
            "domainName",
        ),
        (
            json!({"domainMappings": [{"domainName": "10.0.0.1", "cartridgeAlias": "web"}]}),
            "domainName",
        ),
        (
            json!({"domainMappings": [{"cartridgeAlias": "web"}]}),
            "domainName",
        ),
        (
            json!({"domainMappings": [{"domainName": "a.example"}]}),
            "cartridgeAlias",
        ),
        (
            json!({"domainMappings": [{"domainName": "a.example", "cartridgeAlias": "web", "contextPath": "/../b"}]}),
            "contextPath",
        ),
        (json!({"domainMapping": []}), "did you mean \"domainMappings\"?"),
        (
            json!({"domainMappings": [{"domainName": "a.b", "cartridgeAlias": "web"}, {"domainName": "A.b", "cartridgeAlias": "web"}]}),
            "domainMappings[1].domainName",
        ),
    ] {
        let faults = parse::domain_mappings(&document).expect_err(field).to_string();
        assert!(faults.contains(field), "{faults}");
    }
}

#[test]
fn each_tenant_sees_and_removes_its_own_only() {
    let mut world = shared();
    ordered(&mut world, map(1, &[("one.example", "web", "")]));
    ordered(&mut world, map(2, &[("two.example", "web", "")]));
    assert_eq!(names(&world.narrowed(of(1))), ["one.example"]);
    assert_eq!(names(&world.narrowed(of(2))), ["two.example"]);
    let of_another = admit_as(&world, of(2), unmap(2, "one.example")).unwrap_err();
    let of_nobody = admit_as(&world, of(2), unmap(2, "won.example")).unwrap_err();
    assert_eq!(of_another.code, Code::NotFound);
    assert_eq!(of_another.message, of_nobody.message.replace("won", "one"));
    for order in [unmap(1, "one.example"), map(1, &[("new.example", "web", "")])] {
        assert_eq!(admit_as(&world, of(2), order).unwrap_err().code, Code::Forbidden);
    }
}

#[test]
fn so_many_domains_and_no_more() {
    let mut world = offered();
    let tenants = i64::try_from(MAX_DOMAINS / MAX_DOMAINS_OF_TENANT).unwrap();
    for number in 3..=tenants + 1 {
        ordered(&mut world, super::sign_ups::tenant(&format!("t{number}.example")));
    }
    for number in 1..=tenants {
        ordered(&mut world, sign_up("many", number, "web"));
        let all: Vec<String> = (0..MAX_DOMAINS_OF_TENANT)
            .map(|n| format!("d{n}.t{number}.example"))
            .collect();
        let rows: Vec<_> = all.iter().map(|name| (name.as_str(), "web", "")).collect();
        ordered(&mut world, map(number, &rows));
    }
    let beyond = refused(&world, map(1, &[("a.example", "web", "")]));
    assert!(beyond.message.contains("32 domains of this tenant"), "{beyond}");
    ordered(&mut world, sign_up("many", tenants + 1, "web"));
    let beyond = refused(&world, map(tenants + 1, &[("a.example", "web", "")]));
    assert!(beyond.message.starts_with("256 domains lead"), "{beyond}");
    ordered(&mut world, unmap(1, "d0.t1.example"));
    ordered(&mut world, map(tenants + 1, &[("a.example", "web", "")]));
}

#[test]
fn domains_go_with_the_sign_up_and_with_the_application() {
    let mut world = shared();
    ordered(&mut world, map(1, &[("one.example", "web", "")]));
    ordered(&mut world, map(2, &[("two.example", "web", "")]));
    ordered(&mut world, sign_off("many", 1));
    assert_eq!(names(&world), ["two.example"]);
    ordered(&mut world, sign_up("many", 1, "web"));
    assert_eq!(names(&world), ["two.example"], "nothing comes back by itself");
    ordered(&mut world, map(1, &[("one.example", "web", "")]));
    let force = true;
    ordered(
        &mut world,
        Order::Undeploy {
            application: id("many"),
            force,
        },
    );
    let application = id("many");
    apply(&mut world, &[Record::ApplicationUndeployed { application }]);
    assert_eq!(names(&world).len(), 2, "they lead there again when it is");
    ordered(&mut world, Order::RemoveApplication(id("many")));
    assert!(world.domains.is_empty());
}

#[test]
fn the_balancer_serves_them_and_members_hear_of_them() {
    let mut world = shared();
    let balancer = crate::world::balancer_cluster(&id("many"), &id("near")).unwrap();
    let before = topology(&world, &balancer).unwrap();
    assert!(before.clusters[0].mapped.is_empty());
    ordered(&mut world, map(1, &[("one.example", "web", "/t/one")]));
    let after = topology(&world, &balancer).unwrap();
    assert!(after.revision > before.revision);
    let led = MappedHost {
        host: id("one.example"),
        path: Some(id("/t/one")),
    };
    assert_eq!(after.clusters[0].mapped, [led]);

    let mapping =
        &world.domains[&id::<cartridge_protocol::ApplicationId>("many")][&id::<DomainName>("one.example")];
    let cluster = world.led_to(&id("many"), mapping).unwrap().id.clone();
    let member = cluster.member(1).unwrap();
    let planned = Record::MemberPlanned {
        member: member.clone(),
        cluster: cluster.clone(),
        network_partition: id("near"),
        partition: id("p1"),
        incarnation: 1,
        group_instance: 0,
        reason: String::new(),
    };
    apply(&mut world, &[planned]);
    let told = surroundings(&world, &member).unwrap();
    let one = Told {
        tenant_id: 1,
        service_name: id("php"),
        cluster_id: cluster,
        domain_name: "one.example".to_owned(),
        context_path: Some("/t/one".to_owned()),
    };
    assert_eq!(told.domain_mappings, Some(vec![one]));

    ordered(&mut world, sign_off("many", 1));
    let last = topology(&world, &balancer).unwrap();
    assert!(last.revision > after.revision && last.clusters[0].mapped.is_empty());
    let now = surroundings(&world, &member).unwrap();
    assert!(now.revision > told.revision);
    assert_eq!(now.domain_mappings, Some(vec![]));
}

//! Who signs up for what, and what of it is refused.

use super::*;
use crate::tenancy::TenantRepository;

pub(super) fn of(number: i64) -> TenantId {
    TenantId::new(number).unwrap()
}

pub(super) fn tenant(domain: &str) -> Order {
    let said = json!({"tenantDomain": domain, "admin": "boss"});
    Order::PutTenant {
        document: parse::tenant(&said).unwrap().0,
        at_unix_ms: 7,
        mode: Mode::Add,
    }
}

fn many(name: &str) -> Order {
    put(blueprint(name, |b| b["multiTenant"] = json!(true)))
}

/// Signs a tenant up with one repository, for the members of a cartridge.
pub(super) fn sign_up(application: &str, tenant: i64, alias: &str) -> Order {
    let said = json!({"artifactRepositories": [{"alias": alias, "privateRepo": true,
        "repoUrl": format!("https://git.example.org/{tenant}.git"), "repoUsername": "u"}]});
    let (repositories, _) = parse::sign_up(&said).unwrap();
    let sealed = |repository| TenantRepository {
        repository,
        sealed: "sealed".to_owned(),
    };
    Order::SignUp {
        application: id(application),
        tenant: of(tenant),
        repositories: repositories
            .into_iter()
            .map(|(alias, one)| (alias, sealed(one)))
            .collect(),
    }
}

pub(super) fn sign_off(application: &str, tenant: i64) -> Order {
    Order::RemoveSignUp {
        application: id(application),
        tenant: of(tenant),
    }
}

fn undeploy(force: bool) -> Order {
    Order::Undeploy {
        application: id("many"),
        force,
    }
}

/// Two tenants, an application for several, deployed, and one of the first tenant's own.
pub(super) fn offered() -> World {
    let mut world = furnished();
    ordered(&mut world, tenant("one.example"));
    ordered(&mut world, tenant("two.example"));
    ordered(&mut world, many("many"));
    ordered(&mut world, deploy("many", "burst"));
    let own = admit_as(&world, of(1), put(blueprint("own", |_| {}))).unwrap();
    apply(&mut world, &own);
    world
}

#[test]
fn a_tenant_signs_up_once_until_it_signs_off() {
    let mut world = offered();
    for tenant in [1, 2] {
        let records = admit_as(&world, of(tenant), sign_up("many", tenant, "web")).unwrap();
        assert_eq!(records.len(), 1);
        apply(&mut world, &records);
    }
    let told: Vec<i64> = world
        .sign_ups_of("many")
        .map(|(tenant, _)| tenant.get())
        .collect();
    assert_eq!(told, [1, 2]);
    let again = admit_as(&world, of(1), sign_up("many", 1, "web")).unwrap_err();
    assert_eq!(again.code, Code::Conflict);
    assert!(again.message.contains("one.example"), "{again}");
    let before = world.clusters.get("many.web.php.domain").unwrap().told;
    ordered(&mut world, sign_off("many", 1));
    assert!(
        world.clusters.get("many.web.php.domain").unwrap().told > before,
        "members hear of it"
    );
    assert_eq!(refused(&world, sign_off("many", 1)).code, Code::NotFound);
    ordered(&mut world, sign_up("many", 1, "web"));
}

#[test]
fn what_cannot_be_signed_up_for_is_refused_in_clear_words() {
    let world = offered();
    let absent = refused(&world, sign_up("moon", 1, "web"));
    assert_eq!(absent.code, Code::NotFound);
    for application in ["shop", "own"] {
        let single = refused(&world, sign_up(application, 1, "web"));
        assert_eq!(single.code, Code::Invalid);
        assert!(single.message.contains("is for one tenant"), "{single}");
    }
    let alias = refused(&world, sign_up("many", 1, "tomcat"));
    assert_eq!(
        (alias.code, alias.field.as_deref()),
        (Code::Invalid, Some("artifactRepositories"))
    );
    assert!(alias.message.contains("\"tomcat\""), "{alias}");
    assert_eq!(refused(&world, sign_up("many", 7, "web")).code, Code::NotFound);
    // Its files there are the blueprint's.
    let own = refused(&world, sign_up("many", -1234, "web"));
    assert!(own.message.contains("blueprint"), "{own}");
}

#[test]
fn another_tenants_sign_up_and_application_are_nobody_elses_matter() {
    let mut world = offered();
    ordered(&mut world, sign_up("many", 1, "web"));
    for order in [sign_up("many", 1, "web"), sign_off("many", 1)] {
        let refusal = admit_as(&world, of(2), order).unwrap_err();
        assert_eq!(refusal.code, Code::Forbidden, "{refusal}");
    }
    // What is another's is refused as if it did not exist.
    let of_another = admit_as(&world, of(2), sign_up("own", 2, "web")).unwrap_err();
    let of_nobody = admit_as(&world, of(2), sign_up("won", 2, "web")).unwrap_err();
    assert_eq!(of_another.code, Code::NotFound);
    assert_eq!(of_another.message, of_nobody.message.replace("won", "own"));
    assert_eq!(
        admit_as(&world, of(1), sign_up("own", 1, "web"))
            .unwrap_err()
            .code,
        Code::Invalid
    );
    // Everybody sees their own; the owner sees all.
    assert_eq!(world.narrowed(of(1)).sign_ups_of("many").count(), 1);
    assert_eq!(world.narrowed(of(2)).sign_ups_of("many").count(), 0);
    assert!(!world.narrowed(of(1)).applications.contains_key("many"));
    let text = serde_json::to_string(&world).unwrap();
    assert_eq!(serde_json::from_str::<World>(&text).unwrap(), world);
}

#[test]
fn members_keep_the_files_of_so_many_tenants_and_no_more() {
    let mut world = offered();
    for number in 3..=65 {
        ordered(&mut world, tenant(&format!("t{number}.example")));
    }
    for number in 1..=64 {
        ordered(&mut world, sign_up("many", number, "web"));
    }
    let beyond = refused(&world, sign_up("many", 65, "web"));
    assert!(beyond.message.contains("of 64 tenants"), "{beyond}");
    // Without files there is room.
    let mut without = sign_up("many", 65, "web");
    if let Order::SignUp { repositories, .. } = &mut without {
        repositories.clear();
    }
    ordered(&mut world, without);
    ordered(&mut world, sign_off("many", 3));
    ordered(&mut world, sign_off("many", 65));
    ordered(&mut world, sign_up("many", 65, "web"));
}

#[test]
fn an_application_with_sign_ups_stays_unless_it_is_forced_and_takes_them_along() {
    let mut world = offered();
    ordered(&mut world, sign_up("many", 1, "web"));
    let refusal = refused(&world, undeploy(false));
    assert_eq!(refusal.code, Code::Conflict);
    assert!(refusal.message.contains("signed up"), "{refusal}");
    ordered(&mut world, undeploy(true));
    let gone = Record::ApplicationUndeployed {
        application: id("many"),
    };
    apply(&mut world, &[gone]);
    assert_eq!(
        world.sign_ups_of("many").count(),
        1,
        "who signed up is there again when it is"
    );
    let single = refused(&world, put(blueprint("many", |_| {})));
    assert_eq!(single.field.as_deref(), Some("multiTenant"));
    ordered(&mut world, deploy("many", "burst"));
    ordered(&mut world, sign_off("many", 1));
    ordered(&mut world, undeploy(false));
    let gone = Record::ApplicationUndeployed {
        application: id("many"),
    };
    apply(&mut world, &[gone]);
    ordered(&mut world, sign_up("many", 2, "web"));
    ordered(&mut world, Order::RemoveApplication(id("many")));
    assert!(world.sign_ups.is_empty());
}

#[test]
fn what_is_written_of_a_sign_up_holds_no_password() {
    let said = json!({"artifactRepositories": {"alias": "web", "repoUrl": "https://git.example.org/1.git",
        "repoUsername": "u", "repoPassword": "canary"}});
    let (repositories, passwords) = parse::sign_up(&said).unwrap();
    assert_eq!(passwords["web"].expose(), "canary");
    let record = Record::SignUpAdded {
        application: id("many"),
        tenant: of(1),
        repositories: repositories
            .into_iter()
            .map(|(alias, repository)| {
                let sealed = "sealed".to_owned();
                (alias, TenantRepository { repository, sealed })
            })
            .collect(),
    };
    let text = serde_json::to_string(&record).unwrap();
    assert!(!text.contains("canary") && text.contains("\"sealed\""), "{text}");
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    let twice = json!({"artifactRepositories": [{"alias": "web", "repoUrl": ""}, {"alias": "web"}]});
    let faults = parse::sign_up(&twice).unwrap_err();
    assert!(
        faults.to_string().contains("artifactRepositories[1].alias"),
        "{faults}"
    );
}

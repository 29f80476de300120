//! Documents with the quirks of Stratos's payloads, and everything that is refused.

use serde_json::json;

use super::*;
use crate::blueprint::*;

fn faults<T>(read: Result<T, Faults>) -> Vec<String> {
    match read {
        Ok(_) => Vec::new(),
        Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
    }
}

fn document(text: &str) -> Value {
    lenient_json(text).unwrap()
}

fn quirky() -> Value {
    document(include_str!(
        "../../../tests/fixtures/cartridge-texts-for-numbers.json"
    ))
}

fn chained() -> Value {
    document(include_str!(
        "../../../tests/fixtures/application-with-chains.json"
    ))
}

#[test]
fn a_cartridge_with_texts_for_numbers_and_single_values_for_lists_is_read() {
    let read = cartridge(&quirky()).unwrap();
    let names: Vec<(&str, u16, u16)> = read
        .port_mapping
        .iter()
        .map(|p| (p.name.as_str(), p.port, p.proxy_port))
        .collect();
    assert_eq!(
        names,
        [("http-8080", 8080, 80), ("admin", 9000, 0), ("inner", 9001, 0)]
    );
    assert_eq!(read.version, "3");
    assert!(!read.multi_tenant);
    assert_eq!(
        read.iaas_provider[0].property["zone"], "2",
        "the last of a name wins"
    );
    assert_eq!(read.metadata_keys, ["url"]);
    let process = read.process.unwrap();
    assert_eq!(process.command, ["shop", "--port", "8080"]);
    assert_eq!(process.environment["DEBUG"], "false");
    assert_eq!(
        read.health.unwrap().port,
        "http-8080",
        "the first http port is the default"
    );
    assert_eq!(read.on_release, OnRelease::Restart);
}

#[test]
fn an_application_is_read_and_its_password_kept_apart() {
    let (read, passwords) = application(&chained()).unwrap();
    assert_eq!(read.cartridges[0].cartridge_max, 10_000_000);
    let repository = read.cartridges[0].artifact_repository.as_ref().unwrap();
    assert_eq!(
        (repository.branch.as_str(), repository.poll_seconds),
        ("main", 15)
    );
    assert_eq!(repository.repo_password, None);
    assert!(passwords["front"].matches("canary-7f3a"));
    assert!(!format!("{read:?}{passwords:?}").contains("canary"));
    assert_eq!(
        read.cartridges[1].artifact_repository, None,
        "empty texts are no repository"
    );
    let dependencies = read.dependencies.unwrap();
    assert_eq!(
        dependencies.scaling_dependents,
        [["cartridge.front", "cartridge.back"]]
    );
}

#[test]
fn older_names_of_a_deployment_policy_are_read() {
    let text = include_str!("../../../tests/fixtures/deployment-policy-older-names.json");
    let read = deployment_policy(&document(text)).unwrap();
    assert_eq!(
        read.network_partitions[0].partition_algo,
        PartitionAlgorithm::RoundRobin
    );
    assert_eq!(read.network_partitions[0].partitions[0].partition_max, 5);
}

#[test]
fn every_fault_of_a_document_is_named_at_once() {
    let told = faults(cartridge(&json!({
        "type": "a/b", "category": "x", "provider": "p", "host": "-_ .org", "multiTenant": "perhaps",
        "displayNmae": "x", "onRelease": "explode",
        "portMapping": [
            {"protocol": "udp", "port": 0, "proxyPort": 65536},
            {"name": "a", "protocol": "tcp", "port": 1}, {"name": "a", "protocol": "tcp", "port": 2},
        ],
        "health": {"http": {"port": "b", "path": "health"}},
        "process": {"command": ["ok"], "environment": {"A=B": "c"}},
    })));
    for expected in [
        "type: is no identifier: it holds '/'; letters, digits, '.', '_' and '-' are accepted, got \"a/b\"",
        "host: must be a host name: letters, digits and '-' between dots, got \"-_ .org\"",
        "multiTenant: must be true or false, got \"perhaps\"",
        "displayNmae: unknown field \"displayNmae\" (did you mean \"displayName\"?), got \"x\"",
        "onRelease: must be nothing or restart, got \"explode\"",
        "portMapping[0].protocol: must be http or https or tcp, got \"udp\"",
        "portMapping[0].port: must be a whole number from 1 to 65535, got 0",
        "portMapping[0].proxyPort: must be a whole number from 0 to 65535, got 65536",
        "portMapping[2].name: port name is used twice, first at portMapping[1].name, got \"a\"",
        "health.http.port: must be the name of a port mapping (a, a), got \"b\"",
        "health.http.path: must begin with '/' and hold no blanks, got \"health\"",
    ] {
        assert!(
            told.iter().any(|line| line == expected),
            "{expected:?} is missing in {told:#?}"
        );
    }
}

#[test]
fn what_is_required_is_said_so() {
    assert_eq!(
        faults(cartridge(&json!({}))),
        [
            "type: is required",
            "category: is required",
            "provider: is required",
            "host: is required"
        ]
    );
    assert_eq!(
        faults(autoscaling_policy(&json!({}))),
        ["id: is required", "loadThresholds: is required"]
    );
    assert_eq!(
        faults(application(&json!([]))),
        ["document: must be an object, got a list of 0"]
    );
    assert_eq!(
        faults(application(
            &json!({"applicationId": "a", "alias": "a", "components": {"cartridges": [{}]}})
        )),
        [
            "components.cartridges[0].type: is required",
            "components.cartridges[0].cartridgeMin: is required",
            "components.cartridges[0].cartridgeMax: is required",
            "components.cartridges[0].subscribableInfo: is required",
        ]
    );
    assert_eq!(
        faults(network_partition(
            &json!({"id": "n", "provider": "mock", "partitions": []})
        )),
        ["partitions: at least one partition is required, got a list of 0"]
    );
}

#[test]
fn thresholds_have_bounds_and_zero_is_no_factor() {
    let policy = |rif, memory, load| {
        autoscaling_policy(&json!({"id": "p", "loadThresholds": {
            "requestsInFlight": {"threshold": rif}, "memoryConsumption": {"threshold": memory}, "loadAverage": load}}))
    };
    let read = policy(json!("0"), json!(0.0), json!(70)).unwrap();
    assert_eq!(
        (
            read.requests_in_flight,
            read.memory_consumption,
            read.load_average
        ),
        (None, None, Some(70.0))
    );
    assert_eq!((read.horizon_seconds, read.stabilization_seconds), (15.0, 120.0));
    let told = faults(policy(json!(-1), json!(101), json!("NaN")));
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[1].contains("loadThresholds.memoryConsumption.threshold: must be a number from 0 to 100"));
    assert!(!faults(policy(json!(1e-9), json!(1), json!(1))).is_empty());
    assert!(!faults(policy(json!("inf"), json!(1), json!(1))).is_empty());
}

#[test]
fn sizes_aliases_and_repositories_are_checked() {
    let mut wrong = chained();
    let first = &mut wrong["components"]["cartridges"][0];
    first["cartridgeMin"] = json!(5);
    first["cartridgeMax"] = json!(2);
    first["subscribableInfo"]["alias"] = json!("back");
    first["subscribableInfo"]["artifactRepository"]["branch"] = json!("--upload-pack=x");
    let told = faults(application(&wrong)).join("\n");
    assert!(
        told.contains("cartridges[0].cartridgeMin: must not exceed cartridgeMax, which is 2, got 5"),
        "{told}"
    );
    assert!(
        told.contains("cartridges[1].subscribableInfo.alias: alias is used twice"),
        "{told}"
    );
    assert!(
        told.contains("artifactRepository.branch: is no branch name"),
        "{told}"
    );
    for bad in ["My", "a--b", "-a", "a-", "a.b", "ä", &"a".repeat(64)] {
        let mut wrong = chained();
        wrong["components"]["cartridges"][0]["subscribableInfo"]["alias"] = json!(bad);
        assert!(
            !faults(application(&wrong)).is_empty(),
            "alias {bad:?} was accepted"
        );
    }
}

#[test]
fn no_secret_is_told_in_a_fault() {
    let mut wrong = chained();
    let repository = &mut wrong["components"]["cartridges"][0]["subscribableInfo"]["artifactRepository"];
    repository["repoPasword"] = json!("canary-1");
    repository["repoPassword"] = json!(["canary-2"]);
    repository["repoUrl"] = json!("https://reader:canary-3@git.example.org/x");
    let told = faults(application(&wrong)).join("\n");
    assert!(!told.contains("canary"), "{told}");
    assert!(told.contains("did you mean \"repoPassword\"?"), "{told}");
    assert!(told.contains("must not hold a user name or password"), "{told}");
}

#[test]
fn repositories_are_named_by_addresses_of_known_kinds() {
    let told = |url: &str| {
        let mut changed = chained();
        let repository =
            &mut changed["components"]["cartridges"][0]["subscribableInfo"]["artifactRepository"];
        *repository = json!({"repoUrl": url});
        application(&changed)
            .err()
            .map(|_| faults(application(&changed)).join("\n"))
    };
    for good in [
        "https://git.example.org/x.git",
        "http://127.0.0.1:8080/x",
        "file:///srv/x",
        "ssh://git@git.example.org:2222/srv/x",
        "ssh://git.example.org/x",
        "git@git.example.org:org/x.git",
    ] {
        assert_eq!(told(good), None, "{good}");
    }
    for (bad, words) in [
        ("ssh://me:canary@host/x", "must not hold"),
        ("https://me@host/x", "must not hold"),
        ("ssh:///x", "names no host"),
        ("ssh://-oProxyCommand=id/x", "begins with '-'"),
        ("git@-oProxyCommand=id:x", "begins with '-'"),
        ("git://host/x", "must begin with"),
        ("ext::sh -c id", "must begin with"),
        ("/srv/x", "must begin with"),
        ("git@host:a b", "blanks"),
    ] {
        let told = told(bad).unwrap_or_else(|| panic!("{bad} was accepted"));
        assert!(told.contains(words) && !told.contains("canary"), "{told}");
    }
}

#[test]
fn a_cycle_in_the_startup_orders_is_named() {
    let with = |orders: Value| {
        let mut wrong = chained();
        wrong["components"]["dependencies"]["startupOrders"] = orders;
        faults(application(&wrong))
    };
    let both = json!([{"aliases": ["cartridge.front", "cartridge.back"]}, {"aliases": ["cartridge.back", "cartridge.front"]}]);
    let expected = "components.dependencies.startupOrders: has a cycle: \
                    cartridge.back → cartridge.front → cartridge.back";
    assert_eq!(with(both), [expected]);
    assert!(with(json!([{"aliases": ["cartridge.back", "cartridge.back"]}]))[0].contains("cycle"));
    let unknown = with(json!([{"aliases": ["cartridge.back", "cartridge.nobody"]}]));
    assert!(
        unknown[0].contains(
            "The startup-order defined in the [application] shop is not correct. [startup-order-alias] \
             cartridge.nobody is not there in the application."
        ),
        "{unknown:?}"
    );
}

#[test]
fn groups_of_network_partitions_are_read_with_blanks() {
    let policy = |groups: &str| {
        application_policy(&json!({"id": "p", "algorithm": "one-after-another",
            "networkPartitions": ["a", "b", "c", "d"],
            "properties": [{"name": "networkPartitionGroups", "value": groups}]}))
    };
    let read = policy("a|b, c").unwrap();
    let groups: Vec<Vec<&str>> = read
        .groups
        .iter()
        .map(|g| g.iter().map(|id| id.as_str()).collect())
        .collect();
    assert_eq!(
        groups,
        [vec!["a", "b"], vec!["c"], vec!["d"]],
        "what is in no group comes last"
    );
    assert!(faults(policy("a|x"))[0].contains("\"x\""));
    assert!(faults(policy("a,a"))[0].contains("twice"));
    let told = faults(application_policy(
        &json!({"id": "p", "algorithm": "random", "networkPartitions": "a"}),
    ));
    assert_eq!(
        told,
        ["algorithm: must be one-after-another or all-at-once, got \"random\""]
    );
}

#[test]
fn partitions_have_capacities_and_their_provider_may_stand_inside() {
    let read = network_partition(&json!({"id": "n", "properties": {"address": "127.0.0.5"},
        "partitions": [{"id": "p", "provider": "process", "property": {"capacity": 3}}]}))
    .unwrap();
    assert_eq!(
        (read.provider.as_str(), read.address().to_string().as_str()),
        ("process", "127.0.0.5")
    );
    assert_eq!(read.partitions[0].capacity(), Some(3));
    let told = faults(network_partition(
        &json!({"id": "n", "provider": "mock", "properties": {"address": "here"},
        "partitions": [{"id": "p", "property": {"capacity": "many"}}, {"id": "p"}]}),
    ));
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[test]
fn a_hostile_document_gives_a_bounded_answer() {
    let many: serde_json::Map<String, Value> = (0..10_000).map(|i| (format!("x{i}"), json!(i))).collect();
    let Err(Faults(told)) = cartridge(&Value::Object(many)) else {
        panic!("was accepted");
    };
    assert_eq!(told.len(), MAX_FAULTS + 1);
    let ports: Vec<Value> = (1..2000)
        .map(|port| json!({"protocol": "tcp", "port": port}))
        .collect();
    let mut wrong = quirky();
    wrong["portMapping"] = json!(ports);
    assert!(faults(cartridge(&wrong))[0].contains("at most 64 are accepted"));
    wrong["portMapping"] = json!([]);
    wrong["health"] = Value::Null;
    wrong["description"] = json!("x".repeat(20_000));
    assert_eq!(
        faults(cartridge(&wrong)),
        ["description: is 20000 bytes long; at most 16384 are accepted"]
    );
}

fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let names = prop::sample::select(vec![
        "type",
        "id",
        "components",
        "cartridges",
        "groups",
        "dependencies",
        "startupOrders",
        "aliases",
        "alias",
        "partitions",
        "networkPartitions",
        "portMapping",
        "port",
        "protocol",
        "loadThresholds",
        "threshold",
        "subscribableInfo",
        "artifactRepository",
        "repoUrl",
        "property",
        "name",
        "value",
        "cartridgeMin",
        "process",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z.,|/-]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_document_makes_a_reader_fail_without_naming_a_fault(document in any_json()) {
        let told = |faults: Option<Faults>| faults.is_none_or(|f| {
            !f.0.is_empty() && f.0.iter().all(|fault| fault.message != "could not be read")
        });
        proptest::prop_assert!(told(cartridge(&document).err()));
        proptest::prop_assert!(told(autoscaling_policy(&document).err()));
        proptest::prop_assert!(told(deployment_policy(&document).err()));
        proptest::prop_assert!(told(application_policy(&document).err()));
        proptest::prop_assert!(told(network_partition(&document).err()));
        proptest::prop_assert!(told(application(&document).err()));
    }
}

mod groups {
    use super::*;

    fn member(alias: &str) -> Value {
        json!({"type": "php", "cartridgeMin": 1, "cartridgeMax": 2,
            "subscribableInfo": {"alias": alias, "autoscalingPolicy": "a"}})
    }

    fn with(components: Value) -> Value {
        json!({"applicationId": "a", "alias": "a", "components": components})
    }

    fn nested(depth: usize) -> Value {
        let mut group = json!({"name": "g", "alias": format!("g{depth}"), "cartridges": [member("web")]});
        for level in (0..depth).rev() {
            group = json!({"name": "g", "alias": format!("g{level}"), "groups": [group]});
        }
        group["deploymentPolicy"] = json!("p");
        with(json!({"groups": [group]}))
    }

    #[test]
    fn the_deployment_policy_of_a_group_is_that_of_all_in_it_and_stands_on_one_level() {
        let (read, _) = application(&nested(3)).unwrap();
        assert_eq!(read.located()[0].subscription.deployment_policy.as_str(), "p");
        assert_eq!(
            read.located()[0].field,
            "components.groups[0].groups[0].groups[0].groups[0].cartridges[0]"
        );
        let mut twice = nested(0);
        twice["components"]["groups"][0]["cartridges"][0]["subscribableInfo"]["deploymentPolicy"] =
            json!("q");
        assert!(faults(application(&twice))[0].contains("deploymentPolicy: is defined twice"));
        let mut nowhere = nested(0);
        nowhere["components"]["groups"][0]["deploymentPolicy"] = json!("");
        assert!(faults(application(&nowhere))[0].ends_with("deploymentPolicy: is required"));
    }

    #[test]
    fn groups_nest_sixteen_levels_deep_and_no_deeper() {
        assert!(application(&nested(15)).is_ok());
        let told = faults(application(&nested(16)));
        assert!(
            told[0].contains("groups are nested deeper than 16 levels"),
            "{told:#?}"
        );
        let mut definition = json!({"name": "g", "cartridges": ["php"]});
        for _ in 0..16 {
            definition = json!({"name": "g", "groups": [definition]});
        }
        let told = faults(cartridge_group(&definition));
        assert!(told[0].contains("deeper than 16 levels"), "{told:#?}");
    }

    #[test]
    fn aliases_are_unique_in_the_whole_application() {
        let document = with(json!({"groups": [
            {"name": "g", "alias": "g", "deploymentPolicy": "p", "cartridges": [member("web")]},
            {"name": "h", "alias": "g", "deploymentPolicy": "p", "cartridges": [member("web")]}]}));
        let told = faults(application(&document));
        assert!(told[0].contains("alias is used twice"), "{told:#?}");
        assert!(told[1].contains("group alias is used twice"), "{told:#?}");
    }

    #[test]
    fn numbers_of_instances_are_read_like_all_numbers_and_stay_in_order() {
        let mut document = nested(0);
        let group = &mut document["components"]["groups"][0];
        group["groupMinInstances"] = json!("2");
        group["groupMaxInstances"] = json!(10_000_000);
        let (read, _) = application(&document).unwrap();
        assert_eq!(
            (read.groups[0].min_instances, read.groups[0].max_instances),
            (2, 10_000_000)
        );
        document["components"]["groups"][0]["groupMaxInstances"] = json!(1);
        assert!(faults(application(&document))[0].contains("groupMinInstances: must not exceed"));
        document["components"]["groups"][0]["groupMaxInstances"] = json!("many");
        assert!(faults(application(&document))[0].contains("groupMaxInstances: must be a whole number"));
    }

    #[test]
    fn an_empty_group_and_a_cycle_of_groups_are_refused() {
        let empty = with(json!({"groups": [{"name": "g", "alias": "g"}]}));
        assert!(faults(application(&empty))[0].contains("at least one cartridge is required in a group"));
        let cycle = json!({"name": "g", "cartridges": ["php"], "dependencies": {"startupOrders": [
            {"aliases": ["cartridge.a", "group.b"]}, {"aliases": ["group.b", "cartridge.a"]}]}});
        assert_eq!(
            faults(cartridge_group(&cycle))[0],
            "dependencies.startupOrders: has a cycle: cartridge.a → group.b → cartridge.a"
        );
    }
}

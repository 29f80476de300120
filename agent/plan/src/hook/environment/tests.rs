//! What a hook is told, variable by variable (stratos-contract §2.5).

use std::net::{IpAddr, Ipv4Addr};

use cartridge_protocol::surroundings::Neighbours;
use cartridge_protocol::{ApplicationId, CartridgeType, NetworkPartitionId, PartitionId, Secret};

use super::*;

const MEMBER: &str = "app.web.php.domain-1";

fn own(parameters: &[(&str, &str)]) -> Own {
    Own {
        member: MemberId::new(MEMBER).unwrap(),
        parameters: parameters
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        application: "/var/www".into(),
        release: "/app/current".into(),
        parameter_file: Some("/payload/launch-params".into()),
        agent: "/usr/bin/cartridge-agent".into(),
        state: "/state".into(),
    }
}

fn told(own: &Own, around: Option<&Surroundings>, order: &Order) -> BTreeMap<String, String> {
    let made = environment(own, around, order);
    assert_eq!(made.left_out, Vec::<String>::new());
    made.variables
}

fn peer(id: &str, partition: &str, phase: PeerPhase, last: u8) -> Peer {
    Peer {
        member: MemberId::new(id).unwrap(),
        incarnation: 1,
        cluster_instance: "app-1".into(),
        network_partition: NetworkPartitionId::new(partition).unwrap(),
        partition: PartitionId::new("p1").unwrap(),
        phase,
        address: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
        ports: BTreeMap::from([("http".to_owned(), 8080)]),
    }
}

fn cluster(id: &str, service: &str, balancer: bool, members: Vec<Peer>) -> Neighbours {
    Neighbours {
        cluster: ClusterId::new(id).unwrap(),
        service: CartridgeType::new(service).unwrap(),
        alias: "web".into(),
        hosts: vec!["web.example".into()],
        balancer,
        members,
    }
}

fn around() -> Surroundings {
    Surroundings {
        revision: 1,
        application: ApplicationId::new("app").unwrap(),
        clusters: vec![
            cluster(
                "app.web.php.domain",
                "php",
                false,
                vec![
                    peer(MEMBER, "here", PeerPhase::Active, 1),
                    peer("app.web.php.domain-2", "here", PeerPhase::InMaintenance, 2),
                ],
            ),
            cluster(
                "app.lb",
                "balancer",
                true,
                vec![
                    peer("app.lb-1", "elsewhere", PeerPhase::Active, 3),
                    peer("app.lb-2", "here", PeerPhase::Starting, 4),
                    peer("app.lb-3", "here", PeerPhase::Active, 5),
                ],
            ),
        ],
        omitted: 0,
        service_properties: BTreeMap::from([("docroot".to_owned(), "/var/www".to_owned())]),
        cluster_properties: BTreeMap::from([("size".to_owned(), "2".to_owned())]),
        member_properties: BTreeMap::from([("rack".to_owned(), "a b".to_owned())]),
        tenants: None,
        sign_ups: None,
        domain_mappings: None,
    }
}

#[test]
fn every_launch_parameter_is_told_and_wins_and_both_agents_names_of_the_path_are_there() {
    let own = own(&[
        ("CLUSTER_ID", "app.web.php.domain"),
        ("CARTRIDGE_KEY", "0123456789abcdef"),
        ("LIST", "a,b=c\nd \u{1b}[31m"),
        ("APPLICATION_PATH", "/app"),
        ("PERSISTENCE_MAPPING", "vdb|vol-1|/data"),
        ("MB_URLS", "tcp://10.1.1.1:1883,10.1.1.2:1883"),
        ("EVENT", "forged"),
        ("VALUE1", "the parameter"),
    ]);
    let order = Order::new(Hook::StartServers).telling("STRATOS_VALUE1", "the event");
    let told = told(&own, None, &order);
    for (name, value) in [
        ("STRATOS_EVENT", "StartServers"),
        ("STRATOS_APPLICATION_PATH", "/var/www"),
        ("STRATOS_APP_PATH", "/var/www"),
        ("STRATOS_PARAM_FILE_PATH", "/payload/launch-params"),
        ("STRATOS_PERSISTENCE_MAPPINGS", "vdb|vol-1|/data"),
        ("STRATOS_PERSISTENCE_MAPPING", "vdb|vol-1|/data"),
        ("STRATOS_MB_IP", "10.1.1.1"),
        ("STRATOS_CLUSTER_ID", "app.web.php.domain"),
        ("STRATOS_CARTRIDGE_KEY", "0123456789abcdef"),
        ("STRATOS_LIST", "a,b=c\nd \u{1b}[31m"),
        ("STRATOS_VALUE1", "the parameter"),
        ("CARTRIDGE_MEMBER", MEMBER),
        ("CARTRIDGE_RELEASE", "/app/current"),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!told.contains_key("STRATOS_TOPOLOGY_JSON") && !told.contains_key("STRATOS_LB_IP"));
}

#[test]
fn properties_and_the_balancer_are_those_of_the_topology() {
    let around = around();
    let order = Order::new(Hook::InstanceStarted);
    let own_cluster = ("CLUSTER_ID", "app.web.php.domain");
    let address = |more: &[(&str, &str)], around: Option<&Surroundings>| {
        let own = own(&[&[own_cluster], more].concat());
        let told = told(&own, around, &order);
        (
            told.get("STRATOS_LB_IP").cloned(),
            told.get("STRATOS_LB_PUBLIC_IP").cloned(),
        )
    };
    let both = |ip: &str| (Some(ip.to_owned()), Some(ip.to_owned()));
    assert_eq!(
        address(&[], Some(&around)),
        both("10.0.0.5"),
        "one that serves, here"
    );
    assert_eq!(
        address(
            &[("LB_CLUSTER_ID", "app.web.php.domain"), ("LB_IP", "10.9.9.9")],
            Some(&around)
        ),
        both("10.0.0.1"),
        "the named cluster, before what was configured"
    );
    assert_eq!(
        address(&[("LB_IP", "10.9.9.9")], None),
        (Some("10.9.9.9".into()), None)
    );
    assert_eq!(
        address(&[("LB_CLUSTER_ID", "gone"), ("LB_IP", "10.9.9.9")], Some(&around)).0,
        Some("10.9.9.9".into())
    );
    let told = told(&own(&[own_cluster]), Some(&around), &order);
    for (name, value) in [
        ("SERVICE_PROPERTY_docroot", "/var/www"),
        ("CLUSTER_PROPERTY_size", "2"),
        ("MEMBER_PROPERTY_rack", "a b"),
    ] {
        assert_eq!(told[&format!("STRATOS_{name}")], value, "{name}");
    }
    assert!(
        !told.contains_key("STRATOS_TOPOLOGY_JSON"),
        "only hooks about it are told all of it"
    );
}

#[test]
fn the_topology_has_the_shape_that_stratos_agents_read() {
    let own = own(&[("CLUSTER_ID", "app.web.php.domain")]);
    let told = told(&own, Some(&around()), &Order::new(Hook::CompleteTopology));
    let topology: serde_json::Value = serde_json::from_str(&told["STRATOS_TOPOLOGY_JSON"]).unwrap();
    assert_eq!(topology["initialized"], true);
    let php = &topology["serviceMap"]["php"];
    assert_eq!(php["serviceName"], "php");
    let web = &php["clusterIdClusterMap"]["app.web.php.domain"];
    assert_eq!(
        (&web["appId"], &web["isLbCluster"], &web["hostNames"][0]),
        (&"app".into(), &false.into(), &"web.example".into())
    );
    let member = &web["memberMap"]["app.web.php.domain-2"];
    for (field, value) in [
        ("serviceName", "php"),
        ("clusterId", "app.web.php.domain"),
        ("clusterInstanceId", "app-1"),
        ("memberId", "app.web.php.domain-2"),
        ("networkPartitionId", "here"),
        ("partitionId", "p1"),
        ("defaultPrivateIP", "10.0.0.2"),
    ] {
        assert_eq!(member[field], value, "{field}");
    }
    // As the Python agent takes them apart.
    let stack = member["memberStateManager"]["stateStack"].as_array().unwrap();
    assert_eq!(stack.last().unwrap(), "In_Maintenance");
    assert_eq!(member["portMap"]["8080"]["value"], 8080);
    assert_eq!(
        topology["serviceMap"]["balancer"]["clusterIdClusterMap"]["app.lb"]["isLbCluster"],
        true
    );
    let members: serde_json::Value = serde_json::from_str(&told["STRATOS_MEMBER_LIST_JSON"]).unwrap();
    assert_eq!(&members, &web["memberMap"]);
    assert!(!told.contains_key("CARTRIDGE_MEMBERS_OMITTED"));
}

#[test]
fn a_topology_that_is_too_large_for_a_variable_is_cut_and_says_so() {
    let mut around = around();
    around.omitted = 3;
    let long = "x".repeat(120);
    around.clusters[0].members = (0..1_000)
        .map(|n| {
            peer(
                &format!("app.web.php.domain-{long}-{n:04}"),
                "here",
                PeerPhase::Active,
                1,
            )
        })
        .collect();
    let own = own(&[("CLUSTER_ID", "app.web.php.domain")]);
    let told = told(&own, Some(&around), &Order::new(Hook::MemberActivated));
    let topology: serde_json::Value = serde_json::from_str(&told["STRATOS_TOPOLOGY_JSON"]).unwrap();
    let map = &topology["serviceMap"]["php"]["clusterIdClusterMap"]["app.web.php.domain"]["memberMap"];
    let there = map.as_object().unwrap().len();
    assert!((50..1_000).contains(&there), "{there}");
    let omitted: usize = told["CARTRIDGE_MEMBERS_OMITTED"].parse().unwrap();
    assert!(omitted >= 1_000 - there + 3, "{omitted}");
}

/// The kernel refuses to start a program with a longer variable, or with a NUL in one: it is left out, by name.
#[test]
fn what_no_process_can_be_given_is_left_out_and_named() {
    let fits = MOST_BYTES - "STRATOS_FITS=".len();
    let (fits, long) = ("x".repeat(fits), "x".repeat(MOST_BYTES));
    let own = own(&[("FITS", &fits), ("LONG", &long), ("NUL", "a\0b")]);
    let made = environment(&own, None, &Order::new(Hook::Clean));
    assert_eq!(made.left_out, ["STRATOS_LONG", "STRATOS_NUL"]);
    assert!(made.variables.contains_key("STRATOS_FITS"));
}

#[test]
fn a_virtual_address_is_understood_with_and_without_its_mask() {
    for (value, address, mask) in [
        ("10.0.0.9|255.255.255.0", "10.0.0.9", "255.255.255.0"),
        ("10.0.0.9", "10.0.0.9", "255.255.255.255"),
        ("10.0.0.9|", "10.0.0.9", "255.255.255.255"),
    ] {
        let own = own(&[(LVS_VIRTUAL_IP, value)]);
        let order = order(Hook::CreateLvsDummyInterface, &own.parameters);
        assert_eq!(order.more["STRATOS_LVS_DUMMY_VIRTUAL_IP"], address);
        assert_eq!(order.more["STRATOS_LVS_SUBNET_MASK"], mask);
    }
}

#[test]
fn volumes_are_told_as_they_came_and_as_pairs() {
    let mapping = "/dev/vdb|vol-1|/data|/dev/vdc|vol-2|/logs";
    let own = own(&[(PERSISTENCE_MAPPING, mapping)]);
    let order = order(Hook::VolumeMount, &own.parameters);
    assert_eq!(order.arguments, [mapping]);
    let told = told(&own, None, &order);
    assert_eq!(told["STRATOS_VALUE1"], mapping);
    assert_eq!(told["STRATOS_PERSISTENCE_MAPPINGS"], mapping);
    assert_eq!(told["CARTRIDGE_VOLUMES"], "/dev/vdb|/data|/dev/vdc|/logs");
}

#[test]
fn a_new_release_tells_its_repository() {
    let parameters = own(&[("CLUSTER_ID", "app.web.php.domain"), ("TENANT_ID", "7")]).parameters;
    let artifacts = DesiredArtifacts {
        url: "https://git.example/app.git".into(),
        branch: "main".into(),
        commit: None,
        ordered: false,
        username: Some("reader".into()),
        password: Some(Secret::new("canary")),
        poll_interval_ms: 1000,
        look: 0,
        sharing: 1,
    };
    let told = artifact_updated(&parameters, &artifacts, true);
    let expected = [
        ("CLUSTER_ID", "app.web.php.domain"),
        ("REPO_PASSWORD", "canary"),
        ("REPO_URL", "https://git.example/app.git"),
        ("REPO_USERNAME", "reader"),
        ("SCHEDULER", "true"),
        ("STATUS", ""),
        ("TENANT_ID", "7"),
    ];
    let expected = expected.map(|(n, v)| (format!("STRATOS_ARTIFACT_UPDATED_{n}"), v.to_owned()));
    assert_eq!(told, BTreeMap::from(expected));
    assert!(
        !artifact_updated(&parameters, &artifacts, false).contains_key("STRATOS_ARTIFACT_UPDATED_SCHEDULER")
    );
    let tenant = TenantId::new(12).unwrap();
    let folders = (
        Path::new("/state/tenants/12/current"),
        Path::new("/app/repository/tenants/12"),
    );
    let order = tenant_updated(&parameters, (tenant, &artifacts), folders, false);
    assert_eq!(order.tenant, Some(tenant));
    assert_eq!(order.more["STRATOS_ARTIFACT_UPDATED_TENANT_ID"], "12");
    assert_eq!(
        order.more["CARTRIDGE_TENANT_FOLDER"],
        "/app/repository/tenants/12"
    );
    assert_eq!(order.more["STRATOS_ARTIFACT_UPDATED_REPO_PASSWORD"], "canary");
    let public = DesiredArtifacts {
        username: None,
        password: None,
        ..artifacts
    };
    let told = artifact_updated(&parameters, &public, false);
    for name in ["REPO_USERNAME", "REPO_PASSWORD", "STATUS"] {
        let name = format!("STRATOS_ARTIFACT_UPDATED_{name}");
        assert_eq!(
            told.get(&name).map(String::as_str),
            Some(""),
            "set, for scripts that insist on it"
        );
    }
}

proptest::proptest! {
    /// However many clusters and members there are, and however little room.
    #[test]
    fn a_topology_never_takes_more_room_than_it_was_given(
        sizes in proptest::collection::vec(0..40_usize, 0..12), most in 0..40_000_usize,
    ) {
        let mut around = around();
        around.clusters = sizes
            .iter()
            .enumerate()
            .map(|(n, size)| {
                let id = |m: usize| format!("app.c{n}.domain-{m}");
                let members = (0..*size).map(|m| peer(&id(m), "here", PeerPhase::Active, 1)).collect();
                cluster(&format!("app.c{n}.domain"), &format!("s{}", n % 3), false, members)
            })
            .collect();
        let (text, left) = super::stratos::topology(&around, most);
        proptest::prop_assert!(text.len() <= most.max(64), "{} of {most}", text.len());
        let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
        let there: usize = whole["serviceMap"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|s| s["clusterIdClusterMap"].as_object().unwrap().values())
            .map(|c| c["memberMap"].as_object().unwrap().len())
            .sum();
        proptest::prop_assert_eq!(there + left, sizes.iter().sum::<usize>());
    }
}

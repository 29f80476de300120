//! What the table decides, without any socket.

use super::*;
use cartridge_protocol::topology::{Endpoint, MappedHost};

fn endpoint(member: &str, port: u16, state: EndpointState) -> Endpoint {
    Endpoint {
        member: member.parse().unwrap(),
        incarnation: 1,
        address: [127, 0, 0, 1].into(),
        ports: [("http".to_owned(), port)].into(),
        state,
    }
}

fn cluster(id: &str, hosts: &[&str], endpoints: Vec<Endpoint>) -> TopologyCluster {
    TopologyCluster {
        cluster: id.parse().unwrap(),
        hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        mapped: Vec::new(),
        listeners: vec![Listener {
            port: 80,
            name: "http".into(),
            protocol: "http".into(),
        }],
        endpoints,
        stopped: false,
    }
}

fn topology(clusters: Vec<TopologyCluster>) -> Topology {
    Topology {
        revision: 1,
        network_partition: "np".parse().unwrap(),
        listen: [127, 0, 0, 1].into(),
        clusters,
    }
}

fn table(clusters: Vec<TopologyCluster>) -> Table {
    Table::default().next(&topology(clusters), Instant::now())
}

fn routed(table: &Table, host: Option<&str>) -> String {
    let (route, _) = table.port(80).unwrap().route(host).unwrap();
    route.cluster.to_string()
}

#[test]
fn a_host_leads_to_its_cluster_and_anything_else_to_the_first() {
    let table = table(vec![
        cluster("shop", &["Shop.example"], vec![]),
        cluster("blog", &["blog.example", "news.example"], vec![]),
    ]);
    assert_eq!(routed(&table, Some("news.EXAMPLE:80")), "blog");
    assert_eq!(routed(&table, Some("shop.example")), "shop");
    assert_eq!(routed(&table, Some("other")), "shop");
    assert_eq!(routed(&table, None), "shop");
    assert!(table.port(81).is_none());
}

#[test]
fn ready_members_take_turns_and_draining_ones_take_none() {
    let table = table(vec![cluster(
        "web",
        &[],
        vec![
            endpoint("a", 1, EndpointState::Ready),
            endpoint("b", 2, EndpointState::Draining),
            endpoint("c", 3, EndpointState::Ready),
        ],
    )]);
    let (route, _) = table.port(80).unwrap().route(None).unwrap();
    let now = Instant::now();
    let order: Vec<u16> = (0..4).map(|_| route.candidates(now)[0].address.port()).collect();
    assert_eq!(order, [1, 3, 1, 3]);
}

#[test]
fn a_member_out_of_reach_is_tried_last_and_alone_it_is_tried_all_the_same() {
    let table = table(vec![cluster(
        "web",
        &[],
        vec![
            endpoint("a", 1, EndpointState::Ready),
            endpoint("b", 2, EndpointState::Ready),
        ],
    )]);
    let (route, _) = table.port(80).unwrap().route(None).unwrap();
    let now = Instant::now();
    let soon = now + std::time::Duration::from_secs(1);
    route.ready[0].eject_until(soon);
    for _ in 0..4 {
        let ports: Vec<u16> = route.candidates(now).iter().map(|u| u.address.port()).collect();
        assert_eq!(ports, [2, 1]);
    }
    route.ready[1].eject_until(soon);
    assert_eq!(route.candidates(now).len(), 2);
    assert!(!route.ready[0].is_ejected(soon));
}

#[test]
fn what_is_known_of_members_and_clusters_survives_a_change() {
    let web = |state| cluster("web", &[], vec![endpoint("a", 1, state)]);
    let before = table(vec![web(EndpointState::Ready)]);
    let after = before.next(&topology(vec![web(EndpointState::Draining)]), Instant::now());
    let (old, new) = (before.upstreams().next(), after.upstreams().next());
    assert!(Arc::ptr_eq(old.unwrap(), new.unwrap()));
    assert!(Arc::ptr_eq(&before.clusters[0].load, &after.clusters[0].load));
    assert!(after.port(80).unwrap().route(None).unwrap().0.ready.is_empty());
}

#[test]
fn a_new_life_of_a_member_is_a_new_place() {
    let before = table(vec![cluster(
        "web",
        &[],
        vec![endpoint("a", 1, EndpointState::Ready)],
    )]);
    let mut reborn = endpoint("a", 1, EndpointState::Ready);
    reborn.incarnation = 2;
    let after = before.next(&topology(vec![cluster("web", &[], vec![reborn])]), Instant::now());
    assert!(!Arc::ptr_eq(
        before.upstreams().next().unwrap(),
        after.upstreams().next().unwrap()
    ));
}

fn mapped(id: &str, hosts: &[&str], domains: &[(&str, Option<&str>)]) -> TopologyCluster {
    let mut cluster = cluster(id, hosts, vec![]);
    let one = |(host, path): &(&str, Option<&str>)| MappedHost {
        host: host.parse().unwrap(),
        path: path.map(|path| path.parse().unwrap()),
    };
    cluster.mapped = domains.iter().map(one).collect();
    cluster
}

#[test]
fn a_mapped_domain_leads_to_its_cluster_under_its_path() {
    let table = table(vec![
        cluster("blog", &["blog.example"], vec![]),
        mapped(
            "shop",
            &["shop.example"],
            &[("acme.example", Some("/t/acme")), ("bolt.example", None)],
        ),
    ]);
    for (host, cluster, path) in [
        ("ACME.example.:80", "shop", Some("/t/acme")),
        ("bolt.example", "shop", None),
        ("shop.example", "shop", None),
        ("other.example", "blog", None),
    ] {
        let (route, found) = table.port(80).unwrap().route(Some(host)).unwrap();
        assert_eq!(route.cluster.as_str(), cluster, "{host}");
        assert_eq!(found.map(ContextPath::as_str), path, "{host}");
    }
}

#[test]
fn a_clusters_own_name_cannot_be_mapped_away_whoever_comes_first() {
    let thief = || mapped("thief", &[], &[("shop.example", Some("/t")), ("a.example", None)]);
    let shop = || cluster("shop", &["shop.example"], vec![]);
    let later = mapped("late", &[], &[("a.example", None)]);
    for clusters in [vec![thief(), shop(), later.clone()], vec![shop(), thief(), later]] {
        let table = table(clusters);
        assert_eq!(routed(&table, Some("shop.example")), "shop");
        assert_eq!(
            routed(&table, Some("a.example")),
            "thief",
            "the first that names it"
        );
        assert!(
            table
                .port(80)
                .unwrap()
                .route(Some("shop.example"))
                .unwrap()
                .1
                .is_none()
        );
    }
}

//! What the table decides, without any socket.

use super::*;
use cartridge_protocol::topology::Endpoint;

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
    let route = table.port(80).unwrap().route(host).unwrap();
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
    let route = table.port(80).unwrap().route(None).unwrap();
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
    let route = table.port(80).unwrap().route(None).unwrap();
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
    assert!(after.port(80).unwrap().route(None).unwrap().ready.is_empty());
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

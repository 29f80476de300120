//! Stories of what happens around a member, and laws that hold whatever does.

use std::net::{IpAddr, Ipv4Addr};

use cartridge_protocol::{ApplicationId, NetworkPartitionId, PartitionId};
use proptest::prelude::*;

use super::*;

fn id(n: u8) -> MemberId {
    MemberId::new(format!("app.web.php.domain-{n:03}")).unwrap()
}

fn peer(n: u8, incarnation: u64, phase: PeerPhase) -> Peer {
    Peer {
        member: id(n),
        incarnation,
        cluster_instance: "app-1".into(),
        network_partition: NetworkPartitionId::new("here").unwrap(),
        partition: PartitionId::new("p1").unwrap(),
        phase,
        address: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))),
        ports: BTreeMap::from([("http".to_owned(), 8080)]),
    }
}

fn told(revision: u64, members: impl IntoIterator<Item = Peer>) -> Arc<Surroundings> {
    Arc::new(Surroundings {
        revision,
        application: ApplicationId::new("app").unwrap(),
        clusters: vec![Neighbours {
            cluster: ClusterId::new("app.web.php.domain").unwrap(),
            service: CartridgeType::new("php").unwrap(),
            alias: "web".into(),
            hosts: vec![],
            balancer: false,
            members: members.into_iter().collect(),
        }],
        omitted: 0,
        service_properties: BTreeMap::new(),
        cluster_properties: BTreeMap::new(),
        member_properties: BTreeMap::new(),
        tenants: None,
        sign_ups: None,
        domain_mappings: None,
    })
}

fn events(around: &mut Around) -> Vec<(Hook, String)> {
    let about = |order: Order| {
        let id = order.more.iter().find(|(name, _)| name.ends_with("_MEMBER_ID"));
        let id = id.map(|(_, v)| v.rsplit_once('-').unwrap().1.to_owned());
        (order.hook, id.unwrap_or_default())
    };
    std::iter::from_fn(|| around.next_event())
        .take(10_000)
        .map(about)
        .collect()
}

fn expected(rows: &[(Hook, &str)]) -> Vec<(Hook, String)> {
    rows.iter().map(|(h, s)| (*h, (*s).to_owned())).collect()
}

use Hook::{MemberActivated, MemberInitialized, MemberStarted, MemberSuspended, MemberTerminated};
use PeerPhase::{Active, Created, InMaintenance, Initialized, Starting, Suspended, Terminated};

#[test]
fn those_that_are_there_first_are_known_and_every_later_step_is_told_once() {
    let mut around = Around::new(id(0));
    around.learn(
        told(1, [peer(0, 1, Active), peer(1, 1, Active), peer(2, 1, Created)]),
        false,
    );
    assert_eq!(events(&mut around), []);
    for (revision, phase, hook) in [
        (2, Initialized, Some(MemberInitialized)),
        (3, Starting, Some(MemberStarted)),
        (4, Active, Some(MemberActivated)),
        (5, Suspended, Some(MemberSuspended)),
        (6, Active, Some(MemberActivated)),
        (7, InMaintenance, None),
        (8, Terminated, Some(MemberTerminated)),
    ] {
        around.learn(told(revision, [peer(1, 1, Active), peer(2, 1, phase)]), false);
        let expected: Vec<_> = hook.map(|h| (h, "002".to_owned())).into_iter().collect();
        assert_eq!(around.has_news(), hook.is_some());
        assert_eq!(events(&mut around), expected, "{phase:?}");
        assert_eq!(events(&mut around), [], "told once");
    }
    around.learn(told(9, [peer(1, 1, Active)]), false);
    assert_eq!(events(&mut around), [], "its end was told");
}

#[test]
fn what_was_passed_through_is_skipped_and_the_newest_is_told() {
    let mut around = Around::new(id(0));
    around.learn(told(1, []), false);
    around.learn(
        told(
            2,
            [peer(1, 1, Active), peer(2, 1, Starting), peer(3, 1, Suspended)],
        ),
        false,
    );
    let news = [
        (MemberActivated, "001"),
        (MemberStarted, "002"),
        (MemberSuspended, "003"),
    ];
    assert_eq!(events(&mut around), expected(&news));
    // Gone and back again between two tellings: nothing happened as far as hooks are concerned.
    around.learn(told(3, [peer(1, 1, Active)]), false);
    around.learn(
        told(
            4,
            [peer(1, 1, Active), peer(2, 1, Starting), peer(3, 1, Suspended)],
        ),
        false,
    );
    assert_eq!(events(&mut around), []);
}

#[test]
fn another_life_of_a_member_is_the_end_of_the_one_before_and_a_new_member() {
    let mut around = Around::new(id(0));
    around.learn(told(1, [peer(1, 1, Active)]), false);
    around.learn(told(2, [peer(1, 2, Starting)]), false);
    assert_eq!(
        events(&mut around),
        expected(&[(MemberTerminated, "001"), (MemberStarted, "001")])
    );
}

#[test]
fn a_member_that_may_only_be_left_out_is_not_told_as_ended() {
    let mut around = Around::new(id(0));
    around.learn(told(1, [peer(1, 1, Active), peer(2, 1, Active)]), false);
    let mut cut = Arc::unwrap_or_clone(told(2, [peer(1, 1, Active)]));
    cut.omitted = 1;
    around.learn(Arc::new(cut), false);
    assert_eq!(events(&mut around), []);
    around.learn(told(3, [peer(1, 1, Active)]), false);
    assert_eq!(events(&mut around), expected(&[(MemberTerminated, "002")]));
}

/// S11.
#[test]
fn an_older_telling_is_ignored_unless_another_orchestrator_tells() {
    let mut around = Around::new(id(0));
    assert!(around.learn(told(5, [peer(1, 1, Active)]), false));
    assert!(!around.learn(told(4, []), false));
    assert_eq!(events(&mut around), []);
    assert!(around.learn(told(4, []), true));
    assert_eq!(events(&mut around), expected(&[(MemberTerminated, "001")]));
}

#[test]
fn one_that_comes_and_goes_does_not_keep_the_others_out() {
    let mut around = Around::new(id(0));
    around.learn(told(1, [peer(1, 1, Active)]), false);
    let flapping = [Suspended, Active, Suspended, Active];
    let all = |phase| {
        [
            peer(1, 1, phase),
            peer(2, 1, Active),
            peer(3, 1, Active),
            peer(4, 1, Active),
        ]
    };
    let mut seen = Vec::new();
    for (revision, phase) in flapping.into_iter().enumerate() {
        around.learn(told(2 + revision as u64, all(phase)), false);
        seen.push(around.next_event().unwrap().hook);
    }
    assert_eq!(
        seen.iter().filter(|h| **h == MemberActivated).count(),
        3,
        "{seen:?}"
    );
}

#[test]
fn tenants_sign_ups_and_domains_are_told_as_they_come_and_go() {
    let mapping = |domain: &str| DomainMapping {
        tenant_id: 7,
        service_name: CartridgeType::new("php").unwrap(),
        cluster_id: ClusterId::new("app.web.php.domain").unwrap(),
        domain_name: domain.into(),
        context_path: Some("/shop".into()),
    };
    let tenant = Tenant {
        tenant_id: 7,
        tenant_domain: "seven.example".into(),
    };
    let with = |revision, sign_ups: &[i64], domains: &[&str]| {
        let mut all = Arc::unwrap_or_clone(told(revision, []));
        all.tenants = Some(vec![tenant.clone()]);
        all.sign_ups = Some(sign_ups.iter().map(|t| SignUp { tenant_id: *t }).collect());
        all.domain_mappings = Some(domains.iter().map(|d| mapping(d)).collect());
        Arc::new(all)
    };
    let mut around = Around::new(id(0));
    around.learn(told(1, []), false);
    assert_eq!(around.next_event(), None, "an orchestrator that knows no tenants");
    around.learn(with(2, &[7], &["a.example"]), false);
    let orders: Vec<Order> = std::iter::from_fn(|| around.next_event()).collect();
    let hooks: Vec<Hook> = orders.iter().map(|o| o.hook).collect();
    assert_eq!(
        hooks,
        [
            Hook::CompleteTenant,
            Hook::DomainMappingAdded,
            Hook::TenantSubscribed
        ]
    );
    assert_eq!(
        orders[0].more["STRATOS_TENANT_LIST_JSON"],
        r#"[{"tenantId":7,"tenantDomain":"seven.example"}]"#
    );
    for (name, value) in [
        ("APPLICATION_ID", "app"),
        ("SERVICE_NAME", "php"),
        ("DOMAIN_NAME", "a.example"),
        ("CLUSTER_ID", "app.web.php.domain"),
        ("TENANT_ID", "7"),
        ("TENANT_DOMAIN", "seven.example"),
        ("CONTEXT_PATH", "/shop"),
    ] {
        assert_eq!(
            orders[1].more[&format!("STRATOS_SUBSCRIPTION_{name}")],
            value,
            "{name}"
        );
    }
    around.learn(with(3, &[], &["b.example"]), false);
    let hooks: Vec<Hook> = std::iter::from_fn(|| around.next_event())
        .map(|o| o.hook)
        .collect();
    assert_eq!(
        hooks,
        [
            Hook::DomainMappingRemoved,
            Hook::DomainMappingAdded,
            Hook::ApplicationSignUpRemoved
        ]
    );
    // An orchestrator that no longer tells has not removed anything.
    around.learn(told(4, []), false);
    assert_eq!(around.next_event(), None);
}

fn phases() -> impl Strategy<Value = PeerPhase> {
    proptest::sample::select(vec![
        Created,
        Initialized,
        Starting,
        Active,
        Suspended,
        InMaintenance,
        Terminated,
    ])
}

/// Members that are told, and how many events are asked for then.
type Telling = (Vec<(u8, u64, PeerPhase)>, usize);

fn tellings() -> impl Strategy<Value = Vec<Telling>> {
    let row = (0..6_u8, 1..3_u64, phases());
    proptest::collection::vec((proptest::collection::vec(row, 0..8), 0..4_usize), 1..12)
}

proptest! {
    /// Whatever is told, and however few events are asked for in between: in the end hooks know what is so, each life's
    /// end is told at most once and only after something else could be known of it, and the member hears nothing of
    /// itself.
    #[test]
    fn hooks_end_up_knowing_what_is_so(tellings in tellings()) {
        let mut around = Around::new(id(0));
        let mut ended: BTreeSet<(String, usize)> = BTreeSet::new();
        let mut last = BTreeMap::new();
        let mut first: Option<BTreeSet<u8>> = None;
        for (revision, (rows, asked)) in tellings.iter().enumerate() {
            let rows: BTreeMap<u8, (u64, PeerPhase)> = rows.iter().map(|(n, i, p)| (*n, (*i, *p))).collect();
            first.get_or_insert_with(|| rows.keys().copied().collect());
            last.clone_from(&rows);
            around.learn(told(revision as u64, rows.iter().map(|(n, (i, p))| peer(*n, *i, *p))), false);
            let asked = if revision + 1 == tellings.len() { 1_000 } else { *asked };
            for order in std::iter::from_fn(|| around.next_event()).take(asked) {
                let (_, about) = order.more.iter().find(|(k, _)| k.ends_with("_MEMBER_ID")).unwrap();
                prop_assert!(about != id(0).as_str());
                if order.hook == MemberTerminated {
                    prop_assert!(ended.insert((about.clone(), revision)));
                }
            }
        }
        prop_assert!(!around.has_news());
        let known: BTreeMap<MemberId, (u64, PeerPhase)> =
            around.peers.iter().map(|(m, k)| (m.clone(), (k.peer.incarnation, k.peer.phase))).collect();
        let so: BTreeMap<MemberId, (u64, PeerPhase)> =
            last.iter().filter(|(n, _)| **n != 0).map(|(n, row)| (id(*n), *row)).collect();
        prop_assert_eq!(known, so);
    }
}

#[test]
fn a_run_that_is_asked_for_is_about_somebody_who_is_known_and_is_not_counted_as_told() {
    let asked = |around: &Around, hook| around.asked(Order::new(hook));
    let mut around = Around::new(id(1));
    let unknown = Err(NothingToTell::NothingKnown);
    assert_eq!(asked(&around, Hook::MemberActivated), unknown);
    assert_eq!(asked(&around, Hook::Clean), Ok(Order::new(Hook::Clean)));

    around.learn(told(1, [peer(1, 1, PeerPhase::Active)]), false);
    let alone = Err(NothingToTell::NoOtherMember);
    assert_eq!(asked(&around, Hook::MemberActivated), alone);
    assert_eq!(
        asked(&around, Hook::DomainMappingAdded),
        Err(NothingToTell::NoMapping)
    );
    assert_eq!(
        asked(&around, Hook::TenantSubscribed),
        Err(NothingToTell::NoSignUp)
    );
    assert_eq!(
        asked(&around, Hook::CompleteTenant),
        Err(NothingToTell::NoTenants)
    );

    let (second, third) = (peer(2, 1, PeerPhase::Starting), peer(3, 1, PeerPhase::Active));
    around.learn(told(2, [peer(1, 1, PeerPhase::Active), second, third]), false);
    let about = |hook, name: &str| asked(&around, hook).unwrap().more[name].clone();
    assert_eq!(
        about(Hook::MemberActivated, "STRATOS_MEMBER_ACTIVATED_MEMBER_ID"),
        id(3).as_str()
    );
    assert_eq!(
        about(Hook::MemberTerminated, "STRATOS_MEMBER_TERMINATED_MEMBER_ID"),
        id(2).as_str()
    );
    let to_come = [
        (Hook::MemberStarted, "002".to_owned()),
        (Hook::MemberActivated, "003".to_owned()),
    ];
    assert_eq!(events(&mut around), to_come);
}

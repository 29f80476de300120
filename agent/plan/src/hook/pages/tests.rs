//! The tables say what hooks are really told, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use cartridge_protocol::link::DesiredArtifacts;
use cartridge_protocol::surroundings::{
    DomainMapping, Neighbours, Peer, PeerPhase, SignUp, Surroundings, Tenant,
};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::values::ToldValues;
use cartridge_protocol::{
    ApplicationId, CartridgeType, ClusterId, MemberId, NetworkPartitionId, PartitionId, ValueKey,
};

use super::super::asked;
use super::super::environment::{Own, artifact_updated, environment, order, tenant_updated};
use super::*;
use crate::around::Around;
use crate::sharing::variables;

const CLUSTER: &str = "app.web.php.domain";

fn peer(n: u8) -> Peer {
    Peer {
        member: MemberId::new(format!("{CLUSTER}-{n}")).unwrap(),
        incarnation: 1,
        cluster_instance: "app-1".into(),
        network_partition: NetworkPartitionId::new("here").unwrap(),
        partition: PartitionId::new("p1").unwrap(),
        phase: PeerPhase::Active,
        address: Some("10.0.0.1".parse().unwrap()),
        ports: BTreeMap::new(),
    }
}

/// With everything that could be told.
fn around() -> Surroundings {
    let properties = || BTreeMap::from([("colour".to_owned(), "green".to_owned())]);
    Surroundings {
        revision: 1,
        application: ApplicationId::new("app").unwrap(),
        clusters: vec![Neighbours {
            cluster: ClusterId::new(CLUSTER).unwrap(),
            service: CartridgeType::new("php").unwrap(),
            alias: "web".into(),
            hosts: vec![],
            balancer: true,
            members: vec![peer(1), peer(2)],
        }],
        omitted: 3,
        service_properties: properties(),
        cluster_properties: properties(),
        member_properties: properties(),
        tenants: Some(vec![Tenant {
            tenant_id: 4,
            tenant_domain: "t.example".into(),
        }]),
        sign_ups: Some(vec![SignUp { tenant_id: 4 }]),
        domain_mappings: Some(vec![DomainMapping {
            tenant_id: 4,
            service_name: CartridgeType::new("php").unwrap(),
            cluster_id: ClusterId::new(CLUSTER).unwrap(),
            domain_name: "shop.example".into(),
            context_path: None,
        }]),
    }
}

fn own() -> Own {
    let parameters = [
        ("LVS_VIRTUAL_IP", "10.0.0.9"),
        ("PERSISTENCE_MAPPING", "a|b|c"),
        ("MB_URLS", "broker:1883"),
        ("CLUSTER_ID", CLUSTER),
    ];
    Own {
        member: peer(1).member,
        parameters: parameters.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        application: "/app".into(),
        release: "/release".into(),
        parameter_file: Some("/launch-params".into()),
        agent: "/usr/bin/cartridge-agent".into(),
        state: "/state".into(),
    }
}

/// The names of all that one hook is told, launch parameters left out.
fn told(hook: Hook) -> BTreeSet<String> {
    let (own, told) = (own(), around());
    let mut known = Around::new(own.member.clone());
    known.learn(Arc::new(told.clone()), true);
    let mut run = order(hook, &own.parameters);
    match hook {
        Hook::ArtifactUpdated => {
            let artifacts = DesiredArtifacts {
                url: "https://git.example/app.git".into(),
                branch: "main".into(),
                commit: None,
                ordered: false,
                username: None,
                password: None,
                poll_interval_ms: 1000,
                look: 0,
                sharing: 1,
            };
            run.more
                .extend(artifact_updated(&own.parameters, &artifacts, true));
            let (whose, folders) = (
                TenantId::new(4).unwrap(),
                (Path::new("/release"), Path::new("/files")),
            );
            let of_tenant = tenant_updated(&own.parameters, (whose, &artifacts), folders, true);
            run.more.extend(of_tenant.more);
        }
        Hook::CopyArtifacts => {
            run = asked::asked(hook.name(), &["/from".to_owned(), "/to".to_owned()]).unwrap();
        }
        _ => run = known.asked(run).unwrap(),
    }
    let shared = ToldValues::default().changed(|all| {
        all.share(None, &ValueKey::new("url").unwrap(), &["x".to_owned()], true);
        all.share(Some("db"), &ValueKey::new("ip").unwrap(), &["x".to_owned()], true);
    });
    run.more.extend(variables(&shared));
    let made = environment(&own, Some(&told), &run);
    let parameter = |name: &String| {
        let name = name.strip_prefix("STRATOS_");
        name.is_some_and(|name| own.parameters.contains_key(name))
    };
    made.variables
        .into_keys()
        .filter(|name| !parameter(name))
        .collect()
}

fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.split_once('<'), pattern.split_once('>')) {
        (Some((head, _)), Some((_, tail))) => name.starts_with(head) && name.ends_with(tail),
        _ => pattern == name,
    }
}

fn promised(row: &Row, hook: Hook) -> bool {
    match row.to {
        To::All => true,
        To::Only(hooks) => hooks.contains(&hook),
    }
}

#[test]
fn every_variable_of_every_hook_has_its_row_and_every_row_keeps_its_promise() {
    for hook in Hook::all() {
        let told = told(hook);
        let rows: Vec<&Row> = VARIABLES.iter().filter(|row| promised(row, hook)).collect();
        let names: Vec<&str> = rows.iter().flat_map(|row| row.names).copied().collect();
        for name in &told {
            let has_row = names
                .iter()
                .any(|pattern| *pattern != PARAMETERS && fits(pattern, name));
            assert!(has_row, "{} is told {name}, which is in no row", hook.name());
        }
        let elsewhere = [PARAMETERS, "HOME", "USER", "LOGNAME"];
        let absent = |name: &&str| {
            let only_of_added =
                *name == "STRATOS_SUBSCRIPTION_CONTEXT_PATH" && hook == Hook::DomainMappingRemoved;
            !elsewhere.contains(name) && !only_of_added && !told.iter().any(|told| fits(name, told))
        };
        assert_eq!(
            names.iter().find(|name| absent(name)),
            None,
            "{} is not told it: {told:?}",
            hook.name()
        );
    }
}

#[test]
fn every_hook_and_every_variable_has_a_row_and_fits_a_terminal() {
    let page = markdown();
    for line in page.lines().filter(|line| !line.is_empty()) {
        let bars = line.replace("\\|", "").matches('|').count();
        assert!(bars == 6 || bars == 4, "{line}");
    }
    for hook in Hook::all() {
        assert!(page.contains(&format!("| `{}` |", hook.name())));
    }
    assert_eq!(page.lines().count(), Hook::all().count() + VARIABLES.len() + 5);
    let help = help();
    assert!(help.lines().all(|line| line.chars().count() <= WIDE), "{help}");
}

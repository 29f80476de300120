//! Cartridges that were written for Stratos's agents, from its contract alone and without a look at ours, live a whole
//! life under the real agent binary: files of `tests/cartridges` as they are, launch parameters included.
//!
//! What the hooks saw is read from what they recorded themselves. Each cartridge's README says what it expects.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cartridge;
mod harness;
mod support;

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;

use cartridge::{Cartridge, PEER, Recorded, Running};
use cartridge_protocol::link::Batch;
use cartridge_protocol::surroundings::{PeerPhase, Surroundings};

fn position(hooks: &[String], hook: &str) -> usize {
    hooks
        .iter()
        .position(|name| name == hook)
        .unwrap_or_else(|| panic!("{hook}: {hooks:?}"))
}

/// These, in this order, whatever lies between.
fn in_order(hooks: &[String], expected: &[&str]) {
    let places: Vec<usize> = expected.iter().map(|hook| position(hooks, hook)).collect();
    assert!(places.is_sorted(), "{expected:?} in {hooks:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_php_cartridge_whose_server_comes_up_with_its_files_lives_a_whole_life() {
    let cartridge = Cartridge::install("php-like");
    let first = cartridge.commit("app");
    let wanted = cartridge.serving(&first);
    let mut running = cartridge.start(wanted).await;
    running.until_serves(&first).await;
    running.until_run("InstanceActivatedEvent", 1).await;
    running.until_run("CompleteTenantEvent", 1).await;
    assert!(running.get("/").1.contains("php-like version 1"));
    assert_eq!(running.get("/about.html").0, 404);

    let second = running.cartridge.commit("app-v2");
    running.want_commit(&second);
    running.until_serves(&second).await;
    assert!(running.get("/").1.contains("php-like version 2"));
    assert_eq!(running.get("/about.html").0, 200);
    let settings = running.get("/config.json").1;
    assert!(
        settings.contains("192.0.2.21") && settings.contains("=="),
        "{settings}"
    );

    let mapped = Surroundings {
        domain_mappings: Some(vec![running.cartridge.mapping()]),
        ..running.cartridge.around(2, PeerPhase::Active)
    };
    running.tell(mapped);
    running.until_run("DomainMappingAddedEvent", 1).await;
    running.tell(running.cartridge.around(3, PeerPhase::Suspended));
    running.until_run("DomainMappingRemovedEvent", 1).await;
    running.stop().await;
    what_the_php_hooks_saw(&running);
}

fn what_the_php_hooks_saw(running: &Running) {
    let hooks = running.hooks();
    in_order(
        &hooks,
        &[
            "CreateLVSDummyInterface",
            "CompleteTopologyEvent",
            "InstanceStartedEvent",
            "StartServers",
            "ArtifactUpdatedEvent",
            "InstanceActivatedEvent",
            "DomainMappingAddedEvent",
            "DomainMappingRemovedEvent",
            "clean",
        ],
    );
    assert_eq!(hooks.len(), 11, "{hooks:?}");
    let run = running.run("CreateLVSDummyInterface");
    assert_eq!(run.at("STRATOS_LVS_DUMMY_VIRTUAL_IP"), "192.0.2.80");
    assert_eq!(run.at("STRATOS_LVS_SUBNET_MASK"), "255.255.255.0");
    let run = running.run("CompleteTopologyEvent");
    assert_eq!((run.at("services"), run.at("own_cluster_seen")), ("3", "True"));
    assert_eq!(run.at("dependency_seen"), "True");
    assert_eq!(running.run("CompleteTenantEvent").at("tenants"), "1");
    let run = running.run("InstanceStartedEvent");
    let names = [
        "APPLICATION_ID",
        "SERVICE_NAME",
        "CLUSTER_ID",
        "MEMBER_ID",
        "HOST_NAME",
        "TENANT_ID",
        "TOKEN",
    ];
    running.told_as_in_the_payload(&run, &names);
    assert_eq!((run.at("STRATOS_MULTITENANT"), run.at("args")), ("false", "0"));
    let parameters = running.cartridge.path("launch-params");
    assert_eq!(run.at("STRATOS_PARAM_FILE_PATH"), parameters.to_str().unwrap());
    let run = running.run("StartServers");
    running.told_as_in_the_payload(&run, &["PORTS", "PORT_MAPPINGS", "HOST_NAME", "APPLICATION_PATH"]);
    let run = running.run("ArtifactUpdatedEvent");
    let names = [
        "APPLICATION_PATH",
        "MYSQL_IP",
        "MYSQL_PASS",
        "IMPORT_METADATA_KEYS",
    ];
    running.told_as_in_the_payload(&run, &names);
    assert_eq!(
        run.at("STRATOS_ARTIFACT_UPDATED_REPO_URL"),
        running.cartridge.repo.file_url()
    );
    assert_eq!(run.at("STRATOS_ARTIFACT_UPDATED_TENANT_ID"), "-1234");
    assert_eq!(run.at("STRATOS_ARTIFACT_UPDATED_STATUS"), "");
    assert_eq!(run.at("version"), "2");
    let run = running.run("InstanceActivatedEvent");
    assert_eq!(
        (run.at("STRATOS_LB_IP"), run.at("STRATOS_LB_PUBLIC_IP")),
        ("192.0.2.80", "192.0.2.80")
    );
    let run = running.run("DomainMappingAddedEvent");
    told_of_the_domain(running, &run);
    assert_eq!(running.run("clean").at("stopped"), "yes");
    events_are_their_hooks(running);
}

fn told_of_the_domain(running: &Running, run: &Recorded) {
    for (name, value) in [
        ("APPLICATION_ID", "wordpress"),
        ("SERVICE_NAME", "php"),
        ("DOMAIN_NAME", "shop.example"),
        ("CLUSTER_ID", running.cartridge.parameter("CLUSTER_ID")),
        ("TENANT_ID", "-1234"),
        ("CONTEXT_PATH", "/shop"),
    ] {
        assert_eq!(run.at(&format!("STRATOS_SUBSCRIPTION_{name}")), value);
    }
}

fn events_are_their_hooks(running: &Running) {
    for run in running.recorded() {
        assert_eq!(run.at("STRATOS_EVENT"), run.hook);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tomcat_cartridge_of_the_java_agent_that_reads_the_payload_file_lives_a_whole_life() {
    let cartridge = Cartridge::install("tomcat-like");
    let first = cartridge.commit("app");
    let wanted = cartridge.serving(&first);
    let mut running = cartridge.start(wanted).await;
    running.until_serves(&first).await;
    running.until_run("instance-activated", 1).await;
    running.until_run("complete-tenant", 1).await;
    assert!(running.get("/").1.contains("tomcat-like version 1"));
    assert_eq!(
        (running.get("/old.html").0, running.get("/WEB-INF/web.xml").0),
        (200, 404)
    );
    assert_eq!(
        running.get("/java-opts").1,
        "-Xmx128m -Dstratos.env=test -Dbuild=Zm9v=="
    );

    let second = running.cartridge.commit("app-v2");
    running.want_commit(&second);
    running.until_serves(&second).await;
    assert!(running.get("/").1.contains("tomcat-like version 2"));
    assert_eq!(
        (running.get("/old.html").0, running.get("/new.html").0),
        (404, 200)
    );

    running.tell(running.cartridge.around(2, PeerPhase::Suspended));
    running.tell(Surroundings {
        domain_mappings: Some(vec![running.cartridge.mapping()]),
        ..running.cartridge.around(3, PeerPhase::Active)
    });
    running.until_run("domain-mapping-added", 1).await;
    let mut alone = running.cartridge.around(4, PeerPhase::Active);
    alone.clusters[0].members.truncate(1);
    running.tell(alone);
    running.until_run("member-terminated", 1).await;
    running.until_run("domain-mapping-removed", 1).await;
    running.stop().await;
    what_the_tomcat_hooks_saw(&running);
}

fn what_the_tomcat_hooks_saw(running: &Running) {
    let hooks = running.hooks();
    in_order(
        &hooks,
        &[
            "complete-topology",
            "instance-started",
            "start-servers",
            "artifacts-updated",
            "instance-activated",
            "domain-mapping-added",
            "domain-mapping-removed",
            "clean",
        ],
    );
    assert_eq!(
        hooks.iter().filter(|hook| *hook == "artifacts-updated").count(),
        2
    );
    assert_eq!(running.run("complete-topology").at("members"), "2");
    assert_eq!(running.run("complete-tenant").at("tenants"), "1");
    let path = running.cartridge.parameter("APPLICATION_PATH").to_owned();
    let run = running.run("instance-started");
    let names = [
        "SERVICE_NAME",
        "CLUSTER_ID",
        "TENANT_ID",
        "CARTRIDGE_KEY",
        "NETWORK_PARTITION_ID",
        "PARTITION_ID",
    ];
    running.told_as_in_the_payload(&run, &names);
    assert_eq!((run.at("STRATOS_APP_PATH"), run.at("args")), (path.as_str(), "0"));
    let run = running.run("start-servers");
    assert_eq!(run.at("port"), running.member.port.to_string());
    let runs = running
        .recorded()
        .into_iter()
        .filter(|run| run.hook == "artifacts-updated");
    let runs: Vec<Recorded> = runs.collect();
    assert_eq!((runs[0].at("version"), runs[1].at("version")), ("1", "2"));
    assert_eq!(runs[1].at("STRATOS_ARTIFACT_UPDATED_SCHEDULER"), "true");
    assert_eq!(runs[1].at("STRATOS_ARTIFACT_UPDATED_REPO_USERNAME"), "reader");
    running.told_as_in_the_payload(&runs[1], &["REPO_URL"]);
    let run = running.run("instance-activated");
    assert_eq!(
        (run.at("tomcat"), run.at("STRATOS_LB_CLUSTER_ID")),
        ("running", "<unset>")
    );
    let run = running.run("domain-mapping-added");
    assert_eq!(run.at("STRATOS_SUBSCRIPTION_TENANT_DOMAIN"), "carbon.super");
    assert_eq!(running.run("clean").at("tomcat"), "running");
    for hook in ["instance-started", "start-servers"] {
        let told = running.run(hook).at("STRATOS_PARAM_FILE_PATH").to_owned();
        assert_eq!(Path::new(&told), running.cartridge.path("launch-params"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_cartridge_with_a_volume_and_peers_lives_a_whole_life_though_a_hook_of_it_fails() {
    let cartridge = Cartridge::install("mysql-like");
    let first = cartridge.commit("app");
    let wanted = cartridge.serving(&first);
    let mut running = cartridge.start(wanted).await;
    running.until_serves(&first).await;
    running.until_run("InstanceActivatedEvent", 1).await;
    let greeting = |running: &Running| {
        let mut text = String::new();
        let mut stream = TcpStream::connect(("127.0.0.1", running.member.port)).unwrap();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let said = greeting(&running);
    assert!(
        said.ends_with("peers=192.0.2.12 schema=01-tables.sql\n"),
        "{said}"
    );

    let second = running.cartridge.commit("app-v2");
    running.want_commit(&second);
    running.until_serves(&second).await;
    assert!(greeting(&running).ends_with("schema=01-tables.sql,02-users.sql\n"));

    running.tell(running.cartridge.around(2, PeerPhase::Suspended));
    running.until_run("MemberSuspendedEvent", 1).await;
    running.tell(running.cartridge.around(3, PeerPhase::Active));
    running.until_run("MemberActivatedEvent", 1).await;
    let mut alone = running.cartridge.around(4, PeerPhase::Active);
    alone.clusters[0].members.truncate(1);
    running.tell(alone);
    running.until_run("MemberTerminatedEvent", 1).await;
    assert!(
        greeting(&running).contains("peers= schema"),
        "{}",
        greeting(&running)
    );
    running.stop().await;
    what_the_database_hooks_saw(&running);
}

fn what_the_database_hooks_saw(running: &Running) {
    let hooks = running.hooks();
    let expected = [
        "VolumeMount",
        "CompleteTopologyEvent",
        "InstanceStartedEvent",
        "StartServers",
        "ArtifactUpdatedEvent",
        "InstanceActivatedEvent",
        "ArtifactUpdatedEvent",
        "MemberSuspendedEvent",
        "MemberActivatedEvent",
        "MemberTerminatedEvent",
        "clean",
    ];
    assert_eq!(hooks, expected);
    let run = running.run("VolumeMount");
    let mapping = running.cartridge.parameter("PERSISTENCE_MAPPING");
    assert_eq!(run.at("STRATOS_VALUE1"), mapping);
    assert_eq!(run.at("STRATOS_PERSISTENCE_MAPPINGS"), mapping);
    running.told_as_in_the_payload(&run, &["PERSISTENCE_MAPPING"]);
    assert_eq!((run.at("args"), run.at("server")), ("1", "not-started"));
    assert_eq!(run.at("mounts"), mapping.replace('|', ":"));
    let run = running.run("CompleteTopologyEvent");
    assert_eq!(run.at("source"), "member-list-map");
    assert!(
        run.at("peers").ends_with(&format!("{PEER}@192.0.2.12")),
        "{run:?}"
    );
    let run = running.run("InstanceStartedEvent");
    let names = [
        "APPLICATION_ID",
        "SERVICE_NAME",
        "CLUSTER_ID",
        "MEMBER_ID",
        "CLUSTER_INSTANCE_ID",
        "CLUSTERING",
        "PRIMARY",
        "MYSQL_ROOT_PASSWORD",
    ];
    running.told_as_in_the_payload(&run, &names);
    let run = running.run("StartServers");
    running.told_as_in_the_payload(&run, &["PORTS", "MYSQL_DATA"]);
    assert_eq!(run.at("replication"), "configured");
    let run = running.run("ArtifactUpdatedEvent");
    assert_eq!(
        run.at("STRATOS_ARTIFACT_UPDATED_REPO_PASSWORD"),
        "repository-password"
    );
    assert_eq!(run.at("schema_files"), "2");
    let run = running.run("InstanceActivatedEvent");
    running.told_as_in_the_payload(&run, &["CARTRIDGE_ALIAS", "EXPORT_METADATA_KEYS", "TOKEN"]);
    assert_eq!(running.run("MemberTerminatedEvent").at("peers"), "none");
    assert_eq!(running.run("clean").at("stopped"), "yes");
    events_are_their_hooks(running);
    let told = |b: &Batch| {
        b.notices
            .iter()
            .any(|n| n.text == "InstanceActivatedEvent: ended with exit code 1")
    };
    assert!(
        running.member.fake.batches().iter().any(told),
        "its failure is told, and nothing more"
    );
}

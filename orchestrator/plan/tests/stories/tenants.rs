//! What members are told of the files of tenants, and what becomes of a tenant's commits.

use cartridge_orchestrator_plan::around::surroundings;
use cartridge_orchestrator_plan::check::check;
use cartridge_orchestrator_plan::decide::{Scope, View, decide};
use cartridge_orchestrator_plan::desired::desired;
use cartridge_orchestrator_plan::order::{Order, admit, admit_as};
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::tenancy::TenantRepository;
use cartridge_protocol::link::{Refused, TenantArtifacts, TenantStatus};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{CommitId, MemberId};

use crate::harness::fixture::{self, Shape, commit};
use crate::harness::sim::Sim;
use crate::running;

fn of(number: i64) -> TenantId {
    TenantId::new(number).unwrap()
}

/// An application that several tenants share; two of them have signed up.
fn shared() -> Sim {
    let mut sim = running(&Shape::default());
    let mut blueprint = sim.orchestrator.world.applications[&fixture::app()]
        .blueprint
        .clone();
    blueprint.multi_tenant = true;
    sim.order(Record::ApplicationPut(Box::new(blueprint)));
    for number in [1, 2] {
        sim.order(fixture::tenant(number, &format!("t{number}.example")));
        sign_up(&mut sim, number);
    }
    sim.seconds(7);
    sim
}

fn sign_up(sim: &mut Sim, number: i64) {
    let repository = TenantRepository {
        repository: fixture_repository(number),
        sealed: String::new(),
    };
    sim.order(Record::SignUpAdded {
        application: fixture::app(),
        tenant: of(number),
        repositories: [("web".to_owned(), repository)].into(),
    });
}

fn fixture_repository(number: i64) -> cartridge_orchestrator_plan::blueprint::Repository {
    let document = serde_json::json!({"artifactRepositories": {"alias": "web",
        "repoUrl": format!("https://git.example.org/t{number}.git")}});
    let (mut all, _) = cartridge_orchestrator_plan::blueprint::parse::sign_up(&document).unwrap();
    all.remove("web").unwrap()
}

fn members(sim: &Sim) -> Vec<MemberId> {
    let cluster = &sim.orchestrator.world.clusters[&fixture::cluster()];
    cluster.members.iter().cloned().collect()
}

fn told(sim: &Sim, member: &MemberId) -> Vec<TenantArtifacts> {
    desired(&sim.orchestrator.world, member).unwrap().tenants
}

/// The commits that a member is told to have, by tenant.
fn commits(sim: &Sim) -> Vec<(i64, Option<CommitId>)> {
    let first = &members(sim)[0];
    let all = told(sim, first).into_iter();
    all.map(|one| (one.tenant.get(), one.artifacts.commit)).collect()
}

/// A member says this of a tenant's files, and what is decided then is done.
fn says(sim: &mut Sim, member: usize, tenant: i64, head: u64, refused: Option<u64>) -> Vec<Record> {
    let member = members(sim)[member].clone();
    let (world, now) = (sim.orchestrator.world.clone(), sim.now);
    let seen = &mut sim.orchestrator.seen;
    let said = seen.members.get_mut(&member).unwrap();
    said.heard = now;
    said.status.revision = world.seq;
    said.status.tenants.retain(|one| one.tenant != of(tenant));
    said.status.tenants.push(TenantStatus {
        tenant: of(tenant),
        current: None,
        head: Some(commit(head)),
        staged: Vec::new(),
        refused: refused
            .into_iter()
            .map(|number| Refused {
                commit: commit(number),
                reason: "its hook failed".into(),
            })
            .collect(),
    });
    let view = View {
        world: &world,
        seen: &sim.orchestrator.seen,
        now,
    };
    let planned = decide(&view, Scope::All);
    check(&view, &planned).unwrap();
    let of_tenants = |record: &&Record| {
        matches!(
            record,
            Record::TenantReleaseOrdered { .. } | Record::TenantReleaseRejected { .. }
        )
    };
    let records: Vec<Record> = planned.records.iter().filter(of_tenants).cloned().collect();
    for record in &records {
        sim.order(record.clone());
    }
    records
}

#[test]
fn members_are_told_of_each_tenants_repository_and_of_its_own_head_only() {
    let mut sim = shared();
    for member in members(&sim) {
        let urls: Vec<String> = told(&sim, &member)
            .into_iter()
            .map(|one| one.artifacts.url)
            .collect();
        assert_eq!(
            urls,
            ["https://git.example.org/t1.git", "https://git.example.org/t2.git"]
        );
    }
    assert_eq!(
        commits(&sim),
        [(1, None), (2, None)],
        "nobody has seen a head yet"
    );
    assert_eq!(says(&mut sim, 0, 1, 1011, None).len(), 1);
    assert_eq!(commits(&sim), [(1, Some(commit(1011))), (2, None)]);
    assert_eq!(says(&mut sim, 1, 2, 2022, None).len(), 1);
    assert_eq!(commits(&sim), [(1, Some(commit(1011))), (2, Some(commit(2022)))]);
    // A push by one is nothing to the other.
    says(&mut sim, 0, 1, 1012, None);
    assert_eq!(commits(&sim), [(1, Some(commit(1012))), (2, Some(commit(2022)))]);
    // Who looks late reports what was the head.
    assert!(says(&mut sim, 1, 1, 1011, None).is_empty());
    // All agree: the branch was set back.
    assert_eq!(says(&mut sim, 0, 1, 1011, None).len(), 1);
    let balancer = sim.orchestrator.world.members.values();
    let mut balancer = balancer.filter(|member| member.cluster != fixture::cluster());
    let balancer = balancer.next().unwrap().id.clone();
    assert!(told(&sim, &balancer).is_empty());
}

#[test]
fn what_one_member_refuses_is_taken_back_from_all_and_not_tried_again() {
    let mut sim = shared();
    says(&mut sim, 0, 1, 1011, None);
    says(&mut sim, 0, 2, 2022, None);
    says(&mut sim, 0, 1, 1013, None);
    let records = says(&mut sim, 1, 1, 1013, Some(1013));
    assert!(
        matches!(&records[..], [Record::TenantReleaseRejected { reason, .. }] if reason.contains("its hook failed")),
        "{records:?}"
    );
    assert_eq!(commits(&sim), [(1, Some(commit(1011))), (2, Some(commit(2022)))]);
    assert!(says(&mut sim, 0, 1, 1013, None).is_empty());
    assert!(says(&mut sim, 1, 1, 1013, Some(1013)).is_empty());
    assert_eq!(says(&mut sim, 1, 1, 1014, Some(1013)).len(), 1);
    // What was refused before it was ordered never is.
    assert!(says(&mut sim, 0, 2, 2023, Some(2023)).is_empty());
}

#[test]
fn who_signs_off_is_told_no_more_and_what_was_said_before_does_not_count_again() {
    let mut sim = shared();
    says(&mut sim, 0, 1, 1011, None);
    let first = members(&sim)[0].clone();
    let before = desired(&sim.orchestrator.world, &first).unwrap().revision;
    sim.order(Record::SignUpRemoved {
        application: fixture::app(),
        tenant: of(1),
    });
    let after = desired(&sim.orchestrator.world, &first).unwrap();
    assert!(after.revision > before);
    assert_eq!(commits(&sim), [(2, None)]);
    sign_up(&mut sim, 1);
    let view = View {
        world: &sim.orchestrator.world,
        seen: &sim.orchestrator.seen,
        now: sim.now,
    };
    let planned = decide(&view, Scope::All);
    let ordered = |record: &Record| matches!(record, Record::TenantReleaseOrdered { .. });
    assert!(!planned.records.iter().any(ordered), "{:?}", planned.records);
}

#[test]
fn a_web_hook_of_a_tenants_repository_concerns_that_tenants_files() {
    let mut sim = shared();
    let announce = |repo_url: &str| Order::Announce {
        repo_url: repo_url.to_owned(),
    };
    let url = "https://git.example.org/t2.git";
    let records = admit(&sim.orchestrator.world, announce(url)).unwrap();
    assert_eq!(
        records,
        [Record::RepositoryAnnounced {
            cluster: fixture::cluster(),
            tenant: Some(of(2)),
        }]
    );
    assert_eq!(
        admit_as(&sim.orchestrator.world, of(2), announce(url)).unwrap(),
        records
    );
    assert!(admit_as(&sim.orchestrator.world, of(1), announce(url)).is_err());
    for record in records {
        sim.order(record);
    }
    let first = members(&sim)[0].clone();
    let looks: Vec<u64> = told(&sim, &first).iter().map(|one| one.artifacts.look).collect();
    assert_eq!(looks, [0, 1]);
}

#[test]
fn only_members_of_what_is_shared_hear_which_tenants_there_are() {
    let sim = shared();
    let first = members(&sim)[0].clone();
    let around = surroundings(&sim.orchestrator.world, &first).unwrap();
    let tenants = around.tenants.unwrap();
    assert_eq!(tenants[1].tenant_domain, "t2.example");
    let signed: Vec<i64> = around.sign_ups.unwrap().iter().map(|one| one.tenant_id).collect();
    assert_eq!(signed, [1, 2]);
    assert!(around.revision >= sim.orchestrator.world.tenants_changed);
    let alone = running(&Shape::default());
    let around = surroundings(&alone.orchestrator.world, &members(&alone)[0]).unwrap();
    assert_eq!((around.tenants, around.sign_ups), (None, None));
}

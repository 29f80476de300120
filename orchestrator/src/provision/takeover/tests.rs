//! What follows from lists, one after the other.

use cartridge_orchestrator_plan::observe::InstanceObservation;
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{ClusterId, Millis, NetworkPartitionId, PartitionId};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use crate::engine::{Intervals, Parts, State};
use crate::identity::Identity;
use crate::journal::{Journal, Keep};
use crate::provision::{Answer, Ensured, LinkInfo, ProvisionError};

type Life = (MemberId, u64);

fn id(number: u64) -> MemberId {
    MemberId::new(format!("app.web.c.domain-{number}")).unwrap()
}

fn apply(world: &mut World, record: Record) {
    let entry = Entry {
        seq: world.seq + 1,
        at_unix_ms: 0,
        record,
    };
    world.apply(&entry, Millis::ZERO).unwrap();
}

/// Of two members that were planned, the first ran and was removed; the second runs.
fn world() -> World {
    let mut world = World::default();
    let network_partition = NetworkPartitionId::new("np").unwrap();
    let place = serde_json::json!({"id": "np", "provider": "mock", "partitions": [{"id": "p1"}]});
    let place = cartridge_orchestrator_plan::blueprint::parse::network_partition(&place).unwrap();
    apply(&mut world, Record::NetworkPartitionPut(Box::new(place)));
    let cluster = ClusterId::new("app.web.c.domain").unwrap();
    world.clusters.insert(cluster.clone(), bare(&cluster));
    for number in 1..=2 {
        let (member, incarnation) = (id(number), 1);
        apply(
            &mut world,
            Record::MemberPlanned {
                group_instance: 0,
                member: member.clone(),
                incarnation,
                cluster: cluster.clone(),
                network_partition: network_partition.clone(),
                partition: PartitionId::new("p1").unwrap(),
                reason: String::new(),
            },
        );
        apply(
            &mut world,
            Record::MemberEnsured {
                member,
                incarnation,
                instance: "i".to_owned(),
                address: "127.0.0.1".parse().unwrap(),
                ports: BTreeMap::new(),
            },
        );
    }
    let (member, incarnation) = (id(1), 1);
    let failed = Record::MemberFailed {
        member: member.clone(),
        incarnation,
        reason: String::new(),
        active_ms: None,
    };
    apply(&mut world, failed);
    apply(&mut world, Record::MemberRemoved { member, incarnation });
    world
}

fn bare(id: &ClusterId) -> cartridge_orchestrator_plan::world::Cluster {
    serde_json::from_value(serde_json::json!({
        "id": id, "application": "app", "alias": "web", "cartridge": "c", "role": {"role": "application"},
        "autoscaling_policy": null, "deployment_policy": null, "min": 1, "max": 2, "hosts": [], "repository": null,
        "next_member": 1, "ordered_size": null, "looks": 0, "members": [],
        "instances": {"np": {"desired": 2, "since": 0, "ending": null}},
        "release": {"accepted": null, "proposed": null, "rejected": [], "pinned": false},
    }))
    .unwrap()
}

fn found(number: u64, minutes: u64) -> Found {
    Found {
        member: id(number),
        incarnation: 1,
        running: true,
        age: Some(Duration::from_secs(60 * minutes)),
    }
}

/// Lists what it was given; its first removal fails.
struct Place {
    found: Vec<Found>,
    asked: Arc<std::sync::Mutex<Vec<Life>>>,
}

impl Provisioner for Place {
    fn list(&self) -> Answer<'_, Vec<Found>> {
        let found = self.found.clone();
        Box::pin(async move { Ok(found) })
    }

    fn ensure(&self, _spec: MemberSpec, _link: LinkInfo) -> Answer<'_, Ensured> {
        Box::pin(async { Err(ProvisionError("nothing is made here".to_owned())) })
    }

    fn remove<'a>(&'a self, member: &'a MemberId, incarnation: u64) -> Answer<'a, ()> {
        let mut asked = self.asked.lock().unwrap();
        asked.push((member.clone(), incarnation));
        let result = if asked.len() == 1 {
            Err(ProvisionError("not now".to_owned()))
        } else {
            Ok(())
        };
        Box::pin(async { result })
    }
}

#[tokio::test]
async fn an_orphan_is_shown_and_a_removal_that_failed_is_tried_again_at_the_next_list() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("journal.redb"), Keep::default()).unwrap();
    let (engine, _waiting) = Engine::new(Parts {
        state: State {
            world: world(),
            ..State::default()
        },
        journal,
        identity: Arc::new(Identity::from_key(&[7; 32]).unwrap()),
        clock: Clock::start(),
        lines: crate::lines::Lines::nowhere(),
        intervals: Intervals::default(),
        stopping: CancellationToken::new(),
    });
    let asked = Arc::default();
    let place = Place {
        found: vec![found(1, 0), found(2, 0), found(9, 99)],
        asked: Arc::clone(&asked),
    };
    let mut provisioners = Provisioners::default();
    provisioners.add("mock", place);
    let mut lists = take_over(&engine, &provisioners).await;
    let shown: Vec<MemberId> = engine.orphans().into_iter().map(|one| one.member).collect();
    assert_eq!(shown, [id(9)]);
    assert_eq!(*asked.lock().unwrap(), [(id(1), 1)]);
    lists.look_again(&engine, &provisioners).await;
    assert_eq!(*asked.lock().unwrap(), [(id(1), 1), (id(1), 1)]);
    let gone = engine.read(|_, seen, _| seen.instances.clone());
    assert!(
        matches!(gone[&id(2)], InstanceObservation::Running { .. }) && gone.len() == 1,
        "{gone:?}"
    );
}

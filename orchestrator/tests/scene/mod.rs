//! An engine on a folder of its own, and the documents of one small application. Refuses to know what is tested.
#![allow(dead_code, reason = "each test uses its part")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cartridge_orchestrator::clock::Clock;
use cartridge_orchestrator::engine::{Engine, Intervals, LinkPlace, Parts, State};
use cartridge_orchestrator::identity::Identity;
use cartridge_orchestrator::journal::{Journal, Keep};
use cartridge_orchestrator::provision::Provisioners;
use cartridge_orchestrator_plan::blueprint::parse;
use cartridge_orchestrator_plan::order::{Mode, Order};
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::{MemberPhase, World};
use cartridge_protocol::{ApplicationId, Millis, PolicyId};
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub const KEY: [u8; 32] = [7; 32];

/// A running engine; stopped when dropped.
pub struct Scene {
    pub engine: Engine,
    pub stopping: CancellationToken,
    pub journal: Journal,
}

impl Scene {
    /// Opens the journal in `folder` and runs an engine on it; `with` adds provisioners.
    pub async fn open(folder: &Path, with: impl FnOnce(&Engine, &mut Provisioners)) -> Self {
        let (journal, mut world) = Journal::open(&folder.join("journal.redb"), Keep::default()).unwrap();
        begin(&journal, &mut world).await;
        let stopping = CancellationToken::new();
        let (engine, waiting) = Engine::new(Parts {
            state: State {
                world,
                ..State::default()
            },
            journal: journal.clone(),
            identity: Arc::new(Identity::from_key(&KEY).unwrap()),
            clock: Clock::start(),
            lines: cartridge_orchestrator::lines::Lines::nowhere(),
            intervals: Intervals {
                sample_ms: 50,
                publish_ms: 50,
            },
            stopping: stopping.clone(),
        });
        let mut provisioners = Provisioners::default();
        with(&engine, &mut provisioners);
        let own = engine.clone();
        let place = LinkPlace {
            url: "https://127.0.0.1:1".to_owned(),
            ca: folder.join("ca.pem"),
        };
        tokio::spawn(async move { own.run(waiting, Arc::new(provisioners), place).await });
        Self {
            engine,
            stopping,
            journal,
        }
    }

    /// Adds an application `app` of `size` members in a network partition of `provider`, and deploys it.
    pub async fn deploy(&self, provider: &str, size: u32) {
        self.deploy_with(provider, (size, size), None).await;
    }

    /// The same, with a minimum and a maximum, and files from a repository.
    pub async fn deploy_with(&self, provider: &str, sizes: (u32, u32), repository: Option<&str>) {
        for order in orders(provider, sizes, repository) {
            self.engine.submit(order).await.unwrap();
        }
    }

    /// Waits until `holds`, at most 20 seconds.
    pub async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let wait = async {
            while !self.engine.read(|world, _, _| holds(world)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), wait).await.is_err() {
            let members = self.engine.read(|world, _, _| format!("{:#?}", world.members));
            panic!("never happened: {what}; members: {members}");
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn begin(journal: &Journal, world: &mut World) {
    let mut records = Vec::new();
    if world.seq == 0 {
        records.push(Record::InstallationCreated {
            installation: "test".to_owned(),
        });
    }
    records.push(Record::OrchestratorStarted {
        epoch: world.epoch + 1,
    });
    for record in records {
        let entry = Entry {
            seq: world.seq + 1,
            at_unix_ms: 0,
            record,
        };
        world.apply(&entry, Millis::ZERO).unwrap();
        journal.append(entry.seq - 1, vec![entry]).await.unwrap();
    }
}

/// How many members are Active.
pub fn active(world: &World) -> usize {
    world
        .members
        .values()
        .filter(|m| m.phase == MemberPhase::Active)
        .count()
}

fn orders(provider: &str, (least, most): (u32, u32), repository: Option<&str>) -> Vec<Order> {
    let network_partition = json!({
        "id": "np", "provider": provider, "properties": [{"name": "address", "value": "127.0.0.1"}],
        "partitions": [{"id": "p1"}],
    });
    let cartridge = json!({
        "type": "c", "category": "framework", "provider": "x", "host": "x.test", "displayName": "", "description": "",
        "version": "1", "multiTenant": false, "deployment": {},
        "portMapping": [{"name": "http", "protocol": "http", "port": 8080, "proxyPort": 0}],
        "iaasProvider": [{"type": provider, "imageId": "x", "property": []}],
    });
    let scaling = json!({"id": "s", "loadThresholds": {
        "requestsInFlight": {"threshold": 20}, "memoryConsumption": {"threshold": 90},
        "loadAverage": {"threshold": 900}}});
    let place = json!({"id": "w", "networkPartitions": [{"id": "np", "partitionAlgo": "one-after-another",
        "partitions": [{"id": "p1", "partitionMax": most}]}]});
    let policy = json!({"id": "p", "algorithm": "one-after-another", "networkPartitions": ["np"]});
    let blueprint = json!({"applicationId": "app", "alias": "app", "multiTenant": false, "components": {"cartridges": [{
        "type": "c", "cartridgeMin": least, "cartridgeMax": most, "subscribableInfo": {
            "alias": "web", "autoscalingPolicy": "s", "deploymentPolicy": "w",
            "artifactRepository": repository.map(|url| json!({"repoUrl": url}))}}]}});
    let application = parse::application(&blueprint).unwrap().0;
    vec![
        Order::PutNetworkPartition(
            Box::new(parse::network_partition(&network_partition).unwrap()),
            Mode::Add,
        ),
        Order::PutCartridge(Box::new(parse::cartridge(&cartridge).unwrap()), Mode::Add),
        Order::PutAutoscalingPolicy(Box::new(parse::autoscaling_policy(&scaling).unwrap()), Mode::Add),
        Order::PutDeploymentPolicy(Box::new(parse::deployment_policy(&place).unwrap()), Mode::Add),
        Order::PutApplicationPolicy(Box::new(parse::application_policy(&policy).unwrap()), Mode::Add),
        Order::PutApplication {
            blueprint: Box::new(application),
            sealed: [].into(),
            expected_revision: None,
            mode: Mode::Add,
        },
        Order::Deploy {
            application: ApplicationId::new("app").unwrap(),
            policy: PolicyId::new("p").unwrap(),
        },
    ]
}

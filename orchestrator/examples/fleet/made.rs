//! A world in which all members of many applications are active, and its journal.
//!
//! It refuses to know what is measured with it.

use std::path::Path;

use cartridge_orchestrator::journal::{Journal, Keep};
use cartridge_orchestrator_plan::blueprint::parse;
use cartridge_orchestrator_plan::decide::{Scope, View, decide};
use cartridge_orchestrator_plan::observe::Observations;
use cartridge_orchestrator_plan::order::{Mode, Order, admit};
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{ApplicationId, MemberId, Millis, PolicyId};
use serde_json::{Value, json};

use super::Fault;

pub const CLUSTERS_EACH: u32 = 10;
/// Most entries that are written together.
const TOGETHER: usize = 2_000;

/// A world in which all members are active, and its journal.
pub async fn fleet(folder: &Path, each: u32, applications: u32) -> Result<(World, Journal), Fault> {
    let keep = Keep {
        snapshot_every: u64::MAX,
        history: u64::MAX,
    };
    let (journal, world) = Journal::open(&folder.join("journal.redb"), keep)?;
    let mut made = Made {
        world,
        journal,
        waiting: Vec::new(),
    };
    made.push(Record::InstallationCreated {
        installation: "fleet".to_owned(),
    })
    .await?;
    made.push(Record::OrchestratorStarted { epoch: 1 }).await?;
    for order in documents(each, applications)? {
        for record in admit(&made.world, order)? {
            made.push(record).await?;
        }
    }
    let seen = Observations::default();
    loop {
        let view = View {
            world: &made.world,
            seen: &seen,
            now: Millis(1),
        };
        let records = decide(&view, Scope::All).records;
        if records.is_empty() {
            break;
        }
        for record in records {
            let planned = match &record {
                Record::MemberPlanned { member, .. } => Some(member.clone()),
                _ => None,
            };
            made.push(record).await?;
            if let Some(member) = planned {
                made.activate(member).await?;
            }
        }
    }
    made.write().await?;
    Ok((made.world, made.journal))
}

struct Made {
    world: World,
    journal: Journal,
    waiting: Vec<Entry>,
}

impl Made {
    async fn push(&mut self, record: Record) -> Result<(), Fault> {
        let entry = Entry {
            seq: self.world.seq + 1,
            at_unix_ms: 0,
            record,
        };
        self.world.apply(&entry, Millis(1))?;
        self.waiting.push(entry);
        if self.waiting.len() >= TOGETHER {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Fault> {
        let entries = std::mem::take(&mut self.waiting);
        if let Some(first) = entries.first() {
            self.journal.append(first.seq - 1, entries).await?;
        }
        Ok(())
    }

    async fn activate(&mut self, member: MemberId) -> Result<(), Fault> {
        let incarnation = 1;
        let ensured = Record::MemberEnsured {
            member: member.clone(),
            incarnation,
            instance: format!("none:{member}.1"),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            ports: [("http".to_owned(), 8080)].into(),
        };
        let joined = Record::MemberJoined {
            member: member.clone(),
            incarnation,
            credential_sha256: cartridge_orchestrator::identity::sha256_hex(member.as_str()),
        };
        self.push(ensured).await?;
        self.push(joined).await?;
        self.push(Record::MemberActivated { member, incarnation }).await
    }
}

fn documents(each: u32, applications: u32) -> Result<Vec<Order>, Fault> {
    let mode = Mode::Add;
    let mut orders = vec![
        Order::PutAutoscalingPolicy(
            Box::new(parse::autoscaling_policy(&json!({"id": "busy",
                "loadThresholds": {"loadAverage": 70, "memoryConsumption": 80}}))?),
            mode,
        ),
        Order::PutNetworkPartition(
            Box::new(parse::network_partition(
                &json!({"id": "np", "provider": "none", "partitions": [{"id": "p"}]}),
            )?),
            mode,
        ),
        Order::PutDeploymentPolicy(
            Box::new(parse::deployment_policy(
                &json!({"id": "places", "networkPartitions": [
                {"id": "np", "partitions": [{"id": "p", "partitionMax": each * 2}]}]}),
            )?),
            mode,
        ),
        Order::PutApplicationPolicy(
            Box::new(parse::application_policy(
                &json!({"id": "where", "algorithm": "all-at-once", "networkPartitions": ["np"]}),
            )?),
            mode,
        ),
        Order::PutCartridge(
            Box::new(parse::cartridge(
                &json!({"type": "php", "category": "framework", "provider": "own",
                "host": "example.org", "portMapping": [{"protocol": "http", "port": 8080}]}),
            )?),
            mode,
        ),
    ];
    for number in 0..applications {
        let id = format!("app{number}");
        let cartridges: Vec<Value> = (0..CLUSTERS_EACH)
            .map(|n| {
                json!({"type": "php", "cartridgeMin": each, "cartridgeMax": each * 2, "subscribableInfo":
                    {"alias": format!("web{n}"), "autoscalingPolicy": "busy", "deploymentPolicy": "places"}})
            })
            .collect();
        let document = json!({"applicationId": id, "alias": id, "components": {"cartridges": cartridges}});
        orders.push(Order::PutApplication {
            blueprint: Box::new(parse::application(&document)?.0),
            sealed: std::collections::BTreeMap::new(),
            expected_revision: None,
            mode,
        });
        orders.push(Order::Deploy {
            application: ApplicationId::new(id)?,
            policy: PolicyId::new("where")?,
        });
    }
    Ok(orders)
}

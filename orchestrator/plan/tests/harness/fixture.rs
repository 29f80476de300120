//! The resources that tests deploy.

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::blueprint::{
    Application, ApplicationPolicy, ArrivalPolicy, AutoscalingPolicy, Cartridge, CartridgeGroup,
    Dependencies, DeploymentNetworkPartition, DeploymentPartition, DeploymentPolicy, Group, NetworkPartition,
    NetworkPartitionAlgorithm, OnRelease, Partition, PartitionAlgorithm, PortMapping, Repository,
    Subscription, TerminationBehaviour,
};
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::tenancy::Tenant;
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{
    ApplicationId, CartridgeType, ClusterId, CommitId, GroupName, NetworkPartitionId, PartitionId, PolicyId,
    TenantDomain,
};

use super::tenants;

/// What differs between tests.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    pub min: u32,
    pub max: u32,
    /// Most members of a cluster per network partition.
    pub partition_max: u32,
    pub repository: bool,
    pub balanced: bool,
    pub everywhere: bool,
    pub network_partitions: usize,
    pub requests_in_flight: Option<f64>,
    /// Threshold, percent.
    pub load_average: Option<f64>,
    pub arrivals: Option<ArrivalPolicy>,
    pub stabilization_seconds: f64,
    /// Not one cartridge, but `db`, then the group `front` of `web` and the group `side` of `mem` in it.
    pub composite: Option<Composite>,
    /// Several tenants share it.
    #[serde(default)]
    pub shared: bool,
}

/// What differs between composite applications.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Composite {
    /// Of the application and of both groups.
    pub behaviour: TerminationBehaviour,
    /// Most instances of `front`, and of `side` in each.
    pub instances: u32,
    /// `web` and the instances of `side` grow by one factor; so do `db` and those of `front`.
    pub dependents: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            min: 2,
            max: 4,
            partition_max: 4,
            repository: false,
            balanced: true,
            everywhere: false,
            network_partitions: 2,
            requests_in_flight: Some(10.0),
            load_average: None,
            arrivals: None,
            stabilization_seconds: 20.0,
            composite: None,
            shared: false,
        }
    }
}

pub fn app() -> ApplicationId {
    ApplicationId::new("shop").unwrap()
}

pub fn cluster() -> ClusterId {
    ClusterId::new("shop.web.php.domain").unwrap()
}

pub fn np(number: usize) -> NetworkPartitionId {
    NetworkPartitionId::new(format!("np{number}")).unwrap()
}

pub fn policy(id: &str) -> PolicyId {
    PolicyId::new(id).unwrap()
}

pub fn commit(number: u64) -> CommitId {
    CommitId::new(format!("{number:040x}")).unwrap()
}

/// The records that people's orders become: all resources, then the deployment.
pub fn records(shape: &Shape) -> Vec<Record> {
    let mut records = vec![
        Record::InstallationCreated {
            installation: "test".into(),
        },
        Record::OrchestratorStarted { epoch: 1 },
        Record::CartridgePut(Box::new(cartridge(shape))),
        Record::CartridgePut(Box::new(Cartridge {
            cartridge_type: other_cartridge(),
            ..cartridge(shape)
        })),
        Record::AutoscalingPolicyPut(Box::new(AutoscalingPolicy {
            id: policy("scale"),
            requests_in_flight: shape.requests_in_flight,
            memory_consumption: None,
            load_average: shape.load_average,
            horizon_seconds: 0.0,
            stabilization_seconds: shape.stabilization_seconds,
            arrivals: shape.arrivals,
        })),
    ];
    if shape.shared {
        records.extend(tenants::records());
    }
    for definition in definitions() {
        records.push(Record::CartridgeGroupPut(Box::new(definition)));
    }
    for number in 1..=shape.network_partitions {
        records.push(Record::NetworkPartitionPut(Box::new(network_partition(number))));
    }
    records.push(Record::DeploymentPolicyPut(Box::new(deployment_policy(shape))));
    records.push(Record::ApplicationPolicyPut(Box::new(ApplicationPolicy {
        id: policy("where"),
        algorithm: if shape.everywhere {
            NetworkPartitionAlgorithm::AllAtOnce
        } else {
            NetworkPartitionAlgorithm::OneAfterAnother
        },
        groups: (1..=shape.network_partitions)
            .map(|number| vec![np(number)])
            .collect(),
        properties: BTreeMap::new(),
    })));
    records.push(Record::ApplicationPut(Box::new(application(shape))));
    records.push(Record::ApplicationDeployed {
        application: app(),
        policy: policy("where"),
    });
    records
}

/// Somebody whose name and users are nobody's matter here.
pub fn tenant(number: i64, domain: &str) -> Record {
    Record::TenantPut(Box::new(Tenant {
        tenant_id: TenantId::new(number).unwrap(),
        tenant_domain: TenantDomain::new(domain).unwrap(),
        admin: "eve".into(),
        first_name: String::new(),
        last_name: String::new(),
        email: String::new(),
        active: true,
        created_unix_ms: 0,
    }))
}

pub fn cartridge(shape: &Shape) -> Cartridge {
    Cartridge {
        cartridge_type: CartridgeType::new("php").unwrap(),
        category: "framework".into(),
        provider: "test".into(),
        host: "example.org".into(),
        display_name: "PHP".into(),
        description: String::new(),
        version: "1".into(),
        multi_tenant: false,
        port_mapping: vec![PortMapping {
            name: "http".into(),
            protocol: "http".into(),
            port: 80,
            proxy_port: if shape.balanced { 8080 } else { 0 },
        }],
        base_dir: None,
        iaas_provider: Vec::new(),
        process: None,
        health: None,
        on_release: OnRelease::Nothing,
        metadata_keys: Vec::new(),
        property: BTreeMap::from([("payload_parameter.COLOUR".into(), "blue".into())]),
    }
}

/// The type of a cartridge that is like the first one.
pub fn other_cartridge() -> CartridgeType {
    CartridgeType::new("java").unwrap()
}

/// Of the groups that applications here have.
fn definitions() -> [CartridgeGroup; 3] {
    let group = |name: &str, groups: Vec<CartridgeGroup>| CartridgeGroup {
        name: GroupName::new(name).unwrap(),
        cartridges: vec![CartridgeType::new("php").unwrap(), other_cartridge()],
        groups,
        dependencies: None,
    };
    let side = group("side", Vec::new());
    [
        group("front", vec![side.clone()]),
        side,
        group("more", Vec::new()),
    ]
}

fn network_partition(number: usize) -> NetworkPartition {
    let partition = |id: &str| Partition {
        id: PartitionId::new(id).unwrap(),
        description: String::new(),
        properties: BTreeMap::new(),
    };
    NetworkPartition {
        id: np(number),
        provider: "process".into(),
        partitions: vec![partition("a"), partition("b")],
        properties: BTreeMap::from([("address".into(), format!("127.0.0.{number}"))]),
    }
}

fn deployment_policy(shape: &Shape) -> DeploymentPolicy {
    let part = |id: &str, most: u32| DeploymentPartition {
        id: PartitionId::new(id).unwrap(),
        partition_max: most,
    };
    let half = shape.partition_max / 2;
    DeploymentPolicy {
        id: policy("places"),
        network_partitions: (1..=shape.network_partitions)
            .map(|number| DeploymentNetworkPartition {
                id: np(number),
                partition_algo: PartitionAlgorithm::RoundRobin,
                partitions: vec![part("a", shape.partition_max - half), part("b", half)],
            })
            .collect(),
    }
}

pub fn application(shape: &Shape) -> Application {
    let mut application = Application {
        tenant: TenantId::SUPER,
        application_id: app(),
        alias: "shop".into(),
        name: "Shop".into(),
        description: String::new(),
        multi_tenant: shape.shared,
        property: BTreeMap::new(),
        dependencies: None,
        groups: Vec::new(),
        cartridges: vec![subscription(shape, "web")],
    };
    if let Some(composite) = &shape.composite {
        let web = std::mem::replace(&mut application.cartridges, vec![subscription(shape, "db")]);
        application.dependencies = Some(dependencies(composite, ["cartridge.db", "group.front"]));
        application.groups = vec![group(
            composite,
            "front",
            web,
            vec![group(
                composite,
                "side",
                vec![subscription(shape, "mem")],
                Vec::new(),
            )],
        )];
        application.groups[0].dependencies = Some(dependencies(composite, ["cartridge.web", "group.side"]));
    }
    application
}

fn dependencies(composite: &Composite, chain: [&str; 2]) -> Dependencies {
    let chain: Vec<String> = chain.map(str::to_owned).to_vec();
    Dependencies {
        startup_orders: vec![chain.clone()],
        scaling_dependents: composite.dependents.then_some(chain).into_iter().collect(),
        termination_behaviour: composite.behaviour,
    }
}

fn group(composite: &Composite, alias: &str, cartridges: Vec<Subscription>, groups: Vec<Group>) -> Group {
    Group {
        name: GroupName::new(alias).unwrap(),
        alias: alias.into(),
        min_instances: 1,
        max_instances: composite.instances,
        deployment_policy: None,
        cartridges,
        groups,
        dependencies: Some(Dependencies {
            termination_behaviour: composite.behaviour,
            ..Dependencies::default()
        }),
    }
}

pub fn subscription(shape: &Shape, alias: &str) -> Subscription {
    Subscription {
        cartridge_type: CartridgeType::new("php").unwrap(),
        cartridge_min: shape.min,
        cartridge_max: shape.max,
        alias: alias.into(),
        autoscaling_policy: policy("scale"),
        deployment_policy: policy("places"),
        artifact_repository: (shape.repository && alias == "web").then(|| Repository {
            repo_url: "http://git.example/shop.git".into(),
            branch: "main".into(),
            repo_username: None,
            repo_password: None,
            poll_seconds: 3,
        }),
        property: BTreeMap::new(),
    }
}

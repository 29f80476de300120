//! What people describe: cartridges, policies, network partitions, applications. The Stratos 4.1 JSON schema is
//! the one schema (`docs/blueprint.md`), read leniently; these are the validated forms.
//!
//! This file refuses to know how the text arrived and where it is kept.

mod graph;
mod group;
mod kubernetes;
pub mod parse;

use std::collections::BTreeMap;
use std::net::IpAddr;

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, CartridgeType, NetworkPartitionId, PartitionId, PolicyId, Secret};
use serde::{Deserialize, Serialize};

pub use graph::{Dependencies, TerminationBehaviour};
pub use group::{
    CartridgeGroup, Group, Located, MAX_CARTRIDGES, MAX_GROUP_DEPTH, MAX_GROUP_INSTANCES, MAX_GROUPS,
};
pub use kubernetes::{KubernetesCluster, KubernetesHost, MAX_HOSTS, PortRange};

/// A packaged runtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cartridge {
    /// Unique id; the service name of Stratos.
    #[serde(rename = "type")]
    pub cartridge_type: CartridgeType,
    /// `framework`, `data`, `load-balancer`, …
    pub category: String,
    /// Who made it; free text.
    pub provider: String,
    /// Base domain of host names.
    pub host: String,
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// For people.
    pub version: String,
    /// Whether several tenants share its members.
    pub multi_tenant: bool,
    /// Ports, in the order given; names are unique.
    pub port_mapping: Vec<PortMapping>,
    /// `deployment.baseDir`.
    pub base_dir: Option<String>,
    /// How to start it, by provider type (`mock`, `process`, `docker`, …).
    pub iaas_provider: Vec<IaasProvider>,
    /// New: how to start it as a local process.
    pub process: Option<ProcessSpec>,
    /// New: when a member is ready. Absent: every port accepts connections.
    pub health: Option<HttpProbe>,
    /// New: what a new release does to the running application.
    pub on_release: OnRelease,
    /// Keys that this cartridge exports to others.
    pub metadata_keys: Vec<String>,
    /// Free properties; `payload_parameter.X` become launch parameters.
    pub property: BTreeMap<String, String>,
}

/// One port of a cartridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Unique in the cartridge; made up (`http-8080`) when absent.
    pub name: String,
    /// `http`, `https`, `tcp`.
    pub protocol: String,
    /// Where the application listens.
    pub port: u16,
    /// Where the balancer listens; 0 = not behind a balancer.
    pub proxy_port: u16,
}

/// Provider-specific settings of a cartridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IaasProvider {
    /// `mock`, `process`, `docker`, `kubernetes`, `ec2`, …
    #[serde(rename = "type")]
    pub provider_type: String,
    /// Image, in the provider's terms.
    pub image_id: String,
    /// Free properties.
    pub property: BTreeMap<String, String>,
}

/// How to run a cartridge as a local process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSpec {
    /// Program and arguments. Empty: hooks start the application.
    pub command: Vec<String>,
    /// Extra environment.
    pub environment: BTreeMap<String, String>,
    /// Folder with lifecycle hooks.
    pub hooks: Option<String>,
}

/// An HTTP health probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// Name of a port mapping.
    pub port: String,
    /// Path, beginning with `/`.
    pub path: String,
}

/// What a new release does to the running application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRelease {
    /// The application reads its files anew by itself (or the hook tells it).
    #[default]
    Nothing,
    /// The agent restarts it.
    Restart,
}

/// Thresholds, and how eagerly to follow them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingPolicy {
    /// Unique id.
    pub id: PolicyId,
    /// Requests in flight per member; None = not a factor (0 in Stratos).
    pub requests_in_flight: Option<f64>,
    /// Memory consumption, percent; None = not a factor.
    pub memory_consumption: Option<f64>,
    /// Load average, percent of the cores; None = not a factor.
    pub load_average: Option<f64>,
    /// New: how far ahead to predict, seconds (`horizonSeconds`, default 15; 0 = only now).
    pub horizon_seconds: f64,
    /// New: the highest requirement of so many seconds decides about shrinking (`stabilizationSeconds`, default 120).
    pub stabilization_seconds: f64,
    /// New: sizes by what arrives, too. None: only thresholds count, as in Stratos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<ArrivalPolicy>,
}

/// Sizing by arrivals: enough members that requests hardly ever wait longer than promised ([`crate::forecast`]).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArrivalPolicy {
    /// Requests that one member serves at a time.
    pub workers: u32,
    /// The mean wait that is promised, seconds (`waitSeconds`, default 0.1).
    pub wait_seconds: f64,
    /// Mean time in service; None: learned from what the balancers report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_seconds: Option<f64>,
    /// What one second of a broken promise is worth, in seconds of a cluster of mean size (`violationPrice`).
    pub violation_price: f64,
}

/// Which partitions a cluster may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentPolicy {
    /// Unique id.
    pub id: PolicyId,
    /// In the order given.
    pub network_partitions: Vec<DeploymentNetworkPartition>,
}

/// The partitions of one network partition that a deployment policy uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentNetworkPartition {
    /// Which network partition.
    pub id: NetworkPartitionId,
    /// How members are spread.
    pub partition_algo: PartitionAlgorithm,
    /// In the order given.
    pub partitions: Vec<DeploymentPartition>,
}

/// One partition and its maximum for one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentPartition {
    /// Which partition.
    pub id: PartitionId,
    /// Most members of one cluster there.
    pub partition_max: u32,
}

/// How members are spread over partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionAlgorithm {
    /// Fill the first, then the next; empty the last first.
    OneAfterAnother,
    /// The emptiest with room; the fullest shrinks first.
    RoundRobin,
}

/// Which network partitions an application may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationPolicy {
    /// Unique id.
    pub id: PolicyId,
    /// Bursting, or everywhere from the start.
    pub algorithm: NetworkPartitionAlgorithm,
    /// Groups of network partitions, in the order of bursting; without `networkPartitionGroups` each is its own group.
    pub groups: Vec<Vec<NetworkPartitionId>>,
    /// Free properties.
    pub properties: BTreeMap<String, String>,
}

/// Bursting, or everywhere from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkPartitionAlgorithm {
    /// The first group; the next when that is full (bursting).
    OneAfterAnother,
    /// Every network partition from the start.
    AllAtOnce,
}

/// Partitions sharing one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPartition {
    /// Unique id.
    pub id: NetworkPartitionId,
    /// `process`, `mock`, … : which provisioner.
    pub provider: String,
    /// In the order given; ids are unique within this network partition.
    pub partitions: Vec<Partition>,
    /// Free properties; `address` (process: where members and balancers listen, default 127.0.0.1).
    pub properties: BTreeMap<String, String>,
}

/// A place where members are started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    /// Unique within its network partition.
    pub id: PartitionId,
    /// For people.
    pub description: String,
    /// Free properties; `capacity`: most application members of all clusters together (balancers do not count).
    pub properties: BTreeMap<String, String>,
}

impl Partition {
    /// Most application members here, all clusters together; None = no limit.
    pub fn capacity(&self) -> Option<u32> {
        self.properties.get("capacity").and_then(|text| text.parse().ok())
    }
}

impl NetworkPartition {
    /// Where members and balancers of local provisioners listen.
    pub fn address(&self) -> IpAddr {
        self.properties
            .get("address")
            .and_then(|text| text.parse().ok())
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
    }
}

/// A blueprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Unique id.
    pub application_id: ApplicationId,
    /// Whose it is: the tenant that added it. No field of documents; the order says it.
    #[serde(default, skip_serializing_if = "is_supers")]
    pub tenant: TenantId,
    /// For host names.
    pub alias: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether tenants sign up.
    pub multi_tenant: bool,
    /// Free properties.
    pub property: BTreeMap<String, String>,
    /// The cartridges at the top level.
    pub cartridges: Vec<Subscription>,
    /// The groups at the top level.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// What starts after what, and what ends with what, at the top level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_supers(tenant: &TenantId) -> bool {
    tenant.is_super()
}

/// One cartridge in an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Which cartridge.
    #[serde(rename = "type")]
    pub cartridge_type: CartridgeType,
    /// Fewest members per network partition in use.
    pub cartridge_min: u32,
    /// Most members per network partition in use.
    pub cartridge_max: u32,
    /// Unique in the application.
    pub alias: String,
    /// Must exist.
    pub autoscaling_policy: PolicyId,
    /// Must exist.
    pub deployment_policy: PolicyId,
    /// Where its files come from.
    pub artifact_repository: Option<Repository>,
    /// Free properties.
    pub property: BTreeMap<String, String>,
}

/// A Git repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// `http://`, `https://`, `file://` (development).
    pub repo_url: String,
    /// New: which branch (`branch`, default `main`; `master` where the repository is older: the agent's error says so).
    pub branch: String,
    /// User name; None = no authentication.
    pub repo_username: Option<String>,
    /// Password or token. Records keep it sealed, see [`crate::record::Record::RepositorySecretSealed`]; API answers never
    /// carry it, because it is skipped here.
    #[serde(skip)]
    pub repo_password: Option<Secret>,
    /// New: time between looks at the branch, seconds (`pollSeconds`, default 15).
    pub poll_seconds: u64,
}

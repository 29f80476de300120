//! All facts, folded from the journal: what exists, what was ordered, what was decided.
//!
//! Deterministic: the same entries give the same world. It refuses to know measurements (those live in
//! [`crate::observe`]) and clocks: `since` fields hold the caller's monotonic time at which the record was applied,
//! and the time of the start for what was replayed, so that after a restart every wait gets one full period (S8).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{
    ApplicationId, CartridgeType, ClusterId, CommitId, DomainName, GroupName, KubernetesClusterId, MemberId,
    Millis, NetworkPartitionId, PartitionId, PolicyId,
};
use serde::{Deserialize, Serialize};

use crate::blueprint::{
    Application, ApplicationPolicy, AutoscalingPolicy, Cartridge, CartridgeGroup, DeploymentPolicy,
    KubernetesCluster, NetworkPartition, Repository,
};
use crate::tenancy::{DomainMapping, SignUp, Tenant};

mod domains;
mod fits;
mod fold;
mod fold_clusters;
mod fold_groups;
mod fold_members;
mod fold_releases;
mod groups;
mod members;
mod narrowed;
mod ports;
mod read;
mod shared;
mod sign_ups;
mod tenancy;
mod updates;
mod values;

pub use fits::member_of;
pub use fold::Inapplicable;
pub use fold_clusters::{BALANCER_CARTRIDGE, balancer_cluster};
pub use groups::{GroupInstance, GroupInstances, Standing};
pub use members::Members;
pub use ports::Ports;
pub use shared::{Finger, Shared};
pub use updates::Leaving;
pub use values::ApplicationValues;

/// All facts. `Serialize` makes it a snapshot. A copy shares what it does not change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// The last entry applied; 0 = none.
    pub seq: u64,
    /// The label of everything we start.
    pub installation: String,
    /// Of the orchestrator that writes.
    pub epoch: u64,
    /// Automation is paused: by whom and why (S32).
    pub paused: Option<Paused>,
    /// By type.
    pub cartridges: Shared<CartridgeType, Cartridge>,
    /// By name.
    #[serde(default)]
    pub cartridge_groups: Shared<GroupName, CartridgeGroup>,
    /// By id.
    pub autoscaling_policies: Shared<PolicyId, AutoscalingPolicy>,
    /// By id.
    pub deployment_policies: Shared<PolicyId, DeploymentPolicy>,
    /// By id.
    pub application_policies: Shared<PolicyId, ApplicationPolicy>,
    /// By id.
    pub network_partitions: Shared<NetworkPartitionId, NetworkPartition>,
    /// By id.
    #[serde(default)]
    pub kubernetes_clusters: Shared<KubernetesClusterId, KubernetesCluster>,
    /// By id.
    pub applications: Shared<ApplicationId, ApplicationState>,
    /// Clusters of deployed applications, balancer clusters included.
    pub clusters: Shared<ClusterId, Cluster>,
    /// Members from planned to removed.
    pub members: Members,
    /// Sealed repository passwords by application, then by alias.
    pub sealed: Shared<ApplicationId, BTreeMap<String, String>>,
    /// What cartridges share, by application.
    #[serde(default)]
    pub values: Shared<ApplicationId, ApplicationValues>,
    /// Who has applications here, by number. The super tenant is not among them: it always is.
    #[serde(default)]
    pub tenants: Shared<TenantId, Tenant>,
    /// The last entry that changed one of them.
    #[serde(default)]
    pub tenants_changed: u64,
    /// Who signed up for an application, by application, then by tenant.
    #[serde(default)]
    pub sign_ups: Shared<ApplicationId, BTreeMap<TenantId, SignUp>>,
    /// Domains that lead into an application, by application, then by name; no name stands in two.
    #[serde(default)]
    pub domains: Shared<ApplicationId, BTreeMap<DomainName, DomainMapping>>,
    /// Whose the names of removed applications are: what is told of those applications stays theirs.
    #[serde(default)]
    pub former: Shared<ApplicationId, TenantId>,
    /// The number of the next member of clusters that no longer exist: ids are not reused after deploying again.
    #[serde(default)]
    pub retired: Shared<ClusterId, u64>,
    /// Members that are gone, the newest [`MAX_DEPARTED`], by the entry that removed them: who still speaks for one of
    /// them is told that it is over.
    #[serde(default)]
    pub departed: Shared<u64, Departed>,
}

/// A member that is gone and had joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// Which.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// SHA-256 of its credential.
    pub credential_sha256: String,
}

/// Automation is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Who ordered it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A blueprint and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplicationState {
    /// What was described.
    pub blueprint: Application,
    /// Where it stands.
    pub status: ApplicationStatus,
    /// The entry that changed the blueprint last; the revision for conflicting edits.
    pub revision: u64,
    /// Instances of its groups.
    #[serde(default)]
    pub groups: GroupInstances,
    /// The entry that deployed it last; 0: none, or before that was kept.
    #[serde(default)]
    pub deployed: u64,
}

impl ApplicationState {
    /// Which deployment this is; None: it is not deployed.
    pub fn deployment(&self) -> Option<u64> {
        (self.status != ApplicationStatus::Created).then_some(self.deployed)
    }
}

/// Where an application definition stands (stratos-contract §2.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ApplicationStatus {
    /// Known, not running.
    Created,
    /// Ordered to run.
    Deployed {
        /// Under which application policy.
        policy: PolicyId,
    },
    /// Ordered to stop.
    Undeploying {
        /// Without draining.
        force: bool,
    },
}

/// All members of one cartridge alias in one application, or the balancers of one network partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Which.
    pub id: ClusterId,
    /// Of which application.
    pub application: ApplicationId,
    /// Unique in the application.
    pub alias: String,
    /// The alias of the group that it is in; None: it is at the top level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What it runs.
    pub cartridge: CartridgeType,
    /// Application members or balancers.
    pub role: Role,
    /// Thresholds; None for balancers.
    pub autoscaling_policy: Option<PolicyId>,
    /// Where members may go; None for balancers.
    pub deployment_policy: Option<PolicyId>,
    /// Fewest members per network partition in use.
    pub min: u32,
    /// Most members per network partition in use.
    pub max: u32,
    /// Host names that lead to it.
    pub hosts: Vec<String>,
    /// Where its files come from.
    pub repository: Option<Repository>,
    /// The number of the next member: ids are never reused.
    pub next_member: u64,
    /// Its parts in the network partitions in use.
    pub instances: BTreeMap<NetworkPartitionId, ClusterInstance>,
    /// An order fixed its size.
    pub ordered_size: Option<u32>,
    /// Which commit its members have and should have.
    pub release: ReleaseState,
    /// Raised by each web hook.
    pub looks: u64,
    /// The tenants whose files its members keep beside their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<TenantId, TenantRelease>,
    /// Its members, planned to not yet removed.
    pub members: BTreeSet<MemberId>,
    /// When serving members were taken out to go, newest last, at most [`MAX_DRAINS`]: what the budget of S7 counts.
    #[serde(default)]
    pub drains: VecDeque<Millis>,
    /// The last entry that changed it or one of its members: the revision of topologies.
    #[serde(default)]
    pub revision: u64,
    /// The last entry that changed what all its members are told.
    #[serde(default)]
    pub told: u64,
    /// Its application does not name it any more: it is being emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
    /// The last entry that changed what members are started with; those planned before it are replaced. 0: none did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub renewed: u64,
}

/// Most drains remembered per cluster.
pub const MAX_DRAINS: usize = 64;
/// Most changes remembered per member.
pub const MAX_CHANGES: usize = 20;
/// Most members remembered that are gone.
pub const MAX_DEPARTED: usize = 1_000;
/// Most rejected and most passed commits remembered per cluster.
pub const MAX_COMMITS: usize = 64;

/// What a cluster is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "role")]
pub enum Role {
    /// Serves the application.
    Application,
    /// Stands in front of the application's clusters in one network partition.
    Balancer {
        /// Which.
        network_partition: NetworkPartitionId,
    },
}

/// A cluster in one network partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInstance {
    /// How many members should be there.
    pub desired: u32,
    /// Since when.
    pub since: Millis,
    /// Being emptied ([`crate::record::Record::BurstEnding`]), since when.
    pub ending: Option<Millis>,
    /// Members in a row that never became active here, or not for long: the next attempts wait longer.
    #[serde(default)]
    pub failures: u32,
    /// When the last of them failed.
    #[serde(default)]
    pub failed: Millis,
    /// How its parts stand, by the instance of the cluster's group (0: it is in none); who is missing waits to start.
    /// Kept for composite applications only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<u32, Standing>,
}

/// Which commit a cluster has and should have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseState {
    /// Every member had it when it was accepted; new members start with it (until `proposed` was accepted).
    pub accepted: Option<CommitId>,
    /// What was accepted before, if it was another: where an ordered roll-back goes.
    #[serde(default)]
    pub previous: Option<CommitId>,
    /// Being brought to the members.
    pub proposed: Option<CommitId>,
    /// Never again by itself; newest last, at most [`MAX_COMMITS`].
    pub rejected: Vec<Rejected>,
    /// Once proposed or accepted, replaced since; newest last, at most [`MAX_COMMITS`]. A member that looks at the
    /// branch late reports them as its head; only when all members agree is it one.
    #[serde(default)]
    pub passed: Vec<CommitId>,
    /// The head of the branch is not followed.
    pub pinned: bool,
}

/// Which commit of a tenant's repository the members of a cluster should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRelease {
    /// The entry from which on its members know of the repository: what they said before is of another.
    pub since: u64,
    /// Raised by each web hook.
    pub looks: u64,
    /// What was ordered is accepted at once: each member sees for itself whether it can serve it.
    pub release: ReleaseState,
}

/// A commit that a member refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Which.
    pub commit: CommitId,
    /// Why, for people.
    pub reason: String,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which.
    pub id: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Where.
    pub network_partition: NetworkPartitionId,
    /// Where.
    pub partition: PartitionId,
    /// For which instance of its cluster's group; 0: the cluster is in none.
    #[serde(default)]
    pub group_instance: u32,
    /// Where it stands in its life.
    pub phase: MemberPhase,
    /// Since when it stands there.
    pub since: Millis,
    /// When it was ready for the first time.
    #[serde(default)]
    pub activated: Option<Millis>,
    /// When its phase or release followed what it said of itself, newest last, at most [`MAX_CHANGES`].
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub changes: VecDeque<Millis>,
    /// What the provisioner made of it.
    pub instance: Option<Instance>,
    /// SHA-256 of its credential, once it joined.
    pub credential_sha256: Option<String>,
    /// The commit it was told to have (None: the cluster's accepted one, or the proposed where none was accepted).
    pub ordered_commit: Option<CommitId>,
    /// The commit it has.
    pub release: Option<CommitId>,
    /// The entry that changed it last: the revision of what its agent is told.
    pub revision: u64,
    /// The entry that planned it; 0: planned before this was kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub planned: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(entry: &u64) -> bool {
    *entry == 0
}

/// What a provisioner made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The provisioner's name for it.
    pub name: String,
    /// Where it listens.
    pub address: IpAddr,
    /// Port by port-mapping name.
    pub ports: Ports,
}

/// Where a member stands, as the orchestrator has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum MemberPhase {
    /// Decided; the provisioner is asked until it succeeds or the attempts are used up.
    Planned {
        /// Failed attempts so far.
        attempts: u32,
    },
    /// The provisioner made it; its agent has not spoken yet.
    Ensured,
    /// Its agent joined; not ready yet.
    Starting,
    /// Ready: an endpoint of its cluster.
    Active,
    /// Was ready, is not: no endpoint.
    Suspended {
        /// Why, for people.
        reason: String,
    },
    /// Out of the balancers (or `live`) to switch releases.
    Updating {
        /// To which commit.
        commit: CommitId,
        /// Stays an endpoint meanwhile.
        live: bool,
        /// The balancers let go of it: it is told to switch.
        cleared: bool,
    },
    /// No new requests; finishing what it has.
    Draining {
        /// Why, for people.
        reason: String,
    },
    /// Told to stop.
    Stopping,
    /// Ended (in order or not): the provisioner is told to remove it.
    Ended {
        /// Why, if it was not in order.
        failure: Option<String>,
    },
}

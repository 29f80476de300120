//! Facts in the past tense. The journal of them is at once state, audit log, timeline and source of metering.
//!
//! A record carries everything that applying it needs; a reader that does not know a record must stop, not skip.
//! This file refuses to know how records are kept.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{
    ApplicationId, CartridgeType, ClusterId, CommitId, DomainName, GroupName, KubernetesClusterId, MemberId,
    NetworkPartitionId, PartitionId, PolicyId, ValueKey,
};
use serde::{Deserialize, Serialize};

use crate::blueprint::{
    Application, ApplicationPolicy, AutoscalingPolicy, Cartridge, CartridgeGroup, DeploymentPolicy,
    KubernetesCluster, NetworkPartition,
};
use crate::tenancy::{DomainMapping, Tenant, TenantRepository};
use crate::world::Standing;

/// A record in its place in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position, from 1, without gaps.
    pub seq: u64,
    /// Wall clock when it was written, milliseconds since 1970, for people only: no decision reads it (S24).
    pub at_unix_ms: u64,
    /// The fact.
    pub record: Record,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "kind")]
pub enum Record {
    /// The first record of every journal.
    InstallationCreated {
        /// Random name that every instance we start carries as a label.
        installation: String,
    },
    /// An orchestrator took over; the epoch fences its predecessors.
    OrchestratorStarted {
        /// Counts up with every start.
        epoch: u64,
    },
    /// Automation was paused by an order (S32).
    AutomationPaused {
        /// Who ordered it.
        by: String,
        /// Why.
        reason: String,
    },
    /// Automation was resumed by an order.
    AutomationResumed {
        /// Who ordered it.
        by: String,
    },

    /// A cartridge was added or replaced.
    CartridgePut(Box<Cartridge>),
    /// A cartridge was removed.
    CartridgeRemoved {
        /// Which.
        cartridge_type: CartridgeType,
    },
    /// A definition of a group was added or replaced.
    CartridgeGroupPut(Box<CartridgeGroup>),
    /// A definition of a group was removed.
    CartridgeGroupRemoved {
        /// Which.
        name: GroupName,
    },
    /// A policy was added or replaced.
    AutoscalingPolicyPut(Box<AutoscalingPolicy>),
    /// A policy was removed.
    AutoscalingPolicyRemoved {
        /// Which.
        id: PolicyId,
    },
    /// A policy was added or replaced.
    DeploymentPolicyPut(Box<DeploymentPolicy>),
    /// A policy was removed.
    DeploymentPolicyRemoved {
        /// Which.
        id: PolicyId,
    },
    /// A policy was added or replaced.
    ApplicationPolicyPut(Box<ApplicationPolicy>),
    /// A policy was removed.
    ApplicationPolicyRemoved {
        /// Which.
        id: PolicyId,
    },
    /// A network partition was added or replaced.
    NetworkPartitionPut(Box<NetworkPartition>),
    /// A network partition was removed.
    NetworkPartitionRemoved {
        /// Which.
        id: NetworkPartitionId,
    },
    /// A Kubernetes cluster was added or replaced, or one of its machines was.
    KubernetesClusterPut(Box<KubernetesCluster>),
    /// A Kubernetes cluster was removed.
    KubernetesClusterRemoved {
        /// Which.
        id: KubernetesClusterId,
    },
    /// A tenant was added or changed.
    TenantPut(Box<Tenant>),
    /// The users of a tenant may come in again.
    TenantActivated {
        /// Which.
        tenant: TenantId,
    },
    /// The users of a tenant are refused; what runs of it runs on.
    TenantDeactivated {
        /// Which.
        tenant: TenantId,
    },
    /// A blueprint was added or replaced.
    ApplicationPut(Box<Application>),
    /// The password of a repository, sealed with the installation's key (AES-256-GCM, base64); empty = none.
    RepositorySecretSealed {
        /// Which application.
        application: ApplicationId,
        /// Which cartridge in it.
        alias: String,
        /// Nonce and ciphertext, base64.
        sealed: String,
    },
    /// A blueprint was removed.
    ApplicationRemoved {
        /// Which.
        application: ApplicationId,
    },
    /// An application was ordered to run: its clusters exist from here on.
    ApplicationDeployed {
        /// Which.
        application: ApplicationId,
        /// Under which application policy.
        policy: PolicyId,
    },
    /// An application was ordered to stop.
    ApplicationUndeploying {
        /// Which.
        application: ApplicationId,
        /// Without draining.
        force: bool,
    },
    /// The last member of an undeploying application is gone: its clusters no longer exist.
    ApplicationUndeployed {
        /// Which.
        application: ApplicationId,
    },

    /// A tenant signed up for an application that several tenants share.
    SignUpAdded {
        /// For which application.
        application: ApplicationId,
        /// Who.
        tenant: TenantId,
        /// Its repositories, by the alias of the cartridge; passwords are sealed.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        repositories: BTreeMap<String, TenantRepository>,
    },
    /// A tenant's sign-up is gone, and its files with it.
    SignUpRemoved {
        /// For which application.
        application: ApplicationId,
        /// Whose.
        tenant: TenantId,
    },

    /// A domain leads to a cartridge of the application.
    DomainMapped {
        /// Into which application.
        application: ApplicationId,
        /// Which domain; no other application has it.
        domain: DomainName,
        /// Whose, and where to.
        #[serde(flatten)]
        mapping: DomainMapping,
    },
    /// A domain does not lead there any more.
    DomainUnmapped {
        /// Into which application it led.
        application: ApplicationId,
        /// Which.
        domain: DomainName,
    },

    /// A cartridge, or a person, shared values with the application.
    ValuesShared {
        /// Which application.
        application: ApplicationId,
        /// Which of its clusters; None: the application as a whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alias: Option<String>,
        /// Under which key.
        key: ValueKey,
        /// What. May be secret: told to nobody but the application and administrators.
        values: Vec<String>,
        /// Added to those that were there; otherwise they were replaced.
        added: bool,
    },
    /// Values are shared no more.
    ValuesWithdrawn {
        /// Of which application.
        application: ApplicationId,
        /// Of which of its clusters; None: of the application as a whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alias: Option<String>,
        /// Under which key; None: under all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<ValueKey>,
        /// Which one; None: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
    },

    /// A network partition came into use for an application (at deploy or as a burst).
    BurstStarted {
        /// Which application.
        application: ApplicationId,
        /// Where to.
        network_partition: NetworkPartitionId,
        /// Why, for people.
        reason: String,
    },
    /// A network partition is being emptied: no new clients are sent there, then its balancer stops, then its members.
    BurstEnding {
        /// Which application.
        application: ApplicationId,
        /// Where.
        network_partition: NetworkPartitionId,
        /// Why, for people.
        reason: String,
    },
    /// Nothing is left there.
    BurstEnded {
        /// Which application.
        application: ApplicationId,
        /// Where.
        network_partition: NetworkPartitionId,
    },
    /// One more instance of a group is to stand.
    GroupInstanceStarted {
        /// Of which application.
        application: ApplicationId,
        /// Where.
        network_partition: NetworkPartitionId,
        /// Which group, by its alias.
        group: String,
        /// Its number, from 1, unique for the group in the application.
        instance: u32,
        /// The instance of the group around it; 0: it stands at the top level.
        parent: u32,
        /// Why, for people.
        reason: String,
    },
    /// An instance of a group is being emptied, with all that is in it.
    GroupInstanceEnding {
        /// Of which application.
        application: ApplicationId,
        /// Where.
        network_partition: NetworkPartitionId,
        /// Which group, by its alias.
        group: String,
        /// Which instance.
        instance: u32,
        /// Why, for people.
        reason: String,
    },
    /// Nothing is left of it.
    GroupInstanceEnded {
        /// Of which application.
        application: ApplicationId,
        /// Where.
        network_partition: NetworkPartitionId,
        /// Which group, by its alias.
        group: String,
        /// Which instance.
        instance: u32,
    },
    /// A part of a composite application stands otherwise than before: the members of one cluster in one instance of
    /// its group.
    PartChanged {
        /// Which cluster.
        cluster: ClusterId,
        /// Where.
        network_partition: NetworkPartitionId,
        /// The instance of the group that the cluster is in; 0: it is in none.
        group_instance: u32,
        /// How it stands now.
        to: Standing,
        /// Why, for people.
        reason: String,
    },
    /// How many members a cluster should have in one network partition.
    ClusterResized {
        /// Which cluster.
        cluster: ClusterId,
        /// Where.
        network_partition: NetworkPartitionId,
        /// Before.
        from: u32,
        /// After.
        to: u32,
        /// Who or what: `load-average`, `memory-consumption`, `requests-in-flight`, `minimum`, `order`, …
        factor: String,
        /// Why, for people: figures, forecast, threshold.
        reason: String,
    },
    /// An order fixed the size of a cluster (`cartridge scale`); None = the scaler decides again.
    ClusterSizeOrdered {
        /// Which cluster.
        cluster: ClusterId,
        /// Members in all network partitions together.
        size: Option<u32>,
        /// Who ordered it.
        by: String,
    },

    /// What the members of a cluster are started with changed: those planned before make way for new ones, in order.
    ClusterRenewed {
        /// Which cluster.
        cluster: ClusterId,
        /// What changed, for people.
        reason: String,
    },
    /// Nothing is left of a cluster that its application does not name any more.
    ClusterRetired {
        /// Which cluster.
        cluster: ClusterId,
    },

    /// A member shall exist. Its id was chosen here; everything after is idempotent under it.
    MemberPlanned {
        /// Which; never reused.
        member: MemberId,
        /// Which of its lives, from 1.
        incarnation: u64,
        /// Of which cluster.
        cluster: ClusterId,
        /// Where.
        network_partition: NetworkPartitionId,
        /// Where.
        partition: PartitionId,
        /// For which instance of the group that its cluster is in; 0: it is in none.
        #[serde(default, skip_serializing_if = "is_none")]
        group_instance: u32,
        /// Why, for people.
        reason: String,
    },
    /// The provisioner says that it exists.
    MemberEnsured {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// The provisioner's name for it.
        instance: String,
        /// Where it listens.
        address: IpAddr,
        /// Port by port-mapping name.
        ports: BTreeMap<String, u16>,
    },
    /// The provisioner could not start it.
    MemberEnsureFailed {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// How often now.
        attempt: u32,
        /// Why, for people.
        reason: String,
    },
    /// Its agent presented the join token; the token is spent.
    MemberJoined {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// SHA-256 of the credential that the agent made, hexadecimal.
        credential_sha256: String,
    },
    /// It answers its probe and may receive requests.
    MemberActivated {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
    },
    /// It answered before and does not now; it receives no requests.
    MemberSuspended {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// Why, for people.
        reason: String,
    },
    /// It was taken out of its balancers to switch releases.
    MemberUpdating {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// To which commit.
        commit: CommitId,
        /// Whether it stays in its balancers meanwhile, being the only endpoint (S13).
        live: bool,
    },
    /// Every balancer took it out and nothing is in flight: it may switch now.
    MemberCleared {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
    },
    /// Its current release changed (also by rolling back).
    MemberSwitched {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// To which commit.
        commit: CommitId,
    },
    /// It is to go: it receives no new requests from here on.
    MemberDraining {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// Why, for people.
        reason: String,
    },
    /// Every balancer took it out and nothing is in flight (or the limit passed): it may stop now.
    MemberStopping {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// Why now, for people.
        reason: String,
    },
    /// Its agent said that it ended in order.
    MemberStopped {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
    },
    /// It is lost: its instance ended, it fell silent, never became active, or gave up.
    MemberFailed {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
        /// Why, for people.
        reason: String,
        /// How long ago it was ready for the first time; None: never, or before this orchestrator began to listen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        active_ms: Option<cartridge_protocol::Millis>,
    },
    /// The provisioner says that nothing of it is left. Its credential is void.
    MemberRemoved {
        /// Which.
        member: MemberId,
        /// Which life.
        incarnation: u64,
    },

    /// The web hook asked to look at a repository now.
    RepositoryAnnounced {
        /// Which cluster.
        cluster: ClusterId,
        /// Whose; None: the cluster's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantId>,
    },
    /// A commit is to be brought to every member of a cluster.
    ReleaseProposed {
        /// Which cluster.
        cluster: ClusterId,
        /// Which commit.
        commit: CommitId,
        /// The head of the branch, or who ordered it.
        by: String,
        /// Ordered: the head of the branch is not followed until released again.
        pinned: bool,
    },
    /// Every member has it.
    ReleaseAccepted {
        /// Which cluster.
        cluster: ClusterId,
        /// Which commit.
        commit: CommitId,
    },
    /// A member refused it: no other gets it, those that have it go back.
    ReleaseRejected {
        /// Which cluster.
        cluster: ClusterId,
        /// Which commit.
        commit: CommitId,
        /// Why, for people.
        reason: String,
    },
    /// The branch of a tenant's repository has a new head: every member of the cluster is told to have it.
    TenantReleaseOrdered {
        /// Which cluster.
        cluster: ClusterId,
        /// Whose files.
        tenant: TenantId,
        /// Which commit.
        commit: CommitId,
    },
    /// A member refused a tenant's commit: those that have it go back to the one before.
    TenantReleaseRejected {
        /// Which cluster.
        cluster: ClusterId,
        /// Whose files.
        tenant: TenantId,
        /// Which commit.
        commit: CommitId,
        /// Why, for people.
        reason: String,
    },
    /// Follow the head of the branch again.
    ReleaseUnpinned {
        /// Which cluster.
        cluster: ClusterId,
        /// Who ordered it.
        by: String,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_none(instance: &u32) -> bool {
    *instance == 0
}

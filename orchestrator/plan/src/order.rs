//! What people order, and which records an order becomes. A refused order changes nothing: [`admit`] is pure.
//!
//! This file refuses to know who may order what (the API's table does) and how the text arrived.

mod application;
mod belongs;
mod definitions;
mod deploy;
mod domains;
mod kubernetes;
mod outlook;
mod put;
mod remove;
mod sign_ups;
mod steer;
mod tenants;
mod update;
mod values;

use std::collections::BTreeMap;

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{
    ApplicationId, CartridgeType, ClusterId, CommitId, DomainName, GroupName, KubernetesClusterId, MemberId,
    NetworkPartitionId, PolicyId, TenantDomain, ValueKey,
};

use crate::blueprint::{
    Application, ApplicationPolicy, AutoscalingPolicy, Cartridge, CartridgeGroup, DeploymentPolicy,
    KubernetesCluster, NetworkPartition,
};
use crate::record::Record;
use crate::tenancy::{MappedDomain, TenantDocument, TenantRepository};
use crate::world::World;

pub use kubernetes::HostChange;
pub use outlook::outlook;
pub use put::mark;
pub use values::Whose;

/// Whether a resource may, must or must not exist before it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must not (POST).
    Add,
    /// It must (PUT).
    Replace,
    /// Either (`cartridge apply`).
    Either,
    /// It must, and be exactly what was read: this is its [`mark`].
    IfStill(u64),
}

/// One order.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Add or replace a cartridge.
    PutCartridge(Box<Cartridge>, Mode),
    /// Add or replace the definition of a group.
    PutCartridgeGroup(Box<CartridgeGroup>, Mode),
    /// Add or replace an autoscaling policy.
    PutAutoscalingPolicy(Box<AutoscalingPolicy>, Mode),
    /// Add or replace a deployment policy.
    PutDeploymentPolicy(Box<DeploymentPolicy>, Mode),
    /// Add or replace an application policy.
    PutApplicationPolicy(Box<ApplicationPolicy>, Mode),
    /// Add or replace a network partition.
    PutNetworkPartition(Box<NetworkPartition>, Mode),
    /// Add or replace a Kubernetes cluster.
    PutKubernetesCluster(Box<KubernetesCluster>, Mode),
    /// Change the machines of a Kubernetes cluster.
    ChangeKubernetesHost(Box<HostChange>),
    /// Add or change a tenant; what is not named stays.
    PutTenant {
        /// What is said of it.
        document: TenantDocument,
        /// Wall clock, for people.
        at_unix_ms: u64,
        /// May, must or must not exist.
        mode: Mode,
    },
    /// Let the users of a tenant in (true), or keep them out.
    ActivateTenant(TenantDomain, bool),
    /// Add or replace a blueprint.
    PutApplication {
        /// The blueprint.
        blueprint: Box<Application>,
        /// Sealed repository passwords by alias. Empty text: none. Alias absent: keep the one there is, as long as
        /// the repository's URL and user stay the same.
        sealed: BTreeMap<String, String>,
        /// Refuse if the blueprint's revision is another.
        expected_revision: Option<u64>,
        /// May, must or must not exist.
        mode: Mode,
    },
    /// Remove a cartridge that no application uses.
    RemoveCartridge(CartridgeType),
    /// Remove the definition of a group that no application uses.
    RemoveCartridgeGroup(GroupName),
    /// Remove an autoscaling policy that no application uses.
    RemoveAutoscalingPolicy(PolicyId),
    /// Remove a deployment policy that no application uses.
    RemoveDeploymentPolicy(PolicyId),
    /// Remove an application policy under which nothing is deployed.
    RemoveApplicationPolicy(PolicyId),
    /// Remove a network partition that no policy names.
    RemoveNetworkPartition(NetworkPartitionId),
    /// Remove a Kubernetes cluster that no network partition names.
    RemoveKubernetesCluster(KubernetesClusterId),
    /// Remove a blueprint that is not deployed.
    RemoveApplication(ApplicationId),
    /// Run an application.
    Deploy {
        /// Which.
        application: ApplicationId,
        /// Under which application policy.
        policy: PolicyId,
    },
    /// Stop an application.
    Undeploy {
        /// Which.
        application: ApplicationId,
        /// Without draining.
        force: bool,
    },
    /// Sign a tenant up for an application that several tenants share.
    SignUp {
        /// For which.
        application: ApplicationId,
        /// Whom.
        tenant: TenantId,
        /// Its repositories, by the alias of the cartridge.
        repositories: BTreeMap<String, TenantRepository>,
    },
    /// End a sign-up: the tenant's files go.
    RemoveSignUp {
        /// For which.
        application: ApplicationId,
        /// Whose.
        tenant: TenantId,
    },
    /// Have domains lead into an application for which their tenant signed up; all of them or none.
    MapDomains {
        /// Into which.
        application: ApplicationId,
        /// Whose they are.
        tenant: TenantId,
        /// Which, and where to.
        domains: Vec<MappedDomain>,
    },
    /// Have one lead there no more.
    UnmapDomain {
        /// Into which application it leads.
        application: ApplicationId,
        /// Who says so: its tenant, or the super tenant for it.
        tenant: TenantId,
        /// Which.
        domain: DomainName,
    },
    /// Fix the size of a cluster, or let the scaler decide again.
    Scale {
        /// Which.
        cluster: ClusterId,
        /// Members in all network partitions together; None: the scaler decides.
        size: Option<u32>,
        /// Who orders it.
        by: String,
    },
    /// Bring this commit to every member, and stop following the branch. A commit that was rejected before may be
    /// ordered again.
    ProposeRelease {
        /// Which cluster.
        cluster: ClusterId,
        /// Which commit.
        commit: CommitId,
        /// Who orders it.
        by: String,
    },
    /// Go back to the commit before.
    Rollback {
        /// Which cluster.
        cluster: ClusterId,
        /// Who orders it.
        by: String,
    },
    /// Follow the head of the branch again.
    Unpin {
        /// Which cluster.
        cluster: ClusterId,
        /// Who orders it.
        by: String,
    },
    /// Take one member out in order; it is replaced where the size asks for it.
    Drain {
        /// Which.
        member: MemberId,
        /// Who orders it.
        by: String,
    },
    /// Look at a repository now.
    Announce {
        /// Its URL.
        repo_url: String,
    },
    /// Share values: add those that are not there yet, or replace what is there.
    ShareValues {
        /// As whose.
        whose: Whose,
        /// Under which key.
        key: ValueKey,
        /// What.
        values: Vec<String>,
        /// Add them.
        add: bool,
    },
    /// Share one value, those of a key, or all no more.
    WithdrawValues {
        /// Whose.
        whose: Whose,
        /// Of which key; None: of all.
        key: Option<ValueKey>,
        /// Which; None: all.
        value: Option<String>,
    },
    /// Stop all automation.
    Pause {
        /// Who orders it.
        by: String,
        /// Why.
        reason: String,
    },
    /// Let automation work again.
    Resume {
        /// Who orders it.
        by: String,
    },
}

/// Which kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The order itself is wrong (400).
    Invalid,
    /// What it names does not exist (404).
    NotFound,
    /// It does not fit the present state (409).
    Conflict,
    /// Something else needs it (400).
    InUse,
    /// It is not for this tenant to order (403).
    Forbidden,
}

/// Why an order is not carried out; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Which kind.
    pub code: Code,
    /// The field of the order or of its document, where there is one.
    pub field: Option<String>,
    /// One line naming field and value, for people.
    pub message: String,
}

/// The records that the order becomes, or why it is refused. No records: the world is so already.
pub fn admit(world: &World, order: Order) -> Result<Vec<Record>, Refusal> {
    admit_as(world, TenantId::SUPER, order)
}

/// The same for somebody of this tenant: what belongs to others is refused as if it did not exist.
pub fn admit_as(world: &World, tenant: TenantId, order: Order) -> Result<Vec<Record>, Refusal> {
    belongs::check(world, tenant, &order)?;
    match order {
        Order::PutCartridge(cartridge, mode) => put::cartridge(world, cartridge, mode),
        Order::PutCartridgeGroup(group, mode) => definitions::put(world, group, mode),
        Order::PutAutoscalingPolicy(policy, mode) => put::autoscaling_policy(world, policy, mode),
        Order::PutDeploymentPolicy(policy, mode) => put::deployment_policy(world, policy, mode),
        Order::PutApplicationPolicy(policy, mode) => put::application_policy(world, policy, mode),
        Order::PutNetworkPartition(partition, mode) => put::network_partition(world, partition, mode),
        Order::PutKubernetesCluster(cluster, mode) => kubernetes::put(world, cluster, mode),
        Order::ChangeKubernetesHost(change) => kubernetes::change(world, *change),
        Order::PutApplication {
            blueprint,
            sealed,
            expected_revision,
            mode,
        } => application::put(world, tenant, *blueprint, &sealed, expected_revision, mode),
        Order::PutTenant {
            document,
            at_unix_ms,
            mode,
        } => tenants::put(world, document, at_unix_ms, mode),
        Order::ActivateTenant(domain, active) => tenants::activate(world, &domain, active),
        Order::RemoveCartridge(id) => remove::cartridge(world, id),
        Order::RemoveCartridgeGroup(name) => definitions::remove(world, name),
        Order::RemoveAutoscalingPolicy(id) => remove::autoscaling_policy(world, id),
        Order::RemoveDeploymentPolicy(id) => remove::deployment_policy(world, id),
        Order::RemoveApplicationPolicy(id) => remove::application_policy(world, id),
        Order::RemoveNetworkPartition(id) => remove::network_partition(world, id),
        Order::RemoveKubernetesCluster(id) => kubernetes::remove(world, id),
        Order::RemoveApplication(id) => remove::application(world, id),
        Order::Deploy { application, policy } => deploy::deploy(world, application, policy),
        Order::Undeploy { application, force } => deploy::undeploy(world, application, force),
        Order::SignUp {
            application,
            tenant,
            repositories,
        } => sign_ups::add(world, application, tenant, repositories),
        Order::RemoveSignUp { application, tenant } => sign_ups::remove(world, application, tenant),
        Order::MapDomains {
            application,
            tenant,
            domains,
        } => domains::map(world, &application, tenant, domains),
        Order::UnmapDomain {
            application,
            tenant,
            domain,
        } => domains::unmap(world, application, tenant, domain),
        Order::Scale { cluster, size, by } => steer::scale(world, cluster, size, &by),
        Order::ProposeRelease { cluster, commit, by } => steer::propose(world, cluster, commit, &by),
        Order::Rollback { cluster, by } => steer::roll_back(world, cluster, &by),
        Order::Unpin { cluster, by } => steer::unpin(world, cluster, &by),
        Order::Drain { member, by } => steer::drain(world, member, &by),
        Order::Announce { repo_url } => steer::announce(world, tenant, &repo_url),
        Order::ShareValues {
            whose,
            key,
            values,
            add,
        } => values::share(world, &whose, key, values, add),
        Order::WithdrawValues { whose, key, value } => values::withdraw(world, &whose, key, value),
        Order::Pause { by, reason } => steer::pause(world, &by, &reason),
        Order::Resume { by } => steer::resume(world, &by),
    }
}

impl Refusal {
    fn new(code: Code, field: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            field: (!field.is_empty()).then(|| field.to_owned()),
            message: message.into(),
        }
    }

    /// Several faults of one kind in one line; the field is the first one's. None: there is no fault.
    fn of(code: Code, faults: Vec<(String, String)>) -> Result<(), Self> {
        let Some((field, _)) = faults.first() else {
            return Ok(());
        };
        let lines: Vec<String> = faults
            .iter()
            .map(|(field, message)| format!("{field}: {message}"))
            .collect();
        Err(Self::new(code, field, lines.join("; ")))
    }
}

#[cfg(test)]
mod tests;

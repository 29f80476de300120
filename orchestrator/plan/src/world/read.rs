//! Questions about the world that several deciders ask.
//!
//! This file refuses to change anything.

use cartridge_protocol::{ApplicationId, ClusterId, CommitId, NetworkPartitionId};

use super::{ApplicationState, ApplicationStatus, Cluster, Member, MemberPhase, Role, World};
use crate::blueprint::{ApplicationPolicy, PortMapping};

impl Cluster {
    /// About how many members share the looks at its repository: a power of two, so that it rarely changes.
    pub fn sharing(&self) -> u32 {
        let wanted = self.instances.values().map(|instance| instance.desired);
        let all = wanted.fold(0, u32::saturating_add);
        1 << all.max(1).ilog2()
    }
}

impl MemberPhase {
    /// Was ready once, and is not told to go.
    pub const fn serves(&self) -> bool {
        matches!(
            self,
            Self::Active | Self::Suspended { .. } | Self::Updating { .. }
        )
    }

    /// On its way to be ready for the first time.
    pub const fn is_coming(&self) -> bool {
        matches!(self, Self::Planned { .. } | Self::Ensured | Self::Starting)
    }

    /// Told to go, or gone.
    pub const fn is_leaving(&self) -> bool {
        matches!(self, Self::Draining { .. } | Self::Stopping | Self::Ended { .. })
    }
}

impl Member {
    /// An agent may join before its provisioner answers: the answer is wanted all the same.
    pub const fn lacks_instance(&self) -> bool {
        matches!(self.phase, MemberPhase::Planned { .. } | MemberPhase::Starting) && self.instance.is_none()
    }
}

impl World {
    /// The members of a cluster, in the order of their ids.
    pub fn members_of<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a Member> + 'a {
        // Ids of members begin with that of their cluster: they stand side by side.
        let from = cluster.members.first().map(|first| self.members.iter_from(first));
        from.into_iter()
            .flatten()
            .map(|(_, member)| (member, member.cluster == cluster.id))
            .take_while(|(member, own)| *own || member.id.as_str().starts_with(cluster.id.as_str()))
            .filter_map(|(member, own)| own.then_some(member))
    }

    /// The members of a cluster in one network partition.
    pub fn members_in<'a>(
        &'a self,
        cluster: &'a Cluster,
        np: &'a NetworkPartitionId,
    ) -> impl Iterator<Item = &'a Member> + 'a {
        self.members_of(cluster)
            .filter(move |member| member.network_partition == *np)
    }

    /// The clusters of an application, balancers included.
    pub fn clusters_of<'a>(
        &'a self,
        application: &'a ApplicationId,
    ) -> impl Iterator<Item = &'a Cluster> + 'a {
        // Their ids begin with that of the application: they stand side by side.
        self.clusters
            .iter_from(application.as_str())
            .map(|(_, cluster)| cluster)
            .map(move |cluster| (cluster, cluster.application == *application))
            .take_while(|(cluster, own)| *own || cluster.id.as_str().starts_with(application.as_str()))
            .filter_map(|(cluster, own)| own.then_some(cluster))
    }

    /// The balancer cluster of an application in a network partition.
    pub fn balancer(&self, application: &ApplicationId, np: &NetworkPartitionId) -> Option<&Cluster> {
        self.clusters.get(&super::balancer_cluster(application, np)?)
    }

    /// None: not in use; Some(true): being emptied.
    pub fn standing(&self, application: &ApplicationId, np: &NetworkPartitionId) -> Option<bool> {
        self.clusters_of(application)
            .find_map(|cluster| cluster.instances.get(np))
            .map(|instance| instance.ending.is_some())
    }

    /// Whether the deployment policy of a cluster names the network partition.
    pub fn may_use(&self, cluster: &Cluster, np: &NetworkPartitionId) -> bool {
        let policy = cluster.deployment_policy.as_ref();
        policy
            .and_then(|id| self.deployment_policies.get(id))
            .is_some_and(|policy| policy.network_partitions.iter().any(|allowed| allowed.id == *np))
    }

    /// The ports of a cluster that a balancer stands in front of.
    pub fn balanced_ports<'a>(&'a self, cluster: &Cluster) -> impl Iterator<Item = &'a PortMapping> + 'a {
        let cartridge = self.cartridges.get(&cluster.cartridge);
        let application = cluster.role == Role::Application;
        cartridge
            .into_iter()
            .flat_map(|cartridge| &cartridge.port_mapping)
            .filter(move |mapping| application && mapping.proxy_port > 0)
    }

    pub(crate) fn is_balanced(&self, cluster: &ClusterId) -> bool {
        self.clusters
            .get(cluster)
            .is_some_and(|cluster| self.balanced_ports(cluster).next().is_some())
    }

    /// The policy under which an application runs; None: it is not deployed.
    pub fn policy_of(&self, state: &ApplicationState) -> Option<&ApplicationPolicy> {
        match &state.status {
            ApplicationStatus::Deployed { policy } => self.application_policies.get(policy),
            _ => None,
        }
    }

    /// Whether the application was ordered to stop.
    pub fn is_undeploying(&self, application: &ApplicationId) -> bool {
        self.applications
            .get(application)
            .is_some_and(|state| matches!(state.status, ApplicationStatus::Undeploying { .. }))
    }

    /// Whether a balancer of the network partition may send requests: from its joining, when it gets its first
    /// topology, until nothing is left of it.
    pub(crate) fn balancer_lives(&self, application: &ApplicationId, np: &NetworkPartitionId) -> bool {
        let may_send = |member: &Member| member.credential_sha256.is_some();
        self.balancer(application, np)
            .is_some_and(|cluster| self.members_of(cluster).any(may_send))
    }

    /// The commit that a member is told to have.
    pub fn told_commit<'a>(&'a self, member: &'a Member) -> Option<&'a CommitId> {
        let release = &self.clusters.get(&member.cluster)?.release;
        let common = release.accepted.as_ref().or(release.proposed.as_ref());
        let own = member.ordered_commit.as_ref().or(member.release.as_ref());
        match &member.phase {
            MemberPhase::Updating {
                commit,
                cleared: true,
                ..
            } => Some(commit),
            MemberPhase::Planned { .. } | MemberPhase::Ensured | MemberPhase::Starting => common,
            _ => own.or(common),
        }
    }
}

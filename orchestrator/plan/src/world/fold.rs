//! Applies entries to the world. An entry that contradicts what is known is refused, and nothing changes: the
//! journal and the world have parted, which only a person can mend.
//!
//! This file refuses to know why a record was written.

use cartridge_protocol::Millis;

use super::{ApplicationState, ApplicationStatus, ClusterInstance, Paused, World};
use crate::record::{Entry, Record};

/// An entry that contradicts the world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal entry {seq} does not fit the world: {problem}")]
pub struct Inapplicable {
    /// Which entry.
    pub seq: u64,
    /// What contradicts what.
    pub problem: String,
}

impl World {
    /// Applies the entry that follows [`World::seq`]; `now` becomes the `since` of what changes.
    pub fn apply(&mut self, entry: &Entry, now: Millis) -> Result<(), Inapplicable> {
        let refused = |problem: String| Inapplicable {
            seq: entry.seq,
            problem,
        };
        if entry.seq != self.seq + 1 {
            return Err(refused(format!("entry {} was expected", self.seq + 1)));
        }
        self.fits(&entry.record).map_err(refused)?;
        self.seq = entry.seq;
        self.change(&entry.record, now);
        Ok(())
    }

    /// Makes every wait begin now: for a world that was read from a snapshot, so that it equals one that was
    /// replayed now.
    pub fn resume_at(&mut self, now: Millis) {
        let resume = |cluster: &mut super::Cluster| {
            cluster.drains.iter_mut().for_each(|at| *at = now);
            for instance in cluster.instances.values_mut() {
                instance.since = now;
                instance.ending = instance.ending.map(|_| now);
                if instance.failures > 0 {
                    instance.failed = now;
                }
            }
        };
        self.clusters.change(|_| true, resume);
        self.members.resume_at(now);
    }

    /// `record` fits.
    fn change(&mut self, record: &Record, now: Millis) {
        match record {
            Record::InstallationCreated { installation } => self.installation.clone_from(installation),
            Record::OrchestratorStarted { epoch } => {
                planted!(PauseForgotten => self.paused = None);
                self.epoch = *epoch;
            }
            Record::AutomationPaused { by, reason } => {
                self.paused = Some(Paused {
                    by: by.clone(),
                    reason: reason.clone(),
                });
            }
            Record::AutomationResumed { .. } => self.paused = None,
            Record::BurstStarted { .. }
            | Record::BurstEnding { .. }
            | Record::BurstEnded { .. }
            | Record::ClusterResized { .. }
            | Record::ClusterSizeOrdered { .. }
            | Record::RepositoryAnnounced { .. } => self.change_cluster(record, now),
            Record::ClusterRenewed { cluster, .. } => self.renew(cluster),
            Record::ClusterRetired { cluster } => {
                self.forget_values_of(cluster);
                self.retire(cluster, now);
            }
            Record::GroupInstanceStarted { .. }
            | Record::GroupInstanceEnding { .. }
            | Record::GroupInstanceEnded { .. }
            | Record::PartChanged { .. } => self.change_group(record),
            Record::ReleaseProposed { .. }
            | Record::ReleaseAccepted { .. }
            | Record::ReleaseRejected { .. }
            | Record::ReleaseUnpinned { .. } => self.change_release(record),
            Record::TenantPut(_) | Record::TenantActivated { .. } | Record::TenantDeactivated { .. } => {
                self.change_tenant(record);
            }
            Record::TenantReleaseOrdered { .. } | Record::TenantReleaseRejected { .. } => {
                self.change_tenant_release(record);
            }
            Record::SignUpAdded { .. } | Record::SignUpRemoved { .. } => self.change_sign_up(record),
            Record::DomainMapped { .. } | Record::DomainUnmapped { .. } => self.change_domain(record),
            Record::ApplicationPut(_)
            | Record::RepositorySecretSealed { .. }
            | Record::ApplicationRemoved { .. }
            | Record::ApplicationDeployed { .. }
            | Record::ApplicationUndeploying { .. }
            | Record::ApplicationUndeployed { .. } => self.change_application(record, now),
            Record::ValuesShared { .. } | Record::ValuesWithdrawn { .. } => self.change_values(record),
            other => match super::member_of(other) {
                Some((member, _)) => self.change_member(other, member, now),
                None => self.change_resource(other, now),
            },
        }
    }

    fn change_resource(&mut self, record: &Record, now: Millis) {
        let revision = self.seq;
        match record {
            Record::CartridgePut(cartridge) => {
                self.touch(|cluster| cluster.cartridge == cartridge.cartridge_type, revision);
                self.rename_ports(cartridge);
                self.cartridges
                    .insert(cartridge.cartridge_type.clone(), (**cartridge).clone());
                self.follow_cartridge(&cartridge.cartridge_type, now);
            }
            Record::CartridgeRemoved { cartridge_type } => {
                self.cartridges.remove(cartridge_type);
            }
            Record::CartridgeGroupPut(group) => {
                self.cartridge_groups
                    .insert(group.name.clone(), (**group).clone());
            }
            Record::CartridgeGroupRemoved { name } => {
                self.cartridge_groups.remove(name);
            }
            Record::AutoscalingPolicyPut(policy) => {
                self.autoscaling_policies
                    .insert(policy.id.clone(), (**policy).clone());
            }
            Record::AutoscalingPolicyRemoved { id } => {
                self.autoscaling_policies.remove(id);
            }
            Record::DeploymentPolicyPut(policy) => {
                self.deployment_policies
                    .insert(policy.id.clone(), (**policy).clone());
            }
            Record::DeploymentPolicyRemoved { id } => {
                self.deployment_policies.remove(id);
            }
            Record::ApplicationPolicyPut(policy) => {
                self.application_policies
                    .insert(policy.id.clone(), (**policy).clone());
            }
            Record::ApplicationPolicyRemoved { id } => {
                self.application_policies.remove(id);
            }
            Record::NetworkPartitionPut(partition) => {
                self.touch(|cluster| cluster.instances.contains_key(&partition.id), revision);
                self.network_partitions
                    .insert(partition.id.clone(), (**partition).clone());
            }
            Record::NetworkPartitionRemoved { id } => {
                self.network_partitions.remove(id);
            }
            Record::KubernetesClusterPut(cluster) => {
                self.kubernetes_clusters
                    .insert(cluster.cluster_id.clone(), (**cluster).clone());
            }
            Record::KubernetesClusterRemoved { id } => {
                self.kubernetes_clusters.remove(id);
            }
            other => unreachable!("no resource record: {other:?}"),
        }
    }

    pub(super) fn touch(&mut self, which: impl Fn(&super::Cluster) -> bool, revision: u64) {
        self.clusters.change(which, |cluster| {
            cluster.revision = revision;
            cluster.told = revision;
        });
    }

    fn change_application(&mut self, record: &Record, now: Millis) {
        let revision = self.seq;
        match record {
            Record::ApplicationPut(blueprint) => {
                let mut blueprint = (**blueprint).clone();
                blueprint.each_subscription(|subscription| {
                    if let Some(repository) = &mut subscription.artifact_repository {
                        repository.repo_password = None;
                    }
                });
                let id = blueprint.application_id.clone();
                let before = self.applications.remove(&id);
                let groups = before.as_ref().map(|before| before.groups.clone());
                let status = before.as_ref().map(|before| before.status.clone());
                let deployed = before.as_ref().map_or(0, |before| before.deployed);
                let state = ApplicationState {
                    blueprint,
                    status: status.unwrap_or(ApplicationStatus::Created),
                    revision,
                    groups: groups.unwrap_or_default(),
                    deployed,
                };
                let runs = state.status != ApplicationStatus::Created;
                self.former.remove(&id);
                self.applications.insert(id.clone(), state);
                if let Some(before) = before.filter(|_| runs) {
                    self.describe_clusters(&id);
                    self.follow_blueprint(&id, &before.blueprint, now);
                }
            }
            Record::RepositorySecretSealed {
                application,
                alias,
                sealed,
            } => self.seal(application, alias, sealed),
            Record::ApplicationRemoved { application } => self.forget_application(application),
            Record::ApplicationDeployed { application, policy } => {
                let status = ApplicationStatus::Deployed {
                    policy: policy.clone(),
                };
                self.set_status(application, status);
                if let Some(state) = self.applications.get_mut(application) {
                    state.deployed = revision;
                }
                self.describe_clusters(application);
            }
            Record::ApplicationUndeploying { application, force } => {
                self.set_status(application, ApplicationStatus::Undeploying { force: *force });
                self.touch(|cluster| cluster.application == *application, revision);
            }
            Record::ApplicationUndeployed { application } => {
                self.set_status(application, ApplicationStatus::Created);
                let gone = |cluster: &super::Cluster| cluster.application == *application;
                for cluster in self.clusters.values().filter(|cluster| gone(cluster)) {
                    self.retired.insert(cluster.id.clone(), cluster.next_member);
                }
                self.clusters.retain(|_, cluster| !gone(cluster));
                self.values.remove(application);
                if let Some(state) = self.applications.get_mut(application) {
                    state.groups.clear();
                }
            }
            other => unreachable!("no application record: {other:?}"),
        }
    }

    fn forget_application(&mut self, application: &cartridge_protocol::ApplicationId) {
        if let Some(state) = self.applications.remove(application) {
            self.former.insert(application.clone(), state.blueprint.tenant);
        }
        self.sealed.remove(application);
        self.values.remove(application);
        self.sign_ups.remove(application);
        self.domains.remove(application);
    }

    fn seal(&mut self, application: &cartridge_protocol::ApplicationId, alias: &str, sealed: &str) {
        let revision = self.seq;
        let of_application = self
            .sealed
            .get_or_insert_with(application.clone(), Default::default);
        if sealed.is_empty() {
            of_application.remove(alias);
        } else {
            of_application.insert(alias.to_owned(), sealed.to_owned());
        }
        if of_application.is_empty() {
            self.sealed.remove(application);
        }
        self.touch(
            |cluster| cluster.application == *application && cluster.alias == alias,
            revision,
        );
    }

    fn set_status(&mut self, application: &cartridge_protocol::ApplicationId, status: ApplicationStatus) {
        if let Some(state) = self.applications.get_mut(application) {
            state.status = status;
        }
    }

    fn change_cluster(&mut self, record: &Record, now: Millis) {
        let revision = self.seq;
        match record {
            Record::BurstStarted {
                application,
                network_partition,
                ..
            } => self.start_burst(application, network_partition, now),
            Record::BurstEnding {
                application,
                network_partition,
                ..
            } => {
                let here = |c: &super::Cluster| {
                    c.application == *application && c.instances.contains_key(network_partition)
                };
                self.clusters.change(here, |cluster| {
                    if let Some(instance) = cluster.instances.get_mut(network_partition) {
                        instance.ending = Some(now);
                    }
                    cluster.revision = revision;
                });
            }
            Record::BurstEnded {
                application,
                network_partition,
            } => {
                let here = |c: &super::Cluster| {
                    c.application == *application && c.instances.contains_key(network_partition)
                };
                self.clusters.change(here, |cluster| {
                    cluster.instances.remove(network_partition);
                    cluster.revision = revision;
                });
                self.forget_groups_in(application, network_partition);
            }
            Record::ClusterResized {
                cluster,
                network_partition,
                to,
                ..
            } => {
                if let Some(cluster) = self.clusters.get_mut(cluster) {
                    let sharing = cluster.sharing();
                    let instance = cluster
                        .instances
                        .entry(network_partition.clone())
                        .or_insert_with(|| ClusterInstance::new(now));
                    instance.desired = *to;
                    instance.since = now;
                    // Whether a cluster is stopped is in the topology.
                    cluster.revision = revision;
                    let has_files = cluster.repository.is_some() || !cluster.tenants.is_empty();
                    if has_files && cluster.sharing() != sharing {
                        cluster.told = revision;
                    }
                }
            }
            Record::ClusterSizeOrdered { cluster, size, .. } => {
                if let Some(cluster) = self.clusters.get_mut(cluster) {
                    cluster.ordered_size = *size;
                }
            }
            Record::RepositoryAnnounced { cluster, tenant } => self.announce(cluster, *tenant),
            other => unreachable!("no cluster record: {other:?}"),
        }
    }
}

impl ClusterInstance {
    /// Nobody wanted there yet.
    pub(super) const fn new(now: Millis) -> Self {
        Self {
            desired: 0,
            since: now,
            ending: None,
            failures: 0,
            failed: Millis::ZERO,
            parts: std::collections::BTreeMap::new(),
        }
    }
}

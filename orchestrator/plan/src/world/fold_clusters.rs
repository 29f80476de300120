//! How clusters follow from a blueprint, and balancer clusters from the network partitions in use.
//!
//! This file refuses to know how many members they get.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cartridge_protocol::{ApplicationId, CartridgeType, ClusterId, Millis, NetworkPartitionId};

use super::{Cluster, ClusterInstance, ReleaseState, Role, World};
use crate::blueprint::{Repository, Subscription};

/// The built-in cartridge that balancers run.
pub const BALANCER_CARTRIDGE: &str = "cartridge-balancer";

/// The id of the balancers of an application in one network partition; None: the names are too long together.
pub fn balancer_cluster(
    application: &ApplicationId,
    network_partition: &NetworkPartitionId,
) -> Option<ClusterId> {
    ClusterId::new(format!(
        "{application}.lb-{network_partition}.{BALANCER_CARTRIDGE}.domain"
    ))
    .ok()
}

impl World {
    /// Creates the clusters of a running application, and brings those there are in line with the blueprint.
    pub(super) fn describe_clusters(&mut self, application: &ApplicationId) {
        let revision = self.seq;
        let Some(state) = self.applications.get(application) else {
            return;
        };
        for located in state.blueprint.located() {
            let subscription = located.subscription;
            let Ok(id) = ClusterId::of(application, &subscription.alias, &subscription.cartridge_type) else {
                continue; // admission refuses such names
            };
            let next = self.retired.remove(&id).map_or(1, |next| *next);
            let cluster = self.clusters.get_or_insert_with(id.clone(), || {
                blank(
                    id,
                    application,
                    &subscription.alias,
                    &subscription.cartridge_type,
                    next,
                )
            });
            let host = self
                .cartridges
                .get(&subscription.cartridge_type)
                .map(|c| c.host.as_str());
            let name = HostName {
                application,
                multi_tenant: state.blueprint.multi_tenant,
                host,
            };
            describe(cluster, subscription, &name);
            cluster.leaving = None;
            cluster.group = located.groups.last().map(|group| group.alias.clone());
            cluster.revision = revision;
            cluster.told = revision;
        }
        self.describe_tenants(application);
    }

    /// A network partition comes into use, or what is to be there changes: every cluster that may go there gets an
    /// instance, and a balancer stands in front if there is anything to balance.
    pub(super) fn start_burst(&mut self, application: &ApplicationId, np: &NetworkPartitionId, now: Millis) {
        let revision = self.seq;
        let allowed = self.clusters_allowed(application, np);
        let mut balanced = false;
        for id in &allowed {
            balanced |= self.is_balanced(id);
            if let Some(cluster) = self.clusters.get_mut(id) {
                cluster
                    .instances
                    .entry(np.clone())
                    .or_insert_with(|| ClusterInstance::new(now));
                cluster.revision = revision;
            }
        }
        balanced |= self.leaving_is_balanced(application);
        let Some(id) = balancer_cluster(application, np) else {
            return;
        };
        if !balanced {
            self.dismiss_balancer(&id);
            return;
        }
        let cartridge = CartridgeType::new(BALANCER_CARTRIDGE).expect("a constant that is an identifier");
        let next = self.retired.remove(&id).map_or(1, |next| *next);
        let cluster = self.clusters.get_or_insert_with(id.clone(), || {
            blank(id, application, &format!("lb-{np}"), &cartridge, next)
        });
        cluster.role = Role::Balancer {
            network_partition: np.clone(),
        };
        cluster.leaving = None;
        let instance = cluster
            .instances
            .entry(np.clone())
            .or_insert_with(|| ClusterInstance::new(now));
        instance.desired = 1;
        cluster.revision = revision;
    }

    fn clusters_allowed(&self, application: &ApplicationId, np: &NetworkPartitionId) -> Vec<ClusterId> {
        let allowed = |cluster: &&Cluster| {
            cluster.application == *application
                && cluster.role == Role::Application
                && cluster.leaving.is_none()
                && self.may_use(cluster, np)
        };
        self.clusters
            .values()
            .filter(allowed)
            .map(|cluster| cluster.id.clone())
            .collect()
    }
}

struct HostName<'a> {
    application: &'a ApplicationId,
    multi_tenant: bool,
    host: Option<&'a str>,
}

fn describe(cluster: &mut Cluster, subscription: &Subscription, name: &HostName<'_>) {
    cluster.autoscaling_policy = Some(subscription.autoscaling_policy.clone());
    cluster.deployment_policy = Some(subscription.deployment_policy.clone());
    cluster.min = subscription.cartridge_min;
    cluster.max = subscription.cartridge_max;
    let url = |repository: &Option<Repository>| repository.as_ref().map(|one| one.repo_url.clone());
    if url(&cluster.repository) != url(&subscription.artifact_repository) {
        // Another repository has other commits: new members would ask it in vain for these.
        cluster.release.accepted = None;
        cluster.release.previous = None;
    }
    cluster.repository.clone_from(&subscription.artifact_repository);
    let host = name.host.filter(|host| !host.is_empty());
    cluster.hosts = match (host, name.multi_tenant) {
        (None, _) => Vec::new(),
        (Some(host), true) => vec![format!("{}.{host}", name.application)],
        (Some(host), false) => vec![format!("{}.{}.{host}", name.application, subscription.alias)],
    };
}

fn blank(
    id: ClusterId,
    application: &ApplicationId,
    alias: &str,
    cartridge: &CartridgeType,
    next: u64,
) -> Cluster {
    Cluster {
        id,
        application: application.clone(),
        alias: alias.to_owned(),
        group: None,
        cartridge: cartridge.clone(),
        role: Role::Application,
        autoscaling_policy: None,
        deployment_policy: None,
        min: 1,
        max: 1,
        hosts: Vec::new(),
        repository: None,
        next_member: next,
        instances: BTreeMap::new(),
        ordered_size: None,
        release: ReleaseState::default(),
        looks: 0,
        tenants: BTreeMap::new(),
        members: BTreeSet::new(),
        drains: VecDeque::new(),
        revision: 0,
        told: 0,
        leaving: None,
        renewed: 0,
    }
}

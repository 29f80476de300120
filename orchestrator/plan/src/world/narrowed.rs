//! The world as one tenant may see it: its own applications with all that belongs to them, itself with its own sign-ups
//! and domains, and the documents of the installation. What is not in it cannot be shown by mistake.
//!
//! This file refuses to know what is shown.

use std::collections::BTreeMap;

use cartridge_protocol::ApplicationId;
use cartridge_protocol::tenant::TenantId;

use super::{Shared, World};

impl World {
    /// What a tenant may see of it. The super tenant sees all: it owns the machines.
    pub fn narrowed(&self, tenant: TenantId) -> Self {
        let Self {
            seq,
            installation,
            epoch,
            paused,
            cartridges,
            cartridge_groups,
            autoscaling_policies,
            deployment_policies,
            application_policies,
            network_partitions,
            kubernetes_clusters,
            applications,
            clusters,
            members,
            sealed,
            values,
            tenants,
            tenants_changed,
            sign_ups,
            domains,
            former,
            retired: _,
            departed: _,
        } = self;
        if tenant.is_super() {
            return self.clone();
        }
        let mut applications = applications.clone();
        applications.retain(|_, state| state.blueprint.tenant == tenant);
        let mut clusters = clusters.clone();
        clusters.retain(|_, cluster| applications.contains_key(&cluster.application));
        let mut sealed = sealed.clone();
        sealed.retain(|application, _| applications.contains_key(application));
        let mut values = values.clone();
        values.retain(|application, _| applications.contains_key(application));
        let mut tenants = tenants.clone();
        tenants.retain(|id, _| *id == tenant);
        let known = |application: &ApplicationId| applications.contains_key(application);
        let sign_ups = some_of(sign_ups, |application, id, _| known(application) || *id == tenant);
        let domains = some_of(domains, |application, _, one| {
            known(application) || one.tenant == tenant
        });
        let mut former = former.clone();
        former.retain(|_, owner| *owner == tenant);
        Self {
            seq: *seq,
            installation: installation.clone(),
            epoch: *epoch,
            paused: paused.clone(),
            cartridges: cartridges.clone(),
            cartridge_groups: cartridge_groups.clone(),
            autoscaling_policies: autoscaling_policies.clone(),
            deployment_policies: deployment_policies.clone(),
            application_policies: application_policies.clone(),
            network_partitions: network_partitions.clone(),
            kubernetes_clusters: kubernetes_clusters.clone(),
            members: members.kept(|member| clusters.contains_key(&member.cluster)),
            applications,
            clusters,
            sealed,
            values,
            tenants,
            tenants_changed: *tenants_changed,
            sign_ups,
            domains,
            former,
            retired: Default::default(),
            departed: Default::default(),
        }
    }
}

/// Of what several tenants have in each application, that which `keep` says.
fn some_of<K: Ord + Clone, V: Clone>(
    all: &Shared<ApplicationId, BTreeMap<K, V>>,
    keep: impl Fn(&ApplicationId, &K, &V) -> bool,
) -> Shared<ApplicationId, BTreeMap<K, V>> {
    let mut some = Shared::default();
    for (application, rows) in all.iter() {
        let kept = rows.iter().filter(|(key, one)| keep(application, key, one));
        let kept: BTreeMap<K, V> = kept.map(|(key, one)| (key.clone(), one.clone())).collect();
        if !kept.is_empty() {
            some.insert(application.clone(), kept);
        }
    }
    some
}

//! Sign-ups: which tenants keep files in the members of an application that several share. They outlive a deployment, and
//! end with the application; with them end the domains that their tenants mapped to it.
//!
//! This file refuses to know who may sign up, why a commit is ordered, and where files appear.

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, ClusterId};

use super::fits::demand;
use super::{Cluster, Rejected, ReleaseState, Role, TenantRelease, World};
use crate::record::Record;
use crate::tenancy::{SignUp, TenantRepository};

impl World {
    /// The tenants that signed up for an application, by number.
    pub fn sign_ups_of(&self, application: &str) -> impl Iterator<Item = (TenantId, &SignUp)> {
        let all = self.sign_ups.get(application).into_iter().flatten();
        all.map(|(tenant, sign_up)| (*tenant, sign_up))
    }

    /// A tenant's sign-up for an application.
    pub fn sign_up(&self, application: &str, tenant: TenantId) -> Option<&SignUp> {
        self.sign_ups.get(application)?.get(&tenant)
    }

    /// The repository whose files the members of a cluster keep for a tenant.
    pub fn repository_of(&self, cluster: &Cluster, tenant: TenantId) -> Option<&TenantRepository> {
        let sign_up = self.sign_up(cluster.application.as_str(), tenant)?;
        sign_up.repositories.get(&cluster.alias)
    }

    /// Whether a tenant may know of an application, to sign up for it: its own, and those that several tenants share.
    pub fn may_sign_up(&self, tenant: TenantId, application: &str) -> bool {
        let known = self.applications.get(application);
        known.is_some_and(|state| state.blueprint.multi_tenant || state.blueprint.tenant == tenant)
    }

    pub(super) fn sign_up_fits(&self, record: &Record) -> Result<(), String> {
        match record {
            Record::SignUpAdded {
                application, tenant, ..
            } => {
                let many = |id: &ApplicationId| {
                    let known = self.applications.get(id);
                    known.is_some_and(|state| state.blueprint.multi_tenant)
                };
                demand(many(application), || {
                    format!("there is no application {application} for several tenants")
                })?;
                demand(tenant.is_super() || self.tenants.contains_key(tenant), || {
                    format!("there is no tenant {tenant}")
                })?;
                let known = self.sign_up(application.as_str(), *tenant);
                demand(known.is_none(), || {
                    format!("tenant {tenant} has signed up for {application} already")
                })
            }
            Record::SignUpRemoved { application, tenant } => {
                let known = self.sign_up(application.as_str(), *tenant);
                demand(known.is_some(), || {
                    format!("tenant {tenant} has not signed up for {application}")
                })
            }
            other => self.tenant_release_fits(other),
        }
    }

    /// `record` fits, and is about a sign-up.
    pub(super) fn change_sign_up(&mut self, record: &Record) {
        let application = match record {
            Record::SignUpAdded {
                application,
                tenant,
                repositories,
            } => {
                let mut sign_up = SignUp {
                    repositories: repositories.clone(),
                };
                for one in sign_up.repositories.values_mut() {
                    one.repository.repo_password = None;
                }
                let of_it = self
                    .sign_ups
                    .get_or_insert_with(application.clone(), Default::default);
                of_it.insert(*tenant, sign_up);
                application
            }
            Record::SignUpRemoved { application, tenant } => {
                if let Some(of_it) = self.sign_ups.get_mut(application) {
                    of_it.remove(tenant);
                    if of_it.is_empty() {
                        self.sign_ups.remove(application);
                    }
                }
                self.forget_domains_of(application, *tenant);
                application
            }
            other => unreachable!("no record of a sign-up: {other:?}"),
        };
        let revision = self.seq;
        self.touch(|cluster| cluster.application == *application, revision);
        self.describe_tenants(application);
    }

    /// A repository has news: the cluster's own, or a tenant's.
    pub(super) fn announce(&mut self, cluster: &ClusterId, tenant: Option<TenantId>) {
        let revision = self.seq;
        let Some(cluster) = self.clusters.get_mut(cluster) else {
            return;
        };
        let looks = match tenant {
            None => Some(&mut cluster.looks),
            Some(tenant) => cluster.tenants.get_mut(&tenant).map(|kept| &mut kept.looks),
        };
        looks.into_iter().for_each(|looks| *looks += 1);
        cluster.told = revision;
    }

    /// Brings the tenants of the clusters of an application in line with who signed up. What is known of those that
    /// stay, stays.
    pub(super) fn describe_tenants(&mut self, application: &ApplicationId) {
        let since = self.seq;
        let sign_ups = self.sign_ups.get(application).cloned().unwrap_or_default();
        let wants = |cluster: &Cluster, tenant: &TenantId| {
            let sign_up = sign_ups.get(tenant);
            sign_up.is_some_and(|one| one.repositories.contains_key(&cluster.alias))
        };
        let of_it =
            |cluster: &Cluster| cluster.application == *application && cluster.role == Role::Application;
        self.clusters.change(of_it, |cluster| {
            let mut before = std::mem::take(&mut cluster.tenants);
            let kept = sign_ups.keys().filter(|tenant| wants(cluster, tenant));
            cluster.tenants = kept
                .map(|tenant| {
                    let fresh = || TenantRelease {
                        since,
                        looks: 0,
                        release: ReleaseState::default(),
                    };
                    (*tenant, before.remove(tenant).unwrap_or_else(fresh))
                })
                .collect();
        });
    }

    fn tenant_release_fits(&self, record: &Record) -> Result<(), String> {
        let (cluster, tenant) = match record {
            Record::TenantReleaseOrdered { cluster, tenant, .. }
            | Record::TenantReleaseRejected { cluster, tenant, .. } => (cluster, tenant),
            _ => return Ok(()),
        };
        let known = self.clusters.get(cluster).and_then(|one| one.tenants.get(tenant));
        let known = known.ok_or_else(|| format!("{cluster} keeps no files of tenant {tenant}"))?;
        let accepted = known.release.accepted.as_ref();
        match record {
            Record::TenantReleaseRejected { commit, .. } => demand(accepted == Some(commit), || {
                format!("{} of tenant {tenant} is not ordered", commit.short())
            }),
            other => self.domain_fits(other),
        }
    }

    /// `record` fits, and is about a tenant's release.
    pub(super) fn change_tenant_release(&mut self, record: &Record) {
        let revision = self.seq;
        let (Record::TenantReleaseOrdered { cluster, tenant, .. }
        | Record::TenantReleaseRejected { cluster, tenant, .. }) = record
        else {
            unreachable!("no record of a tenant's release: {record:?}")
        };
        let Some(cluster) = self.clusters.get_mut(cluster) else {
            return;
        };
        cluster.told = revision;
        let Some(release) = cluster.tenants.get_mut(tenant).map(|one| &mut one.release) else {
            return;
        };
        match record {
            Record::TenantReleaseOrdered { commit, .. } => release.order(commit),
            Record::TenantReleaseRejected { commit, reason, .. } => release.go_back(Rejected {
                commit: commit.clone(),
                reason: reason.clone(),
            }),
            _ => {}
        }
    }
}

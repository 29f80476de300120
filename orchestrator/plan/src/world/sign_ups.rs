//! Sign-ups: which tenants keep files in the members of an application that several share. They outlive a deployment, and
//! end with the application.
//!
//! This file refuses to know who may sign up, and where files appear.

use cartridge_protocol::ApplicationId;
use cartridge_protocol::tenant::TenantId;

use super::World;
use super::fits::demand;
use crate::record::Record;
use crate::tenancy::SignUp;

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
            _ => Ok(()),
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
                application
            }
            other => unreachable!("no record of a sign-up: {other:?}"),
        };
        let revision = self.seq;
        self.touch(|cluster| cluster.application == *application, revision);
    }
}

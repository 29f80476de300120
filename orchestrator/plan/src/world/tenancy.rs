//! What belongs to whom. Names of applications are unique over all tenants, and stay their tenant's after the
//! application was removed: what was told of it, and the lines of its members, are nobody else's.
//!
//! This file refuses to know who may do what.

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, TenantDomain};

use super::World;
use super::fits::demand;
use crate::record::Record;
use crate::tenancy::Tenant;

impl World {
    /// Whose an application is, or was; None: nobody had one of this name.
    pub fn owner_of(&self, application: &str) -> Option<TenantId> {
        if let Some(state) = self.applications.get(application) {
            return Some(state.blueprint.tenant);
        }
        if let Some(tenant) = self.former.get(application) {
            return Some(*tenant);
        }
        // Removed before there were tenants.
        let prefix = format!("{application}.");
        let first = self.retired.iter_from(prefix.as_str()).next();
        first
            .is_some_and(|(cluster, _)| cluster.as_str().starts_with(&prefix))
            .then_some(TenantId::SUPER)
    }

    /// The application that a cluster belongs to, or belonged to; None: none of which anything is known.
    pub fn application_of(&self, cluster: &str) -> Option<&ApplicationId> {
        if let Some(known) = self.clusters.get(cluster) {
            return Some(&known.application);
        }
        let begins = |id: &&ApplicationId| {
            let rest = cluster.strip_prefix(id.as_str());
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let known = self.applications.keys().chain(self.former.keys());
        known.filter(begins).max_by_key(|id| id.as_str().len())
    }

    /// Whose a cluster is, or was.
    pub fn owner_of_cluster(&self, cluster: &str) -> Option<TenantId> {
        match self.application_of(cluster) {
            Some(application) => self.owner_of(application.as_str()),
            // Of an application that was removed before there were tenants.
            None => self.retired.contains_key(cluster).then_some(TenantId::SUPER),
        }
    }

    /// Whose a member is, or was: its id is its cluster's with a number.
    pub fn owner_of_member(&self, member: &str) -> Option<TenantId> {
        match self.members.get(member) {
            Some(known) => self.owner_of_cluster(known.cluster.as_str()),
            None => self.owner_of_cluster(member.rsplit_once('-')?.0),
        }
    }

    /// The tenant of this name; the super tenant has one, too.
    pub fn tenant_of_domain(&self, domain: &str) -> Option<TenantId> {
        if domain == TenantDomain::SUPER {
            return Some(TenantId::SUPER);
        }
        let mut tenants = self.tenants.values();
        tenants
            .find(|tenant| tenant.tenant_domain.as_str() == domain)
            .map(|tenant| tenant.tenant_id)
    }

    /// The name of a tenant.
    pub fn domain_of(&self, tenant: TenantId) -> &str {
        let known = self.tenants.get(&tenant);
        known.map_or(TenantDomain::SUPER, |tenant| tenant.tenant_domain.as_str())
    }

    /// Whether the users of a tenant may come in.
    pub fn is_active(&self, tenant: TenantId) -> bool {
        tenant.is_super() || self.tenants.get(&tenant).is_some_and(|tenant| tenant.active)
    }

    pub(super) fn tenancy_fits(&self, record: &Record) -> Result<(), String> {
        match record {
            Record::TenantPut(tenant) => self.tenant_fits(tenant),
            Record::TenantActivated { tenant } | Record::TenantDeactivated { tenant } => {
                demand(self.tenants.contains_key(tenant), || {
                    format!("there is no tenant {tenant}")
                })
            }
            other => self.sign_up_fits(other),
        }
    }

    fn tenant_fits(&self, tenant: &Tenant) -> Result<(), String> {
        let (id, domain) = (tenant.tenant_id, &tenant.tenant_domain);
        demand(!id.is_super(), || "the super tenant is no record".to_owned())?;
        let named = self.tenant_of_domain(domain.as_str());
        let known = self.tenants.get(&id).map(|known| &known.tenant_domain);
        demand(
            named.is_none_or(|named| named == id) && known.is_none_or(|known| known == domain),
            || format!("tenant {id} of {domain} is another"),
        )
    }

    pub(super) fn change_tenant(&mut self, record: &Record) {
        self.tenants_changed = self.seq;
        let mut set = |tenant: &TenantId, active: bool| {
            if let Some(known) = self.tenants.get_mut(tenant) {
                known.active = active;
            }
        };
        match record {
            Record::TenantPut(tenant) => _ = self.tenants.insert(tenant.tenant_id, (**tenant).clone()),
            Record::TenantActivated { tenant } => set(tenant, true),
            Record::TenantDeactivated { tenant } => set(tenant, false),
            other => unreachable!("no record of a tenant: {other:?}"),
        }
    }
}

//! Domains of tenants that lead into an application. They end with their tenant's sign-up, and with the application.
//!
//! This file refuses to know who may map what, and who serves it.

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, DomainName};

use super::fits::demand;
use super::{Cluster, Role, World};
use crate::record::Record;
use crate::tenancy::DomainMapping;

impl World {
    /// The domains that lead into an application, by name.
    pub fn domains_of(&self, application: &str) -> impl Iterator<Item = (&DomainName, &DomainMapping)> {
        self.domains.get(application).into_iter().flatten()
    }

    /// The application that a domain leads into, and how.
    pub fn domain(&self, name: &DomainName) -> Option<(&ApplicationId, &DomainMapping)> {
        let mut all = self.domains.iter();
        all.find_map(|(application, of_it)| Some((application, of_it.get(name)?)))
    }

    /// Where a domain of an application leads: the cluster of that alias, not one that only leaves. None: the application
    /// does not run, or names no such cartridge any more.
    pub fn led_to<'a>(
        &'a self,
        application: &'a ApplicationId,
        mapping: &DomainMapping,
    ) -> Option<&'a Cluster> {
        let mut clusters = self.clusters_of(application);
        clusters.find(|cluster| {
            cluster.role == Role::Application && cluster.alias == mapping.alias && cluster.leaving.is_none()
        })
    }

    /// Whether a cluster has this name itself.
    pub fn is_own_host(&self, name: &DomainName) -> bool {
        let mut hosts = self.clusters.values().flat_map(|cluster| &cluster.hosts);
        hosts.any(|host| host.eq_ignore_ascii_case(name.as_str()))
    }

    pub(super) fn domain_fits(&self, record: &Record) -> Result<(), String> {
        match record {
            Record::DomainMapped {
                application,
                domain,
                mapping,
            } => {
                let signed_up = self.sign_up(application.as_str(), mapping.tenant);
                demand(signed_up.is_some(), || {
                    format!("tenant {} has not signed up for {application}", mapping.tenant)
                })?;
                demand(self.domain(domain).is_none(), || {
                    format!("{domain} is mapped already")
                })
            }
            Record::DomainUnmapped { application, domain } => {
                let known = self.domains.get(application);
                demand(known.is_some_and(|of_it| of_it.contains_key(domain)), || {
                    format!("{domain} does not lead into {application}")
                })
            }
            _ => Ok(()),
        }
    }

    /// `record` fits, and is about a domain.
    pub(super) fn change_domain(&mut self, record: &Record) {
        let application = match record {
            Record::DomainMapped {
                application,
                domain,
                mapping,
            } => {
                let of_it = self
                    .domains
                    .get_or_insert_with(application.clone(), Default::default);
                of_it.insert(domain.clone(), mapping.clone());
                application
            }
            Record::DomainUnmapped { application, domain } => {
                self.keep_domains(application, |name, _| name != domain);
                application
            }
            other => unreachable!("no record of a domain: {other:?}"),
        };
        let revision = self.seq;
        self.touch(|cluster| cluster.application == *application, revision);
    }

    /// A tenant has no sign-up there any more.
    pub(super) fn forget_domains_of(&mut self, application: &ApplicationId, tenant: TenantId) {
        planted!(DomainsOutliveSignUp => return);
        self.keep_domains(application, |_, mapping| mapping.tenant != tenant);
    }

    fn keep_domains(
        &mut self,
        application: &ApplicationId,
        keep: impl Fn(&DomainName, &DomainMapping) -> bool,
    ) {
        let Some(of_it) = self.domains.get_mut(application) else {
            return;
        };
        of_it.retain(|name, mapping| keep(name, mapping));
        if of_it.is_empty() {
            self.domains.remove(application);
        }
    }
}

//! What must be so of tenants' files and domains: of each record, and when nothing goes wrong any more.
//!
//! It refuses to know what decides about them.

use std::collections::{BTreeMap, BTreeSet};

use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::{Cluster, Role};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::topology::TopologyCluster;
use cartridge_protocol::{ClusterId, CommitId, DomainName};

use super::super::agent::Agent;
use super::super::sim::Sim;
use super::super::{Holds, demand};
use super::owner;

/// Which commits of tenants were rejected and not forgotten since.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    rejected: BTreeSet<(ClusterId, TenantId, CommitId)>,
}

impl Judge {
    /// S17: a tenant gets what is its own, and not again what was rejected.
    pub fn sees(&mut self, record: &Record) -> Holds {
        match record {
            Record::TenantReleaseOrdered {
                cluster,
                tenant,
                commit,
            } => {
                let own = owner(commit) == Some(tenant.get());
                demand(own, "S17 provenance", || {
                    format!("tenant {tenant} is to get {commit}, which is not its own")
                })?;
                let row = (cluster.clone(), *tenant, commit.clone());
                demand(!self.rejected.contains(&row), "S17 provenance", || {
                    format!("{commit} of tenant {tenant} was rejected and is ordered again")
                })
            }
            Record::TenantReleaseRejected {
                cluster,
                tenant,
                commit,
                ..
            } => {
                self.rejected.insert((cluster.clone(), *tenant, commit.clone()));
                Ok(())
            }
            Record::SignUpRemoved { tenant, .. } => {
                self.rejected.retain(|(_, of, _)| of != tenant);
                Ok(())
            }
            Record::ClusterRetired { cluster } => {
                self.rejected.retain(|(of, ..)| of != cluster);
                Ok(())
            }
            Record::ApplicationUndeployed { .. } => {
                self.rejected.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// L10 for tenants: every member has every tenant's newest commit that can be served, and nobody else's files; the
/// balancers lead each domain to where its tenant said, and no other, and nobody has one who did not sign up.
pub fn as_signed_up(sim: &Sim) -> Holds {
    let world = &sim.orchestrator.world;
    for (application, domains) in world.domains.iter() {
        for (name, mapping) in domains {
            let signed = world.sign_up(application.as_str(), mapping.tenant).is_some();
            demand(signed, "L1 convergence", || {
                format!("{name} leads to {application}, whose tenant is not there")
            })?;
        }
    }
    let own = |cluster: &&Cluster| cluster.role == Role::Application;
    for cluster in world.clusters.values().filter(own) {
        let signed = world.sign_ups_of(cluster.application.as_str());
        let here = signed.filter(|(_, one)| one.repositories.contains_key(&cluster.alias));
        let wanted: BTreeSet<TenantId> = here.map(|(tenant, _)| tenant).collect();
        for tenant in &wanted {
            newest(sim, cluster, *tenant)?;
        }
        for member in world.members_of(cluster) {
            if let Some(agent) = sim.agents.get(&member.id) {
                files(agent, cluster, &wanted)?;
            }
        }
    }
    let tables = sim.agents.values().filter_map(|agent| agent.table.as_ref());
    let mut rows = tables.flat_map(|table| &table.clusters);
    rows.try_for_each(|row| leads(sim, row))
}

fn newest(sim: &Sim, cluster: &Cluster, tenant: TenantId) -> Holds {
    let (kept, repository) = (cluster.tenants.get(&tenant), sim.tenants.get(&tenant));
    let accepted = kept.and_then(|kept| kept.release.accepted.as_ref());
    let bad = |commit: &CommitId| repository.is_some_and(|repository| repository.bad.contains(commit));
    let head = repository.and_then(|repository| repository.head.as_ref());
    let fits = if head.is_some_and(bad) {
        !accepted.is_some_and(bad)
    } else {
        accepted == head
    };
    // Nobody there could have said anything of it.
    let alone = sim.orchestrator.world.members_of(cluster).next().is_none();
    demand(fits || alone, "L10 one commit", || {
        let id = &cluster.id;
        format!("tenant {tenant} pushed {head:?}, members of {id} are to have {accepted:?}")
    })
}

fn files(agent: &Agent, cluster: &Cluster, wanted: &BTreeSet<TenantId>) -> Holds {
    let all = agent.status.tenants.iter();
    let has: BTreeMap<TenantId, Option<&CommitId>> =
        all.map(|one| (one.tenant, one.current.as_ref())).collect();
    let member = &agent.member;
    demand(has.keys().eq(wanted), "L10 one commit", || {
        format!("{member} keeps the files of {has:?}, wanted are {wanted:?}")
    })?;
    cluster.tenants.iter().try_for_each(|(tenant, kept)| {
        let accepted = kept.release.accepted.as_ref();
        let current = has.get(tenant).copied().flatten();
        demand(
            accepted.is_none() || current == accepted,
            "L10 one commit",
            || format!("{member} has {current:?} of tenant {tenant}, ordered is {accepted:?}"),
        )
    })
}

fn leads(sim: &Sim, row: &TopologyCluster) -> Holds {
    let world = &sim.orchestrator.world;
    let Some(cluster) = world.clusters.get(&row.cluster) else {
        return Ok(());
    };
    let here: BTreeSet<&DomainName> = row.mapped.iter().map(|one| &one.host).collect();
    let mapped = world.domains_of(cluster.application.as_str());
    let wanted: BTreeSet<&DomainName> = mapped
        .filter(|(_, mapping)| mapping.alias == cluster.alias)
        .map(|(name, _)| name)
        .collect();
    demand(here == wanted, "L1 convergence", || {
        format!("{here:?} lead to {}, {wanted:?} should", row.cluster)
    })
}

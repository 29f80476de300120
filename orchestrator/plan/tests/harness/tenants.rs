//! Tenants of an application that several share: they sign up and off, push to repositories of their own and have domains
//! lead there.
//!
//! It refuses to know what decides about their commits.

mod files;
mod judged;

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::blueprint::Repository as Place;
use cartridge_orchestrator_plan::order::Order;
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::tenancy::{MappedDomain, TenantRepository};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{CommitId, DomainName};
pub use files::Files;
pub use judged::{Judge, as_signed_up};
use serde::{Deserialize, Serialize};

use super::agent::Repository;
use super::faults::{Fault, Injected};
use super::sim::Sim;
use super::{Chance, fixture};

/// So many there are.
const TENANTS: i64 = 3;
/// A tenant's commits are numbered from its number times this.
const COMMITS: u64 = 1_000;

/// What a tenant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "deed")]
pub enum Deed {
    /// With a repository for `web`, and one for another cartridge if there is one.
    SignUp { more: bool },
    /// Its files and domains go.
    SignOff,
    /// A commit that its place in the application cannot serve, or one that it can.
    Push { bad: bool },
    /// Its repository has news.
    Announce,
    /// One of its domains leads to `web`.
    Map { name: u64 },
    /// Not any more.
    Unmap { name: u64 },
}

impl Deed {
    fn any(chance: &mut Chance) -> Self {
        match chance.below(10) {
            0 | 1 => Self::SignUp {
                more: chance.per_mille(500),
            },
            2 => Self::SignOff,
            3..=5 => Self::Push {
                bad: chance.per_mille(300),
            },
            6 => Self::Announce,
            7 | 8 => Self::Map {
                name: chance.below(3),
            },
            _ => Self::Unmap {
                name: chance.below(3),
            },
        }
    }
}

/// What tenants do in a run of so many seconds.
pub fn deeds(seconds: u64, chance: &mut Chance) -> Vec<Injected> {
    let rate = 20 + chance.below(100);
    let mut all = Vec::new();
    for at in 1..=seconds {
        for tenant in 1..=TENANTS {
            let first = at == 1 && chance.per_mille(600);
            if first || chance.per_mille(rate) {
                let more = first && chance.per_mille(500);
                let deed = if first {
                    Deed::SignUp { more }
                } else {
                    Deed::any(chance)
                };
                all.push(Injected {
                    at,
                    fault: Fault::Tenant { tenant, deed },
                });
            }
        }
    }
    all
}

fn id(tenant: i64) -> TenantId {
    TenantId::new(tenant).unwrap()
}

fn commit(tenant: i64, number: u64) -> CommitId {
    fixture::commit(tenant.unsigned_abs() * COMMITS + number)
}

fn number(commit: &CommitId) -> Option<u64> {
    u64::from_str_radix(commit.as_str(), 16).ok()
}

fn owner(commit: &CommitId) -> Option<i64> {
    i64::try_from(number(commit)? / COMMITS).ok()
}

/// The tenants that there are from the beginning.
pub fn records() -> impl Iterator<Item = Record> {
    (1..=TENANTS).map(|tenant| fixture::tenant(tenant, &format!("t{tenant}.example")))
}

/// Their repositories, with one commit each.
pub fn repositories() -> BTreeMap<TenantId, Repository> {
    let fresh = |tenant| Repository {
        head: Some(commit(tenant, 1)),
        bad: Vec::new(),
    };
    (1..=TENANTS).map(|tenant| (id(tenant), fresh(tenant))).collect()
}

fn url(tenant: i64) -> String {
    format!("http://git.example/t{tenant}.git")
}

fn domain(tenant: i64, name: u64) -> DomainName {
    DomainName::new(&format!("www{name}.t{tenant}.example")).unwrap()
}

impl Sim {
    /// A tenant does something; what cannot be now is refused, and nothing changes.
    pub fn deed(&mut self, tenant: i64, deed: Deed) {
        if let Deed::Push { bad } = deed {
            self.tenant_pushes(tenant, bad);
            return;
        }
        if self.now < self.down || self.orchestrator.dies.is_some() {
            return;
        }
        let seq = self.orchestrator.world.seq;
        if self
            .submit_as(id(tenant), self.order_of_tenant(tenant, deed))
            .is_err()
        {
            self.fall();
        }
        let done = self.orchestrator.world.seq > seq;
        let what = match deed {
            Deed::SignUp { .. } => "signed up",
            Deed::SignOff => "signed off",
            Deed::Map { .. } | Deed::Unmap { .. } => "domain mapped or not",
            _ => "tenant's news",
        };
        self.tally.add(what, u64::from(done));
    }

    fn tenant_pushes(&mut self, tenant: i64, bad: bool) {
        if let Some(repository) = self.tenants.get_mut(&id(tenant)) {
            let before = repository
                .head
                .as_ref()
                .and_then(|head| u64::from_str_radix(head.as_str(), 16).ok());
            let pushed = commit(tenant, before.unwrap_or(0) % COMMITS + 1);
            if bad {
                repository.bad.push(pushed.clone());
            }
            repository.head = Some(pushed);
        }
    }

    fn order_of_tenant(&self, tenant: i64, deed: Deed) -> Order {
        let application = fixture::app();
        match deed {
            Deed::SignUp { more } => {
                let state = self.orchestrator.world.applications.get(&application);
                let all = state
                    .into_iter()
                    .flat_map(|state| state.blueprint.subscriptions());
                let aliases = all.map(|one| &one.alias);
                let chosen = aliases.filter(|alias| more || *alias == "web").take(2);
                Order::SignUp {
                    application,
                    tenant: id(tenant),
                    repositories: chosen.map(|alias| (alias.clone(), place(tenant))).collect(),
                }
            }
            Deed::SignOff => Order::RemoveSignUp {
                application,
                tenant: id(tenant),
            },
            Deed::Push { .. } | Deed::Announce => Order::Announce {
                repo_url: url(tenant),
            },
            Deed::Map { name } => Order::MapDomains {
                application,
                tenant: id(tenant),
                domains: vec![MappedDomain {
                    domain: domain(tenant, name),
                    alias: "web".into(),
                    path: None,
                }],
            },
            Deed::Unmap { name } => Order::UnmapDomain {
                application,
                tenant: id(tenant),
                domain: domain(tenant, name),
            },
        }
    }
}

fn place(tenant: i64) -> TenantRepository {
    TenantRepository {
        repository: Place {
            repo_url: url(tenant),
            branch: "main".into(),
            repo_username: None,
            repo_password: None,
            poll_seconds: 3,
        },
        sealed: String::new(),
    }
}

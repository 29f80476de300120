//! People, who order things at any time, through the product's own admission.

use cartridge_orchestrator_plan::order::{Mode, Order, admit_as, mark};
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::{ApplicationStatus, World};
use cartridge_protocol::MemberId;
use cartridge_protocol::tenant::TenantId;
use serde::{Deserialize, Serialize};

use super::orchestrator::{By, Dead};
use super::sim::Sim;
use super::updates::{Definition, Edition};
use super::{Chance, fixture};

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "order")]
pub enum Wish {
    /// So many members of `web`.
    Scale {
        size: u32,
    },
    /// The scaler decides again.
    Free,
    /// A member is to go.
    Drain {
        member: u64,
    },
    Pause,
    Resume,
    Undeploy {
        force: bool,
    },
    /// This commit, counted back from the newest.
    Propose {
        back: u64,
    },
    Rollback,
    Unpin,
    Announce,
    /// Another minimum and maximum of `web`.
    Resize {
        min: u32,
        max: u32,
    },
    /// Another threshold.
    Threshold {
        in_flight: u32,
    },
    /// Other places: most members per network partition.
    Places {
        most: u32,
    },
    /// Two edit what both read before: one of them must be refused (S2).
    Conflict,
    /// The application is described anew while it runs.
    Update {
        edition: Edition,
    },
    /// A cartridge is defined anew while it runs.
    Define {
        definition: Definition,
    },
}

impl Wish {
    pub fn any(chance: &mut Chance) -> Self {
        match chance.below(20) {
            0 => Self::Scale {
                size: chance.below(8) as u32,
            },
            1 | 2 => Self::Free,
            3 | 4 => Self::Drain {
                member: chance.next() % 1000,
            },
            5 => Self::Pause,
            6 | 7 => Self::Resume,
            8 => Self::Undeploy {
                force: chance.per_mille(300),
            },
            9 => Self::Propose {
                back: chance.below(3),
            },
            10 => Self::Rollback,
            11 => Self::Unpin,
            12 => Self::Announce,
            13 => {
                let min = 1 + chance.below(3) as u32;
                let max = min + chance.below(4) as u32;
                Self::Resize { min, max }
            }
            14 => Self::Threshold {
                in_flight: 5 + chance.below(15) as u32,
            },
            15 => Self::Places {
                most: 2 + chance.below(8) as u32,
            },
            16 => Self::Conflict,
            17 | 18 => Self::Update {
                edition: Edition::any(chance),
            },
            _ => Self::Define {
                definition: Definition::any(chance),
            },
        }
    }
}

const ANNA: &str = "anna";

impl Sim {
    /// Somebody orders it; what cannot be now is refused, and nothing changes.
    pub fn wish(&mut self, wish: Wish) -> Result<(), Dead> {
        if wish == Wish::Conflict {
            return self.conflict();
        }
        if let Wish::Resize { .. } = wish {
            self.tally.add("lowered", 1);
        }
        match self.order_of(wish) {
            Some(order) => {
                let seq = self.orchestrator.world.seq;
                self.submit(order)?;
                let update = matches!(wish, Wish::Update { .. } | Wish::Define { .. });
                let done = self.orchestrator.world.seq > seq;
                self.tally.add("updated", u64::from(update && done));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The order goes through admission; acknowledged is what is durable.
    pub fn submit(&mut self, order: Order) -> Result<(), Dead> {
        self.submit_as(TenantId::SUPER, order)
    }

    /// The same for somebody of that tenant.
    pub fn submit_as(&mut self, tenant: TenantId, order: Order) -> Result<(), Dead> {
        let Ok(records) = admit_as(&self.orchestrator.world, tenant, order) else {
            self.tally.add("order refused", 1);
            return Ok(());
        };
        for record in &records {
            if let Record::MemberDraining { member, .. } = record {
                self.drained.insert(member.clone(), self.now);
            }
        }
        self.orchestrator.commit(records, By::Person, self.now)
    }

    /// Both read; the first to write wins, the second is told so.
    fn conflict(&mut self) -> Result<(), Dead> {
        let read = |world: &World| world.autoscaling_policies.get(&fixture::policy("scale")).cloned();
        let Some(policy) = read(&self.orchestrator.world) else {
            return Ok(());
        };
        let seen = mark(&policy);
        for change in [1.0, 2.0] {
            let mut mine = policy.clone();
            mine.requests_in_flight = Some(mine.requests_in_flight.unwrap_or(10.0) % 20.0 + change);
            let before = read(&self.orchestrator.world);
            let order = Order::PutAutoscalingPolicy(Box::new(mine.clone()), Mode::IfStill(seen));
            self.submit(order)?;
            let after = read(&self.orchestrator.world);
            if after.as_ref() == Some(&mine) && before.as_ref() != Some(&policy) {
                let problem = "an edit overwrote one that its author had not seen";
                self.witness().accuse("S2 no lost update", problem.to_owned());
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each wish")]
    fn order_of(&self, wish: Wish) -> Option<Order> {
        let (by, world) = (ANNA.to_owned(), &self.orchestrator.world);
        // Updates may have put another one in its place.
        let web = world
            .clusters
            .values()
            .find(|one| one.alias == "web" && one.leaving.is_none());
        let cluster = web.map_or_else(fixture::cluster, |web| web.id.clone());
        let application = fixture::app();
        Some(match wish {
            Wish::Scale { size } => Order::Scale {
                cluster,
                size: Some(size),
                by,
            },
            Wish::Free => Order::Scale {
                cluster,
                size: None,
                by,
            },
            Wish::Drain { member } => {
                let web = world.clusters.get(&cluster)?;
                let all: Vec<&MemberId> = web.members.iter().collect();
                let member = all.get(usize::try_from(member).ok()? % all.len().max(1))?;
                Order::Drain {
                    member: (*member).clone(),
                    by,
                }
            }
            Wish::Pause => Order::Pause {
                by,
                reason: "maintenance".into(),
            },
            Wish::Resume => Order::Resume { by },
            Wish::Undeploy { force } => Order::Undeploy { application, force },
            Wish::Propose { back } => {
                let commit = fixture::commit(self.commits().saturating_sub(back).max(1));
                Order::ProposeRelease { cluster, commit, by }
            }
            Wish::Rollback => Order::Rollback { cluster, by },
            Wish::Unpin => Order::Unpin { cluster, by },
            Wish::Announce => Order::Announce {
                repo_url: "http://git.example/shop.git".into(),
            },
            Wish::Resize { min, max } => {
                let mut blueprint = world.applications.get(&application)?.blueprint.clone();
                blueprint.each_subscription(|one| {
                    if one.alias == "web" {
                        (one.cartridge_min, one.cartridge_max) = (min, max);
                    }
                });
                Order::PutApplication {
                    blueprint: Box::new(blueprint),
                    sealed: std::collections::BTreeMap::new(),
                    expected_revision: None,
                    mode: Mode::Replace,
                }
            }
            Wish::Threshold { in_flight } => {
                let mut policy = world.autoscaling_policies.get(&fixture::policy("scale"))?.clone();
                policy.requests_in_flight = Some(f64::from(in_flight));
                Order::PutAutoscalingPolicy(Box::new(policy), Mode::Replace)
            }
            Wish::Places { most } => {
                let mut policy = world.deployment_policies.get(&fixture::policy("places"))?.clone();
                let least = world
                    .clusters
                    .values()
                    .map(|one| one.min * world.most_copies(one))
                    .max();
                let most = most.max(least.unwrap_or(0));
                let all = policy
                    .network_partitions
                    .iter_mut()
                    .flat_map(|np| &mut np.partitions);
                all.for_each(|partition| partition.partition_max = most.div_ceil(2));
                Order::PutDeploymentPolicy(Box::new(policy), Mode::Replace)
            }
            Wish::Update { edition } => self.described(edition)?,
            Wish::Define { definition } => self.defined(definition),
            Wish::Conflict => return None,
        })
    }

    /// Runs again what was stopped.
    pub fn redeploy(&mut self) {
        let world = &self.orchestrator.world;
        let stopped = |status: &ApplicationStatus| *status == ApplicationStatus::Created;
        if world
            .applications
            .get(&fixture::app())
            .is_some_and(|state| stopped(&state.status))
        {
            let order = Order::Deploy {
                application: fixture::app(),
                policy: fixture::policy("where"),
            };
            if self.submit(order).is_err() {
                self.fall();
            }
        }
    }

    /// A person lets automation work again, and runs what was stopped.
    pub fn set_right(&mut self) {
        for wish in [Wish::Resume, Wish::Free, Wish::Unpin] {
            if self.wish(wish).is_err() {
                self.fall();
            }
        }
    }
}

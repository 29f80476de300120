//! Updates of what runs: the application described anew, and cartridges defined anew, as people put them.
//!
//! It refuses to know what follows from them.

use cartridge_orchestrator_plan::blueprint::{Application, Cartridge, Dependencies, Group, PortMapping};
use cartridge_orchestrator_plan::order::{Mode, Order};
use cartridge_protocol::GroupName;
use serde::{Deserialize, Serialize};

use super::sim::Sim;
use super::{Chance, fixture};

/// What the application is described as: what it names comes or stays, what it does not name goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Edition {
    /// There is `job`, which starts after the first cartridge at the top level.
    pub job: bool,
    /// Instances of the group `more`, in which `far` is; 0: there is no such group.
    pub more: u32,
    /// There is no group in the group `front` of a composite application.
    pub plain: bool,
    /// `web` runs another cartridge.
    pub java: bool,
    /// What members of `web` are started with.
    pub colour: u32,
}

/// What a cartridge is defined as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Definition {
    /// Not `php`.
    pub java: bool,
    /// What its members are started with.
    pub colour: u32,
    /// Its port has another name.
    pub renamed: bool,
    /// It has a second port.
    pub two_ports: bool,
}

impl Edition {
    pub fn any(chance: &mut Chance) -> Self {
        Self {
            job: chance.per_mille(400),
            more: chance.below(3) as u32,
            plain: chance.per_mille(300),
            java: chance.per_mille(300),
            colour: chance.below(3) as u32,
        }
    }
}

impl Definition {
    pub fn any(chance: &mut Chance) -> Self {
        Self {
            java: chance.per_mille(300),
            colour: chance.below(3) as u32,
            renamed: chance.per_mille(300),
            two_ports: chance.per_mille(300),
        }
    }
}

impl Sim {
    /// The application as this edition has it; sizes that were ordered meanwhile stay.
    pub(super) fn described(&self, edition: Edition) -> Option<Order> {
        let state = self.orchestrator.world.applications.get(&fixture::app())?;
        let mut application = fixture::application(&self.shape);
        if edition.plain {
            application.groups.iter_mut().for_each(without_inner);
        }
        if edition.job {
            name_job(&mut application, self);
        }
        if edition.more > 0 {
            application.groups.push(more(edition.more, self));
        }
        let web = state.blueprint.subscriptions().find(|one| one.alias == "web");
        application.each_subscription(|one| {
            if one.alias != "web" {
                return;
            }
            if let Some(web) = web {
                (one.cartridge_min, one.cartridge_max) = (web.cartridge_min, web.cartridge_max);
            }
            if edition.java {
                one.cartridge_type = fixture::other_cartridge();
            }
            one.property
                .insert("payload_parameter.SHADE".into(), edition.colour.to_string());
        });
        Some(Order::PutApplication {
            blueprint: Box::new(application),
            sealed: std::collections::BTreeMap::new(),
            expected_revision: None,
            mode: Mode::Replace,
        })
    }

    pub(super) fn defined(&self, definition: Definition) -> Order {
        let mut cartridge: Cartridge = fixture::cartridge(&self.shape);
        if definition.java {
            cartridge.cartridge_type = fixture::other_cartridge();
        }
        cartridge
            .property
            .insert("payload_parameter.COLOUR".into(), definition.colour.to_string());
        if definition.renamed {
            cartridge.port_mapping[0].name = "web".into();
        }
        if definition.two_ports {
            cartridge.port_mapping.push(PortMapping {
                name: "more".into(),
                protocol: "http".into(),
                port: 81,
                proxy_port: 8081,
            });
        }
        Order::PutCartridge(Box::new(cartridge), Mode::Replace)
    }
}

fn without_inner(front: &mut Group) {
    front.groups.clear();
    if let Some(dependencies) = &mut front.dependencies {
        dependencies.startup_orders.clear();
        dependencies.scaling_dependents.clear();
    }
}

fn name_job(application: &mut Application, sim: &Sim) {
    let chain = vec![
        format!("cartridge.{}", application.cartridges[0].alias),
        "cartridge.job".to_owned(),
    ];
    let job = fixture::subscription(&sim.shape, "job");
    application.cartridges.push(job);
    let dependencies = application.dependencies.get_or_insert_with(Dependencies::default);
    dependencies.startup_orders.push(chain);
}

fn more(instances: u32, sim: &Sim) -> Group {
    Group {
        name: GroupName::new("more").unwrap(),
        alias: "more".into(),
        min_instances: instances,
        max_instances: instances,
        deployment_policy: None,
        cartridges: vec![fixture::subscription(&sim.shape, "far")],
        groups: Vec::new(),
        dependencies: None,
    }
}

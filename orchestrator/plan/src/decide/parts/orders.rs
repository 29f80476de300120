//! Startup orders: what a part waits for, at its own level and at those around it.
//!
//! This file refuses to start anything.

use cartridge_protocol::{ApplicationId, NetworkPartitionId};

use super::{Part, parts_in, standing};
use crate::blueprint::{Application, Group};
use crate::world::{Standing, World};

/// One level of an application: an instance of a group, or the application in one network partition.
#[derive(Clone, Debug)]
pub(super) struct Level<'a> {
    pub group: Option<&'a Group>,
    /// Which instance; 0: the top level.
    pub number: u32,
    /// What stands there and holds the part, as startup orders name it.
    pub component: String,
}

/// The levels around a part, its own first, the application last.
pub(super) fn levels<'a>(
    world: &World,
    blueprint: &'a Application,
    np: &NetworkPartitionId,
    part: &Part,
) -> Vec<Level<'a>> {
    let Some(cluster) = world.clusters.get(&part.cluster) else {
        return Vec::new();
    };
    let path = cluster
        .group
        .as_deref()
        .map(|alias| blueprint.path_to(alias))
        .unwrap_or_default();
    let (mut number, mut component) = (part.number, format!("cartridge.{}", cluster.alias));
    let mut found = Vec::new();
    for group in path.into_iter().rev() {
        let parent = world
            .group_instances(&blueprint.application_id, np, &group.alias)
            .find(|(own, _)| *own == number)
            .map_or(0, |(_, instance)| instance.parent);
        found.push(Level {
            group: Some(group),
            number,
            component: std::mem::replace(&mut component, group.component()),
        });
        number = parent;
    }
    found.push(Level {
        group: None,
        number: 0,
        component,
    });
    found
}

/// Why a part does not start; None: nothing holds it.
pub(super) fn hindrance(
    world: &World,
    application: &ApplicationId,
    np: &NetworkPartitionId,
    part: &Part,
) -> Option<String> {
    planted!(StartOrderIgnored => return None);
    let blueprint = &world.applications.get(application)?.blueprint;
    let ends = |part: &Part| standing(world, np, part) == Standing::Terminating;
    if let Some(part) = parts_in(world, application, np).iter().find(|part| ends(part)) {
        return Some(format!("{} ends first", part.cluster));
    }
    for level in levels(world, blueprint, np, part) {
        let dependencies = match level.group {
            None => blueprint.dependencies.as_ref(),
            Some(group) => group.dependencies.as_ref(),
        };
        let before = dependencies.map(|dependencies| dependencies.before(&level.component));
        for component in before.into_iter().flatten() {
            if !is_active(world, blueprint, np, &level, component) {
                return Some(format!("{component} must be active before {}", level.component));
            }
        }
    }
    None
}

/// Whether a component of a level serves: a cartridge with its minimum, a group with its minimum of whole instances.
fn is_active(
    world: &World,
    blueprint: &Application,
    np: &NetworkPartitionId,
    level: &Level<'_>,
    component: &str,
) -> bool {
    let application = &blueprint.application_id;
    if let Some(alias) = component.strip_prefix("cartridge.") {
        let mut clusters = world.clusters_of(application);
        let cluster = clusters.find(|cluster| cluster.is_wanted() && cluster.alias == alias);
        return cluster.is_some_and(|cluster| {
            let part = Part {
                cluster: cluster.id.clone(),
                number: level.number,
            };
            standing(world, np, &part) == Standing::Active
        });
    }
    let groups = level.group.map_or(&blueprint.groups, |group| &group.groups);
    let named = |group: &&Group| component.strip_prefix("group.") == Some(&group.alias);
    groups
        .iter()
        .find(named)
        .is_some_and(|group| enough(world, application, np, group, level.number))
}

/// Whether the minimum of instances of a group in an instance of what is around it is whole.
pub(super) fn enough(
    world: &World,
    application: &ApplicationId,
    np: &NetworkPartitionId,
    group: &Group,
    parent: u32,
) -> bool {
    let instances = world.group_instances(application, np, &group.alias);
    let active = instances
        .filter(|(_, instance)| instance.parent == parent && !instance.ending)
        .filter(|(number, _)| whole(world, application, np, group, *number))
        .count();
    active >= group.min_instances as usize
}

/// Whether all that is in one instance of a group is active.
pub(in crate::decide) fn whole(
    world: &World,
    application: &ApplicationId,
    np: &NetworkPartitionId,
    group: &Group,
    number: u32,
) -> bool {
    let own = |cluster: &&crate::world::Cluster| {
        cluster.is_wanted() && cluster.group.as_deref() == Some(&group.alias)
    };
    let active = |cluster: &crate::world::Cluster| {
        let instance = cluster.instances.get(np);
        instance.is_some_and(|instance| instance.standing(number) == Standing::Active)
    };
    world.clusters_of(application).filter(own).all(active)
        && group
            .groups
            .iter()
            .all(|inner| enough(world, application, np, inner, number))
}

//! What ends together with a part that lost too many members: the blueprint's termination behaviours, level by level.
//!
//! This file refuses to end anything by itself.

use std::collections::BTreeMap;

use cartridge_protocol::NetworkPartitionId;

use super::orders::{Level, enough, levels};
use super::{Part, parts_in};
use crate::blueprint::{Application, Dependencies, TerminationBehaviour};
use crate::world::World;

/// The parts that end, and why, for people. Empty: only what is missing is replaced.
pub(super) fn doomed(world: &World, np: &NetworkPartitionId, lost: &Part) -> BTreeMap<Part, String> {
    let mut doomed = BTreeMap::new();
    let state = world
        .clusters
        .get(&lost.cluster)
        .and_then(|cluster| world.applications.get(&cluster.application));
    let Some(blueprint) = state.map(|state| &state.blueprint) else {
        return doomed;
    };
    let all: Vec<(Part, Vec<Level<'_>>)> = parts_in(world, &blueprint.application_id, np)
        .into_iter()
        .map(|part| {
            let around = levels(world, blueprint, np, &part);
            (part, around)
        })
        .collect();
    for level in levels(world, blueprint, np, lost) {
        let dependencies = match level.group {
            None => blueprint.dependencies.as_ref(),
            Some(group) => group.dependencies.as_ref(),
        };
        if let Some(dependencies) = dependencies {
            let reason = reason(&level, dependencies, blueprint);
            let goes = |component: &str| ends(dependencies, &level.component, component);
            let of_level = all
                .iter()
                .filter_map(|(part, around)| Some((part, component_at(around, &level)?)));
            for (part, _) in of_level.filter(|(_, component)| goes(component)) {
                doomed.entry(part.clone()).or_insert_with(|| reason.clone());
            }
        }
        if !is_lost_too(world, blueprint, np, &level) {
            break;
        }
    }
    doomed
}

/// What holds a part at a level; None: the part is elsewhere.
fn component_at<'a>(around: &'a [Level<'_>], level: &Level<'_>) -> Option<&'a str> {
    let same = |own: &&Level<'_>| {
        own.number == level.number
            && own.group.map(|group| &group.alias) == level.group.map(|group| &group.alias)
    };
    around.iter().find(same).map(|own| own.component.as_str())
}

/// Whether `component` ends when `lost` is lost.
fn ends(dependencies: &Dependencies, lost: &str, component: &str) -> bool {
    let after = dependencies.after(lost);
    match dependencies.termination_behaviour {
        TerminationBehaviour::TerminateNone => false,
        TerminationBehaviour::TerminateDependents => {
            after.contains(component) || (component == lost && !after.is_empty())
        }
        TerminationBehaviour::TerminateAll => true,
    }
}

/// Whether the instance of a group, having lost a part, is missing around it.
fn is_lost_too(world: &World, blueprint: &Application, np: &NetworkPartitionId, level: &Level<'_>) -> bool {
    let Some(group) = level.group else {
        return false;
    };
    let application = &blueprint.application_id;
    let mut instances = world.group_instances(application, np, &group.alias);
    let parent = instances
        .find(|(number, _)| *number == level.number)
        .map_or(0, |(_, instance)| instance.parent);
    !enough(world, application, np, group, parent)
}

fn reason(level: &Level<'_>, dependencies: &Dependencies, blueprint: &Application) -> String {
    let place = match level.group {
        None => format!("application {}", blueprint.application_id),
        Some(group) => format!("group {}-{}", group.alias, level.number),
    };
    let behaviour = match dependencies.termination_behaviour {
        TerminationBehaviour::TerminateNone => "terminate-none",
        TerminationBehaviour::TerminateDependents => "terminate-dependents",
        TerminationBehaviour::TerminateAll => "terminate-all",
    };
    format!("{} of {place} lost members ({behaviour})", level.component)
}

//! Definitions of groups: what they name must exist; a blueprint takes over what its groups depend on.
//!
//! It refuses to change blueprints that took over another definition before: they keep what they were put with.

use cartridge_protocol::GroupName;

use super::{Code, Mode, Refusal, put};
use crate::blueprint::parse::not_there;
use crate::blueprint::{Application, CartridgeGroup, Dependencies, Group};
use crate::record::Record;
use crate::world::World;

pub(super) fn put(world: &World, group: Box<CartridgeGroup>, mode: Mode) -> Result<Vec<Record>, Refusal> {
    let present = world.cartridge_groups.get(&group.name);
    let changed = put::fits(
        mode,
        "cartridge group",
        group.name.as_str(),
        "name",
        present,
        &group,
    )?;
    let mut faults = Vec::new();
    cartridges_exist(world, &group, "", &mut faults);
    Refusal::of(Code::Invalid, faults)?;
    let records = changed.then_some(Record::CartridgeGroupPut(group));
    Ok(records.into_iter().collect())
}

fn cartridges_exist(world: &World, group: &CartridgeGroup, path: &str, faults: &mut Vec<(String, String)>) {
    for (i, cartridge) in group.cartridges.iter().enumerate() {
        if !world.cartridges.contains_key(cartridge) {
            let message = format!("there is no cartridge {:?}", cartridge.as_str());
            faults.push((format!("{path}cartridges[{i}]"), message));
        }
    }
    for (i, inner) in group.groups.iter().enumerate() {
        cartridges_exist(world, inner, &format!("{path}groups[{i}]."), faults);
    }
}

pub(super) fn remove(world: &World, name: GroupName) -> Result<Vec<Record>, Refusal> {
    if !world.cartridge_groups.contains_key(&name) {
        let message = format!("there is no cartridge group {:?}", name.as_str());
        return Err(Refusal::new(Code::NotFound, "", message));
    }
    let mut states = world.applications.values();
    let uses = |application: &Application| application.all_groups().iter().any(|(_, g)| g.name == name);
    if let Some(user) = states.find(|state| uses(&state.blueprint)) {
        let message = format!(
            "cartridge group {:?} is in use by application {:?}",
            name.as_str(),
            user.blueprint.application_id.as_str()
        );
        return Err(Refusal::new(Code::InUse, "", message));
    }
    Ok(vec![Record::CartridgeGroupRemoved { name }])
}

/// Gives each group what its definition says of dependencies; the faults, by field.
pub(super) fn take_over(world: &World, blueprint: &mut Application) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for (i, group) in blueprint.groups.iter_mut().enumerate() {
        let path = format!("components.groups[{i}]");
        match world.cartridge_groups.get(&group.name) {
            Some(definition) => describe(world, group, definition, &path, &mut faults),
            None => faults.push((format!("{path}.name"), unknown(&group.name))),
        }
    }
    faults
}

fn unknown(name: &GroupName) -> String {
    format!("there is no cartridge group {:?}", name.as_str())
}

fn describe(
    world: &World,
    group: &mut Group,
    definition: &CartridgeGroup,
    path: &str,
    faults: &mut Vec<(String, String)>,
) {
    for (i, subscription) in group.cartridges.iter().enumerate() {
        if !definition.cartridges.contains(&subscription.cartridge_type) {
            let message = format!(
                "cartridge group {:?} has no cartridge {:?}",
                definition.name.as_str(),
                subscription.cartridge_type.as_str()
            );
            faults.push((format!("{path}.cartridges[{i}].type"), message));
        }
    }
    if group.dependencies.is_none()
        && let Some(dependencies) = &definition.dependencies
    {
        group.dependencies = Some(by_alias(group, dependencies, path, faults));
    }
    for (i, inner) in group.groups.iter_mut().enumerate() {
        let path = format!("{path}.groups[{i}]");
        let own = definition.groups.iter().find(|own| own.name == inner.name);
        match own.or_else(|| world.cartridge_groups.get(&inner.name)) {
            Some(definition) => describe(world, inner, definition, &path, faults),
            None => faults.push((format!("{path}.name"), unknown(&inner.name))),
        }
    }
}

/// Definitions name what they hold by the aliases that applications give; where one has another alias, its type or
/// name is taken, if only one has it.
fn by_alias(
    group: &Group,
    dependencies: &Dependencies,
    path: &str,
    faults: &mut Vec<(String, String)>,
) -> Dependencies {
    let cartridges = group
        .cartridges
        .iter()
        .map(|one| ("cartridge.", &one.alias, one.cartridge_type.as_str()));
    let groups = group
        .groups
        .iter()
        .map(|one| ("group.", &one.alias, one.name.as_str()));
    let held: Vec<(&str, &String, &str)> = cartridges.chain(groups).collect();
    let mut resolve = |component: &String| {
        let own = |(kind, alias, _): &&(&str, &String, &str)| format!("{kind}{alias}") == *component;
        let of_type = |(kind, _, name): &&(&str, &String, &str)| format!("{kind}{name}") == *component;
        let typed: Vec<_> = held.iter().filter(of_type).collect();
        let found = match (held.iter().find(own), typed.as_slice()) {
            (Some(found), _) => found,
            (None, [found]) => *found,
            _ => {
                let field = format!("{path}.name");
                faults.push((field, not_there("group", group.name.as_str(), component)));
                return component.clone();
            }
        };
        format!("{}{}", found.0, found.1)
    };
    let mut lists = |lists: &[Vec<String>]| -> Vec<Vec<String>> {
        lists
            .iter()
            .map(|list| list.iter().map(&mut resolve).collect())
            .collect()
    };
    Dependencies {
        startup_orders: lists(&dependencies.startup_orders),
        scaling_dependents: lists(&dependencies.scaling_dependents),
        termination_behaviour: dependencies.termination_behaviour,
    }
}

/// Too many instances of groups to begin with.
pub(super) fn instances(blueprint: &Application) -> Vec<(String, String)> {
    fn least(groups: &[Group], around: u64) -> u64 {
        groups.iter().fold(0, |sum: u64, group| {
            let own = around.saturating_mul(u64::from(group.min_instances));
            sum.saturating_add(own).saturating_add(least(&group.groups, own))
        })
    }
    let (count, most) = (least(&blueprint.groups, 1), crate::blueprint::MAX_GROUP_INSTANCES);
    if count <= u64::from(most) {
        return Vec::new();
    }
    let message = format!(
        "groupMinInstances ask for {count} instances of groups; at most {most} stand in one network partition"
    );
    vec![("components.groups".to_owned(), message)]
}

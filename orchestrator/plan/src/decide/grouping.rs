//! How many instances of each group stand in each network partition: the minimum, one more when a cluster in it has no
//! room left, one fewer when all of it fits into the others.
//!
//! This file refuses to know how many members there should be.

use cartridge_protocol::{ApplicationId, NetworkPartitionId};

use super::dependents::Wishes;
use super::draft::Draft;
use super::parts::in_use;
use super::sizing::Sizes;
use crate::blueprint::{Application, Group, MAX_GROUP_INSTANCES};
use crate::record::Record;
use crate::world::World;

mod need;

pub(super) use need::asked;

/// Decides.
pub(super) fn decide(draft: &mut Draft<'_>, application: &ApplicationId, sizes: &Sizes, wishes: &Wishes) {
    let Some(state) = draft.world().applications.get(application) else {
        return;
    };
    if state.blueprint.groups.is_empty() && state.groups.is_empty() {
        return;
    }
    let blueprint = state.blueprint.clone();
    finish(draft, &blueprint);
    if blueprint.groups.is_empty() || sizes.is_empty() {
        return;
    }
    for np in in_use(draft.world(), application) {
        for (_, group) in blueprint.all_groups() {
            keep_bounds(draft, &blueprint, &np, group);
        }
        let moving = draft
            .world()
            .applications
            .get(application)
            .and_then(|state| state.groups.get(&np))
            .is_some_and(|here| here.values().flatten().any(|(_, one)| one.ending));
        if moving {
            continue; // one move at a time
        }
        if !grow(draft, &blueprint, &np, sizes, wishes) {
            shrink(draft, &blueprint, &np, sizes, wishes);
        }
    }
}

/// Instances of a group that stand there in one instance of what is around it.
fn stand(
    world: &World,
    application: &ApplicationId,
    np: &NetworkPartitionId,
    alias: &str,
    parent: u32,
) -> Vec<u32> {
    world
        .group_instances(application, np, alias)
        .filter(|(_, instance)| instance.parent == parent && !instance.ending)
        .map(|(number, _)| number)
        .collect()
}

/// The instances of what is around a group; `[0]` at the top level.
fn parents(world: &World, blueprint: &Application, np: &NetworkPartitionId, group: &Group) -> Vec<u32> {
    match blueprint.path_to(&group.alias).as_slice() {
        [.., outer, _] => world
            .group_instances(&blueprint.application_id, np, &outer.alias)
            .filter(|(_, instance)| !instance.ending)
            .map(|(number, _)| number)
            .collect(),
        _ => vec![0],
    }
}

/// Forgets instances of which nothing is left.
fn finish(draft: &mut Draft<'_>, blueprint: &Application) {
    let application = &blueprint.application_id;
    let Some(state) = draft.world().applications.get(application) else {
        return;
    };
    let ending: Vec<Record> = state
        .groups
        .iter()
        .flat_map(|(np, here)| here.iter().map(move |(alias, all)| (np, alias, all)))
        .flat_map(|(np, alias, all)| all.iter().map(move |(number, one)| (np, alias, *number, one)))
        .filter(|(_, _, _, one)| one.ending)
        .map(|(np, alias, number, _)| Record::GroupInstanceEnded {
            application: application.clone(),
            network_partition: np.clone(),
            group: alias.clone(),
            instance: number,
        })
        .collect();
    for record in ending {
        // An outer one may have taken it along already, or members are left.
        if draft.world().fits(&record).is_ok() {
            draft.push(record);
        }
    }
}

/// Fewer than the minimum or more than the maximum stand at first, and after the blueprint changed.
fn keep_bounds(draft: &mut Draft<'_>, blueprint: &Application, np: &NetworkPartitionId, group: &Group) {
    let application = &blueprint.application_id;
    for parent in parents(draft.world(), blueprint, np, group) {
        let count = |draft: &Draft<'_>| stand(draft.world(), application, np, &group.alias, parent);
        while count(draft).len() < group.min_instances as usize {
            let reason = format!("the minimum of instances is {}", group.min_instances);
            if !start(draft, blueprint, np, (group, parent), &reason) {
                return;
            }
        }
        let surplus = count(draft);
        for number in surplus.iter().skip(group.max_instances as usize) {
            let reason = format!("the maximum of instances is {}", group.max_instances);
            end(draft, blueprint, np, (group, *number), &reason);
        }
    }
}

/// Begins one instance; false: there are too many.
fn start(
    draft: &mut Draft<'_>,
    blueprint: &Application,
    np: &NetworkPartitionId,
    (group, parent): (&Group, u32),
    reason: &str,
) -> bool {
    let application = &blueprint.application_id;
    let Some(state) = draft.world().applications.get(application) else {
        return false;
    };
    let here = state.groups.get(np).into_iter().flatten();
    let standing: usize = here.map(|(_, all)| all.len()).sum();
    if standing >= MAX_GROUP_INSTANCES as usize {
        let text = format!(
            "no further instance of {} in {np}: there are {standing}",
            group.alias
        );
        draft.note_all(application, &text);
        return false;
    }
    let taken = |number: &u32| {
        let mut places = state.groups.values();
        places.any(|here| here.get(&group.alias).is_some_and(|all| all.contains_key(number)))
    };
    let Some(instance) = (1..=u32::MAX).find(|number| !taken(number)) else {
        return false;
    };
    draft.push(Record::GroupInstanceStarted {
        application: application.clone(),
        network_partition: np.clone(),
        group: group.alias.clone(),
        instance,
        parent,
        reason: reason.to_owned(),
    });
    for inner in &group.groups {
        keep_bounds(draft, blueprint, np, inner);
    }
    true
}

fn end(
    draft: &mut Draft<'_>,
    blueprint: &Application,
    np: &NetworkPartitionId,
    (group, instance): (&Group, u32),
    reason: &str,
) {
    draft.push(Record::GroupInstanceEnding {
        application: blueprint.application_id.clone(),
        network_partition: np.clone(),
        group: group.alias.clone(),
        instance,
        reason: reason.to_owned(),
    });
}

/// One more instance where a cluster is full, or dependents ask; true: something grows or waits to.
fn grow(
    draft: &mut Draft<'_>,
    blueprint: &Application,
    np: &NetworkPartitionId,
    sizes: &Sizes,
    wishes: &Wishes,
) -> bool {
    let mut wanted = need::full(draft.world(), blueprint, np, sizes);
    for (alias, wish) in wishes {
        let count = need::count(draft.world(), blueprint, alias);
        if count < *wish && !wanted.iter().any(|(group, _)| group.alias == *alias) {
            let group = blueprint.path_to(alias).last().copied();
            let reason = format!("{wish} instances are asked for by what scales with it");
            wanted.extend(group.map(|group| (group, reason)));
        }
    }
    let mut grows = false;
    for (group, reason) in wanted {
        let Some(parent) = need::open_parent(draft.world(), blueprint, np, group) else {
            continue;
        };
        grows = true;
        if need::pending(draft.world(), blueprint, np, group) {
            let text = format!(
                "{reason}; the instances of {} that there are become active first",
                group.alias
            );
            draft.note_all(&blueprint.application_id, &text);
        } else {
            start(draft, blueprint, np, (group, parent), &reason);
        }
    }
    grows
}

/// One fewer where all that is in it fits into the others.
fn shrink(
    draft: &mut Draft<'_>,
    blueprint: &Application,
    np: &NetworkPartitionId,
    sizes: &Sizes,
    wishes: &Wishes,
) {
    for (_, group) in blueprint.all_groups() {
        let wish = wishes.get(&group.alias).copied().unwrap_or(0);
        if need::count(draft.world(), blueprint, &group.alias) <= wish {
            continue;
        }
        match need::spare(draft, blueprint, np, group, sizes) {
            Ok(number) => {
                let reason = "all that is needed fits into the other instances";
                end(draft, blueprint, np, (group, number), reason);
                return;
            }
            Err(Some(due)) => draft.wake_at(due),
            Err(None) => {}
        }
    }
}

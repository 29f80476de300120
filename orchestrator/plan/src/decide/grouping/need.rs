//! Whether a group needs one more instance, or can do with one fewer.
//!
//! This file refuses to start or end any.

use cartridge_protocol::{Millis, NetworkPartitionId};

use super::{parents, stand};
use crate::blueprint::{Application, Group};
use crate::decide::draft::Draft;
use crate::decide::parts::{in_use, whole};
use crate::decide::sizing::{Size, Sizes};
use crate::scale;
use crate::world::{Cluster, World};

/// Instances of a group that stand, in all network partitions together.
pub(super) fn count(world: &World, blueprint: &Application, alias: &str) -> u32 {
    let places = in_use(world, &blueprint.application_id);
    let here = |np: &NetworkPartitionId| {
        let all = world.group_instances(&blueprint.application_id, np, alias);
        all.filter(|(_, instance)| !instance.ending).count()
    };
    u32::try_from(places.iter().map(here).sum::<usize>()).unwrap_or(u32::MAX)
}

/// How many instances a group asks for by itself, and its minimum, in all network partitions together.
pub(in crate::decide) fn asked(
    draft: &Draft<'_>,
    blueprint: &Application,
    alias: &str,
    sizes: &Sizes,
) -> (u32, u32) {
    let world = draft.world();
    let Some(group) = blueprint.path_to(alias).last().copied() else {
        return (0, 0);
    };
    let mut asked = count(world, blueprint, alias);
    let mut least: u32 = 0;
    for np in in_use(world, &blueprint.application_id) {
        let around = parents(world, blueprint, &np, group).len();
        let around = u32::try_from(around).unwrap_or(u32::MAX);
        least = least.saturating_add(around.saturating_mul(group.min_instances));
        let full = full(world, blueprint, &np, sizes);
        if full.iter().any(|(other, _)| other.alias == alias) {
            asked = asked.saturating_add(1);
        } else if spare(draft, blueprint, &np, group, sizes).is_ok() {
            asked = asked.saturating_sub(1);
        }
    }
    (asked.max(least), least)
}

/// The groups that need one more instance there, and why: for each cluster that is full, the innermost group around it
/// that may have one more.
pub(super) fn full<'a>(
    world: &World,
    blueprint: &'a Application,
    np: &NetworkPartitionId,
    sizes: &Sizes,
) -> Vec<(&'a Group, String)> {
    let mut found: Vec<(&Group, String)> = Vec::new();
    for (id, size) in sizes {
        let Some(alias) = world
            .clusters
            .get(id)
            .and_then(|cluster| cluster.group.as_deref())
        else {
            continue;
        };
        let Some(slot) = size.layout.slot(np) else {
            continue;
        };
        let wishes = size.layout.wish(size.target.max(size.layout.floor()));
        let wanted = wishes
            .iter()
            .find(|(place, _)| place == np)
            .map_or(0, |(_, count)| *count);
        if wanted <= slot.now || slot.cap <= slot.now {
            continue;
        }
        let path = blueprint.path_to(alias);
        let inner = path.into_iter().rev();
        let group = inner
            .into_iter()
            .find(|group| open_parent(world, blueprint, np, group).is_some());
        if let Some(group) = group.filter(|group| !found.iter().any(|(other, _)| other.alias == group.alias))
        {
            let reason = format!(
                "{id} needs {wanted} members, there is room for {} in its instances",
                slot.now
            );
            found.push((group, reason));
        }
    }
    found
}

/// Where one more instance may stand: the emptiest of what is around it.
pub(super) fn open_parent(
    world: &World,
    blueprint: &Application,
    np: &NetworkPartitionId,
    group: &Group,
) -> Option<u32> {
    let counted = parents(world, blueprint, np, group).into_iter().map(|parent| {
        let all = stand(world, &blueprint.application_id, np, &group.alias, parent);
        (all.len(), parent)
    });
    counted
        .filter(|(count, _)| *count < group.max_instances as usize)
        .min()
        .map(|(_, parent)| parent)
}

/// Whether an instance of the group is not active yet, or not any more.
pub(super) fn pending(
    world: &World,
    blueprint: &Application,
    np: &NetworkPartitionId,
    group: &Group,
) -> bool {
    let application = &blueprint.application_id;
    world
        .group_instances(application, np, &group.alias)
        .any(|(number, one)| !one.ending && !whole(world, application, np, group, number))
}

/// The instance that can go. Err: none; with a time: not before.
pub(super) fn spare(
    draft: &Draft<'_>,
    blueprint: &Application,
    np: &NetworkPartitionId,
    group: &Group,
    sizes: &Sizes,
) -> Result<u32, Option<Millis>> {
    let world = draft.world();
    let application = &blueprint.application_id;
    let fullest = parents(world, blueprint, np, group)
        .into_iter()
        .map(|parent| stand(world, application, np, &group.alias, parent))
        .max_by_key(Vec::len)
        .unwrap_or_default();
    let number = *fullest.last().ok_or(None)?;
    let others_stand = !pending(world, blueprint, np, group);
    planted!(GroupBelowMinimum => if others_stand { return Ok(number); });
    if fullest.len() <= group.min_instances as usize || !others_stand || draft.blind() {
        return Err(None);
    }
    let goes = world.inside(application, np, &group.alias, number);
    for (id, size) in sizes {
        let Some(cluster) = world.clusters.get(id) else {
            continue;
        };
        let own = cluster.group.as_deref().unwrap_or_default();
        let copies = goes.iter().filter(|(alias, _)| alias == own).count();
        if copies > 0 {
            fits_without(
                draft,
                cluster,
                size,
                np,
                u32::try_from(copies).unwrap_or(u32::MAX),
            )?;
        }
    }
    Ok(number)
}

/// Whether a cluster could do with so many copies fewer there, and could for a whole stabilisation time.
fn fits_without(
    draft: &Draft<'_>,
    cluster: &Cluster,
    size: &Size,
    np: &NetworkPartitionId,
    copies: u32,
) -> Result<(), Option<Millis>> {
    let world = draft.world();
    let slot = size.layout.slot(np).ok_or(None)?;
    let instance = cluster.instances.get(np).ok_or(None)?;
    let left = world.copies(cluster, np).saturating_sub(copies);
    let after = slot.now.min(cluster.max.saturating_mul(left));
    let lately = size.lately.ok_or(None)?;
    let needed = if size.ordered { size.required } else { lately };
    let mut layout = size.layout.clone();
    let own = layout.groups.iter_mut().flatten();
    for slot in own.filter(|slot| slot.network_partition == *np) {
        slot.min = cluster.min.saturating_mul(left);
    }
    let wishes = layout.wish(needed);
    let wanted = wishes
        .iter()
        .find(|(place, _)| place == np)
        .map_or(0, |(_, count)| *count);
    if wanted > after || slot.desired > slot.min {
        return Err(None);
    }
    let policy = cluster
        .autoscaling_policy
        .as_ref()
        .and_then(|id| world.autoscaling_policies.get(id));
    let calm = instance
        .since
        .plus(policy.map_or(Millis::ZERO, scale::stabilization));
    if draft.now < calm && !size.ordered {
        return Err(Some(calm));
    }
    Ok(())
}

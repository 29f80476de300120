//! Scaling dependents: what stands in one list grows by one factor, the highest that any of them asks for.
//!
//! Cartridges count members, groups count instances, each against its own minimum. This file refuses to know why any
//! of them grows.

use std::collections::BTreeMap;

use cartridge_protocol::ApplicationId;

use super::draft::Draft;
use super::grouping;
use super::sizing::Sizes;
use crate::blueprint::Application;
use crate::world::World;

/// Fewest instances that dependents ask for, all network partitions together, by the group's alias.
pub(super) type Wishes = BTreeMap<String, u32>;

/// Raises sizes to what dependents ask for.
pub(super) fn raise(draft: &mut Draft<'_>, application: &ApplicationId, sizes: &mut Sizes) -> Wishes {
    let mut wishes = Wishes::new();
    let Some(state) = draft.world().applications.get(application) else {
        return wishes;
    };
    if !state.blueprint.is_composite() {
        return wishes;
    }
    let blueprint = state.blueprint.clone();
    let inner = blueprint.all_groups().into_iter().rev();
    let levels = inner
        .map(|(_, group)| group.dependencies.as_ref())
        .chain([blueprint.dependencies.as_ref()]);
    for list in levels.flatten().flat_map(|level| &level.scaling_dependents) {
        together(draft, &blueprint, list, sizes, &mut wishes);
    }
    wishes
}

/// What one component asks for, and its minimum.
#[derive(Clone, Copy)]
struct Asked {
    count: u32,
    least: u32,
}

fn together(
    draft: &mut Draft<'_>,
    blueprint: &Application,
    list: &[String],
    sizes: &mut Sizes,
    wishes: &mut Wishes,
) {
    let asked: Vec<(&String, Asked)> = list
        .iter()
        .filter_map(|component| {
            let asked = asked(draft, blueprint, component, sizes)?;
            (asked.least > 0).then_some((component, asked))
        })
        .collect();
    // a/b > c/d as a·d > c·b: no rounding.
    let larger = |(_, a): &&(&String, Asked), (_, b): &&(&String, Asked)| {
        let left = u64::from(a.count) * u64::from(b.least);
        left.cmp(&(u64::from(b.count) * u64::from(a.least)))
    };
    let Some((leader, highest)) = asked
        .iter()
        .max_by(larger)
        .map(|(name, asked)| ((*name).clone(), *asked))
    else {
        return;
    };
    for (component, own) in asked {
        let needed = u64::from(own.least) * u64::from(highest.count);
        let needed = u32::try_from(needed.div_ceil(u64::from(highest.least))).unwrap_or(u32::MAX);
        match component.strip_prefix("group.") {
            Some(alias) => _ = wishes.insert(alias.to_owned(), needed),
            None => lift(draft, blueprint, component, (needed, &leader, highest), sizes),
        }
    }
}

fn asked(draft: &Draft<'_>, blueprint: &Application, component: &str, sizes: &Sizes) -> Option<Asked> {
    if let Some(alias) = component.strip_prefix("cartridge.") {
        let size = sizes.get(&cluster(draft.world(), blueprint, alias)?)?;
        let least = size.layout.least();
        // What it needs by itself: its present size may be what the others ask of it.
        let needed = size
            .lately
            .unwrap_or(size.target)
            .min(size.layout.cap(usize::MAX));
        return Some(Asked {
            count: needed.max(least),
            least,
        });
    }
    let alias = component.strip_prefix("group.")?;
    let (count, least) = grouping::asked(draft, blueprint, alias, sizes);
    Some(Asked { count, least })
}

fn cluster(world: &World, blueprint: &Application, alias: &str) -> Option<cartridge_protocol::ClusterId> {
    let mut clusters = world.clusters_of(&blueprint.application_id);
    clusters
        .find(|cluster| cluster.alias == alias && cluster.is_wanted())
        .map(|cluster| cluster.id.clone())
}

fn lift(
    draft: &mut Draft<'_>,
    blueprint: &Application,
    component: &str,
    (needed, leader, highest): (u32, &str, Asked),
    sizes: &mut Sizes,
) {
    let alias = component.strip_prefix("cartridge.").unwrap_or_default();
    let Some(id) = cluster(draft.world(), blueprint, alias) else {
        return;
    };
    let Some(size) = sizes.get_mut(&id) else {
        return;
    };
    // Both are in the same instances of a group: more of those would not bring them closer to each other.
    let grouped = draft
        .world()
        .clusters
        .get(&id)
        .is_some_and(|cluster| cluster.group.is_some());
    let room = if grouped {
        size.layout.most()
    } else {
        size.layout.cap(usize::MAX)
    };
    let target = needed.min(room);
    // An ordered size is what a person wants.
    if target <= size.target || size.ordered {
        return;
    }
    size.target = target;
    size.lately = size.lately.map(|lately| lately.max(target));
    size.factor = "dependency".into();
    size.reason = format!(
        "{leader} asks for {} of a minimum of {}, and scales together with {component}",
        highest.count, highest.least
    );
    let (factor, reason) = (size.factor.clone(), size.reason.clone());
    let report = draft.report(&id);
    report.target = target;
    report.factor = factor;
    report.notes.push(reason);
}

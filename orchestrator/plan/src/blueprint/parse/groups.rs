//! Reads groups of cartridges: their definitions, and their use in blueprints. It refuses to know what they refer to.

use std::collections::{BTreeMap, BTreeSet};

use cartridge_protocol::{PolicyId, Secret};

use super::dependencies::{self, Level};
use super::read::{Object, Reader, TEXT};
use super::subscription::{self, MOST_MEMBERS};
use crate::blueprint::{CartridgeGroup, Group, MAX_CARTRIDGES, MAX_GROUP_DEPTH, MAX_GROUPS, Subscription};

pub(super) const DEFINITION: &[&str] = &[
    "name",
    "cartridges",
    "groups",
    "dependencies",
    "groupScalingEnabled",
    "uuid",
    "tenantId",
];
const GROUP: &[&str] = &[
    "name",
    "alias",
    "groupMinInstances",
    "groupMaxInstances",
    "deploymentPolicy",
    "cartridges",
    "groups",
    "dependencies",
    "groupScalingEnabled",
    "uuid",
];

/// What was found in all groups together.
#[derive(Default)]
pub(super) struct Found {
    pub cartridges: usize,
    groups: usize,
    pub passwords: BTreeMap<String, Secret>,
    aliases: Vec<(String, String)>,
    group_aliases: Vec<(String, String)>,
}

impl Found {
    pub fn aliases_are_unique(&self, reader: &mut Reader) {
        let pairs = |all: &'_ [(String, String)]| -> Vec<(String, String)> { all.to_vec() };
        let (cartridges, groups) = (pairs(&self.aliases), pairs(&self.group_aliases));
        reader.unique(
            cartridges.iter().map(|(path, a)| (path.clone(), a.as_str())),
            "alias",
        );
        reader.unique(
            groups.iter().map(|(path, a)| (path.clone(), a.as_str())),
            "group alias",
        );
    }
}

/// The cartridges and groups directly in `object`, which stands `depth` groups deep.
pub(super) fn members(
    reader: &mut Reader,
    object: &Object<'_>,
    inherited: Option<&PolicyId>,
    depth: usize,
    found: &mut Found,
) -> (Vec<Subscription>, Vec<Group>) {
    let mut cartridges = Vec::new();
    for (path, item) in reader.list(object, "cartridges", MAX_CARTRIDGES) {
        found.cartridges += 1;
        if found.cartridges == MAX_CARTRIDGES + 1 {
            let message = format!("at most {MAX_CARTRIDGES} cartridges are accepted in one application");
            reader.fault(&path, None, message);
        }
        if let Some((path, one)) = subscription::read(reader, &path, item, inherited, &mut found.passwords) {
            found.aliases.push((path, one.alias.clone()));
            cartridges.push(one);
        }
    }
    let mut groups = Vec::new();
    let items = reader.list(object, "groups", MAX_GROUPS);
    if depth == MAX_GROUP_DEPTH && !items.is_empty() {
        let message = format!("groups are nested deeper than {MAX_GROUP_DEPTH} levels");
        reader.fault(&object.path("groups"), None, message);
        return (cartridges, groups);
    }
    for (path, item) in items {
        found.groups += 1;
        if found.groups == MAX_GROUPS + 1 {
            let message = format!("at most {MAX_GROUPS} groups are accepted in one application");
            reader.fault(&path, None, message);
        }
        if let Some(entry) = reader.object(&path, item, GROUP) {
            groups.extend(group(reader, &entry, inherited, depth, found));
        }
    }
    (cartridges, groups)
}

fn group(
    reader: &mut Reader,
    entry: &Object<'_>,
    inherited: Option<&PolicyId>,
    depth: usize,
    found: &mut Found,
) -> Option<Group> {
    let name = reader.needed(entry, "name", Reader::id);
    let alias = reader.needed(entry, "alias", subscription::alias);
    if let Some(alias) = &alias {
        found.group_aliases.push((entry.path("alias"), alias.clone()));
    }
    let least = instances(reader, entry, "groupMinInstances");
    let most = instances(reader, entry, "groupMaxInstances");
    let (least, most) = (least.unwrap_or(1), most.or(least).unwrap_or(1));
    if least > most {
        let message = format!("must not exceed groupMaxInstances, which is {most}");
        let field = "groupMinInstances";
        reader.fault(&entry.path(field), entry.get(field), message);
    }
    reader.flag(entry, "groupScalingEnabled");
    let own: Option<PolicyId> = match entry.get("deploymentPolicy") {
        Some(value) if value.as_str() != Some("") => reader.id(entry, "deploymentPolicy"),
        _ => None,
    };
    if let (Some(own), Some(outer)) = (&own, inherited) {
        let message = format!("is defined twice: a group around it has {:?}", outer.as_str());
        let field = entry.path("deploymentPolicy");
        reader.fault(&field, Some(&own.as_str().into()), message);
    }
    let policy = own.as_ref().or(inherited);
    let before = found.cartridges;
    let (cartridges, groups) = members(reader, entry, policy, depth + 1, found);
    if found.cartridges == before {
        let message = "at least one cartridge is required in a group";
        reader.fault(&entry.path("cartridges"), entry.get("cartridges"), message);
    }
    let known = components(&cartridges, &groups);
    let level = Level {
        kind: "group",
        name: alias.as_deref().unwrap_or_default(),
        known: Some(&known),
    };
    let dependencies = dependencies::read(reader, entry, &level);
    Some(Group {
        name: name?,
        alias: alias?,
        min_instances: least,
        max_instances: most,
        deployment_policy: own,
        cartridges,
        groups,
        dependencies,
    })
}

fn instances(reader: &mut Reader, entry: &Object<'_>, field: &str) -> Option<u32> {
    let given = entry.get(field).is_some_and(|value| value.as_str() != Some(""));
    given
        .then(|| reader.whole(entry, field, 1, MOST_MEMBERS))
        .flatten()
}

/// What startup orders of one level may name.
pub(super) fn components(cartridges: &[Subscription], groups: &[Group]) -> BTreeSet<String> {
    let cartridges = cartridges.iter().map(|one| format!("cartridge.{}", one.alias));
    cartridges.chain(groups.iter().map(Group::component)).collect()
}

/// A definition; which aliases it may name is known only where it is used.
pub(super) fn definition(reader: &mut Reader, object: &Object<'_>) -> Option<CartridgeGroup> {
    defined(reader, object, 1, &mut 0)
}

fn defined(
    reader: &mut Reader,
    object: &Object<'_>,
    depth: usize,
    count: &mut usize,
) -> Option<CartridgeGroup> {
    let name = reader.needed(object, "name", Reader::id);
    reader.flag(object, "groupScalingEnabled");
    let mut cartridges = Vec::new();
    for (path, item) in reader.list(object, "cartridges", MAX_CARTRIDGES) {
        let cartridge = reader.value_text(&path, item, TEXT);
        cartridges.extend(cartridge.and_then(|_| reader.value_id(&path, item)));
    }
    let mut groups: Vec<CartridgeGroup> = Vec::new();
    let items = reader.list(object, "groups", MAX_GROUPS);
    if depth > MAX_GROUP_DEPTH {
        let message = format!("groups are nested deeper than {MAX_GROUP_DEPTH} levels");
        reader.fault(&object.path("name"), None, message);
        return None;
    }
    let mut names = Vec::new();
    for (path, item) in items {
        *count += 1;
        if *count == MAX_GROUPS + 1 {
            let message = format!("at most {MAX_GROUPS} groups are accepted in one definition");
            reader.fault(&path, None, message);
        }
        let entry = reader.object(&path, item, DEFINITION);
        let inner = entry.and_then(|entry| defined(reader, &entry, depth + 1, count));
        names.extend(
            inner
                .iter()
                .map(|inner| (format!("{path}.name"), inner.name.to_string())),
        );
        groups.extend(inner);
    }
    reader.unique(
        names.iter().map(|(path, name)| (path.clone(), name.as_str())),
        "group name",
    );
    if cartridges.is_empty() && groups.is_empty() {
        let message = "at least one cartridge or group is required";
        reader.fault(&object.path("cartridges"), object.get("cartridges"), message);
    }
    let level = Level {
        kind: "group",
        name: name
            .as_ref()
            .map_or("", |name: &cartridge_protocol::GroupName| name.as_str()),
        known: None,
    };
    let dependencies = dependencies::read(reader, object, &level);
    Some(CartridgeGroup {
        name: name?,
        cartridges,
        groups,
        dependencies,
    })
}

//! Cartridges that start, scale and stop together: definitions that people reuse, and their use in a blueprint.
//!
//! This file refuses to know how many instances there are.

use cartridge_protocol::{CartridgeType, GroupName, PolicyId};
use serde::{Deserialize, Serialize};

use super::{Application, Dependencies, Subscription};

/// Deepest nesting of groups.
pub const MAX_GROUP_DEPTH: usize = 16;
/// Most cartridges in one application, those in groups included.
pub const MAX_CARTRIDGES: usize = 200;
/// Most groups in one application or definition.
pub const MAX_GROUPS: usize = 200;
/// Most instances of groups that one application has in one network partition.
pub const MAX_GROUP_INSTANCES: u32 = 1000;

/// A definition: which cartridges and groups belong together, and what starts, scales and ends with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CartridgeGroup {
    /// Unique among definitions; one inside another may repeat it.
    pub name: GroupName,
    /// Cartridges directly in it.
    pub cartridges: Vec<CartridgeType>,
    /// Groups directly in it.
    pub groups: Vec<CartridgeGroup>,
    /// By the aliases that applications will use.
    pub dependencies: Option<Dependencies>,
}

/// A group in an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its definition.
    pub name: GroupName,
    /// Unique among the groups of the application.
    pub alias: String,
    /// Fewest instances per instance of what it is in.
    pub min_instances: u32,
    /// Most.
    pub max_instances: u32,
    /// For all cartridges in it; they name none themselves.
    pub deployment_policy: Option<PolicyId>,
    /// Cartridges directly in it.
    pub cartridges: Vec<Subscription>,
    /// Groups directly in it.
    pub groups: Vec<Group>,
    /// As the definition had it when the blueprint was put, by the aliases of this application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,
}

/// A cartridge of an application, and where it is.
#[derive(Clone, Debug)]
pub struct Located<'a> {
    /// The cartridge.
    pub subscription: &'a Subscription,
    /// The groups around it, the outermost first.
    pub groups: Vec<&'a Group>,
    /// Such as `components.groups[0].cartridges[1]`.
    pub field: String,
}

impl Group {
    /// How startup orders name it.
    pub fn component(&self) -> String {
        format!("group.{}", self.alias)
    }
}

impl Application {
    /// Every cartridge, those at the top level first, then group by group.
    pub fn located(&self) -> Vec<Located<'_>> {
        let mut found = Vec::new();
        collect(
            &self.cartridges,
            &self.groups,
            "components",
            &mut Vec::new(),
            &mut found,
        );
        found
    }

    /// The same without where they are.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.located().into_iter().map(|located| located.subscription)
    }

    /// Every cartridge, to be changed.
    pub fn each_subscription(&mut self, mut change: impl FnMut(&mut Subscription)) {
        fn inside(groups: &mut [Group], change: &mut dyn FnMut(&mut Subscription)) {
            for group in groups {
                group.cartridges.iter_mut().for_each(&mut *change);
                inside(&mut group.groups, change);
            }
        }
        self.cartridges.iter_mut().for_each(&mut change);
        inside(&mut self.groups, &mut change);
    }

    /// Every group with the alias of the one around it; an outer one before those in it.
    pub fn all_groups(&self) -> Vec<(Option<&str>, &Group)> {
        fn inside<'a>(
            outer: Option<&'a str>,
            groups: &'a [Group],
            found: &mut Vec<(Option<&'a str>, &'a Group)>,
        ) {
            for group in groups {
                found.push((outer, group));
                inside(Some(&group.alias), &group.groups, found);
            }
        }
        let mut found = Vec::new();
        inside(None, &self.groups, &mut found);
        found
    }

    /// The groups around a group and itself, the outermost first. Empty: there is no such group.
    pub fn path_to(&self, alias: &str) -> Vec<&Group> {
        fn inside<'a>(groups: &'a [Group], alias: &str, path: &mut Vec<&'a Group>) -> bool {
            groups.iter().any(|group| {
                path.push(group);
                let found = group.alias == alias || inside(&group.groups, alias, path);
                if !found {
                    path.pop();
                }
                found
            })
        }
        let mut path = Vec::new();
        inside(&self.groups, alias, &mut path);
        path
    }

    /// Whether the cartridge `then` starts only after the cartridge `first`, by the chains of the level that holds both.
    pub fn starts_after(&self, then: &str, first: &str) -> bool {
        let located = self.located();
        let path = |alias: &str| -> Option<Vec<String>> {
            let found = located.iter().find(|one| one.subscription.alias == alias)?;
            let groups = found.groups.iter().map(|group| group.component());
            Some(groups.chain([format!("cartridge.{alias}")]).collect())
        };
        let (Some(then), Some(first)) = (path(then), path(first)) else {
            return false;
        };
        let Some(parting) = then.iter().zip(&first).position(|(then, first)| then != first) else {
            return false;
        };
        let level = parting
            .checked_sub(1)
            .and_then(|outer| then[outer].strip_prefix("group."));
        let dependencies = self.dependencies_at(level);
        dependencies.is_some_and(|all| all.after(&first[parting]).contains(then[parting].as_str()))
    }

    /// Whether anything in it depends on anything else: only then the standing of its parts is kept.
    pub fn is_composite(&self) -> bool {
        !self.groups.is_empty() || self.dependencies.is_some()
    }

    /// What starts, scales and ends together at one level: of the application, or of the group with this alias.
    pub fn dependencies_at(&self, group: Option<&str>) -> Option<&Dependencies> {
        match group {
            None => self.dependencies.as_ref(),
            Some(alias) => self.path_to(alias).last()?.dependencies.as_ref(),
        }
    }
}

fn collect<'a>(
    cartridges: &'a [Subscription],
    groups: &'a [Group],
    field: &str,
    path: &mut Vec<&'a Group>,
    found: &mut Vec<Located<'a>>,
) {
    found.extend(cartridges.iter().enumerate().map(|(i, subscription)| Located {
        subscription,
        groups: path.clone(),
        field: format!("{field}.cartridges[{i}]"),
    }));
    for (i, group) in groups.iter().enumerate() {
        path.push(group);
        let field = format!("{field}.groups[{i}]");
        collect(&group.cartridges, &group.groups, &field, path, found);
        path.pop();
    }
}

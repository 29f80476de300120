//! Instances of groups, and how the parts of a composite application stand.
//!
//! This file refuses to change anything, and to know how many instances there should be.

use std::collections::BTreeMap;

use cartridge_protocol::{ApplicationId, NetworkPartitionId};
use serde::{Deserialize, Serialize};

use super::{Cluster, ClusterInstance, Member, World};

/// Instances of groups by network partition, alias and number.
pub type GroupInstances = BTreeMap<NetworkPartitionId, BTreeMap<String, BTreeMap<u32, GroupInstance>>>;

/// One instance of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupInstance {
    /// The instance of the group around it; 0: it stands at the top level.
    pub parent: u32,
    /// It is being emptied, or what it is in is.
    pub ending: bool,
}

/// How the members of one cluster in one instance of its group stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It waits for what must be active before it.
    Waiting,
    /// Its members may start.
    Starting,
    /// The minimum serves.
    Active,
    /// The minimum served, and does not now.
    Inactive,
    /// All its members end, to start again in order.
    Terminating,
}

impl Standing {
    /// Whether this may follow.
    pub const fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Waiting, Self::Starting)
                | (Self::Starting, Self::Active)
                | (Self::Active, Self::Inactive)
                | (Self::Inactive, Self::Active)
                | (
                    Self::Waiting | Self::Starting | Self::Active | Self::Inactive,
                    Self::Terminating
                )
                | (Self::Terminating, Self::Waiting)
        )
    }
}

impl ClusterInstance {
    /// How one part stands.
    pub fn standing(&self, group_instance: u32) -> Standing {
        self.parts
            .get(&group_instance)
            .copied()
            .unwrap_or(Standing::Waiting)
    }
}

impl World {
    /// The instances of a group in one network partition, in the order of their numbers.
    pub fn group_instances<'a>(
        &'a self,
        application: &ApplicationId,
        np: &NetworkPartitionId,
        alias: &str,
    ) -> impl Iterator<Item = (u32, &'a GroupInstance)> + use<'a> {
        let state = self.applications.get(application);
        let here = state.and_then(|state| state.groups.get(np)?.get(alias));
        here.into_iter().flatten().map(|(number, one)| (*number, one))
    }

    /// The instances of a cluster's group that stand and are not being emptied; `[0]` for a cluster in no group.
    pub fn parts(&self, cluster: &Cluster, np: &NetworkPartitionId) -> Vec<u32> {
        match &cluster.group {
            None => vec![0],
            Some(alias) => self
                .group_instances(&cluster.application, np, alias)
                .filter(|(_, instance)| !instance.ending)
                .map(|(number, _)| number)
                .collect(),
        }
    }

    /// How many times over the minimum and maximum of a cluster hold there.
    pub fn copies(&self, cluster: &Cluster, np: &NetworkPartitionId) -> u32 {
        match &cluster.group {
            None => 1,
            Some(_) => u32::try_from(self.parts(cluster, np).len()).unwrap_or(u32::MAX),
        }
    }

    /// How many times over they may come to hold in one network partition.
    pub fn most_copies(&self, cluster: &Cluster) -> u32 {
        let state = self.applications.get(&cluster.application);
        let (Some(state), Some(alias)) = (state, &cluster.group) else {
            return 1;
        };
        let path = state.blueprint.path_to(alias);
        path.iter()
            .fold(1, |most, group| most.saturating_mul(group.max_instances))
    }

    /// Whether the instance of the group that a member stands for is being emptied or gone.
    pub fn group_is_ending(&self, member: &Member) -> bool {
        let Some(cluster) = self.clusters.get(&member.cluster) else {
            return false;
        };
        let Some(alias) = &cluster.group else {
            return false;
        };
        let mut instances = self.group_instances(&cluster.application, &member.network_partition, alias);
        instances
            .find(|(number, _)| *number == member.group_instance)
            .is_none_or(|(_, instance)| instance.ending)
    }

    /// Whether the part that a member stands for ends, to start again in order.
    pub fn part_is_terminating(&self, member: &Member) -> bool {
        let instance = self
            .clusters
            .get(&member.cluster)
            .and_then(|cluster| cluster.instances.get(&member.network_partition));
        instance.is_some_and(|instance| instance.standing(member.group_instance) == Standing::Terminating)
    }

    /// The parts of an instance of a group and of the groups in it: `(alias of the group, number)`, itself first.
    pub fn inside(
        &self,
        application: &ApplicationId,
        np: &NetworkPartitionId,
        alias: &str,
        number: u32,
    ) -> Vec<(String, u32)> {
        let mut found = vec![(alias.to_owned(), number)];
        let Some(state) = self.applications.get(application) else {
            return found;
        };
        for (outer, group) in state.blueprint.all_groups() {
            let Some(outer) = outer else { continue };
            let inner: Vec<(String, u32)> = self
                .group_instances(application, np, &group.alias)
                .filter(|(_, one)| found.contains(&(outer.to_owned(), one.parent)))
                .map(|(number, _)| (group.alias.clone(), number))
                .collect();
            found.extend(inner);
        }
        found
    }
}

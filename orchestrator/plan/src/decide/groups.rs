//! The groups of network partitions of an application, in the order of bursting, and how a number of members is
//! spread over them.
//!
//! This file refuses to know how many members there should be.

use cartridge_protocol::{ApplicationId, NetworkPartitionId};

use crate::blueprint::NetworkPartitionAlgorithm;
use crate::placement;
use crate::world::{Cluster, World};

/// Groups of network partitions that exist and that some cluster may use. Empty: the application does not run.
pub(super) fn groups(world: &World, application: &ApplicationId) -> Vec<Vec<NetworkPartitionId>> {
    let Some(policy) = world
        .applications
        .get(application)
        .and_then(|state| world.policy_of(state))
    else {
        return Vec::new();
    };
    let usable = |np: &&NetworkPartitionId| {
        world.network_partitions.contains_key(*np)
            && world
                .clusters_of(application)
                .any(|cluster| cluster.is_wanted() && world.may_use(cluster, np))
    };
    let narrowed = policy
        .groups
        .iter()
        .map(|group| group.iter().filter(usable).cloned().collect::<Vec<_>>());
    let groups: Vec<Vec<NetworkPartitionId>> = match policy.algorithm {
        NetworkPartitionAlgorithm::AllAtOnce => vec![narrowed.flatten().collect()],
        NetworkPartitionAlgorithm::OneAfterAnother => narrowed.collect(),
    };
    groups.into_iter().filter(|group| !group.is_empty()).collect()
}

/// One network partition as one cluster may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub network_partition: NetworkPartitionId,
    pub desired: u32,
    /// Fewest, in the instances of its group that stand.
    pub min: u32,
    /// Most, in the instances of its group that stand.
    pub now: u32,
    /// Most, in all instances that its group may come to have.
    pub cap: u32,
    /// In use, and not being emptied.
    pub in_use: bool,
}

/// What a cluster has and may have, group by group.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub min: u32,
    pub groups: Vec<Vec<Slot>>,
}

impl Layout {
    pub fn of(world: &World, cluster: &Cluster, groups: &[Vec<NetworkPartitionId>]) -> Self {
        let most = world.most_copies(cluster);
        let slot = |np: &NetworkPartitionId| {
            let instance = cluster.instances.get(np);
            let (copies, room) = (world.copies(cluster, np), placement::room(world, cluster, np));
            Slot {
                network_partition: np.clone(),
                desired: instance.map_or(0, |instance| instance.desired),
                min: cluster.min.saturating_mul(copies),
                now: cluster.max.saturating_mul(copies).min(room),
                cap: cluster.max.saturating_mul(most).min(room),
                in_use: instance.is_some_and(|instance| instance.ending.is_none()),
            }
        };
        let allowed = |np: &&NetworkPartitionId| world.may_use(cluster, np);
        Self {
            min: cluster.min,
            groups: groups
                .iter()
                .map(|group| group.iter().filter(allowed).map(slot).collect())
                .collect(),
        }
    }

    /// Most members in the first `groups` groups.
    pub fn cap(&self, groups: usize) -> u32 {
        let slots = self.groups.iter().take(groups).flatten();
        slots.fold(0, |sum, slot| sum.saturating_add(slot.cap))
    }

    /// Most members in what is in use.
    pub fn cap_in_use(&self) -> u32 {
        let slots = self.groups.iter().flatten().filter(|slot| slot.in_use);
        slots.fold(0, |sum, slot| sum.saturating_add(slot.cap))
    }

    /// Fewest members: the minimum in every network partition of the first group in use.
    pub fn floor(&self) -> u32 {
        let in_use = |group: &&Vec<Slot>| group.iter().any(|slot| slot.in_use);
        let first = self.groups.iter().find(in_use);
        let slots = first.into_iter().flatten().filter(|slot| slot.in_use);
        slots.fold(0, |sum, slot| sum.saturating_add(slot.min))
    }

    /// The number of members whose spreading gives what there is; the minimum that a later group has without being
    /// needed is not part of it.
    pub fn current(&self) -> u32 {
        let mut total: u32 = 0;
        let used = self
            .groups
            .iter()
            .map(|group| group.iter().filter(|slot| slot.in_use));
        for (index, group) in used.enumerate() {
            let slots: Vec<&Slot> = group.collect();
            if slots.is_empty() {
                continue;
            }
            let desired: u32 = slots.iter().map(|slot| slot.desired).sum();
            let least: u32 = slots.iter().map(|slot| slot.min).sum();
            if index > 0 && total > 0 && desired <= least {
                break;
            }
            total = total.saturating_add(desired);
            if slots.iter().any(|slot| slot.desired < slot.now) {
                break;
            }
        }
        total
    }

    /// The minimum in all that is in use.
    pub fn least(&self) -> u32 {
        let slots = self.groups.iter().flatten().filter(|slot| slot.in_use);
        slots.fold(0, |sum, slot| sum.saturating_add(slot.min))
    }

    /// The maximum in all that is in use, in the instances that stand.
    pub fn most(&self) -> u32 {
        let slots = self.groups.iter().flatten().filter(|slot| slot.in_use);
        slots.fold(0, |sum, slot| sum.saturating_add(slot.now))
    }

    /// The slot of a network partition in use.
    pub fn slot(&self, np: &NetworkPartitionId) -> Option<&Slot> {
        let mut slots = self.groups.iter().flatten().filter(|slot| slot.in_use);
        slots.find(|slot| slot.network_partition == *np)
    }

    /// How `total` members are spread over what is in use: group by group, evenly within a group, at least the
    /// minimum everywhere.
    pub fn spread(&self, total: u32) -> Vec<(NetworkPartitionId, u32)> {
        self.spread_up_to(total, |slot| slot.now)
    }

    /// The same as if all instances of its group stood that may come to stand.
    pub fn wish(&self, total: u32) -> Vec<(NetworkPartitionId, u32)> {
        self.spread_up_to(total, |slot| slot.cap)
    }

    fn spread_up_to(&self, total: u32, cap: impl Fn(&Slot) -> u32) -> Vec<(NetworkPartitionId, u32)> {
        let mut rest = total;
        let mut spread = Vec::new();
        for group in &self.groups {
            let slots: Vec<&Slot> = group.iter().filter(|slot| slot.in_use).collect();
            let mut sizes: Vec<u32> = slots.iter().map(|slot| slot.min).collect();
            rest = rest.saturating_sub(sizes.iter().sum());
            while rest > 0 {
                let open = (0..slots.len()).filter(|at| sizes[*at] < cap(slots[*at]));
                let Some(smallest) = open.min_by_key(|at| (sizes[*at], *at)) else {
                    break;
                };
                sizes[smallest] += 1;
                rest -= 1;
            }
            let named = slots.iter().map(|slot| slot.network_partition.clone());
            spread.extend(named.zip(sizes));
        }
        spread
    }
}

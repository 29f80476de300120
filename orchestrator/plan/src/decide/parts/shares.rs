//! How many members of a cluster each part should have: evenly, as requests are spread over all of them.
//!
//! This file refuses to know how many there should be in all.

use cartridge_protocol::{ClusterId, NetworkPartitionId};

use super::{Part, orders, standing};
use crate::world::{Role, Standing, World};

/// What one part should have.
#[derive(Clone, Debug)]
pub(in crate::decide) struct Share {
    /// The instance of the cluster's group; 0: it is in none.
    pub number: u32,
    pub desired: u32,
    /// Why none may start at present.
    pub held: Option<String>,
    /// For people: which instance of which group.
    pub of_group: String,
}

/// The parts of a cluster there.
pub(in crate::decide) fn shares(world: &World, id: &ClusterId, np: &NetworkPartitionId) -> Vec<Share> {
    let Some(cluster) = world.clusters.get(id) else {
        return Vec::new();
    };
    let Some(instance) = cluster.instances.get(np) else {
        return Vec::new();
    };
    let numbers = world.parts(cluster, np);
    let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX).max(1);
    let (each, rest) = (instance.desired / count, instance.desired % count);
    let composite = cluster.role == Role::Application
        && world
            .applications
            .get(&cluster.application)
            .is_some_and(|state| state.blueprint.is_composite());
    let share = |(place, number): (u32, u32)| {
        let part = Part {
            cluster: id.clone(),
            number,
        };
        let group = cluster.group.as_deref().unwrap_or_default();
        Share {
            number,
            desired: each + u32::from(place < rest),
            held: composite.then(|| held(world, np, &part)).flatten(),
            of_group: if number == 0 {
                String::new()
            } else {
                format!(" for {group}-{number}")
            },
        }
    };
    (0..).zip(numbers).map(share).collect()
}

fn held(world: &World, np: &NetworkPartitionId, part: &Part) -> Option<String> {
    let application = &world.clusters.get(&part.cluster)?.application;
    match standing(world, np, part) {
        Standing::Starting | Standing::Active | Standing::Inactive => None,
        Standing::Terminating => Some("what it belongs to ends first".to_owned()),
        Standing::Waiting => Some(
            orders::hindrance(world, application, np, part).unwrap_or_else(|| "it starts soon".to_owned()),
        ),
    }
}

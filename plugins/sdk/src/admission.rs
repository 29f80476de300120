//! Whether a topology may replace the one in force.
//!
//! Pure: saved topologies replay the same decision. This file refuses to know how a topology is applied.

use cartridge_protocol::ClusterId;
use cartridge_protocol::topology::{EndpointState, Topology, TopologyCluster};

/// What to do with a topology that may be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new: apply it.
    Apply,
    /// It is in force already: nothing to do.
    InForce,
}

/// Why a topology may not replace the one in force; the one in force stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A delayed writer's, or one from a store that lost its newest records (S11).
    #[error("revision {offered} is older than revision {in_force}, which is in force")]
    Older {
        /// What came.
        offered: u64,
        /// What stays.
        in_force: u64,
    },
    /// Two topologies, one revision: somebody numbers wrongly, and nobody can tell which is newer.
    #[error(
        "revision {0} is in force already, with different content; a changed topology needs a higher revision"
    )]
    SameRevisionDiffers(u64),
    /// A cluster is listed twice.
    #[error("cluster {0} is listed more than once")]
    ListedTwice(ClusterId),
    /// Nobody ordered the service to stop, yet it would have no endpoint left (S13).
    #[error(
        "cluster {0} would be left without a ready endpoint, but it is not marked as stopped; the last good set stays"
    )]
    Emptied(ClusterId),
    /// Nobody ordered the service to stop, yet it would be gone (S13).
    #[error("cluster {0} would be removed while it has ready endpoints; mark it as stopped first")]
    Removed(ClusterId),
}

/// Decides whether `offered` may replace `in_force`.
///
/// # Errors
/// A [`Refusal`] names the revision or the cluster; nothing may change then.
pub fn admit(in_force: Option<&Topology>, offered: &Topology) -> Result<Admission, Refusal> {
    let mut listed = std::collections::BTreeSet::new();
    if let Some(twice) = offered.clusters.iter().find(|c| !listed.insert(&c.cluster)) {
        return Err(Refusal::ListedTwice(twice.cluster.clone()));
    }
    let Some(in_force) = in_force else {
        return Ok(Admission::Apply);
    };
    match offered.revision.cmp(&in_force.revision) {
        std::cmp::Ordering::Less => {
            return Err(Refusal::Older {
                offered: offered.revision,
                in_force: in_force.revision,
            });
        }
        std::cmp::Ordering::Equal if offered == in_force => return Ok(Admission::InForce),
        std::cmp::Ordering::Equal => return Err(Refusal::SameRevisionDiffers(offered.revision)),
        std::cmp::Ordering::Greater => {}
    }
    let serving = in_force.clusters.iter().filter(|c| !c.stopped && has_ready(c));
    for before in serving {
        match offered.clusters.iter().find(|c| c.cluster == before.cluster) {
            None => return Err(Refusal::Removed(before.cluster.clone())),
            Some(now) if !now.stopped && !has_ready(now) => {
                return Err(Refusal::Emptied(before.cluster.clone()));
            }
            Some(_) => {}
        }
    }
    Ok(Admission::Apply)
}

fn has_ready(cluster: &TopologyCluster) -> bool {
    cluster.endpoints.iter().any(|e| e.state == EndpointState::Ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cartridge_protocol::topology::Endpoint;

    fn cluster(id: &str, ready: usize, draining: usize, stopped: bool) -> TopologyCluster {
        let endpoint = |n: usize, state| Endpoint {
            member: format!("{id}-{n}").parse().unwrap(),
            incarnation: 1,
            address: [127, 0, 0, 1].into(),
            ports: [("http".to_owned(), 8080)].into(),
            state,
        };
        let mut endpoints: Vec<_> = (0..ready).map(|n| endpoint(n, EndpointState::Ready)).collect();
        endpoints.extend((ready..ready + draining).map(|n| endpoint(n, EndpointState::Draining)));
        TopologyCluster {
            cluster: id.parse().unwrap(),
            hosts: vec![],
            mapped: vec![],
            listeners: vec![],
            endpoints,
            stopped,
        }
    }

    fn topology(revision: u64, clusters: Vec<TopologyCluster>) -> Topology {
        Topology {
            revision,
            network_partition: "np".parse().unwrap(),
            listen: [127, 0, 0, 1].into(),
            clusters,
        }
    }

    #[test]
    fn a_lower_revision_is_refused_and_the_same_one_is_idempotent() {
        let five = topology(5, vec![cluster("a", 1, 0, false)]);
        let four = topology(4, five.clusters.clone());
        assert_eq!(admit(None, &five), Ok(Admission::Apply));
        assert_eq!(admit(Some(&five), &five), Ok(Admission::InForce));
        assert_eq!(
            admit(Some(&five), &four),
            Err(Refusal::Older {
                offered: 4,
                in_force: 5
            })
        );
    }

    #[test]
    fn one_revision_cannot_mean_two_things() {
        let before = topology(5, vec![cluster("a", 1, 0, false)]);
        let other = topology(5, vec![cluster("a", 2, 0, false)]);
        assert_eq!(admit(Some(&before), &other), Err(Refusal::SameRevisionDiffers(5)));
    }

    #[test]
    fn a_serving_cluster_cannot_be_emptied_unless_it_was_ordered_to_stop() {
        let before = topology(1, vec![cluster("a", 2, 0, false), cluster("b", 1, 0, false)]);
        for emptied in [cluster("a", 0, 0, false), cluster("a", 0, 2, false)] {
            let offered = topology(2, vec![emptied, cluster("b", 1, 0, false)]);
            let refusal = admit(Some(&before), &offered).unwrap_err();
            assert_eq!(refusal, Refusal::Emptied("a".parse().unwrap()));
            assert!(refusal.to_string().contains("cluster a "), "{refusal}");
        }
        let stopped = topology(2, vec![cluster("a", 0, 2, true), cluster("b", 1, 0, false)]);
        assert_eq!(admit(Some(&before), &stopped), Ok(Admission::Apply));
    }

    #[test]
    fn a_serving_cluster_leaves_only_after_it_was_stopped() {
        let serving = topology(1, vec![cluster("a", 1, 0, false)]);
        let stopped = topology(2, vec![cluster("a", 1, 0, true)]);
        let gone = topology(3, vec![]);
        assert_eq!(
            admit(Some(&serving), &gone),
            Err(Refusal::Removed("a".parse().unwrap()))
        );
        assert_eq!(admit(Some(&serving), &stopped), Ok(Admission::Apply));
        assert_eq!(admit(Some(&stopped), &gone), Ok(Admission::Apply));
    }

    #[test]
    fn a_cluster_that_never_served_may_leave() {
        let waiting = topology(1, vec![cluster("a", 0, 0, false)]);
        assert_eq!(admit(Some(&waiting), &topology(2, vec![])), Ok(Admission::Apply));
    }

    #[test]
    fn a_cluster_listed_twice_is_refused() {
        let twice = topology(1, vec![cluster("a", 1, 0, false), cluster("a", 1, 0, false)]);
        assert_eq!(
            admit(None, &twice),
            Err(Refusal::ListedTwice("a".parse().unwrap()))
        );
    }
}

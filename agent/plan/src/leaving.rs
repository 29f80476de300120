//! When a balancer's reading cannot wait for the next beat: somebody waits for a member to have nothing in flight.
//!
//! Refuses to know who waits, and why the member leaves.

use std::collections::BTreeSet;

use cartridge_protocol::sample::BalancerReading;
use cartridge_protocol::topology::{EndpointState, Topology};
use cartridge_protocol::{ClusterId, MemberId, Millis};

/// Time between readings at first.
const EAGER: Millis = Millis(20);
/// How long it stays that short.
const EAGER_FOR: Millis = Millis(5_000);
/// Time between readings afterwards.
const PATIENT: Millis = Millis(250);
/// After that, whoever waits has given up.
const AT_MOST: Millis = Millis(35_000);

/// The members that are on their way out of the balancer.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    members: BTreeSet<(ClusterId, MemberId)>,
    /// Those of them that had something in flight when last looked at, or were not looked at yet.
    busy: BTreeSet<(ClusterId, MemberId)>,
    since: Millis,
    ask_at: Option<Millis>,
    /// The newest revision with a reading.
    read: Option<u64>,
}

impl Leaving {
    /// A topology is in force.
    pub fn applied(&mut self, topology: &Topology, now: Millis) {
        let mut members = BTreeSet::new();
        for cluster in &topology.clusters {
            let draining = cluster
                .endpoints
                .iter()
                .filter(|e| e.state == EndpointState::Draining);
            members.extend(draining.map(|e| (cluster.cluster.clone(), e.member.clone())));
        }
        if members != self.members {
            self.since = now;
            self.busy = members.clone();
            self.members = members;
        }
    }

    /// A reading was taken. Whether somebody may wait for it: it is the first of its topology, or somebody left.
    pub fn read(&mut self, reading: &BalancerReading, now: Millis) -> bool {
        let first = self.read != Some(reading.revision);
        self.read = Some(reading.revision);
        let mut busy = BTreeSet::new();
        for cluster in &reading.clusters {
            for member in cluster.members.iter().filter(|m| m.in_flight > 0) {
                let both = (cluster.cluster.clone(), member.member.clone());
                if self.members.contains(&both) {
                    busy.insert(both);
                }
            }
        }
        let left = self.busy.iter().any(|member| !busy.contains(member));
        self.busy = busy;
        let waited = now.since(self.since);
        self.ask_at = (!self.busy.is_empty() && waited < AT_MOST)
            .then(|| now.plus(if waited < EAGER_FOR { EAGER } else { PATIENT }));
        first || left
    }

    /// When the next reading is wanted, if before the next beat.
    pub const fn due(&self) -> Option<Millis> {
        self.ask_at
    }

    /// A reading was asked for.
    pub const fn asked(&mut self) {
        self.ask_at = None;
    }
}

#[cfg(test)]
mod tests {
    use cartridge_protocol::NetworkPartitionId;
    use cartridge_protocol::sample::{ClusterReading, MemberReading};
    use cartridge_protocol::topology::{Endpoint, TopologyCluster};

    use super::*;

    fn cluster() -> ClusterId {
        ClusterId::new("app.php.php.domain").unwrap()
    }

    fn member() -> MemberId {
        MemberId::new("m1").unwrap()
    }

    fn topology(revision: u64, state: EndpointState) -> Topology {
        let endpoint = Endpoint {
            member: member(),
            incarnation: 1,
            address: "127.0.0.1".parse().unwrap(),
            ports: std::collections::BTreeMap::new(),
            state,
        };
        Topology {
            revision,
            network_partition: NetworkPartitionId::new("np").unwrap(),
            listen: "127.0.0.1".parse().unwrap(),
            clusters: vec![TopologyCluster {
                cluster: cluster(),
                hosts: Vec::new(),
                mapped: vec![],
                listeners: Vec::new(),
                endpoints: vec![endpoint],
                stopped: false,
            }],
        }
    }

    fn reading(revision: u64, in_flight: u64) -> BalancerReading {
        BalancerReading {
            revision,
            clusters: vec![ClusterReading {
                cluster: cluster(),
                in_flight_average: 0.0,
                arrived: None,
                in_flight,
                served: 0,
                failed: 0,
                members: vec![MemberReading {
                    member: member(),
                    in_flight,
                }],
            }],
        }
    }

    #[test]
    fn the_first_reading_of_a_topology_and_the_end_of_a_drain_are_news() {
        let mut leaving = Leaving::default();
        leaving.applied(&topology(1, EndpointState::Ready), Millis(0));
        assert!(leaving.read(&reading(1, 3), Millis(0)));
        assert!(!leaving.read(&reading(1, 0), Millis(1_000)));
        assert_eq!(leaving.due(), None, "nobody leaves");
        leaving.applied(&topology(2, EndpointState::Draining), Millis(2_000));
        assert!(leaving.read(&reading(2, 3), Millis(2_000)));
        assert_eq!(leaving.due(), Some(Millis(2_020)));
        leaving.asked();
        assert_eq!(leaving.due(), None, "one reading at a time");
        assert!(!leaving.read(&reading(2, 1), Millis(2_020)));
        assert!(leaving.read(&reading(2, 0), Millis(2_040)));
        assert_eq!(leaving.due(), None);
    }

    #[test]
    fn a_member_that_never_lets_go_is_asked_about_less_and_less_and_at_last_not_at_all() {
        let mut leaving = Leaving::default();
        leaving.applied(&topology(2, EndpointState::Draining), Millis(0));
        let (mut now, mut asked) = (Millis(0), 0);
        loop {
            leaving.read(&reading(2, 1), now);
            let Some(at) = leaving.due() else { break };
            now = at;
            asked += 1;
            leaving.applied(&topology(2, EndpointState::Draining), now);
        }
        assert!(now >= AT_MOST && asked < 400, "{asked} readings in {now}");
    }
}

//! How long members of a cluster take to start, as seen by the orchestrator's own monotonic clock (S24).
//!
//! This file refuses to know what follows from that. Like every observation it is gone after a restart: until a start
//! was seen again, the policy's horizon stands for it.

use std::collections::{BTreeMap, VecDeque};

use cartridge_protocol::{ClusterId, MemberId, Millis};

use crate::record::Record;
use crate::world::World;

/// Most starts remembered per cluster.
const MOST: usize = 8;
/// A start that took longer says nothing about the others.
const LONGEST: Millis = Millis::from_secs(3_600);

/// First starts that are under way, and how long the last ones took, newest last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Starts {
    begun: BTreeMap<MemberId, (ClusterId, Millis)>,
    took: BTreeMap<ClusterId, VecDeque<Millis>>,
}

impl Starts {
    /// Notes when a first start began, and how long it took: to be called with each new record, in order.
    pub fn note(&mut self, record: &Record, now: Millis) {
        match record {
            Record::MemberPlanned { member, cluster, .. } => {
                self.begun.insert(member.clone(), (cluster.clone(), now));
            }
            Record::MemberActivated { member, .. } => {
                let Some((cluster, begun)) = self.begun.remove(member) else {
                    return;
                };
                let took = now.since(begun);
                if took <= LONGEST {
                    let known = self.took.entry(cluster).or_default();
                    if known.len() == MOST {
                        known.pop_front();
                    }
                    known.push_back(took);
                }
            }
            Record::MemberFailed { member, .. } | Record::MemberRemoved { member, .. } => {
                self.begun.remove(member);
            }
            _ => {}
        }
    }

    /// Seconds from planning a member until it serves: three of four of the last starts took no longer. `otherwise`:
    /// none was seen.
    pub fn delay(&self, cluster: &ClusterId, otherwise: f64) -> f64 {
        let took = self.took.get(cluster).into_iter().flatten();
        let mut seen: Vec<f64> = took.map(|start| start.as_secs_f64()).collect();
        seen.sort_by(f64::total_cmp);
        let at = (seen.len() * 3).div_ceil(4).saturating_sub(1);
        seen.get(at).copied().unwrap_or(otherwise)
    }

    /// Forgets members and clusters that no longer exist.
    pub(super) fn forget(&mut self, world: &World) {
        self.begun.retain(|member, _| world.members.contains_key(member));
        self.took
            .retain(|cluster, _| world.clusters.contains_key(cluster));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterId {
        ClusterId::new("a.b.c.d").unwrap()
    }

    fn planned(member: &MemberId) -> Record {
        Record::MemberPlanned {
            member: member.clone(),
            incarnation: 1,
            cluster: cluster(),
            group_instance: 0,
            network_partition: "np".parse().unwrap(),
            partition: "p".parse().unwrap(),
            reason: String::new(),
        }
    }

    fn activated(member: &MemberId) -> Record {
        Record::MemberActivated {
            member: member.clone(),
            incarnation: 1,
        }
    }

    #[test]
    fn the_start_delay_is_what_three_of_four_of_the_last_starts_kept() {
        let mut starts = Starts::default();
        assert_eq!(starts.delay(&cluster(), 15.0), 15.0);
        for (number, took) in [(1, 40), (2, 2), (3, 3), (4, 4)] {
            let member = cluster().member(number).unwrap();
            starts.note(&planned(&member), Millis::from_secs(100));
            starts.note(&activated(&member), Millis::from_secs(100 + took));
        }
        assert_eq!(starts.delay(&cluster(), 15.0), 4.0);
    }

    #[test]
    fn only_the_first_start_of_a_member_counts_and_only_eight_are_kept() {
        let mut starts = Starts::default();
        let member = cluster().member(1).unwrap();
        starts.note(&planned(&member), Millis(0));
        starts.note(&activated(&member), Millis(5_000));
        // It was suspended, and is back.
        starts.note(&activated(&member), Millis(900_000));
        assert_eq!(starts.took[&cluster()], [Millis(5_000)]);
        for number in 2..40 {
            let member = cluster().member(number).unwrap();
            starts.note(&planned(&member), Millis(0));
            starts.note(&activated(&member), Millis(1_000));
        }
        assert_eq!(starts.took[&cluster()].len(), MOST);
        assert!(starts.begun.is_empty());
    }
}

//! Takes in what a member says: the newest word of each life counts, whatever was doubled or overtaken on the way.
//!
//! This file refuses to know who may speak (the caller fences) and to conclude anything.

use std::collections::BTreeMap;

use cartridge_protocol::link::{Batch, Status};
use cartridge_protocol::sample::BalancerReading;
use cartridge_protocol::{MemberId, Millis};

use super::{ClusterObservation, MemberObservation, Observations, Window};
use crate::forecast::Counted;
use crate::scale::SPAN;
use crate::world::{Cluster, Member, MemberPhase, Role, World};

/// Requests in flight by member.
type InFlight = BTreeMap<MemberId, u64>;

impl Observations {
    /// Takes in a batch of a member of `world`; true: something changed that should not wait for the next look.
    ///
    /// A batch that is no newer than the newest one is nothing at all, not even a sign of life: numbers are never used
    /// twice, so it was under way for long, or it was doubled.
    pub fn hear(&mut self, world: &World, member: &Member, batch: Batch, now: Millis) -> bool {
        let Batch {
            sequence,
            status,
            sample,
            balancer,
            ..
        } = batch;
        let incarnation = member.incarnation;
        let fresh = || MemberObservation {
            incarnation,
            sequence: 0,
            heard: now,
            status: Status::starting(),
            load: Window::default(),
            memory: Window::default(),
            sample: None,
        };
        let known = self.members.get_or_insert_with(member.id.clone(), fresh);
        if known.incarnation != incarnation {
            *known = fresh();
        }
        planted!(OldWordsCount => known.sequence = 0);
        if sequence <= known.sequence {
            return false;
        }
        known.sequence = sequence;
        known.heard = now;
        let newer = |last: &u64| sample.as_ref().is_some_and(|sample| *last < sample.sequence);
        if known
            .sample
            .as_ref()
            .is_none_or(|(_, last)| newer(&last.sequence))
            && let Some(sample) = sample
        {
            if let Some(load) = sample.load_percent() {
                known.load.push_within(now, load, SPAN);
            }
            if let Some(memory) = sample.memory_percent() {
                known.memory.push_within(now, memory, SPAN);
            }
            known.sample = Some((now, sample));
        }
        let changed = known.status != status;
        if changed {
            known.status = status;
        }
        let read = balancer.is_some_and(|reading| self.read(world, member, reading, now));
        changed || read
    }

    /// A balancer speaks for clusters of its own application and in its own network partition only; nobody else does.
    fn read(&mut self, world: &World, balancer: &Member, reading: BalancerReading, now: Millis) -> bool {
        let speaks = |cluster: &&Cluster| matches!(cluster.role, Role::Balancer { .. });
        let Some(own) = world.clusters.get(&balancer.cluster).filter(speaks) else {
            return false;
        };
        let of_it = |cluster: &&Cluster| cluster.application == own.application;
        let mut changed = false;
        for row in reading.clusters {
            if world.clusters.get(&row.cluster).filter(of_it).is_none() {
                continue;
            }
            let arrived = row.arrivals();
            let key = (row.cluster, balancer.network_partition.clone());
            let known: &mut ClusterObservation = self.clusters.entry(key.clone()).or_default();
            let members: InFlight = row.members.into_iter().map(|m| (m.member, m.in_flight)).collect();
            changed |= known.revision != reading.revision || lets_go(world, &known.members, &members);
            known.in_flight.push(now, row.in_flight_average);
            known.revision = reading.revision;
            known.heard = now;
            known.members = members;
            known.in_flight_now = row.in_flight;
            known.served = row.served;
            known.failed = row.failed;
            let counted = Counted {
                balancer: &balancer.network_partition,
                at: now,
                arrived,
                failed: row.failed,
                served: row.served,
                in_flight: row.in_flight_average,
            };
            self.count(world, &key.0, &counted);
        }
        changed
    }
}

/// A member that is to leave its balancers has no request in flight any more: somebody waits for that.
fn lets_go(world: &World, before: &InFlight, now: &InFlight) -> bool {
    let leaves = |member: &MemberId| {
        let phase = world.members.get(member).map(|member| &member.phase);
        matches!(
            phase,
            Some(MemberPhase::Draining { .. } | MemberPhase::Updating { .. })
        )
    };
    before
        .iter()
        .filter(|(member, had)| **had > 0 && now.get(*member).copied().unwrap_or(0) == 0)
        .any(|(member, _)| leaves(member))
}

//! Takes in what members say and what provisioners notice. Not journaled; refuses to conclude anything.

use std::sync::atomic::Ordering::Relaxed;

use cartridge_orchestrator_plan::observe::InstanceObservation;
use cartridge_orchestrator_plan::world::{Departed, MemberPhase};
use cartridge_protocol::link::{Acknowledged, Batch};
use cartridge_protocol::{ClusterId, MemberId, Secret};

use super::ring::{Numbered, Ring};
use super::{Engine, FromMember, Shared, State};

/// Log lines kept per member.
const MAX_LOG_LINES: usize = 1_000;
/// Notices kept per member.
const MAX_NOTICES: usize = 256;
/// Logs of members that are gone stay until there are so many.
const MAX_GONE: usize = 64;

/// Why a member is not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Not its credential (401).
    Unauthorized,
    /// This life of the member is over (410).
    Over,
}

impl Engine {
    /// Whether the bearer of a credential with this hash speaks for this life of a member.
    pub fn fence(&self, member: &MemberId, incarnation: u64, credential_sha256: &str) -> Result<(), Fence> {
        // The credential comes first: who has none learns nothing, not even which members there are.
        let matches = |hash: &str| Secret::new(hash).matches(credential_sha256);
        self.read(|world, _, _| {
            let known = world.members.get(member).filter(|m| m.incarnation == incarnation);
            let Some(known) = known else {
                let departed = |one: &&Departed| one.member == *member && one.incarnation == incarnation;
                let left = world.departed.values().rev().find(departed);
                let right = left.is_some_and(|one| matches(&one.credential_sha256));
                return Err(if right { Fence::Over } else { Fence::Unauthorized });
            };
            match known.credential_sha256.as_deref() {
                Some(hash) if matches(hash) => match known.phase {
                    MemberPhase::Ended { .. } => Err(Fence::Over),
                    _ => Ok(()),
                },
                _ => Err(Fence::Unauthorized),
            }
        })
    }

    /// Takes in what a member says; [`Engine::fence`] has been passed.
    pub fn report(&self, member: &MemberId, incarnation: u64, batch: Batch) -> Result<Acknowledged, Fence> {
        self.shared.stats.batches.fetch_add(1, Relaxed);
        let curious = batch.status.wants_surroundings;
        let Batch { notices, logs, .. } = &batch;
        let (notices, logs) = (notices.clone(), logs.clone());
        let changed = self.shared.take_in(member, incarnation, batch)?;
        if curious {
            self.shared.tell_curious(member);
        }
        let acknowledged = keep(
            &self.shared.notices,
            member,
            incarnation,
            notices,
            MAX_NOTICES,
            |new| drop(self.shared.fresh_notices.send(new)),
        );
        keep(
            &self.shared.logs,
            member,
            incarnation,
            logs,
            MAX_LOG_LINES,
            |new| {
                self.shared.lines.offer(new.clone());
                let _ = self.shared.fresh_logs.send(new);
            },
        );
        if let Some(cluster) = changed {
            self.shared.soil(cluster);
        }
        Ok(Acknowledged {
            notices: acknowledged,
        })
    }

    /// A provisioner says that an instance runs.
    pub fn instance_runs(&self, member: &MemberId, incarnation: u64) {
        let at = self.now();
        self.shared.instance(
            member,
            incarnation,
            InstanceObservation::Running { incarnation, at },
        );
    }

    /// A provisioner says that an instance ended.
    pub fn instance_gone(&self, member: &MemberId, incarnation: u64, reason: String) {
        let at = self.now();
        self.shared.instance(
            member,
            incarnation,
            InstanceObservation::Gone {
                incarnation,
                at,
                reason,
            },
        );
    }

    /// The lists of a provisioner lack an instance that should run.
    pub fn instance_missing(&self, member: &MemberId, incarnation: u64, reason: String) {
        let at = self.now();
        self.shared.instance(
            member,
            incarnation,
            InstanceObservation::Missing {
                incarnation,
                at,
                reason,
            },
        );
    }
}

fn keep<T: Numbered>(
    rings: &std::sync::Mutex<std::collections::BTreeMap<MemberId, Ring<T>>>,
    member: &MemberId,
    incarnation: u64,
    rows: Vec<T>,
    most: usize,
    tell: impl FnOnce(FromMember<T>),
) -> u64 {
    let mut rings = rings.lock().expect("no holder of this lock panics");
    if rows.is_empty() {
        return rings.get(member).map_or(0, |ring| ring.last_of(incarnation));
    }
    let ring = rings.entry(member.clone()).or_insert_with(|| Ring::new(most));
    let new = ring.take_in(incarnation, rows);
    if !new.is_empty() {
        // In order: the lock is held.
        tell(FromMember {
            member: member.clone(),
            incarnation,
            rows: new.into(),
        });
    }
    ring.last()
}

impl Shared {
    /// Answers with the cluster to look at, if something changed that cannot wait for the period.
    fn take_in(&self, member: &MemberId, incarnation: u64, batch: Batch) -> Result<Option<ClusterId>, Fence> {
        let now = self.clock.now();
        let mut state = self.state.write().expect("no holder of the state lock panics");
        let State { world, seen, .. } = &mut *state;
        let known = world
            .members
            .get(member)
            .filter(|m| m.incarnation == incarnation)
            .ok_or(Fence::Over)?;
        let changed = seen.hear(world, known, batch, now);
        Ok(changed.then(|| known.cluster.clone()))
    }

    fn instance(&self, member: &MemberId, incarnation: u64, said: InstanceObservation) {
        let mut state = self.state.write().expect("no holder of the state lock panics");
        let State { world, seen, .. } = &mut *state;
        let Some(known) = world.members.get(member).filter(|m| m.incarnation == incarnation) else {
            return;
        };
        let cluster = known.cluster.clone();
        seen.instances.insert(member.clone(), said);
        drop(state);
        self.soil(cluster);
    }

    /// Drops logs and notices of members that are gone, once there are many.
    pub(crate) fn forget_logs(&self) {
        if self.lines.wants_members() {
            let members = self.read(|state| state.world.members.keys().cloned().collect());
            self.lines.members(members);
        }
        let members = self.read(|state| state.world.members.len());
        let mut logs = self.logs.lock().expect("no holder of this lock panics");
        if logs.len() > members + MAX_GONE {
            self.read(|state| logs.retain(|member, _| state.world.members.contains_key(member)));
        }
        drop(logs);
        let mut notices = self.notices.lock().expect("no holder of this lock panics");
        if notices.len() > members + MAX_GONE {
            self.read(|state| notices.retain(|member, _| state.world.members.contains_key(member)));
        }
    }
}

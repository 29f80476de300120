//! How records move a member through its life.
//!
//! This file refuses to know why.

use std::collections::VecDeque;

use cartridge_protocol::{MemberId, Millis};

use super::{Departed, Instance, MAX_CHANGES, MAX_DEPARTED, MAX_DRAINS, Member, MemberPhase, World};
use crate::record::Record;

impl World {
    /// `record` is about `member` and fits.
    pub(super) fn change_member(&mut self, record: &Record, member: &MemberId, now: Millis) {
        let revision = self.seq;
        if let Record::MemberPlanned { .. } = record {
            self.plan_member(record, now);
        }
        let Some(of) = self.members.get(member).map(|member| member.cluster.clone()) else {
            return;
        };
        self.count(record, member, now);
        if let Record::MemberRemoved { .. } = record {
            self.part_from(member);
        } else {
            self.members.change(member, |member| {
                let before = std::mem::discriminant(&member.phase);
                member.change(record);
                if before != std::mem::discriminant(&member.phase) || restarts_the_wait(record) {
                    member.since = now;
                }
                member.remember(record, now);
                member.revision = revision;
            });
        }
        if let Some(cluster) = self.clusters.get_mut(&of) {
            if let Record::MemberRemoved { .. } = record {
                cluster.members.remove(member);
            }
            cluster.revision = revision;
        }
    }

    fn part_from(&mut self, id: &MemberId) {
        let Some(member) = self.members.get(id) else {
            return;
        };
        if let Some(credential_sha256) = member.credential_sha256.clone() {
            let departed = Departed {
                member: id.clone(),
                incarnation: member.incarnation,
                credential_sha256,
            };
            self.departed.insert(self.seq, departed);
        }
        let oldest = self.departed.keys().next().copied();
        if let Some(oldest) = oldest.filter(|_| self.departed.len() > MAX_DEPARTED) {
            self.departed.remove(&oldest);
        }
        self.members.remove(id);
    }

    fn plan_member(&mut self, record: &Record, now: Millis) {
        let Record::MemberPlanned {
            member,
            incarnation,
            cluster,
            network_partition,
            partition,
            group_instance,
            ..
        } = record
        else {
            return;
        };
        let planned = Member {
            id: member.clone(),
            incarnation: *incarnation,
            cluster: cluster.clone(),
            network_partition: network_partition.clone(),
            partition: partition.clone(),
            group_instance: *group_instance,
            phase: MemberPhase::Planned { attempts: 0 },
            since: now,
            activated: None,
            changes: VecDeque::new(),
            instance: None,
            credential_sha256: None,
            ordered_commit: None,
            release: None,
            revision: self.seq,
            planned: self.seq,
        };
        self.members.insert(member.clone(), planned);
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.next_member += 1;
            cluster.members.insert(member.clone());
        }
    }

    /// Keeps the figures that pacing needs: drains of serving members, and starts that failed in a row.
    fn count(&mut self, record: &Record, member: &MemberId, now: Millis) {
        let Some(member) = self.members.get(member) else {
            return;
        };
        let Some(cluster) = self.clusters.get_mut(&member.cluster) else {
            return;
        };
        match record {
            Record::MemberDraining { .. } if member.phase.serves() => {
                if cluster.drains.len() == MAX_DRAINS {
                    cluster.drains.pop_front();
                }
                cluster.drains.push_back(now);
            }
            Record::MemberFailed { active_ms, .. } => {
                let Some(instance) = cluster.instances.get_mut(&member.network_partition) else {
                    return;
                };
                match active_ms {
                    Some(active) if *active >= LASTING => {
                        instance.failures = 0;
                        instance.failed = Millis::ZERO;
                    }
                    None if !member.phase.is_coming() => {}
                    _ => {
                        instance.failures = instance.failures.saturating_add(1);
                        instance.failed = now;
                    }
                }
            }
            _ => {}
        }
    }
}

/// A member that was ready for so long did not fail at the start: with its loss a run of such failures is over.
const LASTING: Millis = Millis::from_secs(60);

/// A new attempt or a new target: the time limit begins again although the phase stays.
const fn restarts_the_wait(record: &Record) -> bool {
    matches!(
        record,
        Record::MemberEnsureFailed { .. } | Record::MemberUpdating { .. } | Record::MemberCleared { .. }
    )
}

impl Member {
    /// Keeps the figures that pacing needs.
    fn remember(&mut self, record: &Record, now: Millis) {
        if let Record::MemberActivated { .. } = record {
            self.activated.get_or_insert(now);
        }
        if let Record::MemberActivated { .. }
        | Record::MemberSuspended { .. }
        | Record::MemberSwitched { .. } = record
        {
            if self.changes.len() == MAX_CHANGES {
                self.changes.pop_front();
            }
            self.changes.push_back(now);
        }
    }

    fn change(&mut self, record: &Record) {
        match record {
            Record::MemberEnsured {
                instance,
                address,
                ports,
                ..
            } => {
                self.instance = Some(Instance {
                    name: instance.clone(),
                    address: *address,
                    ports: ports.clone().into(),
                });
                if matches!(self.phase, MemberPhase::Planned { .. }) {
                    self.phase = MemberPhase::Ensured;
                }
            }
            Record::MemberEnsureFailed { attempt, .. } => {
                self.phase = MemberPhase::Planned { attempts: *attempt };
            }
            Record::MemberJoined {
                credential_sha256, ..
            } => {
                self.credential_sha256 = Some(credential_sha256.clone());
                if self.phase.is_coming() {
                    self.phase = MemberPhase::Starting;
                }
            }
            Record::MemberActivated { .. } => self.phase = MemberPhase::Active,
            Record::MemberSuspended { reason, .. } => {
                self.phase = MemberPhase::Suspended {
                    reason: reason.clone(),
                };
            }
            Record::MemberDraining { reason, .. } => {
                self.phase = MemberPhase::Draining {
                    reason: reason.clone(),
                };
            }
            Record::MemberStopping { .. } => self.phase = MemberPhase::Stopping,
            Record::MemberStopped { .. } => self.phase = MemberPhase::Ended { failure: None },
            Record::MemberFailed { reason, .. } => {
                self.phase = MemberPhase::Ended {
                    failure: Some(reason.clone()),
                };
            }
            _ => self.change_release(record),
        }
    }

    fn change_release(&mut self, record: &Record) {
        match record {
            Record::MemberUpdating { commit, live, .. } => {
                let (live, cleared) = match self.phase {
                    // Its target changed on the way: where it stands towards its balancers did not.
                    MemberPhase::Updating { live, cleared, .. } => (live, cleared),
                    _ => (*live, *live),
                };
                self.phase = MemberPhase::Updating {
                    commit: commit.clone(),
                    live,
                    cleared,
                };
            }
            Record::MemberCleared { .. } => {
                if let MemberPhase::Updating { cleared, .. } = &mut self.phase {
                    *cleared = true;
                }
            }
            Record::MemberSwitched { commit, .. } => {
                self.release = Some(commit.clone());
                self.ordered_commit = Some(commit.clone());
                if matches!(self.phase, MemberPhase::Updating { .. }) {
                    self.phase = MemberPhase::Active;
                }
            }
            _ => {}
        }
    }
}

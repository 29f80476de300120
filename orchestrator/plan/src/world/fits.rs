//! Whether a record fits the world, without changing it. The writer asks before it journals a fact that came from
//! outside (an answer of a provisioner, a join): what no longer fits is late, and dropped.
//!
//! This file refuses to judge whether a record is wise.

use cartridge_protocol::{ApplicationId, ClusterId, MemberId};

use super::{ApplicationStatus, Member, MemberPhase, World};
use crate::record::Record;

/// The member that a record is about, and which of its lives.
pub fn member_of(record: &Record) -> Option<(&MemberId, u64)> {
    match record {
        Record::MemberPlanned {
            member, incarnation, ..
        }
        | Record::MemberEnsured {
            member, incarnation, ..
        }
        | Record::MemberEnsureFailed {
            member, incarnation, ..
        }
        | Record::MemberJoined {
            member, incarnation, ..
        }
        | Record::MemberActivated { member, incarnation }
        | Record::MemberSuspended {
            member, incarnation, ..
        }
        | Record::MemberUpdating {
            member, incarnation, ..
        }
        | Record::MemberCleared { member, incarnation }
        | Record::MemberSwitched {
            member, incarnation, ..
        }
        | Record::MemberDraining {
            member, incarnation, ..
        }
        | Record::MemberStopping {
            member, incarnation, ..
        }
        | Record::MemberStopped { member, incarnation }
        | Record::MemberFailed {
            member, incarnation, ..
        }
        | Record::MemberRemoved { member, incarnation } => Some((member, *incarnation)),
        _ => None,
    }
}

impl World {
    /// Whether the record could be the next entry; the error says what contradicts what.
    pub fn fits(&self, record: &Record) -> Result<(), String> {
        if let Some((member, incarnation)) = member_of(record) {
            return match record {
                Record::MemberPlanned { .. } => self.plan_fits(record),
                _ => self.step_fits(record, member, incarnation),
            };
        }
        match record {
            Record::InstallationCreated { .. } if self.seq > 0 => {
                Err("only the first entry creates an installation".into())
            }
            Record::OrchestratorStarted { epoch } if *epoch <= self.epoch => {
                Err(format!("epoch {epoch} does not follow epoch {}", self.epoch))
            }
            Record::RepositorySecretSealed { application, .. }
            | Record::ValuesShared { application, .. }
            | Record::ValuesWithdrawn { application, .. } => self.known(application),
            Record::ApplicationRemoved { application } => {
                self.status_is(application, "not deployed", |s| *s == ApplicationStatus::Created)
            }
            Record::ApplicationDeployed { application, .. } => {
                self.status_is(application, "not deployed", |s| *s == ApplicationStatus::Created)
            }
            Record::ApplicationUndeploying { application, force } => {
                let stronger = |status: &ApplicationStatus| match status {
                    ApplicationStatus::Created => false,
                    ApplicationStatus::Deployed { .. } => true,
                    ApplicationStatus::Undeploying { force: before } => *force && !*before,
                };
                self.status_is(application, "deployed, nor stopping more gently", stronger)
            }
            Record::ApplicationUndeployed { application } => self.emptied(application),
            Record::BurstStarted { .. } | Record::BurstEnding { .. } | Record::BurstEnded { .. } => {
                self.burst_fits(record)
            }
            Record::GroupInstanceStarted { .. }
            | Record::GroupInstanceEnding { .. }
            | Record::GroupInstanceEnded { .. }
            | Record::PartChanged { .. } => self.group_fits(record),
            Record::ClusterResized {
                cluster,
                network_partition,
                from,
                ..
            } => {
                let instances = self.known_cluster(cluster)?;
                let desired = instances
                    .get(network_partition)
                    .map_or(0, |instance| instance.desired);
                demand(desired == *from, || {
                    format!("{cluster} wants {desired} there, not {from}")
                })
            }
            Record::ClusterRetired { cluster } => self.retires(cluster),
            Record::ClusterSizeOrdered { cluster, .. }
            | Record::ClusterRenewed { cluster, .. }
            | Record::RepositoryAnnounced { cluster, .. }
            | Record::ReleaseProposed { cluster, .. }
            | Record::ReleaseUnpinned { cluster, .. } => self.known_cluster(cluster).map(|_| ()),
            Record::ReleaseAccepted { cluster, commit } | Record::ReleaseRejected { cluster, commit, .. } => {
                self.known_cluster(cluster)?;
                let proposed = self
                    .clusters
                    .get(cluster)
                    .and_then(|c| c.release.proposed.as_ref());
                demand(proposed == Some(commit), || {
                    format!("{} is not proposed", commit.short())
                })
            }
            other => self.tenancy_fits(other),
        }
    }

    fn known(&self, application: &ApplicationId) -> Result<(), String> {
        demand(self.applications.contains_key(application), || {
            format!("there is no application {application}")
        })
    }

    fn status_is(
        &self,
        application: &ApplicationId,
        what: &str,
        is: impl Fn(&ApplicationStatus) -> bool,
    ) -> Result<(), String> {
        self.known(application)?;
        let fits = self
            .applications
            .get(application)
            .is_some_and(|state| is(&state.status));
        demand(fits, || format!("application {application} is not {what}"))
    }

    fn emptied(&self, application: &ApplicationId) -> Result<(), String> {
        self.status_is(application, "being undeployed", |status| {
            matches!(status, ApplicationStatus::Undeploying { .. })
        })?;
        let left = self
            .clusters
            .values()
            .filter(|cluster| cluster.application == *application)
            .find_map(|cluster| cluster.members.first());
        demand(left.is_none(), || format!("{left:?} is still there"))
    }

    fn known_cluster(
        &self,
        cluster: &ClusterId,
    ) -> Result<
        &std::collections::BTreeMap<cartridge_protocol::NetworkPartitionId, super::ClusterInstance>,
        String,
    > {
        self.clusters
            .get(cluster)
            .map(|cluster| &cluster.instances)
            .ok_or_else(|| format!("there is no cluster {cluster}"))
    }

    fn retires(&self, cluster: &ClusterId) -> Result<(), String> {
        self.known_cluster(cluster)?;
        let known = self.clusters.get(cluster);
        demand(known.is_some_and(|known| known.leaving.is_some()), || {
            format!("{cluster} is not being emptied")
        })?;
        let left = known.and_then(|known| known.members.first());
        demand(left.is_none(), || format!("{left:?} is still there"))
    }

    fn burst_fits(&self, record: &Record) -> Result<(), String> {
        let (Record::BurstStarted {
            application,
            network_partition,
            ..
        }
        | Record::BurstEnding {
            application,
            network_partition,
            ..
        }
        | Record::BurstEnded {
            application,
            network_partition,
        }) = record
        else {
            return Ok(());
        };
        self.status_is(application, "running", |s| *s != ApplicationStatus::Created)?;
        let standing = self.standing(application, network_partition);
        let (fits, what) = match record {
            Record::BurstStarted { .. } => (standing.is_none(), "in use already"),
            Record::BurstEnding { .. } => (standing == Some(false), "not in use, or ending already"),
            _ => (standing == Some(true), "not ending"),
        };
        demand(fits, || {
            format!("{network_partition} is {what} for {application}")
        })
    }

    fn plan_fits(&self, record: &Record) -> Result<(), String> {
        let Record::MemberPlanned {
            member,
            incarnation,
            cluster,
            network_partition,
            group_instance,
            ..
        } = record
        else {
            return Ok(());
        };
        let instances = self.known_cluster(cluster)?;
        demand(instances.contains_key(network_partition), || {
            format!("{cluster} does not use {network_partition}")
        })?;
        let parts = self
            .clusters
            .get(cluster)
            .map(|cluster| self.parts(cluster, network_partition));
        demand(parts.is_some_and(|parts| parts.contains(group_instance)), || {
            format!("the group of {cluster} has no instance {group_instance} in {network_partition}")
        })?;
        let leaves = self.clusters.get(cluster).is_some_and(|c| c.leaving.is_some());
        demand(!leaves, || format!("{cluster} is being emptied"))?;
        let next = self
            .clusters
            .get(cluster)
            .map_or(0, |cluster| cluster.next_member);
        let expected = cluster.member(next).map_err(|fault| fault.to_string())?;
        demand(*member == expected && *incarnation == 1, || {
            format!("the next member of {cluster} is {expected} in its first life, not {member}")
        })
    }

    fn step_fits(&self, record: &Record, member: &MemberId, incarnation: u64) -> Result<(), String> {
        let Some(known) = self.members.get(member) else {
            return Err(format!("there is no member {member}"));
        };
        demand(known.incarnation == incarnation, || {
            format!("{member} is in life {}, not {incarnation}", known.incarnation)
        })?;
        demand(known.takes(record), || {
            format!("{member} is {:?}, which does not lead there", known.phase)
        })
    }
}

pub(super) fn demand(fits: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if fits { Ok(()) } else { Err(problem()) }
}

impl Member {
    /// Whether its phase leads to what the record says.
    fn takes(&self, record: &Record) -> bool {
        use MemberPhase::{
            Active, Draining, Ended, Ensured, Planned, Starting, Stopping, Suspended, Updating,
        };
        let phase = &self.phase;
        match record {
            Record::MemberEnsured { .. } => {
                self.instance.is_none() && matches!(phase, Planned { .. } | Starting)
            }
            Record::MemberEnsureFailed { .. } => matches!(phase, Planned { .. }),
            Record::MemberJoined { .. } => {
                self.credential_sha256.is_none() && matches!(phase, Planned { .. } | Ensured)
            }
            Record::MemberActivated { .. } => {
                self.instance.is_some() && matches!(phase, Starting | Suspended { .. })
            }
            Record::MemberSuspended { .. } => matches!(phase, Active),
            Record::MemberUpdating { .. } => matches!(phase, Active | Suspended { .. } | Updating { .. }),
            Record::MemberCleared { .. } => matches!(phase, Updating { cleared: false, .. }),
            Record::MemberSwitched { .. } => {
                matches!(phase, Starting | Active | Suspended { .. } | Updating { .. })
            }
            Record::MemberDraining { .. } => !matches!(phase, Draining { .. } | Stopping | Ended { .. }),
            Record::MemberStopping { .. } => matches!(phase, Draining { .. }),
            Record::MemberStopped { .. } => matches!(phase, Stopping),
            Record::MemberFailed { .. } => !matches!(phase, Ended { .. }),
            Record::MemberRemoved { .. } => matches!(phase, Ended { .. }),
            _ => false,
        }
    }
}

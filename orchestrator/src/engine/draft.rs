//! A world as it will be once the entries beside it are durable. Refuses to touch the world that readers see.

use std::collections::BTreeSet;

use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::{ApplicationStatus, Cluster, World, member_of};
use cartridge_protocol::{ApplicationId, Millis};

/// A record does not fit the world.
pub(crate) type Unfit = cartridge_orchestrator_plan::world::Inapplicable;

/// Entries that are about to be written, already tried out.
pub(crate) struct Draft<'a> {
    base: &'a World,
    now: Millis,
    at_unix_ms: u64,
    world: Option<World>,
    entries: Vec<Entry>,
}

/// What is to be written, and what the world is after it.
pub(crate) struct Finished {
    /// The world after the entries; None where there are none.
    pub(crate) world: Option<World>,
    /// In order.
    pub(crate) entries: Vec<Entry>,
}

impl<'a> Draft<'a> {
    pub(crate) fn on(base: &'a World, now: Millis, at_unix_ms: u64) -> Self {
        Self {
            base,
            now,
            at_unix_ms,
            world: None,
            entries: Vec::new(),
        }
    }

    /// The world with everything pushed so far.
    pub(crate) fn world(&self) -> &World {
        self.world.as_ref().unwrap_or(self.base)
    }

    /// The time that everything pushed is applied with.
    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// The position after everything pushed so far.
    pub(crate) fn seq(&self) -> u64 {
        self.world().seq
    }

    /// Everything pushed so far.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds all records or none.
    pub(crate) fn push(&mut self, records: Vec<Record>) -> Result<(), Unfit> {
        let before = self.entries.len();
        for record in records {
            let entry = Entry {
                seq: self.seq() + 1,
                at_unix_ms: self.at_unix_ms,
                record,
            };
            let world = self.world.get_or_insert_with(|| self.base.clone());
            if let Err(unfit) = world.apply(&entry, self.now) {
                self.entries.truncate(before);
                self.replay();
                return Err(unfit);
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    fn replay(&mut self) {
        let mut world = self.base.clone();
        for entry in &self.entries {
            world
                .apply(entry, self.now)
                .expect("an entry that fitted fits again: applying is deterministic");
        }
        self.world = Some(world);
    }

    pub(crate) fn finish(self) -> Finished {
        Finished {
            world: self.world.filter(|_| !self.entries.is_empty()),
            entries: self.entries,
        }
    }
}

/// Which part of the world a record concerns.
pub(crate) enum Touched {
    /// One application.
    Application(ApplicationId),
    /// Those that use a document; it may be nobody.
    Users(BTreeSet<ApplicationId>),
    /// Perhaps all of it.
    All,
}

/// Which part of the world `record` concerns, given the world after it or before it.
pub(crate) fn touched(world: &World, before: &World, record: &Record) -> Touched {
    if let Some(users) = users(world, record) {
        return Touched::Users(users);
    }
    let cluster = match record {
        Record::ApplicationPut(blueprint) => return Touched::Application(blueprint.application_id.clone()),
        Record::RepositorySecretSealed { application, .. }
        | Record::ApplicationRemoved { application }
        | Record::SignUpAdded { application, .. }
        | Record::SignUpRemoved { application, .. }
        | Record::DomainMapped { application, .. }
        | Record::DomainUnmapped { application, .. }
        | Record::ValuesShared { application, .. }
        | Record::ValuesWithdrawn { application, .. }
        | Record::ApplicationDeployed { application, .. }
        | Record::ApplicationUndeploying { application, .. }
        | Record::ApplicationUndeployed { application }
        | Record::BurstStarted { application, .. }
        | Record::BurstEnding { application, .. }
        | Record::BurstEnded { application, .. }
        | Record::GroupInstanceStarted { application, .. }
        | Record::GroupInstanceEnding { application, .. }
        | Record::GroupInstanceEnded { application, .. } => return Touched::Application(application.clone()),
        Record::ClusterResized { cluster, .. }
        | Record::ClusterRenewed { cluster, .. }
        | Record::ClusterRetired { cluster }
        | Record::PartChanged { cluster, .. }
        | Record::ClusterSizeOrdered { cluster, .. }
        | Record::MemberPlanned { cluster, .. }
        | Record::RepositoryAnnounced { cluster, .. }
        | Record::TenantReleaseOrdered { cluster, .. }
        | Record::TenantReleaseRejected { cluster, .. }
        | Record::ReleaseProposed { cluster, .. }
        | Record::ReleaseAccepted { cluster, .. }
        | Record::ReleaseRejected { cluster, .. }
        | Record::ReleaseUnpinned { cluster, .. } => Some(cluster),
        other => member_of(other).and_then(|(member, _)| {
            let known = world.members.get(member).or_else(|| before.members.get(member));
            known.map(|member| &member.cluster)
        }),
    };
    let known = cluster.and_then(|id| world.clusters.get(id).or_else(|| before.clusters.get(id)));
    known.map_or(Touched::All, |cluster| {
        Touched::Application(cluster.application.clone())
    })
}

/// Which applications use the document that was put; only what nobody uses is ever removed. None: it is no such document.
fn users(world: &World, record: &Record) -> Option<BTreeSet<ApplicationId>> {
    let with = |uses: &dyn Fn(&Cluster) -> bool| {
        let clusters = world.clusters.values().filter(|cluster| uses(cluster));
        clusters.map(|cluster| cluster.application.clone()).collect()
    };
    Some(match record {
        Record::AutoscalingPolicyPut(put) => {
            with(&|cluster| cluster.autoscaling_policy.as_ref() == Some(&put.id))
        }
        Record::DeploymentPolicyPut(put) => {
            with(&|cluster| cluster.deployment_policy.as_ref() == Some(&put.id))
        }
        Record::CartridgePut(put) => with(&|cluster| cluster.cartridge == put.cartridge_type),
        Record::ApplicationPolicyPut(put) => {
            let under = |status: &ApplicationStatus| matches!(status, ApplicationStatus::Deployed { policy } if *policy == put.id);
            let states = world.applications.values().filter(|state| under(&state.status));
            states
                .map(|state| state.blueprint.application_id.clone())
                .collect()
        }
        Record::CartridgeRemoved { .. }
        | Record::CartridgeGroupPut(_)
        | Record::CartridgeGroupRemoved { .. }
        | Record::AutoscalingPolicyRemoved { .. }
        | Record::DeploymentPolicyRemoved { .. }
        | Record::ApplicationPolicyRemoved { .. }
        | Record::NetworkPartitionRemoved { .. }
        | Record::KubernetesClusterPut(_)
        | Record::KubernetesClusterRemoved { .. } => BTreeSet::new(),
        _ => return None,
    })
}

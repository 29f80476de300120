//! A world as it will be once the entries beside it are durable. Refuses to touch the world that readers see.

use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::{World, member_of};
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
    /// Perhaps all of it.
    All,
}

/// Which part of the world `record` concerns, given the world after it or before it.
pub(crate) fn touched(world: &World, before: &World, record: &Record) -> Touched {
    let cluster = match record {
        Record::ApplicationPut(blueprint) => return Touched::Application(blueprint.application_id.clone()),
        Record::RepositorySecretSealed { application, .. }
        | Record::ApplicationRemoved { application }
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
        | Record::PartChanged { cluster, .. }
        | Record::ClusterSizeOrdered { cluster, .. }
        | Record::MemberPlanned { cluster, .. }
        | Record::RepositoryAnnounced { cluster }
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

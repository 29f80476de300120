//! A second, independent reader: refuses a plan that breaks an invariant (reliability.md S4, S6, S7, S8, S12–S14, S32).
//!
//! This file refuses to share a line with the deciders whose work it reads: it replays the plan on a copy of the
//! world and looks at every single record in the world that it was decided in.

mod draining;
mod endpoints;
mod shrinking;
mod updates;

use std::collections::BTreeSet;

use cartridge_protocol::{ApplicationId, Millis};

use crate::decide::{Planned, View};
use crate::observe::Observations;
use crate::record::{Entry, Record};
use crate::world::{World, member_of};

/// A plan that breaks an invariant; it must not be journaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan breaks {invariant}: {problem}; nothing of it is carried out")]
pub struct Broken {
    /// Which invariant, such as `S7 destruction budget`.
    pub invariant: &'static str,
    /// What breaks it.
    pub problem: String,
}

/// One record, and the world it is to be applied to.
struct Moment<'a> {
    world: &'a World,
    seen: &'a Observations,
    now: Millis,
    record: &'a Record,
}

/// Reads a plan against the view that it was made from.
pub fn check(view: &View<'_>, planned: &Planned) -> Result<(), Broken> {
    if planned.records.is_empty() {
        return Ok(());
    }
    let mut world = view.world.clone();
    for record in &planned.records {
        let moment = Moment {
            world: &world,
            seen: view.seen,
            now: view.now,
            record,
        };
        pause_is_kept(&moment)?;
        shrinking::budget(&moment)?;
        shrinking::ignorance(&moment)?;
        shrinking::bounds(&moment)?;
        updates::handed_over(&moment)?;
        draining::order(&moment)?;
        let entry = Entry {
            seq: world.seq + 1,
            at_unix_ms: 0,
            record: record.clone(),
        };
        let applied = world.apply(&entry, view.now);
        applied.map_err(|fault| broken("S4 one fact after another", fault.to_string()))?;
    }
    let touched = touched(view.world, &world, planned);
    shrinking::most(view.world, &world, &touched)?;
    endpoints::sound(&world, &touched)?;
    endpoints::not_emptied(view.world, &world, &touched)
}

/// The applications that a plan is about; the endpoints and numbers of others are what they were.
fn touched(before: &World, after: &World, planned: &Planned) -> BTreeSet<ApplicationId> {
    let application = |record: &Record| {
        if let Record::BurstStarted { application, .. }
        | Record::BurstEnding { application, .. }
        | Record::BurstEnded { application, .. }
        | Record::GroupInstanceStarted { application, .. }
        | Record::GroupInstanceEnding { application, .. }
        | Record::GroupInstanceEnded { application, .. }
        | Record::ApplicationUndeployed { application } = record
        {
            return Some(application.clone());
        }
        let of_member = |world: &World| {
            let (member, _) = member_of(record)?;
            Some(world.members.get(member)?.cluster.clone())
        };
        let cluster = match record {
            Record::ClusterResized { cluster, .. }
            | Record::ClusterRenewed { cluster, .. }
            | Record::ClusterRetired { cluster }
            | Record::PartChanged { cluster, .. }
            | Record::ReleaseProposed { cluster, .. }
            | Record::ReleaseAccepted { cluster, .. }
            | Record::ReleaseRejected { cluster, .. }
            | Record::TenantReleaseOrdered { cluster, .. }
            | Record::TenantReleaseRejected { cluster, .. } => Some(cluster.clone()),
            _ => of_member(after).or_else(|| of_member(before)),
        }?;
        let known = after
            .clusters
            .get(&cluster)
            .or_else(|| before.clusters.get(&cluster));
        known.map(|known| known.application.clone())
    };
    let mut touched = BTreeSet::new();
    for record in &planned.records {
        match application(record) {
            Some(application) => _ = touched.insert(application),
            // What is not known to be narrow concerns all.
            None => touched.extend(after.applications.keys().cloned()),
        }
    }
    touched
}

fn broken(invariant: &'static str, problem: String) -> Broken {
    Broken { invariant, problem }
}

/// While paused, automation records what happens, and begins nothing (S32).
fn pause_is_kept(moment: &Moment<'_>) -> Result<(), Broken> {
    let begins = matches!(
        moment.record,
        Record::MemberPlanned { .. }
            | Record::MemberUpdating { .. }
            | Record::ClusterResized { .. }
            | Record::BurstStarted { .. }
            | Record::BurstEnding { .. }
            | Record::GroupInstanceStarted { .. }
            | Record::GroupInstanceEnding { .. }
            | Record::PartChanged { .. }
            | Record::ReleaseProposed { .. }
            | Record::TenantReleaseOrdered { .. }
    );
    if begins && moment.world.paused.is_some() {
        return Err(broken(
            "S32 pause is durable",
            format!("{:?} while paused", moment.record),
        ));
    }
    Ok(())
}

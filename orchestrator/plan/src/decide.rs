//! What to do, and why; the empty plan has reasons too.
//!
//! This file refuses to know how any of it is done.

use std::collections::BTreeSet;

use cartridge_protocol::{ApplicationId, ClusterId, Millis};
use serde::Serialize;

use crate::observe::Observations;
use crate::record::Record;
use crate::world::{ApplicationState, ApplicationStatus, World};

mod bursting;
mod deaths;
mod dependents;
mod draft;
mod drains;
mod grouping;
mod groups;
mod growing;
mod hearing;
mod leaving;
mod lifecycle;
pub mod limits;
mod parts;
mod releases;
mod renewing;
mod resizing;
mod rollout;
mod shrinking;
mod sizing;
mod tenants;
mod undeploying;

use draft::Draft;

/// All that is known at one instant.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Facts.
    pub world: &'a World,
    /// Measurements and what was said, each with its age.
    pub seen: &'a Observations,
    /// The caller's monotonic clock.
    pub now: Millis,
}

/// Which clusters to look at.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Every one.
    All,
    /// Those that changed or are due. The empty set selects nothing.
    Clusters(&'a BTreeSet<ClusterId>),
    /// All clusters of these applications. The empty set selects nothing.
    Applications(&'a BTreeSet<ApplicationId>),
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planned {
    /// Facts to journal, in this order, as one batch.
    pub records: Vec<Record>,
    /// Why, cluster by cluster.
    pub report: Report,
    /// What each scaler recommends in all, to be pushed into [`Observations::recommended`] at [`View::now`].
    pub recommended: Vec<(ClusterId, u32)>,
    /// When the next timer is due if nothing else happens.
    pub wake: Option<Millis>,
}

/// Why, the empty plan included.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// One row per cluster in scope.
    pub clusters: Vec<ClusterReport>,
}

/// Why one cluster is planned as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReport {
    /// Which cluster.
    pub cluster: ClusterId,
    /// The figures that the scaler saw, for people.
    pub inputs: String,
    /// What it predicts, for people.
    pub forecast: String,
    /// What the figures ask for, bounds not yet applied.
    pub required: u32,
    /// Which figure decided.
    pub factor: String,
    /// How many members there should be, bounds applied.
    pub target: u32,
    /// Why nothing shrinks (or nothing happens) at the moment.
    pub frozen: Option<String>,
    /// Anything else worth a line.
    pub notes: Vec<String>,
}

/// Decides for the clusters in scope. Pure: the same view gives the same plan. Steps run in this order, each seeing
/// what those before it decided.
pub fn decide(view: &View<'_>, scope: Scope<'_>) -> Planned {
    let mut draft = Draft::new(view);
    for application in applications(view.world, scope) {
        deaths::decide(&mut draft, &application);
        lifecycle::decide(&mut draft, &application);
        drains::decide(&mut draft, &application);
        undeploying::decide(&mut draft, &application);
        #[allow(unused_mut, reason = "a planted fault changes it")]
        let mut paused = draft.world().paused.is_some();
        planted!(PauseIgnored => paused = false);
        if paused {
            draft.note_all(
                &application,
                "automation is paused: only what happens by itself is recorded",
            );
            continue;
        }
        let mut sizes = sizing::decide(&mut draft, &application);
        let wishes = dependents::raise(&mut draft, &application, &mut sizes);
        bursting::decide(&mut draft, &application, &sizes);
        grouping::decide(&mut draft, &application, &sizes, &wishes);
        resizing::decide(&mut draft, &application, &sizes);
        parts::decide(&mut draft, &application);
        leaving::decide(&mut draft, &application);
        growing::decide(&mut draft, &application);
        renewing::decide(&mut draft, &application);
        shrinking::decide(&mut draft, &application);
        releases::decide(&mut draft, &application);
        tenants::decide(&mut draft, &application);
    }
    draft.finish()
}

/// The applications whose clusters are in scope. Those that do not run have no clusters.
fn applications(world: &World, scope: Scope<'_>) -> BTreeSet<ApplicationId> {
    let running = |state: &ApplicationState| state.status != ApplicationStatus::Created;
    match scope {
        Scope::All => world
            .applications
            .values()
            .filter(|state| running(state))
            .map(|state| state.blueprint.application_id.clone())
            .collect(),
        Scope::Applications(ids) => ids
            .iter()
            .filter(|id| world.applications.get(*id).is_some_and(&running))
            .cloned()
            .collect(),
        Scope::Clusters(ids) => ids
            .iter()
            .filter_map(|id| world.clusters.get(id))
            .map(|cluster| cluster.application.clone())
            .collect(),
    }
}

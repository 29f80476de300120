//! What to do, and why; the empty plan has reasons too.
//!
//! This file refuses to know how any of it is done.

use std::collections::BTreeSet;

use cartridge_protocol::{ClusterId, Millis};
use serde::Serialize;

use crate::observe::Observations;
use crate::record::Record;
use crate::world::World;

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

/// Decides for the clusters in scope. Pure: the same view gives the same plan.
pub fn decide(view: &View<'_>, scope: Scope<'_>) -> Planned {
    let _ = (view, scope);
    Planned::default()
}

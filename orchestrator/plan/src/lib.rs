//! Every decision the orchestrator takes, as pure functions of values.
//!
//! ```text
//! decide(&View)          -> Planned { records, report }   what to do, and why; reasons for doing nothing too
//! check(&View, &Planned) -> Result<(), Broken>            a second, independent reader
//! World::apply(&Entry)                                    the state is a fold over the journal
//! outstanding(&World, now) -> Vec<Step>                   what the world still lacks; ids already chosen
//! desired(&World, &MemberId) -> Desired                   what one agent is told
//! surroundings(&World, &MemberId) -> Surroundings         what runs around it, for its hooks
//! ```
//!
//! This crate refuses to know about clocks, files, sockets, processes, tasks and randomness; its clippy.toml
//! enforces it. The caller supplies the time as [`cartridge_protocol::Millis`] of its monotonic clock.

/// Does it where that fault is planted; nothing at all without the feature `planted-bugs`.
macro_rules! planted {
    ($bug:ident => $does:expr) => {
        #[cfg(feature = "planted-bugs")]
        if $crate::planted::is($crate::planted::Bug::$bug) {
            $does
        }
    };
}

pub mod allowance;
pub mod answer;
pub mod around;
pub mod blueprint;
pub mod check;
pub mod decide;
pub mod desired;
pub mod forecast;
pub mod launch;
pub mod listed;
pub mod observe;
pub mod order;
pub mod outstanding;
pub mod placement;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod record;
pub mod scale;
pub mod step;
pub mod tenancy;
pub mod world;

/// Whether faults can be planted in this build: never in one that is shipped.
pub const PLANTED_BUGS: bool = cfg!(feature = "planted-bugs");

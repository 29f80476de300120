//! The orchestrator: a pure core (crate `cartridge-orchestrator-plan`) in a thin shell.

pub mod clock;
pub mod engine;
pub mod identity;
pub mod journal;
pub mod serve;

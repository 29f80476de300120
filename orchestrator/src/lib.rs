//! The orchestrator: a pure core (crate `cartridge-orchestrator-plan`) in a thin shell.

pub mod api;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod crash;
pub mod dashboard;
pub mod engine;
pub mod identity;
pub mod journal;
pub mod lines;
pub mod link;
pub mod listen;
pub mod metrics;
pub mod provision;
pub mod serve;
pub mod tls;
pub mod tokens;

// Faults that tests plant are never shipped: such a build does not compile.
const _: () = assert!(!cartridge_orchestrator_plan::PLANTED_BUGS);

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

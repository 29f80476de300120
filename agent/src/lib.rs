//! The in-instance agent: the shell around `cartridge-agent-plan`.
//!
//! This crate refuses to decide anything that a saved set of values could decide; that is the plan's part.

pub mod agent;
pub mod cli;
pub mod host;
pub mod link;
pub mod plugin;
pub mod version;

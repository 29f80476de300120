//! What end-to-end tests, the demonstration and the benchmarks stand on: a real Git server, repositories, a load
//! generator, a client of the orchestrator's API, and the real programs started and killed as an operator would.
//!
//! This crate refuses to know how the programs work inside: it sees them through sockets, files and processes.

pub mod api;
pub mod blueprint;
pub mod docker;
pub mod git_server;
pub mod https;
pub mod load;
pub mod measure;
pub mod process;
pub mod repository;
pub mod stack;

//! The only files that touch the machine.

pub mod git;
pub mod shelf;

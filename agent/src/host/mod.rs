//! The only files that touch the machine.

pub mod child;
pub mod clock;
pub mod git;
pub mod hooks;
pub mod logs;
pub mod orphans;
pub mod probe;
pub mod proc;
pub mod shelf;
pub mod state;

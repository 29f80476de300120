//! The only files that touch the machine.

pub mod account;
pub mod alarm;
pub mod child;
pub mod clock;
pub mod duty;
pub mod follow;
pub mod git;
pub mod hooks;
pub mod leftovers;
pub mod level;
pub mod local;
pub mod logs;
pub mod oom;
pub mod orphans;
pub mod probe;
pub mod proc;
pub mod sandbox;
pub mod shelf;
pub mod source;
pub mod state;
pub mod stderr;
pub mod systemd;
pub mod thrift;
pub mod upgrade;
pub mod user_data;
pub mod watch;

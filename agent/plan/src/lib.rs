//! Every decision the agent takes, as pure functions: values in, values out.
//!
//! This crate refuses to know about clocks, files, sockets and processes; the shell supplies what it read and
//! carries out what it is told.

pub mod account;
pub mod around;
pub mod artifacts;
pub mod backoff;
pub mod beat;
pub mod blot;
pub mod ends;
pub mod handover;
pub mod hook;
pub mod layout;
pub mod leaving;
pub mod lifecycle;
pub mod logs;
pub mod mappings;
pub mod notify;
pub mod oom;
pub mod outbox;
pub mod picture;
pub mod plugin;
pub mod probe;
pub mod pushback;
pub mod release;
pub mod sample;
pub mod seen;
pub mod settings;
pub mod sharing;
pub mod signals;
pub mod tenants;
pub mod text;
pub mod upgrade;
pub mod user_data;

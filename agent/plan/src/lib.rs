//! Every decision the agent takes, as pure functions: values in, values out.
//!
//! This crate refuses to know about clocks, files, sockets and processes; the shell supplies what it read and
//! carries out what it is told.

pub mod backoff;
pub mod beat;
pub mod leaving;
pub mod lifecycle;
pub mod outbox;
pub mod probe;
pub mod release;
pub mod sample;
pub mod settings;
pub mod text;

//! The built-in load balancer: an HTTP/1.1 reverse proxy whose table of members changes without a reload.
//!
//! The agent runs it as a plugin; the topology comes over the pipe, requests over the sockets. This crate
//! refuses to know how members are chosen, started or judged healthy.

mod body;
mod context;
mod exchange;
mod forward;
mod headers;
mod limits;
mod listener;
mod load;
mod proxy;
mod table;
mod tunnel;
mod upstream;

pub use limits::Limits;
pub use proxy::{HttpBalancer, Refused};

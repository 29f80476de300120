//! What crosses a wire or a pipe: identifiers, launch parameters, link messages, topology, plugin frames.
//!
//! This crate refuses to know about sockets, files, clocks and tasks. Everything here is a value; decoding
//! bounds and validates, so that what got in can be relied upon.

pub mod cgroup;
pub mod domain;
pub mod id;
pub mod launch;
pub mod link;
pub mod local;
pub mod plugin;
pub mod sample;
pub mod secret;
pub mod surroundings;
pub mod tenant;
pub mod time;
pub mod topology;
pub mod values;

pub use domain::{ContextPath, DomainName};
pub use id::{
    ApplicationId, CartridgeType, ClusterId, CommitId, GroupName, InvalidId, KubernetesClusterId,
    KubernetesHostId, MemberId, NetworkPartitionId, PartitionId, PolicyId, TenantDomain, ValueKey,
};
pub use secret::Secret;
pub use time::Millis;

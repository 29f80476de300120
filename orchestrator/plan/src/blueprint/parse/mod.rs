//! Reads the Stratos 4.1 JSON schema leniently into the validated forms; every fault of a document at once.
//!
//! Lenient: numbers and booleans may come as texts and texts as numbers, one value stands for a list of one, a missing
//! list is empty, `null` is absent. Fields that Stratos knows and Cartridge does not use are accepted silently;
//! fields that neither knows are refused, because a mistyped name must not silently become a default.
//!
//! This file refuses to know where the text came from and what else exists: references are [`crate::order`]'s.

mod application;
mod cartridge;
mod dependencies;
mod fault;
mod groups;
mod lists;
mod network_partition;
mod policies;
mod read;
mod spelling;
mod subscription;
mod text;

use std::collections::BTreeMap;

use cartridge_protocol::Secret;
use serde_json::Value;

use super::{
    Application, ApplicationPolicy, AutoscalingPolicy, Cartridge, CartridgeGroup, DeploymentPolicy,
    NetworkPartition,
};
pub use dependencies::not_there;
pub use fault::{Fault, Faults, MAX_FAULTS};
use read::{Object, Reader};
pub use text::{MAX_BYTES, NotJson, lenient_json};

/// Reads a cartridge (docs/blueprint.md).
pub fn cartridge(document: &Value) -> Result<Cartridge, Faults> {
    whole(document, cartridge::FIELDS, cartridge::read)
}

/// Reads the definition of a group of cartridges.
pub fn cartridge_group(document: &Value) -> Result<CartridgeGroup, Faults> {
    whole(document, groups::DEFINITION, groups::definition)
}

/// Reads an autoscaling policy.
pub fn autoscaling_policy(document: &Value) -> Result<AutoscalingPolicy, Faults> {
    whole(document, policies::AUTOSCALING, policies::autoscaling)
}

/// Reads a deployment policy.
pub fn deployment_policy(document: &Value) -> Result<DeploymentPolicy, Faults> {
    whole(document, policies::DEPLOYMENT, policies::deployment)
}

/// Reads an application policy.
pub fn application_policy(document: &Value) -> Result<ApplicationPolicy, Faults> {
    whole(document, policies::APPLICATION, policies::application)
}

/// Reads a network partition.
pub fn network_partition(document: &Value) -> Result<NetworkPartition, Faults> {
    whole(document, network_partition::FIELDS, network_partition::read)
}

/// Reads a blueprint; the repository passwords come apart from it, by alias.
pub fn application(document: &Value) -> Result<(Application, BTreeMap<String, Secret>), Faults> {
    whole(document, application::FIELDS, application::read)
}

/// Reads one document: what `read` makes of it if it found no fault, else all faults.
fn whole<T>(
    document: &Value,
    fields: &'static [&'static str],
    read: fn(&mut Reader, &Object<'_>) -> Option<T>,
) -> Result<T, Faults> {
    let mut reader = Reader::default();
    let made = reader
        .object("", document, fields)
        .and_then(|object| read(&mut reader, &object));
    match (made, reader.finish()) {
        (Some(made), None) => Ok(made),
        (_, Some(faults)) => Err(faults),
        (None, None) => Err(Faults::unnamed()),
    }
}

#[cfg(test)]
mod tests;

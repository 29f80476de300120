//! Reads the Stratos 4.1 JSON schema leniently into the validated forms; every fault of a document at once.
//!
//! This file refuses to know where the text came from and what else exists: references are [`crate::order`]'s.

mod text;

use std::collections::BTreeMap;

use cartridge_protocol::Secret;
use serde_json::Value;

use super::{Application, ApplicationPolicy, AutoscalingPolicy, Cartridge, DeploymentPolicy, NetworkPartition};
pub use text::{NotJson, lenient_json};

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Where, such as `components.cartridges[0].cartridgeMin`.
    pub field: String,
    /// What stands there, shortened; secrets are masked. Empty when nothing does.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// All that is wrong with a document; never empty.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Faults(pub Vec<Fault>);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Reads a cartridge (docs/blueprint.md).
pub fn cartridge(_document: &Value) -> Result<Cartridge, Faults> {
    Err(Faults(Vec::new()))
}
/// Reads an autoscaling policy.
pub fn autoscaling_policy(_document: &Value) -> Result<AutoscalingPolicy, Faults> {
    Err(Faults(Vec::new()))
}
/// Reads a deployment policy.
pub fn deployment_policy(_document: &Value) -> Result<DeploymentPolicy, Faults> {
    Err(Faults(Vec::new()))
}
/// Reads an application policy.
pub fn application_policy(_document: &Value) -> Result<ApplicationPolicy, Faults> {
    Err(Faults(Vec::new()))
}
/// Reads a network partition.
pub fn network_partition(_document: &Value) -> Result<NetworkPartition, Faults> {
    Err(Faults(Vec::new()))
}
/// Reads a blueprint; the repository passwords come apart from it, by alias.
pub fn application(_document: &Value) -> Result<(Application, BTreeMap<String, Secret>), Faults> {
    Err(Faults(Vec::new()))
}

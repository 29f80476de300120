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
mod domain_mappings;
mod drawing;
mod fault;
mod groups;
mod kubernetes;
mod lists;
mod look;
mod network_partition;
mod places;
mod policies;
mod read;
mod sign_up;
mod spelling;
mod subscription;
mod tenancy;
mod text;

use std::collections::BTreeMap;

use cartridge_protocol::Secret;
use serde_json::Value;

use super::{
    Application, ApplicationPolicy, AutoscalingPolicy, Cartridge, CartridgeGroup, DeploymentPolicy,
    KubernetesCluster, KubernetesHost, NetworkPartition,
};
use crate::tenancy::{MappedDomain, TenantDocument};
pub use dependencies::not_there;
pub use drawing::{Field, drawings};
pub use fault::{Fault, Faults, MAX_FAULTS, is_secret};
pub use look::Look;
use read::{Object, Reader};
pub use tenancy::{PASSWORD, USER_NAME, is_user_name};
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

/// Reads a Kubernetes cluster; the values of its properties with secret names come apart from it, by name.
pub fn kubernetes_cluster(document: &Value) -> Result<(KubernetesCluster, BTreeMap<String, Secret>), Faults> {
    whole(document, kubernetes::FIELDS, kubernetes::read)
}

/// Reads one machine of a Kubernetes cluster.
pub fn kubernetes_host(document: &Value) -> Result<KubernetesHost, Faults> {
    whole(document, kubernetes::HOST, kubernetes::host)
}

/// Reads what is said of a tenant; the password of its first user comes apart from it.
pub fn tenant(document: &Value) -> Result<(TenantDocument, Option<Secret>), Faults> {
    whole(document, tenancy::TENANT, tenancy::tenant)
}

/// Reads what a tenant signs up with: repositories by the alias of the cartridge; their passwords come apart from them.
pub fn sign_up(document: &Value) -> Result<sign_up::Read, Faults> {
    whole(document, sign_up::FIELDS, sign_up::read)
}

/// Reads which domains are to lead to which cartridges.
pub fn domain_mappings(document: &Value) -> Result<Vec<MappedDomain>, Faults> {
    whole(document, domain_mappings::FIELDS, domain_mappings::read)
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

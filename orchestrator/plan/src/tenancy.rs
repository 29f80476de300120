//! Tenants: who they are, and what they sign up with. What belongs to whom is asked of the world.
//!
//! This file refuses to know users and their passwords: those are never in the journal.

use std::collections::BTreeMap;

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ContextPath, DomainName, TenantDomain};
use serde::{Deserialize, Serialize};

use crate::blueprint::Repository;
use crate::record::Record;

/// Most tenants: all of them are told to members whose hooks want to know.
pub const MAX_TENANTS: usize = cartridge_protocol::surroundings::MAX_TENANTS;
/// Most domains that lead into one application: all of them are told to its members whose hooks want to know.
pub const MAX_DOMAINS: usize = cartridge_protocol::surroundings::MAX_TENANTS;
/// Most of them that are one tenant's, so that the others find room.
pub const MAX_DOMAINS_OF_TENANT: usize = 32;

/// Somebody who has applications of their own here, and sees nobody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Its number, from 1; never another tenant's again.
    pub tenant_id: TenantId,
    /// Its name; never changes.
    pub tenant_domain: TenantDomain,
    /// The user that was made with it.
    pub admin: String,
    /// Of that user, for people.
    pub first_name: String,
    /// Of that user, for people.
    pub last_name: String,
    /// Of that user, for people.
    pub email: String,
    /// Whether its users may come in.
    pub active: bool,
    /// Wall clock when it was added, milliseconds since 1970: for people only (S24).
    pub created_unix_ms: u64,
}

/// What a person says of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantDocument {
    /// Its name.
    pub domain: TenantDomain,
    /// The user that is made with it.
    pub admin: Option<String>,
    /// Of that user.
    pub first_name: Option<String>,
    /// Of that user.
    pub last_name: Option<String>,
    /// Of that user.
    pub email: Option<String>,
    /// Whether its users may come in; None: as it is, and yes for a new one.
    pub active: Option<bool>,
}

/// A tenant's sign-up for an application that several tenants share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignUp {
    /// Its repositories, by the alias of the cartridge whose members keep their files.
    pub repositories: BTreeMap<String, TenantRepository>,
}

/// A repository of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRepository {
    /// Where it is, its password left out.
    pub repository: Repository,
    /// The password, sealed with the installation's key; empty: none. No answer holds it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sealed: String,
}

/// A domain that leads to a cluster of an application for which its tenant signed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainMapping {
    /// Whose it is.
    pub tenant: TenantId,
    /// The cartridge that answers, by its alias.
    pub alias: String,
    /// What is put in front of the paths of its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<ContextPath>,
}

/// What a tenant says of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedDomain {
    /// Which.
    pub domain: DomainName,
    /// The alias of the cartridge that is to answer.
    pub alias: String,
    /// What is to be put in front of the paths of its requests.
    pub path: Option<ContextPath>,
}

/// Whose sign-up a record is about, or what came of it: its files and its domains. None: nobody's, or the record does
/// not say it.
pub fn whose_sign_up(record: &Record) -> Option<TenantId> {
    match record {
        Record::SignUpAdded { tenant, .. }
        | Record::SignUpRemoved { tenant, .. }
        | Record::TenantReleaseOrdered { tenant, .. }
        | Record::TenantReleaseRejected { tenant, .. } => Some(*tenant),
        Record::DomainMapped { mapping, .. } => Some(mapping.tenant),
        Record::RepositoryAnnounced { tenant, .. } => *tenant,
        _ => None,
    }
}

//! Who makes, lists and removes instances. Coarse, whole, idempotent calls.
//!
//! This file refuses to know why an instance is wanted.

pub mod mock;
pub mod process;
pub mod takeover;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;

pub use cartridge_orchestrator_plan::answer::Ensured;
pub use cartridge_orchestrator_plan::listed::Found;
use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::{MemberId, Secret};

/// Why a provisioner could not do it, for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProvisionError(pub String);

/// What a call of a provisioner will come to.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProvisionError>> + Send + 'a>>;

/// How the agent finds the orchestrator.
#[derive(Clone, Debug)]
pub struct LinkInfo {
    /// `https://host:port`.
    pub url: String,
    /// PEM file of the authority.
    pub ca: PathBuf,
    /// Single-use.
    pub token: Secret,
    /// Opens what the application's cartridges share, at the same server; None: the application is not deployed.
    pub sharing: Option<Secret>,
}

/// An instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Whose.
    pub member: MemberId,
    /// Of which life.
    pub incarnation: u64,
    /// How, for people.
    pub reason: String,
}

/// Makes, lists and removes instances in one kind of place.
pub trait Provisioner: Send + Sync {
    /// Every instance with our installation's tag, complete.
    fn list(&self) -> Answer<'_, Vec<Found>>;
    /// Makes sure that exactly this instance exists. The same answer when asked again.
    fn ensure(&self, spec: MemberSpec, link: LinkInfo) -> Answer<'_, Ensured>;
    /// Makes sure that nothing of it exists.
    fn remove<'a>(&'a self, member: &'a MemberId, incarnation: u64) -> Answer<'a, ()>;
}

/// All provisioners, by the name that network partitions use.
#[derive(Default)]
pub struct Provisioners(BTreeMap<&'static str, Box<dyn Provisioner>>);

impl Provisioners {
    /// Adds one.
    pub fn add(&mut self, name: &'static str, provisioner: impl Provisioner + 'static) {
        self.0.insert(name, Box::new(provisioner));
    }

    /// The one with this name.
    pub fn of(&self, name: &str) -> Result<&dyn Provisioner, ProvisionError> {
        self.0.get(name).map(AsRef::as_ref).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().copied().collect();
            ProvisionError(format!(
                "there is no provider {name:?} here; there are: {}",
                known.join(", ")
            ))
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &dyn Provisioner)> {
        self.0.iter().map(|(name, one)| (*name, one.as_ref()))
    }
}

//! Who a plugin is: its name, what it is for, and the versions of the contract that it speaks.
//!
//! Refuses to know where plugins are found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::VERSION;

/// Longest name of a plugin, bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// A plugin's own words about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// What it calls itself, for people.
    pub name: String,
    /// The versions it speaks.
    #[serde(flatten)]
    pub versions: Versions,
    /// What it is: see [`Kind`].
    pub kind: String,
}

impl Description {
    /// For a plugin of this crate's version.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            versions: Versions::OURS,
            kind: kind.name().to_owned(),
        }
    }
}

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Spreads requests over members.
    Balancer,
    /// Measures the member, or judges its health.
    Reader,
    /// Brings the application's files.
    Artifact,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Balancer, Self::Reader, Self::Artifact];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Balancer => "balancer",
            Self::Reader => "reader",
            Self::Artifact => "artifact",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A kind that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of plugin; balancer, reader and artifact are")]
pub struct UnknownKind(pub String);

impl std::str::FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or_else(|| UnknownKind(text.chars().take(40).collect()))
    }
}

/// The versions that a side speaks: from `oldest` to `version`; only `version` where no oldest is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The newest.
    pub version: u32,
    /// The oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u32>,
}

impl Versions {
    /// What this crate speaks.
    pub const OURS: Self = Self {
        version: VERSION,
        oldest: None,
    };

    /// One version only.
    pub const fn only(version: u32) -> Self {
        Self {
            version,
            oldest: None,
        }
    }

    fn oldest(self) -> u32 {
        self.oldest.unwrap_or(self.version)
    }

    /// The newest version that both sides speak: it is the one in force.
    pub fn common(self, theirs: Self) -> Result<u32, NoCommonVersion> {
        let newest = self.version.min(theirs.version);
        if newest >= self.oldest().max(theirs.oldest()) {
            Ok(newest)
        } else {
            Err(NoCommonVersion { ours: self, theirs })
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest {
            Some(oldest) if oldest != self.version => write!(f, "versions {oldest} to {}", self.version),
            _ => write!(f, "version {}", self.version),
        }
    }
}

/// The two sides cannot talk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("speaks {theirs}; {ours} is needed")]
pub struct NoCommonVersion {
    /// What this side speaks.
    pub ours: Versions,
    /// What the other speaks.
    pub theirs: Versions,
}

/// What the agent calls a plugin: lower-case letters, digits and `-`; never a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginName(String);

/// Why a text names no plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no plugin: 1 to {MAX_NAME_BYTES} lower-case letters, digits and '-' are accepted, beginning with a letter or digit"
)]
pub struct InvalidName(String);

impl PluginName {
    /// Accepts a valid name.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty()
            || text.len() > MAX_NAME_BYTES
            || text.starts_with('-')
            || !text.bytes().all(alphabet)
        {
            return Err(InvalidName(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PluginName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(&text)
    }
}

impl From<PluginName> for String {
    fn from(name: PluginName) -> Self {
        name.0
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

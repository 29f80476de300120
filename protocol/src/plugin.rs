//! Plugin frames: one JSON object per line on a pipe, requests in on stdin, answers out on stdout.
//!
//! Calls are coarse, whole and idempotent; one is under way at a time; each has a deadline that the caller
//! keeps. Unknown fields are ignored, so that a newer side can say more; unknown calls, answers and kinds are
//! refused. Decoders are functions of bytes. This file refuses to know about processes and pipes.

mod describe;
mod frame;
mod measure;

use serde::{Deserialize, Serialize};

use crate::id::CommitId;
use crate::sample::BalancerReading;
use crate::secret::Secret;
use crate::topology::Topology;

pub use describe::{
    Description, InvalidName, Kind, MAX_NAME_BYTES, NoCommonVersion, PluginName, UnknownKind, Versions,
};
pub use frame::{InvalidFrame, MAX_LINE_BYTES, decode, encode};
pub use measure::{Health, MAX_FIGURES, Measurement};

/// The version of this contract.
pub const VERSION: u32 = 1;

/// A question to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Comes back in the answer.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub call: Call,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "call", content = "with")]
pub enum Call {
    /// Who are you? I speak these versions. Answered with [`Answer::Described`].
    Describe(Versions),
    /// Balancers: serve exactly this. Answered with [`Answer::Applied`].
    SetMembers(Topology),
    /// What did you measure? Answered with [`Answer::Read`] by balancers, with [`Answer::Measured`] by readers.
    Read,
    /// Artifact sources: which revision is the newest? Answered with [`Answer::Looked`].
    Look(Origin),
    /// Artifact sources: write a revision into a folder. Answered with [`Answer::Fetched`].
    Fetch(Fetch),
}

impl Call {
    /// The call's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Describe(_) => "describe",
            Self::SetMembers(_) => "set-members",
            Self::Read => "read",
            Self::Look(_) => "look",
            Self::Fetch(_) => "fetch",
        }
    }
}

/// Where the files of the application come from, as its blueprint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The address of the repository; what it means is the plugin's matter.
    pub url: String,
    /// The branch.
    pub branch: String,
    /// User name and password; only where the agent's settings let the plugin have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// What a repository wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// User name.
    #[serde(default)]
    pub username: Option<String>,
    /// Password or token.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// One revision, to be written into one folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Where from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Which revision.
    pub revision: CommitId,
    /// An empty folder, absolute; nothing may be written elsewhere.
    pub into: String,
}

/// An answer. Exactly one of `ok` and `error` is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "frame::Written")]
pub struct Response {
    /// The request's id.
    pub id: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Success or refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// It was refused, and why; nothing changed.
    Error(String),
}

/// What a plugin answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Call::Describe`].
    Described(Description),
    /// To [`Call::SetMembers`].
    Applied {
        /// The revision now in force.
        revision: u64,
    },
    /// A balancer's, to [`Call::Read`].
    Read(BalancerReading),
    /// A reader's, to [`Call::Read`].
    Measured(Measurement),
    /// To [`Call::Look`].
    Looked {
        /// The newest revision: the hash of a commit or of the content, 40 or 64 lower-case hexadecimal digits.
        revision: CommitId,
    },
    /// To [`Call::Fetch`]: the folder holds the revision, and the plugin is done with it.
    Fetched {},
}

#[cfg(test)]
mod tests;

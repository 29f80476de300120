//! How an agent and the orchestrator talk.
//!
//! Down goes the *whole* of what is wanted of a member, newest wins; up goes the whole of what the member is,
//! newest wins, beside a short lane of notices that are delivered at least once. Nothing depends on a message
//! being seen exactly once. This file refuses to know about HTTP and NATS.
//!
//! Over HTTPS (bodies JSON, at most [`MAX_BODY_BYTES`]):
//!
//! | call | body | answers |
//! | --- | --- | --- |
//! | `POST /link/v1/join` | [`Join`] | 200 [`Joined`]; 401 wrong or expired token; 409 token already used; 410 fenced |
//! | `GET /link/v1/stream` | – | 200, one [`Down`] per line for ever, at least one per [`PING_SECONDS`]; 401; 410 |
//! | `POST /link/v1/batch` | [`Batch`] | 200 [`Acknowledged`]; 400; 401; 410; 413 |
//! | `POST /link/v1/values` | [`Share`](crate::values::Share) | 200, durable; 400 and 429 with a line of text; 401; 410; 413 |
//!
//! `stream`, `batch` and `values` carry `Authorization: Bearer <credential>`, `Cartridge-Member` and
//! `Cartridge-Incarnation`. 410 means that this life of the member is over: the agent stops its application and
//! itself.

mod tenants;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use tenants::{
    MAX_TENANT_REASON, MAX_TENANT_REFUSED, MAX_TENANT_REPOSITORIES, MAX_TENANT_STAGED, TenantArtifacts,
    TenantStatus,
};

use crate::id::{CommitId, MemberId};
use crate::plugin::PluginName;
use crate::sample::{BalancerReading, Sample};
use crate::secret::Secret;
use crate::surroundings::Surroundings;
use crate::topology::Topology;
use crate::values::ToldValues;

/// The version of this contract: the number in its paths, `/link/v1/`.
pub const VERSION: u32 = 1;
/// Largest body either side accepts.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// The stream carries at least one line in so many seconds.
pub const PING_SECONDS: u64 = 10;
/// Most notices in one batch.
pub const MAX_NOTICES: usize = 64;
/// Most log lines in one batch.
pub const MAX_LOG_LINES: usize = 256;
/// Longest notice or reason, bytes; more is cut.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Longest entry of a log, bytes; more is cut.
pub const MAX_LINE_BYTES: usize = 16 << 10;
/// Most refused commits that a status names.
pub const MAX_REFUSED: usize = 8;
/// Most plugins that a status names.
pub const MAX_PLUGINS: usize = 32;
/// Header naming the member.
pub const MEMBER_HEADER: &str = "cartridge-member";
/// Header naming the incarnation.
pub const INCARNATION_HEADER: &str = "cartridge-incarnation";

/// A member introduces itself: the single-use token buys its own credential a place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Join {
    /// Who.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// The join token of the launch parameters.
    pub token: Secret,
    /// SHA-256 of the credential that the agent made itself, lower-case hexadecimal; the credential never leaves it
    /// but as bearer of later calls. Joining again with the same hash is the same join.
    pub credential_sha256: String,
    /// The agent's version.
    pub agent_version: String,
}

/// The answer to [`Join`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// What is wanted, so that no second round trip is needed.
    pub desired: Desired,
}

/// One line of the stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Down {
    /// The whole of what is wanted.
    Desired(Box<Desired>),
    /// The line is alive.
    Ping,
}

/// What is wanted of one member: the whole of it, each time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The journal position that this follows from; a smaller one than seen before is ignored (S11).
    pub revision: u64,
    /// Which orchestrator wrote it; a smaller one than seen before is ignored (S10).
    pub epoch: u64,
    /// Serve or stop.
    pub run: Run,
    /// The files, where the cartridge has a repository.
    pub artifacts: Option<DesiredArtifacts>,
    /// Further repositories, one per tenant of a multi-tenant application; at most [`MAX_TENANT_REPOSITORIES`], the
    /// rest is left out. Who is not among them has none any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantArtifacts>,
    /// For balancers: what to serve.
    pub topology: Option<Topology>,
    /// For members whose [`Status`] says that they want it: what runs around them. Absent: what was told before holds.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "shared")]
    pub surroundings: Option<Arc<Surroundings>>,
    /// For members of applications: the values that its cartridges share. Absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<ToldValues>,
    /// Time between samples, milliseconds.
    pub sample_interval_ms: u64,
    /// Time between batches when nothing changes, milliseconds.
    pub publish_interval_ms: u64,
}

/// Serve or stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Run {
    /// Start, and stay.
    Serve,
    /// Traffic has been taken away: run the clean-up hook, stop the application within this many milliseconds, say
    /// [`Phase::Stopped`], exit.
    Stop {
        /// Time for the application to end by itself before it is killed.
        within_ms: u64,
    },
}

/// Which commit of which repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredArtifacts {
    /// `http://`, `https://` or `file://` (the last only where the agent is told to accept it).
    pub url: String,
    /// The branch whose head the agent reports and fetches ahead.
    pub branch: String,
    /// The commit to have current. None: not decided yet, report the head and wait.
    pub commit: Option<CommitId>,
    /// A person named this very commit: neither its history nor its size is questioned.
    #[serde(default)]
    pub ordered: bool,
    /// User name, where the repository wants one.
    pub username: Option<String>,
    /// Password or token, where the repository wants one.
    pub password: Option<Secret>,
    /// Time between looks at the branch, milliseconds.
    pub poll_interval_ms: u64,
    /// Raised by the web hook: a number not seen before means "look now".
    pub look: u64,
    /// How many members share the looks, about: what one sees, all are told. 1: nobody else looks.
    #[serde(default = "alone")]
    pub sharing: u32,
}

fn alone() -> u32 {
    1
}

/// What a member says, at least once per publish interval and at once when its status changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// Counts up within one incarnation, never reused.
    pub sequence: u64,
    /// The whole of what the member is.
    pub status: Status,
    /// The newest measurement since the last batch.
    pub sample: Option<Sample>,
    /// Balancers: the newest reading since the last batch.
    pub balancer: Option<BalancerReading>,
    /// What happened, oldest first, until acknowledged; at most [`MAX_NOTICES`].
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// Lines of the application, oldest first; at most [`MAX_LOG_LINES`].
    #[serde(default)]
    pub logs: Vec<LogLine>,
    /// Lines dropped because nobody could take them, since the start.
    #[serde(default)]
    pub logs_dropped: u64,
}

/// The answer to [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Notices up to this number need not be sent again.
    pub notices: u64,
}

/// The whole of what a member is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where it stands in its life.
    pub phase: Phase,
    /// The desired revision that this status takes into account.
    pub revision: u64,
    /// The commit whose release is current.
    pub release: Option<CommitId>,
    /// The head of the branch as last seen.
    pub head: Option<CommitId>,
    /// Complete releases on the shelf, current or not; at most eight, newest last.
    #[serde(default)]
    pub staged: Vec<CommitId>,
    /// Commits that were tried here and refused; at most [`MAX_REFUSED`], newest last.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// Balancers: the topology revision in force.
    pub topology: Option<u64>,
    /// How often the application was restarted in this incarnation.
    pub restarts: u32,
    /// It has hooks that want to know what runs around it ([`Desired::surroundings`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_surroundings: bool,
    /// Its plugins, the balancer excepted; at most [`MAX_PLUGINS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginStatus>,
    /// The repositories of tenants; at most [`MAX_TENANT_REPOSITORIES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantStatus>,
}

/// One value for many members, told to each as its own.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Arc<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(serializer)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<T>>, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map(Arc::new))
    }
}

/// A plugin of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Which.
    pub name: PluginName,
    /// Where it stands.
    #[serde(flatten)]
    pub state: PluginState,
}

/// Where a plugin stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum PluginState {
    /// It has not said yet who it is.
    Starting,
    /// It answers.
    Ready {
        /// What it is: `reader`, `artifact`.
        kind: String,
    },
    /// It misbehaved, was ended, and is started again.
    Down {
        /// Why, for people.
        reason: String,
    },
    /// It misbehaved too often, or cannot be used as it is; it is tried again once in a while.
    LeftOut {
        /// Why, for people.
        reason: String,
    },
}

/// A commit that did not make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which commit.
    pub commit: CommitId,
    /// Why, for people.
    pub reason: String,
}

/// Where a member stands in its life, as its agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Phase {
    /// Preparing: hooks, files, application start, first probe.
    Starting,
    /// The application answers its probe.
    Active,
    /// It answered before and does not now; the agent is at it.
    Suspended {
        /// Why, for people.
        reason: String,
    },
    /// Ending in order.
    Stopping,
    /// Ended in order; the agent exits after this was acknowledged.
    Stopped,
    /// Given up; somebody else must replace it.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

/// Something that happened, for the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Counts up within one incarnation.
    pub number: u64,
    /// What kind of thing: `hook`, `application`, `release`, `artifact`, `plugin`, `link`.
    pub kind: String,
    /// What, for people; one line.
    pub text: String,
}

/// One entry that the application wrote: a line, or lines that belong together, parted by `\n`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts up within one incarnation. Sent again after a failure, an entry has the same number.
    pub number: u64,
    /// `out`, `err`, a hook's name, or the path of a followed file.
    pub stream: String,
    /// Followed files: counts up within the stream, whatever becomes of the agent. An entry that is read again after
    /// a crash has another number and the same sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The text, control characters kept as data; whoever shows it must strip them.
    pub text: String,
}

impl PluginState {
    /// What it says beside the state itself.
    pub fn words(&self) -> &str {
        match self {
            Self::Starting => "",
            Self::Ready { kind } => kind,
            Self::Down { reason } | Self::LeftOut { reason } => reason,
        }
    }
}

impl Status {
    /// A member that has just begun.
    pub fn starting() -> Self {
        Self {
            phase: Phase::Starting,
            revision: 0,
            release: None,
            head: None,
            staged: Vec::new(),
            refused: Vec::new(),
            topology: None,
            restarts: 0,
            wants_surroundings: false,
            plugins: Vec::new(),
            tenants: Vec::new(),
        }
    }
}

/// A batch that breaks a limit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidBatch {
    /// Too many rows.
    #[error("{field} has {count} rows; at most {most} are accepted")]
    TooMany {
        /// Which list.
        field: &'static str,
        /// How many came.
        count: usize,
        /// How many may.
        most: usize,
    },
    /// A text is too long.
    #[error("a text in {field} is {bytes} bytes long; at most {most} are accepted")]
    TooLong {
        /// Which list.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// Its greatest length.
        most: usize,
    },
    /// A figure is impossible.
    #[error("measurement: {0}")]
    Sample(#[from] crate::sample::OutOfRange),
}

impl Batch {
    /// Checks every limit that decoding does not.
    pub fn check(&self) -> Result<(), InvalidBatch> {
        let rows = [
            ("notices", self.notices.len(), MAX_NOTICES),
            ("logs", self.logs.len(), MAX_LOG_LINES),
            ("status.refused", self.status.refused.len(), MAX_REFUSED),
            ("status.staged", self.status.staged.len(), 8),
            ("status.plugins", self.status.plugins.len(), MAX_PLUGINS),
        ];
        for (field, count, most) in rows {
            if count > most {
                return Err(InvalidBatch::TooMany { field, count, most });
            }
        }
        tenants::check(&self.status.tenants)?;
        self.check_texts()?;
        if let Some(sample) = &self.sample {
            sample.check()?;
        }
        if let Some(reading) = &self.balancer {
            reading.check()?;
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), InvalidBatch> {
        let notices = self.notices.iter().flat_map(|n| [n.text.len(), n.kind.len()]);
        let refused = self.status.refused.iter().map(|r| r.reason.len());
        let plugins = self.status.plugins.iter().map(|p| p.state.words().len());
        let phase = match &self.status.phase {
            Phase::Suspended { reason } | Phase::Failed { reason } => reason.len(),
            _ => 0,
        };
        let texts = notices
            .map(|bytes| ("notices", bytes, MAX_TEXT_BYTES))
            .chain(self.logs.iter().map(|l| ("logs", l.text.len(), MAX_LINE_BYTES)))
            .chain(
                self.logs
                    .iter()
                    .map(|l| ("logs.stream", l.stream.len(), MAX_TEXT_BYTES)),
            )
            .chain(refused.map(|bytes| ("status.refused", bytes, MAX_TEXT_BYTES)))
            .chain(plugins.map(|bytes| ("status.plugins", bytes, MAX_TEXT_BYTES)))
            .chain([("status.phase", phase, MAX_TEXT_BYTES)]);
        for (field, bytes, most) in texts {
            if bytes > most {
                return Err(InvalidBatch::TooLong { field, bytes, most });
            }
        }
        Ok(())
    }
}

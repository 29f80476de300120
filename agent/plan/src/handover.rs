//! What one agent hands over to the next in the same process: a document with a version of its own.
//!
//! It is read by an agent of another version, the older one included, so it holds what is needed to go on and nothing
//! of how this version is built. Refuses to know how it is passed.

use cartridge_protocol::link::{Desired, Refused};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{CommitId, MemberId, Millis};
use serde::{Deserialize, Serialize};

use crate::lifecycle::Handed;
use crate::upgrade::{Before, Slot};

/// The version of this document. A field may be added without a new one; nothing may change its meaning.
pub const VERSION: u32 = 1;
/// Longest document, bytes.
pub const MOST_BYTES: u64 = 16 << 20;

/// The document.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    /// [`VERSION`].
    pub version: u32,
    /// The version of the agent that wrote it.
    pub from: String,
    /// Whose agent.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// Why the process changes.
    pub why: Why,
    /// The older agent's clock when it wrote this.
    pub now: Millis,
    /// The member's life.
    pub life: Handed,
    /// The application, where the agent is its parent.
    pub application: Option<Application>,
    /// Every child at that time; others that are there later belong to what failed meanwhile.
    pub children: Vec<i32>,
    /// What children get of the process that the first agent was given.
    pub of_children: OfChildren,
    /// What the orchestrator wants.
    pub desired: Desired,
    /// Pipes that are read, and how far.
    pub streams: Vec<Stream>,
    /// Lines that wait to be sent: stream and text.
    #[serde(default)]
    pub lines: Vec<(String, String)>,
    /// Lines that nobody could take.
    #[serde(default)]
    pub lines_dropped: u64,
    /// Notices that wait: kind and text.
    #[serde(default)]
    pub notices: Vec<(String, String)>,
    /// What is known of the files.
    #[serde(default)]
    pub files: Files,
    /// What is known of the files of tenants.
    #[serde(default)]
    pub tenants: Vec<TenantFiles>,
    /// The member's own load averages.
    #[serde(default)]
    pub load: Option<[f64; 3]>,
    /// The descriptor of the state folder's lock.
    pub lock: i32,
}

/// Why the process changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A new agent begins its trial.
    Trial {
        /// Which.
        slot: Slot,
        /// What has to be so again.
        before: Before,
    },
    /// A new agent did not prove itself.
    Return {
        /// Which.
        slot: Slot,
        /// Why.
        reason: String,
    },
}

/// A process that the agent has started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its number.
    pub pid: i32,
    /// How many the kernel had killed for memory when it began.
    #[serde(default)]
    pub killed: Option<u64>,
}

/// What children get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfChildren {
    /// The mask of new files.
    pub umask: u32,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
}

/// A pipe that is read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its descriptor.
    pub fd: i32,
    /// What was read of it; an agent that does not understand it begins anew with the next line.
    pub flow: serde_json::Value,
}

/// What is known of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The head of the branch.
    pub head: Option<CommitId>,
    /// What is current.
    pub current: Option<CommitId>,
    /// What was current before.
    pub previous: Option<CommitId>,
    /// What was refused.
    pub refused: Vec<Refused>,
}

/// What is known of one tenant's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantFiles {
    /// Whose.
    pub tenant: TenantId,
    /// What is known of them.
    pub files: Files,
    /// The release that its hook was run for last.
    #[serde(default)]
    pub told: Option<CommitId>,
}

/// Why a document is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It says something else than was expected.
    #[error("what the agent before has handed over cannot be understood: {0}")]
    Unreadable(String),
    /// It is too new.
    #[error("what is handed over is of version {0}; versions up to {VERSION} are understood")]
    Version(u32),
    /// It is somebody else's.
    #[error("what is handed over is of life {incarnation} of {member}")]
    Foreign {
        /// Whose.
        member: String,
        /// Which life.
        incarnation: u64,
    },
}

impl Handover {
    /// Reads what was handed over to the agent of this member.
    pub fn read(text: &[u8], member: &MemberId, incarnation: u64) -> Result<Self, NotTaken> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        // Where, not what: it holds secrets.
        let unreadable =
            |e: serde_json::Error| NotTaken::Unreadable(format!("line {}, column {}", e.line(), e.column()));
        let head: Head = serde_json::from_slice(text).map_err(unreadable)?;
        if head.version == 0 || head.version > VERSION {
            return Err(NotTaken::Version(head.version));
        }
        let read: Self = serde_json::from_slice(text).map_err(unreadable)?;
        if read.member != *member || read.incarnation != incarnation {
            return Err(NotTaken::Foreign {
                member: read.member.to_string(),
                incarnation: read.incarnation,
            });
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Life;
    use cartridge_protocol::link::Run;

    #[test]
    fn what_an_agent_wrote_that_knew_no_tenants_is_read() {
        let member = MemberId::new("app.web.hello.domain-1").expect("an id");
        let document = Handover {
            version: VERSION,
            from: "0.1.0".to_owned(),
            member: member.clone(),
            incarnation: 1,
            why: Why::Return {
                slot: Slot {
                    version: serde_json::from_str("\"0.2.0\"").expect("a version"),
                    sha256: "a".repeat(64),
                },
                reason: "x".to_owned(),
            },
            now: Millis(1),
            life: Life::new().handed(),
            application: None,
            children: Vec::new(),
            of_children: OfChildren::default(),
            desired: Desired {
                revision: 1,
                epoch: 1,
                run: Run::Serve,
                artifacts: None,
                tenants: Vec::new(),
                topology: None,
                surroundings: None,
                values: None,
                sample_interval_ms: 1000,
                publish_interval_ms: 1000,
            },
            streams: Vec::new(),
            lines: Vec::new(),
            lines_dropped: 0,
            notices: Vec::new(),
            files: Files::default(),
            tenants: vec![TenantFiles {
                tenant: TenantId::SUPER,
                files: Files::default(),
                told: None,
            }],
            load: None,
            lock: 3,
        };
        let mut text = serde_json::to_value(&document).expect("JSON");
        let whole = serde_json::to_vec(&text).expect("JSON");
        assert_eq!(Handover::read(&whole, &member, 1).expect("read").tenants.len(), 1);
        text.as_object_mut().expect("an object").remove("tenants");
        let old = serde_json::to_vec(&text).expect("JSON");
        assert!(Handover::read(&old, &member, 1).expect("read").tenants.is_empty());
    }
}

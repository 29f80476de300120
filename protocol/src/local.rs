//! What a person or a program beside the agent may ask it, over a socket in its state folder: one JSON line in, JSON
//! lines out.
//!
//! Refuses to know how the socket is served. Nothing asked here changes what the orchestrator wants.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::{CommitId, MemberId};
use crate::link::Status;
use crate::sample::Sample;
use crate::values::Share;

/// The version of this contract; another one is refused.
pub const VERSION: u32 = 1;
/// The socket's name in the state folder.
pub const SOCKET: &str = "agent.sock";
/// Longest request, bytes, newline included.
pub const MAX_REQUEST_BYTES: usize = 128 << 10;
/// Longest line of an answer, bytes, newline included.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most bytes of one piece of a hook's output.
pub const MAX_OUTPUT_BYTES: usize = 16 << 10;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What the caller speaks.
    pub version: u32,
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Ask {
    /// What are you doing? Answered with [`Answer::Picture`].
    Status,
    /// Look at the repository now. Answered with [`Answer::Synced`].
    Sync {
        /// How long the caller waits, milliseconds.
        within_ms: u64,
    },
    /// Become the agent in this file, which is signed beside it. Answered with [`Answer::Upgraded`]; where the process
    /// changes, the conversation ends before that, and [`AgentIs`] tells how it went.
    Upgrade {
        /// An absolute path.
        file: PathBuf,
    },
    /// Run a hook now, with the environment that it would have. Answered with [`Answer::Output`] as it comes, then with
    /// [`Answer::Ran`] or [`Answer::NotRun`].
    RunHook {
        /// Its name, in either spelling.
        hook: String,
        /// For a hook that cannot be run without.
        #[serde(default)]
        arguments: Vec<String>,
        /// How long the caller waits, milliseconds. The hook is not ended for it.
        within_ms: u64,
    },
    /// Share values with the other cartridges of the application. Answered with [`Answer::Shared`] once they are durable.
    Share {
        /// Which, and as whose.
        share: Share,
        /// How long the caller waits, milliseconds.
        within_ms: u64,
    },
    /// What would that hook be told? Answered with one [`Answer::Variable`] for each.
    HookEnvironment {
        /// Its name, in either spelling.
        hook: String,
        /// For a hook that cannot be run without.
        #[serde(default)]
        arguments: Vec<String>,
    },
}

/// An answer: one line. Others may follow output and variables; every other line ends the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// What the agent does.
    Picture(Box<Picture>),
    /// What a look at the repository brought.
    Synced(Synced),
    /// The agent is another one now, and which.
    Upgraded(String),
    /// What a hook wrote, without secrets.
    Output(Output),
    /// What a hook would be told, without secrets.
    Variable(Variable),
    /// A hook was run.
    Ran(Ran),
    /// A hook was not run, and why.
    NotRun(String),
    /// Values are shared, durably.
    Shared,
    /// It was not done, and why.
    Refused(String),
}

/// What an agent and its member are at one instant. Ages are at that instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// The version of this contract.
    pub version: u32,
    /// The agent.
    pub agent: AgentIs,
    /// Whose agent.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// What the orchestrator is told, the phase and its reason included.
    pub status: Status,
    /// How long the phase lasts.
    pub phase_ms: u64,
    /// The release before the current one, to which a bad one goes back.
    pub previous: Option<CommitId>,
    /// The application, where the agent started it and it runs.
    pub application_pid: Option<i32>,
    /// The way to the orchestrator.
    pub link: LinkIs,
    /// The newest measurement.
    pub sample: Option<SampleIs>,
    /// What waits to be sent.
    pub waiting: Waiting,
    /// The last run of each hook that was run.
    pub hooks: Vec<HookIs>,
}

/// The agent itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentIs {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long it runs.
    pub up_ms: u64,
    /// The upgrade that is under way.
    #[serde(default)]
    pub upgrade: Option<String>,
    /// What came of the last one.
    #[serde(default)]
    pub upgraded: Option<String>,
}

/// The way to the orchestrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkIs {
    /// Where.
    pub server: String,
    /// Whether it is reached.
    pub state: LinkState,
    /// How long that is so.
    pub since_ms: u64,
    /// Why it is not.
    pub why: Option<String>,
}

/// Whether the orchestrator is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// Nobody has answered yet.
    New,
    /// It is.
    Up,
    /// It was, and is not now.
    Down,
    /// The orchestrator has ended this life of the member.
    Fenced,
}

/// A measurement with its age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleIs {
    /// How old it is.
    pub age_ms: u64,
    /// What was measured.
    #[serde(flatten)]
    pub sample: Sample,
}

/// What waits to be sent, and what nobody took in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Notices.
    pub notices: usize,
    /// Notices dropped since the start.
    pub notices_dropped: u64,
    /// Lines of logs.
    pub lines: usize,
    /// Lines dropped since the start.
    pub lines_dropped: u64,
}

/// The last run of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookIs {
    /// Which.
    pub name: String,
    /// How long ago it began, or was put into the queue.
    pub begun_ms: u64,
    /// How long it took. None: it has not ended.
    pub took_ms: Option<u64>,
    /// What went wrong.
    pub fault: Option<String>,
}

/// What a look at the repository brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// The head of the branch.
    pub head: Option<CommitId>,
    /// The head's release is complete on the shelf.
    pub staged: bool,
    /// The commit that the orchestrator wants to be current.
    pub wanted: Option<CommitId>,
    /// The commit that is.
    pub current: Option<CommitId>,
    /// What went wrong.
    pub fault: Option<String>,
}

/// A piece of what a hook wrote: whole lines, but for the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Where to.
    pub stream: OutputStream,
    /// At most [`MAX_OUTPUT_BYTES`].
    pub text: String,
}

/// Where a hook writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One variable of a hook's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, or `(secret)`.
    pub value: String,
}

/// How a hook went that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Its name, as Stratos has it.
    pub hook: String,
    /// Programs that were run, the one that failed included.
    pub programs: usize,
    /// Exit code of the last of them; None: it ended in another way.
    pub exit: Option<i32>,
    /// What went wrong.
    pub fault: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Longer than [`MAX_REQUEST_BYTES`].
    #[error("is longer than {MAX_REQUEST_BYTES} bytes")]
    TooLong,
    /// Not what this version understands.
    #[error(
        "cannot be understood: {0}; accepted: one line such as {{\"version\":{VERSION},\"ask\":\"status\"}}"
    )]
    Unreadable(String),
    /// Another version.
    #[error("is of version {0}; this agent speaks version {VERSION}")]
    Version(u32),
}

impl Request {
    /// A question of this version.
    pub const fn new(ask: Ask) -> Self {
        Self {
            version: VERSION,
            ask,
        }
    }

    /// Reads one line, without its newline.
    pub fn parse(line: &[u8]) -> Result<Self, InvalidRequest> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if line.len() >= MAX_REQUEST_BYTES {
            return Err(InvalidRequest::TooLong);
        }
        let unreadable = |e: serde_json::Error| InvalidRequest::Unreadable(e.to_string());
        // A later version may ask what nobody here has heard of.
        match serde_json::from_slice::<Version>(line).map_err(unreadable)? {
            Version { version: VERSION } => serde_json::from_slice(line).map_err(unreadable),
            Version { version } => Err(InvalidRequest::Version(version)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_one_line_of_json_with_their_version() {
        let run = Ask::RunHook {
            hook: "clean".into(),
            arguments: vec!["a b".into()],
            within_ms: 7,
        };
        for ask in [Ask::Status, Ask::Sync { within_ms: 5 }, run] {
            let line = serde_json::to_vec(&Request::new(ask.clone())).unwrap();
            assert_eq!(Request::parse(&line).unwrap(), Request::new(ask));
        }
        assert_eq!(
            serde_json::to_string(&Request::new(Ask::Sync { within_ms: 5 })).unwrap(),
            r#"{"version":1,"ask":"sync","within_ms":5}"#
        );
    }

    #[test]
    fn what_is_not_understood_says_so() {
        let fault = |line: &str| Request::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(fault(r#"{"version":2,"ask":"dance"}"#).contains("version 2"));
        assert!(fault(r#"{"version":1,"ask":"dance"}"#).contains("dance"));
        assert!(fault("").contains("accepted: one line"));
        assert!(fault(&"x".repeat(MAX_REQUEST_BYTES)).contains("longer than"));
    }

    proptest! {
        #[test]
        fn no_line_whatever_ends_the_reader(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&line);
        }
    }
}

//! Where the application's files come from: Git, or the plugin that was named for it. The shelf and its rules are the
//! same for both. Refuses to know which files are wanted.

use cartridge_agent_plan::release::Move;
use cartridge_protocol::plugin::{Answer, Call, Fetch, Origin, PluginName};
use cartridge_protocol::{CommitId, Millis};

use super::git::{self, Remote, Stop};
use super::shelf::{Shelf, ShelfError};
use crate::plugin::{Asker, NoAnswer};

/// Longest look of a plugin.
const LOOK_WITHIN: Millis = Millis(60_000);

/// Why a look saw nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// For people.
    pub fault: String,
    /// Who asked is not wanted there.
    pub denied: bool,
}

/// One of the two.
pub enum Source {
    /// A repository.
    Git(Remote),
    /// A plugin.
    Plugin(Brought),
}

/// Files that a plugin brings.
#[derive(Clone, Debug)]
pub struct Brought {
    /// Which plugin is meant to.
    pub name: PluginName,
    /// None: there is no such plugin.
    pub asker: Option<Asker>,
    /// Where from, as the blueprint says.
    pub origin: Origin,
    /// Whose the folder has to be that it fills; none: the agent's.
    pub owner: Option<(u32, u32)>,
    /// Time for one fetch.
    pub fetch_within: Millis,
}

impl Source {
    /// The newest commit or revision. Blocks.
    pub fn look(&self, stop: &Stop) -> Result<CommitId, Unseen> {
        match self {
            Self::Git(remote) => git::head(remote, stop).map_err(|error| Unseen {
                denied: error.is_denial(),
                fault: error.to_string(),
            }),
            Self::Plugin(brought) => brought.look().map_err(|fault| Unseen { fault, denied: false }),
        }
    }

    /// Carries out one move. Blocks.
    pub fn carry_out(&self, shelf: &Shelf, step: &Move, stop: &Stop) -> Result<(), ShelfError> {
        let brought = match self {
            Self::Git(remote) => return shelf.carry_out(step, remote, stop),
            Self::Plugin(brought) => brought,
        };
        match step {
            Move::Stage(commit) => brought.stage(shelf, commit, stop),
            Move::Remake { old, new } => {
                // The older one makes room; it serves nobody.
                shelf.tidy(&Move::Prune(old.clone()))?;
                brought.stage(shelf, new, stop)
            }
            other => shelf.tidy(other),
        }
    }
}

impl Brought {
    fn ask(&self, call: Call, within: Millis) -> Result<Answer, NoAnswer> {
        match &self.asker {
            Some(asker) => asker.ask_blocking(call, within),
            None => Err(NoAnswer::Absent("there is no such plugin".to_owned())),
        }
    }

    fn look(&self) -> Result<CommitId, String> {
        match self.ask(Call::Look(self.origin.clone()), LOOK_WITHIN) {
            Ok(Answer::Looked { revision }) => Ok(revision),
            Ok(_) => Err(format!("the artifact source {} gives another answer", self.name)),
            Err(why) => Err(format!("the artifact source {} does not look: {why}", self.name)),
        }
    }

    fn stage(&self, shelf: &Shelf, commit: &CommitId, stop: &Stop) -> Result<(), ShelfError> {
        if shelf.release_path(commit).is_dir() {
            return Ok(());
        }
        let incoming = shelf.incoming(commit, self.owner)?;
        let fetch = Call::Fetch(Fetch {
            origin: self.origin.clone(),
            revision: commit.clone(),
            into: incoming.path().to_string_lossy().into_owned(),
        });
        let failed = |why| ShelfError::NotBrought {
            source_name: self.name.to_string(),
            commit: commit.clone(),
            why,
        };
        match self.ask(fetch, self.fetch_within) {
            Ok(Answer::Fetched {}) => shelf.place(commit, &incoming, stop).map(|_| ()),
            Ok(_) => Err(failed("it gives another answer".to_owned())),
            Err(why) => Err(failed(why.to_string())),
        }
    }
}

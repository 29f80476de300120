//! What the blocking work on one repository's files comes to: a look, one move of the shelf, a push, a removal.
//!
//! Refuses to know when any of it is due, and what follows from it.

use cartridge_agent_plan::release::{self, Move, ShelfState, Wanted};
use cartridge_protocol::CommitId;

use crate::host::git::Stop;
use crate::host::shelf::{Pushing, Shelf, ShelfError};
use crate::host::source::{Source, Unseen};

/// What came of a piece of work.
#[derive(Debug)]
pub(crate) enum Done {
    /// The branch was looked at.
    Looked(Result<CommitId, Unseen>),
    /// The shelf was looked at, and at most one move made.
    Moved {
        made: Move,
        before: ShelfState,
        after: ShelfState,
        /// What became of local changes that another release would have hidden.
        aside: Option<String>,
    },
    /// A move failed.
    Failed {
        made: Option<Move>,
        fault: String,
        refusal: bool,
        /// The server refused who asked.
        denied: bool,
    },
    /// Local changes went back to the branch, or did not.
    Pushed {
        release: CommitId,
        ordered: Option<CommitId>,
        pushing: Result<Pushing, String>,
    },
    /// Nothing of it is there any more, or why something is.
    Left(Result<(), String>),
}

pub(super) fn make_move(
    shelf: &Shelf,
    goal: &Wanted,
    (may_switch, aside, may_ask): (bool, bool, bool),
    source: &Source,
    stop: &Stop,
) -> Done {
    let before = match shelf.state() {
        Ok(state) => state,
        Err(error) => return failed(None, &error),
    };
    let made = match release::next(&before, goal) {
        Move::Switch(_) if !may_switch => Move::Nothing,
        Move::Stage(_) | Move::Remake { .. } if !may_ask => Move::Nothing,
        other => other,
    };
    let aside = match (&made, &before.current) {
        (Move::Switch(to), Some(current)) if aside && current != to => {
            set_aside(shelf, (current, to), source, stop)
        }
        _ => None,
    };
    match source.carry_out(shelf, &made, stop).and_then(|()| shelf.state()) {
        Ok(after) => Done::Moved {
            made,
            before,
            after,
            aside,
        },
        Err(error) => failed(Some(made), &error),
    }
}

/// Local changes that did not go back to the branch are kept.
fn set_aside(
    shelf: &Shelf,
    (current, to): (&CommitId, &CommitId),
    source: &Source,
    stop: &Stop,
) -> Option<String> {
    let Source::Git(remote) = source else { return None };
    match shelf.set_aside(current, to, remote, stop) {
        Ok(None) => None,
        Ok(Some(folder)) => Some(format!(
            "local changes that did not go back to the branch are kept in {}",
            folder.display()
        )),
        Err(error) => Some(format!(
            "local changes in the release of {} are not set aside: {error}",
            current.short()
        )),
    }
}

pub(super) fn failed(made: Option<Move>, error: &ShelfError) -> Done {
    Done::Failed {
        made,
        fault: error.to_string(),
        refusal: error.is_refusal(),
        denied: error.is_denial(),
    }
}

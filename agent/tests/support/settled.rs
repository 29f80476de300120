//! A shelf that is made to reach what is wanted of it, one move after the other.
//!
//! It refuses to know which move comes next: the plan does.

use std::path::Path;
use std::time::{Duration, Instant};

use cartridge_agent::host::git::{Remote, Stop};
use cartridge_agent::host::shelf::{Shelf, ShelfError};
use cartridge_agent_plan::release::{self, Move, Wanted};
use cartridge_protocol::CommitId;

/// Longest that one move may take.
const MOVE: Duration = Duration::from_secs(60);

/// Makes every move until this commit is current and nothing is left to do.
pub fn settle(shelf: &Shelf, remote: &Remote, commit: &CommitId) -> Result<(), ShelfError> {
    settle_to(
        shelf,
        remote,
        &Wanted {
            commit: Some(commit.clone()),
            ..Wanted::default()
        },
    )
}

/// Makes every move until nothing is left to do.
pub fn settle_to(shelf: &Shelf, remote: &Remote, wanted: &Wanted) -> Result<(), ShelfError> {
    loop {
        match release::next(&shelf.state()?, wanted) {
            Move::Nothing => return Ok(()),
            step => shelf.carry_out(&step, remote, &Stop::within(MOVE))?,
        }
    }
}

/// Opens a shelf that was open before in this process. A child that another test's thread has just forked holds its lock
/// until it has become another program.
pub fn open_again(root: &Path) -> Shelf {
    let begun = Instant::now();
    loop {
        match Shelf::open(root) {
            Err(ShelfError::InUse(_)) if begun.elapsed().as_secs() < 5 => std::thread::yield_now(),
            other => return other.expect("the shelf opens"),
        }
    }
}

//! Looks up whom hooks and plugins run as. Refuses to ask the system's name services: the files are what counts.

use std::fs::File;
use std::io::Read;

use cartridge_agent_plan::account::{Account, NoAccount, Wish};

/// Longest account file read.
const MOST: u64 = 4 << 20;

/// Why nothing can run as that user.
#[derive(Debug, thiserror::Error)]
pub enum NotThatUser {
    /// There is none.
    #[error(transparent)]
    Unknown(#[from] NoAccount),
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Io(&'static str, std::io::Error),
    /// Only root can become somebody else.
    #[error(
        "the agent runs as user {0} and cannot run anything as another: start it as root, or name no user"
    )]
    NotRoot(u32),
}

/// Whom something runs as; None: as the agent.
pub fn account(wish: Option<&Wish>) -> Result<Option<Account>, NotThatUser> {
    let Some(wish) = wish else { return Ok(None) };
    // Numbers of both need no files, and must work where there are none.
    let must = !matches!(wish, Wish::Ids(..));
    let account = wish.find(&text("/etc/passwd", must)?, &text("/etc/group", false)?)?;
    let agent = nix::unistd::geteuid().as_raw();
    if agent == 0 {
        return Ok(Some(account));
    }
    if account.uid == agent {
        return Ok(None);
    }
    Err(NotThatUser::NotRoot(agent))
}

fn text(path: &'static str, must: bool) -> Result<String, NotThatUser> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    match read {
        Err(error) if must => Err(NotThatUser::Io(path, error)),
        _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

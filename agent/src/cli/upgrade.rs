//! `upgrade`: offers a binary to the agent that runs here, and waits until one of both has proved itself.
//!
//! The conversation ends when the process becomes the new agent, so how it went is asked anew. Refuses to check the
//! offer: the agent does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cartridge_agent_plan::upgrade::Offer;
use cartridge_protocol::local::{Answer, Ask, Picture};

use super::local::{NoAnswer, ask};
use crate::host::upgrade::statement_of;

/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(200);

/// Why the agent is not the new one.
#[derive(Debug, thiserror::Error)]
pub enum NotUpgraded {
    /// The file is not there, or nothing is beside it.
    #[error("{0}")]
    File(String),
    /// The agent says no, or is the old one again.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// Neither has proved itself in time.
    #[error("nothing came of it within {0} s; cartridge-agent status says how it stands")]
    Late(u64),
}

/// Offers `file`; the words of the agent that has proved itself.
pub fn upgrade(folder: &Path, file: &Path, within: Duration) -> Result<String, NotUpgraded> {
    let (file, wanted) = look(file)?;
    let begun = Instant::now();
    let mut answer = None;
    match ask(folder, Ask::Upgrade { file }, within, |said| answer = Some(said)) {
        Ok(()) => {}
        Err(error @ (NoAnswer::Nobody(_) | NoAnswer::Denied(_))) => return Err(error.into()),
        // The process changed in the middle of a word.
        Err(error) => tracing::debug!(%error, "asked anew"),
    }
    match answer {
        Some(Answer::Upgraded(text)) => return Ok(text),
        Some(Answer::Refused(why)) => return Err(NotUpgraded::Refused(why)),
        _ => {}
    }
    while begun.elapsed() < within {
        if let Some(picture) = picture(folder)
            && picture.agent.upgrade.is_none()
        {
            let words = picture.agent.upgraded;
            return if picture.agent.version == wanted {
                Ok(words.unwrap_or_else(|| format!("the agent is {wanted} now")))
            } else {
                let why = words.unwrap_or_else(|| format!("the agent is {}", picture.agent.version));
                Err(NotUpgraded::Refused(why))
            };
        }
        std::thread::park_timeout(PAUSE);
    }
    Err(NotUpgraded::Late(within.as_secs()))
}

/// Where the file is for everybody, and the version that it says to be.
fn look(file: &Path) -> Result<(PathBuf, String), NotUpgraded> {
    let at =
        |path: &Path, why: &dyn std::fmt::Display| NotUpgraded::File(format!("{}: {why}", path.display()));
    let file = std::fs::canonicalize(file).map_err(|e| at(file, &e))?;
    let beside = statement_of(&file);
    let text = std::fs::read_to_string(&beside).map_err(|e| at(&beside, &e))?;
    let offer = Offer::parse(&text).map_err(|e| at(&beside, &e))?;
    Ok((file, offer.statement.version.to_string()))
}

fn picture(folder: &Path) -> Option<Picture> {
    let mut picture = None;
    ask(folder, Ask::Status, Duration::ZERO, |answer| {
        if let Answer::Picture(said) = answer {
            picture = Some(*said);
        }
    })
    .ok()?;
    picture
}

//! Asks the agent that runs here, over the socket in its state folder. Refuses to know what the answers mean.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cartridge_protocol::local::{Answer, Ask, MAX_ANSWER_BYTES, Request};

use crate::host::local;

/// Longest wait for an answer beyond what the agent itself allows.
const GRACE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody is there.
    #[error("no agent runs here: nobody serves the socket in {0} (another folder: --state-dir)")]
    Nobody(PathBuf),
    /// Somebody may be there, but not for us.
    #[error("cannot ask the agent of {0}: only root and the user that it runs as may")]
    Denied(PathBuf),
    /// It says nothing.
    #[error("the agent of {folder} does not answer: {why}")]
    Silent {
        /// Whose.
        folder: PathBuf,
        /// How one knows.
        why: String,
    },
    /// It says something else.
    #[error("the answer of the agent of {folder} cannot be understood: {why}")]
    Unreadable {
        /// Whose.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Asks; `take` is given every line of the answer. `within`: what the agent allows itself.
pub fn ask(folder: &Path, ask: Ask, within: Duration, mut take: impl FnMut(Answer)) -> Result<(), NoAnswer> {
    let mut stream = connect(folder)?;
    let silent = |e: std::io::Error| NoAnswer::Silent {
        folder: folder.to_owned(),
        why: match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "it takes too long".to_owned(),
            _ => e.to_string(),
        },
    };
    let unreadable = |why: String| NoAnswer::Unreadable {
        folder: folder.to_owned(),
        why,
    };
    let mut line = serde_json::to_vec(&Request::new(ask)).map_err(|e| unreadable(e.to_string()))?;
    line.push(b'\n');
    stream.set_read_timeout(Some(within + GRACE)).map_err(silent)?;
    stream.set_write_timeout(Some(GRACE)).map_err(silent)?;
    stream.write_all(&line).map_err(silent)?;
    let mut answers = BufReader::new(stream);
    loop {
        line.clear();
        let most = MAX_ANSWER_BYTES as u64;
        if (&mut answers)
            .take(most)
            .read_until(b'\n', &mut line)
            .map_err(silent)?
            == 0
        {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return Err(unreadable(format!(
                "a line is cut off after {} bytes",
                line.len()
            )));
        }
        take(serde_json::from_slice(&line).map_err(|e| unreadable(e.to_string()))?);
    }
}

fn connect(folder: &Path) -> Result<UnixStream, NoAnswer> {
    let opened = local::open(folder).and_then(|opened| UnixStream::connect(local::address(&opened)));
    opened.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => NoAnswer::Denied(folder.to_owned()),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => {
            NoAnswer::Nobody(folder.to_owned())
        }
        _ => NoAnswer::Silent {
            folder: folder.to_owned(),
            why: error.to_string(),
        },
    })
}

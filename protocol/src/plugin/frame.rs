//! One line to one frame, and back. Refuses to know what a frame asks for.

use serde::{Deserialize, Serialize};

use super::{Answer, Outcome, Response};

/// Longest line, bytes, newline included.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Why a line is no frame.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFrame {
    /// Longer than [`MAX_LINE_BYTES`].
    #[error("line of {0} bytes; at most {MAX_LINE_BYTES} are accepted")]
    TooLong(usize),
    /// Not the expected JSON.
    #[error("not a plugin frame: {0}")]
    Json(#[from] serde_json::Error),
}

/// Decodes one line.
pub fn decode<T: serde::de::DeserializeOwned>(line: &[u8]) -> Result<T, InvalidFrame> {
    if line.len() > MAX_LINE_BYTES {
        return Err(InvalidFrame::TooLong(line.len()));
    }
    Ok(serde_json::from_slice(line)?)
}

/// Encodes one line, newline included.
pub fn encode<T: Serialize>(frame: &T) -> Result<Vec<u8>, InvalidFrame> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    if line.len() > MAX_LINE_BYTES {
        return Err(InvalidFrame::TooLong(line.len()));
    }
    Ok(line)
}

/// An answer as it stands on the line.
#[derive(Deserialize)]
pub(super) struct Written {
    id: u64,
    ok: Option<Answer>,
    error: Option<String>,
}

impl TryFrom<Written> for Response {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let outcome = match (written.ok, written.error) {
            (Some(answer), None) => Outcome::Ok(answer),
            (None, Some(why)) => Outcome::Error(why),
            (Some(_), Some(_)) => return Err("holds both \"ok\" and \"error\""),
            (None, None) => return Err("holds neither \"ok\" nor \"error\""),
        };
        Ok(Self {
            id: written.id,
            outcome,
        })
    }
}

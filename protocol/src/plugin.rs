//! Plugin frames: one JSON object per line on a pipe, requests in on stdin, answers out on stdout.
//!
//! Calls are coarse, whole and idempotent; one is under way at a time; each has a deadline that the caller
//! keeps. This file refuses to know about processes and pipes.

use serde::{Deserialize, Serialize};

use crate::sample::BalancerReading;
use crate::topology::Topology;

/// The version of this contract.
pub const VERSION: u32 = 1;
/// Longest line, bytes, newline included.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// A question to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Comes back in the answer.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub call: Call,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "call", content = "with")]
pub enum Call {
    /// Who are you? Answered with [`Answer::Described`].
    Describe {
        /// The version the caller speaks.
        version: u32,
    },
    /// Serve exactly this. Answered with [`Answer::Applied`].
    SetMembers(Topology),
    /// What did you measure? Answered with [`Answer::Read`].
    Read,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id.
    pub id: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Success or refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// It was refused, and why; nothing changed.
    Error(String),
}

/// What a plugin answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Call::Describe`].
    Described {
        /// The plugin's name.
        name: String,
        /// The version it speaks.
        version: u32,
        /// What it is: `balancer`.
        kind: String,
    },
    /// To [`Call::SetMembers`].
    Applied {
        /// The revision now in force.
        revision: u64,
    },
    /// To [`Call::Read`].
    Read(BalancerReading),
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_simple_enough_for_a_shell_script() {
        let ask = Request {
            id: 1,
            call: Call::Describe { version: VERSION },
        };
        assert_eq!(
            String::from_utf8(encode(&ask).unwrap()).unwrap(),
            "{\"id\":1,\"call\":\"describe\",\"with\":{\"version\":1}}\n"
        );
        let read: Request = decode(br#"{"id":2,"call":"read"}"#).unwrap();
        assert_eq!(read.call, Call::Read);
        let refused: Response = decode(br#"{"id":2,"error":"no such cluster"}"#).unwrap();
        assert_eq!(refused.outcome, Outcome::Error("no such cluster".into()));
        let applied: Response = decode(br#"{"id":3,"ok":{"applied":{"revision":7}}}"#).unwrap();
        assert_eq!(applied.outcome, Outcome::Ok(Answer::Applied { revision: 7 }));
    }

    #[test]
    fn an_endless_line_is_refused() {
        let line = vec![b' '; MAX_LINE_BYTES + 1];
        assert!(matches!(decode::<Request>(&line), Err(InvalidFrame::TooLong(_))));
    }
}

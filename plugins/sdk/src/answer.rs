//! What every plugin answers alike: who it is, and that it did not understand. Refuses to know pipes.

use std::fmt::Display;

use cartridge_protocol::plugin::{
    self, Answer, Call, Description, InvalidFrame, Kind, Outcome, Request, Response, Versions,
};
use serde::Deserialize;

/// Enough of a request to answer one that is not understood.
#[derive(Deserialize)]
struct Head {
    id: u64,
    call: String,
}

/// A line that asks for nothing that can be answered.
pub(crate) struct Misunderstood {
    id: u64,
    why: String,
}

impl From<Misunderstood> for Response {
    fn from(line: Misunderstood) -> Self {
        refused(line.id, line.why)
    }
}

/// The request in a line.
pub(crate) fn understand(line: &[u8]) -> Result<Request, Misunderstood> {
    plugin::decode(line).map_err(|error| match plugin::decode::<Head>(line) {
        Ok(head) => Misunderstood {
            id: head.id,
            why: format!("call {:?} is not understood: {error}", head.call),
        },
        Err(_) => Misunderstood {
            id: 0,
            why: error.to_string(),
        },
    })
}

fn refused(id: u64, why: impl Display) -> Response {
    Response {
        id,
        outcome: Outcome::Error(why.to_string()),
    }
}

pub(crate) fn too_long(length: usize) -> Misunderstood {
    Misunderstood {
        id: 0,
        why: InvalidFrame::TooLong(length).to_string(),
    }
}

pub(crate) fn answered(id: u64, answer: Result<Answer, String>) -> Response {
    Response {
        id,
        outcome: match answer {
            Ok(answer) => Outcome::Ok(answer),
            Err(why) => Outcome::Error(why),
        },
    }
}

/// The line to send; an answer that is too long becomes one that says so.
pub(crate) fn line(response: &Response) -> std::io::Result<Vec<u8>> {
    plugin::encode(response)
        .or_else(|error| plugin::encode(&refused(response.id, error)))
        .map_err(std::io::Error::other)
}

pub(crate) fn describe(name: &str, kind: Kind, asked: Versions) -> Result<Answer, String> {
    if Versions::OURS.common(asked).is_err() {
        let ours = Versions::OURS;
        return Err(format!("{asked} was asked for; {name} speaks {ours}"));
    }
    Ok(Answer::Described(Description::new(name, kind)))
}

pub(crate) fn not_mine(kind: Kind, call: &Call) -> String {
    format!("call {:?} is not understood: this is a {kind}", call.name())
}

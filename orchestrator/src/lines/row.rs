//! A line of a file: one JSON object, and what becomes of bytes that are none.
//!
//! Refuses to fail: a file that a crash or a full disk has damaged is read as far as it says something.

use cartridge_protocol::link::LogLine;
use serde::{Deserialize, Serialize};

use super::{Kept, OWN_STREAM};
use crate::engine::Places;

#[derive(Serialize, Deserialize)]
struct Row<'a> {
    #[serde(rename = "i")]
    incarnation: u64,
    #[serde(rename = "n")]
    number: u64,
    #[serde(rename = "s", borrow)]
    stream: std::borrow::Cow<'a, str>,
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(rename = "t", borrow)]
    text: std::borrow::Cow<'a, str>,
}

/// Appends the line to `bytes`.
pub(super) fn write(bytes: &mut Vec<u8>, incarnation: u64, line: &LogLine) {
    let row = Row {
        incarnation,
        number: line.number,
        stream: line.stream.as_str().into(),
        sequence: line.sequence,
        text: line.text.as_str().into(),
    };
    serde_json::to_writer(&mut *bytes, &row).expect("texts and numbers are always JSON");
    bytes.push(b'\n');
}

/// What is said about lines, in their place: after the line with this number.
pub(super) fn word(incarnation: u64, number: u64, text: impl Into<String>) -> Kept {
    Kept {
        incarnation,
        line: LogLine {
            number,
            stream: OWN_STREAM.to_owned(),
            sequence: None,
            text: text.into(),
        },
    }
}

/// Takes lines out of files, oldest first.
#[derive(Default)]
pub(super) struct Reader {
    all: Vec<Kept>,
    /// The newest line: life and number. One that was delivered twice counts once.
    seen: (u64, u64),
    places: Places,
    damaged: usize,
}

impl Reader {
    pub fn take(&mut self, bytes: &[u8]) {
        for piece in bytes
            .split(|byte| *byte == b'\n')
            .filter(|piece| !piece.is_empty())
        {
            match serde_json::from_slice::<Row<'_>>(piece) {
                Ok(row) => self.line(row),
                Err(_) => self.damaged += piece.len(),
            }
        }
        self.tell_damage();
    }

    fn line(&mut self, row: Row<'_>) {
        self.tell_damage();
        let is_word = row.stream == OWN_STREAM;
        if !is_word {
            if row.incarnation != self.seen.0 {
                self.places = Places::default();
            } else if row.number <= self.seen.1 {
                return;
            }
            if !self
                .places
                .advance(row.sequence.map(|sequence| (&*row.stream, sequence)))
            {
                return;
            }
            self.seen = (row.incarnation, row.number);
        }
        self.all.push(Kept {
            incarnation: row.incarnation,
            line: LogLine {
                number: row.number,
                stream: row.stream.into_owned(),
                sequence: row.sequence,
                text: row.text.into_owned(),
            },
        });
    }

    /// What is no line is told in its place.
    fn tell_damage(&mut self) {
        let count = std::mem::take(&mut self.damaged);
        if count > 0 {
            self.say(format!("({count} bytes that cannot be read are left out here)"));
        }
    }

    /// Says something after the last line.
    pub fn say(&mut self, text: impl Into<String>) {
        self.all.push(word(self.seen.0, self.seen.1, text));
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of it.
    pub fn finish(self) -> Vec<Kept> {
        self.all
    }
}

/// What was read from files and, after it, what is in memory of one life. What is in both comes from memory, and an
/// entry that an agent read again while no server remembered it comes once.
pub fn joined(mut kept: Vec<Kept>, incarnation: u64, newer: Vec<LogLine>) -> Vec<Kept> {
    if let Some(first) = newer.first() {
        // Words about lines that are here all the same, too.
        let is_newer = |kept: &Kept| kept.incarnation == incarnation && kept.line.number >= first.number;
        let from = kept.iter().position(is_newer);
        kept.truncate(from.unwrap_or(kept.len()));
    }
    kept.extend(newer.into_iter().map(|line| Kept { incarnation, line }));
    let (mut life, mut places) = (0, Places::default());
    kept.retain(|kept| {
        if std::mem::replace(&mut life, kept.incarnation) != kept.incarnation {
            places = Places::default();
        }
        let line = &kept.line;
        places.advance(line.sequence.map(|sequence| (line.stream.as_str(), sequence)))
    });
    kept
}

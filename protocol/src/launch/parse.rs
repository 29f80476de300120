//! The forms of launch parameters: a JSON object, lines `KEY=VALUE` (the `[agent]` part of Stratos's agent.conf among
//! them), and Stratos's one line `K=V,K=V`.
//!
//! A name that comes twice has its last value. Faults name places and names, never values: those may be secrets.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{LaunchParameters, MAX_BYTES, MAX_NAME_BYTES, MAX_PARAMETERS, MAX_VALUE_BYTES, is_present};

/// Most notes kept.
const MOST_NOTES: usize = 16;

/// Why a text holds no launch parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLaunchParameters {
    /// Longer than [`MAX_BYTES`].
    #[error("is {0} bytes long or longer; at most {MAX_BYTES} are accepted")]
    TooLong(usize),
    /// More than [`MAX_PARAMETERS`].
    #[error("holds {0} parameters; at most {MAX_PARAMETERS} are accepted")]
    TooMany(usize),
    /// A NUL or another control character.
    #[error("line {line}, column {column} holds the control character U+{code:04X}; text is accepted")]
    Control {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// Which.
        code: u32,
    },
    /// Began as JSON, but is none, or no object.
    #[error("line {line}, column {column} is not as in a JSON object of strings")]
    Json {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// A value that is no text.
    #[error(
        "{name} is neither a string nor a whole number, true, false or null; write other values as a string"
    )]
    JsonValue {
        /// Whose value.
        name: String,
    },
    /// Nothing that could be a parameter.
    #[error(
        "{place} has no '='; the form is KEY=VALUE,KEY=VALUE, or a line KEY=VALUE each, or a JSON object"
    )]
    NoValue {
        /// `line 3` or `parameter 1`.
        place: String,
    },
    /// A value without a name.
    #[error("{place} has no name before '='")]
    NoName {
        /// `line 3` or `parameter 1`.
        place: String,
    },
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("{place} has a name of {bytes} bytes; at most {MAX_NAME_BYTES} are accepted")]
    LongName {
        /// `line 3` or `parameter 1`.
        place: String,
        /// How long.
        bytes: usize,
    },
    /// Longer than [`MAX_VALUE_BYTES`].
    #[error("{name} has a value of {bytes} bytes; at most {MAX_VALUE_BYTES} are accepted")]
    LongValue {
        /// Whose value.
        name: String,
        /// How long.
        bytes: usize,
    },
    /// A control character that JSON had escaped.
    #[error("{name} holds the control character U+{code:04X}; text is accepted")]
    ControlInside {
        /// Its name, or where it stands.
        name: String,
        /// Which.
        code: u32,
    },
}

/// What was read, and what a person should know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The parameters that have a value.
    pub parameters: LaunchParameters,
    /// What was read otherwise than one may think; without values.
    pub notes: Vec<String>,
}

/// Reads any of the forms. Empty values and `null` count as absent, as Stratos has it.
pub fn parse(text: &str) -> Result<Parsed, InvalidLaunchParameters> {
    if text.len() > MAX_BYTES {
        return Err(InvalidLaunchParameters::TooLong(text.len()));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    visible(text)?;
    let mut pairs = Pairs::default();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (first, second) = (lines.next().unwrap_or_default(), lines.next());
    if first.starts_with('{') {
        json(text, &mut pairs)?;
    } else if second.is_some() || first.starts_with(['#', ';', '[']) {
        by_lines(text, &mut pairs)?;
    } else {
        one_line(first, &mut pairs)?;
    }
    Ok(pairs.parsed())
}

fn visible(text: &str) -> Result<(), InvalidLaunchParameters> {
    for (index, line) in text.split('\n').enumerate() {
        // A carriage return belongs to the end of the line.
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(column) = line.chars().position(|c| c.is_control() && c != '\t') {
            let code = line.chars().nth(column).map_or(0, u32::from);
            return Err(InvalidLaunchParameters::Control {
                line: index + 1,
                column: column + 1,
                code,
            });
        }
    }
    Ok(())
}

#[derive(Default)]
struct Pairs {
    all: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl Pairs {
    fn note(&mut self, note: String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(note);
        }
    }

    fn add(
        &mut self,
        place: impl Fn() -> String,
        name: &str,
        value: &str,
    ) -> Result<(), InvalidLaunchParameters> {
        if name.is_empty() {
            return Err(InvalidLaunchParameters::NoName { place: place() });
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(InvalidLaunchParameters::LongName {
                place: place(),
                bytes: name.len(),
            });
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(InvalidLaunchParameters::LongValue {
                name: name.to_owned(),
                bytes: value.len(),
            });
        }
        if self.all.insert(name.to_owned(), value.to_owned()).is_some() {
            self.note(format!("{name} comes more than once; the last value counts"));
        }
        if self.all.len() > MAX_PARAMETERS {
            return Err(InvalidLaunchParameters::TooMany(self.all.len()));
        }
        Ok(())
    }

    fn parsed(self) -> Parsed {
        let present = self.all.into_iter().filter(|(_, value)| is_present(value));
        Parsed {
            parameters: LaunchParameters(present.collect()),
            notes: self.notes,
        }
    }
}

/// Splits on commas. A piece without `=` continues the value before it, so that a list survives.
fn one_line(text: &str, pairs: &mut Pairs) -> Result<(), InvalidLaunchParameters> {
    let place = |position: usize| format!("parameter {position}");
    let mut open: Option<(usize, &str, String)> = None;
    for (index, piece) in text.split(',').enumerate() {
        let position = index + 1;
        match (piece.split_once('='), &mut open) {
            (Some((name, value)), before) => {
                if let Some((at, name, value)) = before.take() {
                    pairs.add(|| place(at), name, plain(&value))?;
                }
                open = Some((position, name.trim(), value.to_owned()));
            }
            (None, _) if piece.trim().is_empty() => {}
            (None, Some((_, name, value))) => {
                value.push(',');
                value.push_str(piece);
                let name = (*name).to_owned();
                pairs.note(format!(
                    "parameter {position} has no '=', so it continues the value of {name}"
                ));
            }
            (None, None) => {
                return Err(InvalidLaunchParameters::NoValue {
                    place: place(position),
                });
            }
        }
    }
    match open {
        Some((at, name, value)) => pairs.add(|| place(at), name, plain(&value)),
        None => Ok(()),
    }
}

/// One pair a line; commas belong to the value. Of a file with `[sections]` only `[agent]` is read.
fn by_lines(text: &str, pairs: &mut Pairs) -> Result<(), InvalidLaunchParameters> {
    let mut section: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let place = || format!("line {}", index + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(name.trim());
            if section != Some("agent") {
                pairs.note(format!("{}: this section is not read, only [agent] is", place()));
            }
            continue;
        }
        if section.is_some_and(|name| name != "agent") {
            continue;
        }
        let ends_name: &[char] = if section.is_some() { &['=', ':'] } else { &['='] };
        let Some((name, value)) = line.split_once(ends_name) else {
            return Err(InvalidLaunchParameters::NoValue { place: place() });
        };
        let name = name.trim();
        if value.split(',').skip(1).any(looks_like_a_pair) {
            pairs.note(format!(
                "{}: everything after the first '=' is the value of {name}, because there are several lines",
                place()
            ));
        }
        pairs.add(place, name, plain(value))?;
    }
    Ok(())
}

fn looks_like_a_pair(piece: &str) -> bool {
    piece.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    })
}

/// Without blanks around it, and without one pair of quotes.
fn plain(value: &str) -> &str {
    let value = value.trim();
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

fn json(text: &str, pairs: &mut Pairs) -> Result<(), InvalidLaunchParameters> {
    // The message of serde_json can quote the value, which may be a secret.
    let members: Members = serde_json::from_str(text).map_err(|e| InvalidLaunchParameters::Json {
        line: e.line(),
        column: e.column(),
    })?;
    for (index, (name, value)) in members.0.into_iter().enumerate() {
        let place = || format!("parameter {}", index + 1);
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) if !number.is_f64() => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null => String::new(),
            _ => return Err(InvalidLaunchParameters::JsonValue { name }),
        };
        if let Some(control) = name.chars().find(|c| c.is_control()) {
            return Err(InvalidLaunchParameters::ControlInside {
                name: place(),
                code: control.into(),
            });
        }
        // Lines are text: a key in PEM form has some.
        if let Some(control) = value
            .chars()
            .find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        {
            return Err(InvalidLaunchParameters::ControlInside {
                name,
                code: control.into(),
            });
        }
        pairs.add(place, name.trim(), &value)?;
    }
    Ok(())
}

/// The members of an object in their order, those that come twice included.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

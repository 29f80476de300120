//! From bytes that an application wrote to entries that can be sent: lines, entries of several lines, a rate.
//!
//! ```text
//! bytes -> lines (bounded, cut with a mark) -> rate (what is over it is counted) -> entries (a stack trace is one)
//! ```
//!
//! Refuses to know where bytes come from and where entries go.

pub mod bucket;
pub mod flow;
pub mod follow;
pub mod joining;
pub mod lines;
pub mod pattern;
pub mod ring;

pub use bucket::Rate;
pub use flow::{Entry, Flow, Over};

use cartridge_protocol::Millis;

use self::pattern::Start;

/// How all streams of a member are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRules {
    /// What the first line of an entry looks like; none: stack traces and indented lines join the line before.
    pub start: Option<Start>,
    /// What one stream may bring.
    pub rate: Rate,
}

/// A line that joins the one before does so within this time after it, where lines are read as they are written.
pub const JOIN_WITHIN: Millis = Millis(100);
/// The same where files are looked at now and then.
pub const JOIN_FILE_WITHIN: Millis = Millis(1_000);

//! Which lines belong together: a stack trace is one entry. Refuses to know who wrote it.
//!
//! Without a start pattern a line joins the one before if it is indented, begins with `Caused by:` or is `... 12 more`
//! (Java), or goes on with a Python traceback, a Go panic or a Rust panic that has begun. With one, every line joins that
//! does not look like a start. An entry has at most [`MOST_LINES`] lines and fits into one line of the link.

use cartridge_protocol::Millis;
use cartridge_protocol::link::MAX_LINE_BYTES;
use serde::{Deserialize, Serialize};

use super::pattern::Start;

/// Most lines of one entry.
pub const MOST_LINES: u32 = 64;

/// What an open entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// Anything.
    Plain,
    /// A Python traceback: its frames, up to the line that names the exception.
    PythonFrames,
    /// The exception was named.
    PythonNamed,
    /// A blank line after that, or after the words between two tracebacks.
    PythonBlank,
    /// The words between two tracebacks.
    PythonBetween,
    /// A Go panic or fatal error.
    Go,
    /// A Rust panic whose message follows.
    RustHead,
    /// Its message has been.
    RustBody,
}

/// What a line is when it begins an entry.
fn begun(line: &str) -> Kind {
    if line.starts_with("Traceback (most recent call last):") {
        Kind::PythonFrames
    } else if line.starts_with("panic: ") || line.starts_with("fatal error: ") {
        Kind::Go
    } else if line.starts_with("thread '") && line.contains(" panicked at ") {
        Kind::RustHead
    } else {
        Kind::Plain
    }
}

/// What the entry is after `line` joined it; none: it does not join.
fn joined(kind: Kind, line: &str) -> Option<Kind> {
    let indented = line.starts_with([' ', '\t']);
    let keep = |joins: bool| joins.then_some(kind);
    match kind {
        Kind::Plain => keep(indented || is_java(line)),
        Kind::PythonFrames if indented => Some(kind),
        Kind::PythonFrames if line.is_empty() => None,
        Kind::PythonFrames => Some(Kind::PythonNamed),
        Kind::PythonNamed if line.is_empty() => Some(Kind::PythonBlank),
        Kind::PythonNamed => keep(indented),
        Kind::PythonBlank if line.starts_with("Traceback (most recent call last):") => {
            Some(Kind::PythonFrames)
        }
        Kind::PythonBlank => is_between(line).then_some(Kind::PythonBetween),
        Kind::PythonBetween => line.is_empty().then_some(Kind::PythonBlank),
        Kind::Go => keep(indented || line.is_empty() || is_go(line)),
        Kind::RustHead => (begun(line) == Kind::Plain && !line.is_empty()).then_some(Kind::RustBody),
        Kind::RustBody => {
            keep(indented || line.starts_with("note: ") || line.starts_with("stack backtrace:"))
        }
    }
}

fn is_java(line: &str) -> bool {
    line.starts_with("Caused by:") || line.starts_with("... ") && line.ends_with(" more")
}

fn is_between(line: &str) -> bool {
    line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was the direct cause")
}

fn is_go(line: &str) -> bool {
    let call = line.contains('(') && line.ends_with(')');
    call || ["goroutine ", "[signal ", "created by ", "exit status ", "panic: "]
        .iter()
        .any(|begin| line.starts_with(begin))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    text: String,
    lines: u32,
    end: u64,
    kind: Kind,
    touched: Millis,
}

/// One entry that may still grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joiner {
    open: Option<Open>,
    within: Millis,
}

/// An entry: its text, and the position after it.
pub type Joined = (String, u64);

impl Joiner {
    /// Lines join for as long as `within` after the one before.
    pub fn new(within: Millis) -> Self {
        Self { open: None, within }
    }

    /// Takes a line that ends at `end`; gives the entry that it is no part of.
    pub fn take(&mut self, text: String, end: u64, now: Millis, start: Option<&Start>) -> Option<Joined> {
        if let Some(open) = &mut self.open
            && open.lines < MOST_LINES
            && open.text.len() + 1 + text.len() <= MAX_LINE_BYTES
            && now <= open.touched.plus(self.within)
        {
            let kind = match start {
                Some(start) => (!start.matches(&text)).then_some(Kind::Plain),
                None => joined(open.kind, &text),
            };
            if let Some(kind) = kind {
                open.text.push('\n');
                open.text.push_str(&text);
                open.lines += 1;
                (open.end, open.kind, open.touched) = (end, kind, now);
                return None;
            }
        }
        let before = self.finish();
        self.open = Some(Open {
            kind: begun(&text),
            text,
            lines: 1,
            end,
            touched: now,
        });
        before
    }

    /// When the open entry is complete if nothing more comes.
    pub fn due(&self) -> Option<Millis> {
        let open = self.open.as_ref()?;
        Some(open.touched.plus(self.within).plus(Millis(1)))
    }

    /// The open entry, as it is.
    pub fn finish(&mut self) -> Option<Joined> {
        self.open.take().map(|open| (open.text, open.end))
    }
}

#[cfg(test)]
#[path = "joining_tests.rs"]
mod tests;

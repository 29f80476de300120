//! The pipes of a plugin that means no good: questions come in one by one, and anything may go out.
//!
//! Refuses to check what is said.

use std::io::{BufRead, Write};

use serde_json::Value;

/// A question: its number, what is asked, and with what.
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) call: String,
    pub(crate) with: Value,
}

pub(crate) struct Talk;

impl Talk {
    pub(crate) const fn new() -> Self {
        Self
    }

    /// The next question; the process ends when there are no more.
    pub(crate) fn next(&self) -> Option<Asked> {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).ok()?;
        let asked: Value = serde_json::from_str(&line).ok()?;
        Some(Asked {
            id: asked["id"].as_u64()?,
            call: asked["call"].as_str()?.to_owned(),
            with: asked["with"].clone(),
        })
    }

    /// Says a line, whatever is in it.
    pub(crate) fn say(&self, line: &str) {
        self.say_bytes(line.as_bytes());
        self.say_bytes(b"\n");
    }

    pub(crate) fn say_bytes(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            // Nobody listens.
            std::process::abort();
        }
    }

    pub(crate) fn ok(&self, id: u64, answer: &str) {
        self.say(&format!("{{\"id\":{id},\"ok\":{answer}}}"));
    }

    /// Says who it is as it should; the first question is taken.
    pub(crate) fn describe(&self, kind: &str) {
        if let Some(asked) = self.next() {
            self.describe_as(asked.id, 1, kind);
        }
    }

    pub(crate) fn describe_as(&self, id: u64, version: u32, kind: &str) {
        self.ok(
            id,
            &format!(
                "{{\"described\":{{\"name\":\"misbehaving\",\"version\":{version},\"kind\":\"{kind}\"}}}}"
            ),
        );
    }

    /// A reader as it should be, for every question that is left; `instead` may answer otherwise.
    pub(crate) fn go_on(&self, mut instead: impl FnMut(&Asked) -> bool) {
        while let Some(asked) = self.next() {
            if asked.call == "describe" {
                self.describe_as(asked.id, 1, "reader");
            } else if !instead(&asked) {
                self.ok(asked.id, "{\"measured\":{\"in_flight\":7}}");
            }
        }
    }

    /// Does nothing, for ever, and hears nothing.
    pub(crate) fn hang(&self) {
        loop {
            std::thread::park();
        }
    }
}

//! One stream: bytes in, entries out. Refuses to know whether it is a pipe or a file.
//!
//! What is over the rate is either counted and told (a pipe must be read on, or its writer would stand still) or waits (a
//! file keeps its bytes). The whole of it is a value that can be written down and taken up again.

use cartridge_protocol::Millis;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Rate};
use super::joining::Joiner;
use super::lines::Lines;
use super::pattern::Start;

/// Lines that were not kept are told so long after the first of them at the latest.
const TOLD_WITHIN: Millis = Millis(1_000);

/// What happens to lines over the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    /// They are counted, and the count is told.
    Dropped,
    /// They wait in their file.
    Wait,
}

/// One entry of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its text, lines parted by `\n`.
    pub text: String,
    /// The position after it in the stream.
    pub end: u64,
}

/// What was not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    lines: u64,
    end: u64,
    since: Millis,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    lines: Lines,
    joiner: Joiner,
    bucket: Bucket,
    over: Over,
    held: Held,
    position: u64,
    /// Lines up to here are entries of their own.
    single_up_to: u64,
}

impl Flow {
    /// From now on at this rate.
    pub fn change_rate(&mut self, rate: Rate) {
        self.bucket = Bucket::new(rate);
    }

    /// A stream of which the first `position` bytes were taken before.
    pub fn new(rate: Rate, over: Over, join_within: Millis, position: u64) -> Self {
        Self {
            lines: Lines::default(),
            joiner: Joiner::new(join_within),
            bucket: Bucket::new(rate),
            over,
            held: Held::default(),
            position,
            single_up_to: 0,
        }
    }

    /// Another file, after [`Flow::finish`]. Lines that end at `single_up_to` or before are not joined: they may have been
    /// read before, and whether they joined then depended on when they were written.
    pub fn begin(&mut self, position: u64, single_up_to: u64) {
        self.lines.discard();
        (self.position, self.single_up_to) = (position, single_up_to);
    }

    /// The position after the last byte taken.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// More comes than the rate allows.
    pub fn is_over_rate(&self) -> bool {
        self.held.lines > 0
    }

    /// Takes bytes until there are `room` entries, or until the rest has to wait; says how many.
    pub fn take(
        &mut self,
        bytes: &[u8],
        now: Millis,
        start: Option<&Start>,
        room: usize,
        entries: &mut Vec<Entry>,
    ) -> usize {
        self.bucket.fill(now);
        let (mut rest, enough) = (bytes, entries.len() + room);
        while !rest.is_empty() && entries.len() < enough {
            if !self.bucket.admits() {
                if self.over == Over::Wait {
                    break;
                }
                rest = self.hold(rest, now);
                continue;
            }
            let (taken, complete) = self.lines.take(rest);
            rest = &rest[taken..];
            self.position += taken as u64;
            if complete {
                self.complete(now, start, entries);
            }
        }
        bytes.len() - rest.len()
    }

    /// What is due: an entry to which nothing was added, the count of what was not kept.
    pub fn tick(&mut self, now: Millis, entries: &mut Vec<Entry>) {
        self.bucket.fill(now);
        if self.joiner.due().is_some_and(|at| at <= now) {
            self.emit_open(entries);
        }
        if self.told_at().is_some_and(|at| at <= now) {
            self.emit_open(entries);
            self.emit_held(entries);
        }
    }

    /// When something is due.
    pub fn due(&self) -> Option<Millis> {
        let rate = (self.over == Over::Wait && !self.bucket.admits()).then(|| self.bucket.ready());
        [self.joiner.due(), self.told_at(), rate]
            .into_iter()
            .flatten()
            .min()
    }

    /// The stream has ended: what is left, a line without an end too.
    pub fn finish(&mut self, now: Millis, start: Option<&Start>, entries: &mut Vec<Entry>) {
        if self.lines.has_part() {
            self.complete(now, start, entries);
        }
        self.emit_open(entries);
        self.emit_held(entries);
    }

    /// Bytes up to `position` are left out: the words say why.
    pub fn skip_to(&mut self, position: u64, why: String, entries: &mut Vec<Entry>) {
        self.emit_open(entries);
        self.lines.discard();
        self.position = position;
        entries.push(Entry {
            text: why,
            end: position,
        });
    }

    fn complete(&mut self, now: Millis, start: Option<&Start>, entries: &mut Vec<Entry>) {
        if self.held.lines > 0 {
            self.emit_open(entries);
            self.emit_held(entries);
        }
        self.bucket.spend(self.lines.bytes() + 1);
        let text = self.lines.text();
        if self.position <= self.single_up_to {
            self.emit_open(entries);
            let end = self.position;
            entries.push(Entry { text, end });
            return;
        }
        let done = self.joiner.take(text, self.position, now, start);
        entries.extend(done.map(|(text, end)| Entry { text, end }));
    }

    /// Passes over bytes up to the end of the last line in them, and counts the lines.
    fn hold<'a>(&mut self, bytes: &'a [u8], now: Millis) -> &'a [u8] {
        let Some(last) = bytes.iter().rposition(|b| *b == b'\n') else {
            // No line ends here: its bytes are bounded, and its end will be counted.
            let (taken, _) = self.lines.take(bytes);
            self.position += taken as u64;
            return &bytes[taken..];
        };
        let (gone, rest) = bytes.split_at(last + 1);
        if self.held.lines == 0 {
            self.held.since = now;
        }
        self.held.lines += gone.iter().filter(|b| **b == b'\n').count() as u64;
        self.position += gone.len() as u64;
        self.held.end = self.position;
        self.lines.discard();
        rest
    }

    fn told_at(&self) -> Option<Millis> {
        (self.held.lines > 0).then(|| self.held.since.plus(TOLD_WITHIN))
    }

    fn emit_open(&mut self, entries: &mut Vec<Entry>) {
        entries.extend(self.joiner.finish().map(|(text, end)| Entry { text, end }));
    }

    fn emit_held(&mut self, entries: &mut Vec<Entry>) {
        let Held { lines, end, .. } = std::mem::take(&mut self.held);
        if lines > 0 {
            let Rate { lines: most, bytes } = self.bucket.rate();
            let text =
                format!("({lines} lines were not kept: more than {most} lines or {bytes} bytes a second)");
            entries.push(Entry { text, end });
        }
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;

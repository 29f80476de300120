//! Entries that wait to be sent, bounded. Refuses to know how they are sent.
//!
//! What came through a pipe cannot be had again: when there is too much, the oldest of the stream that has the most gives
//! way, and a mark says how much.
//! What came from a file stays there until there is room for it. Entries leave when they were taken; what files then no
//! longer need to be asked for is remembered until somebody writes it down.

use std::collections::{BTreeMap, VecDeque};

use cartridge_protocol::link::{LogLine, MAX_LINE_BYTES, MAX_LOG_LINES, MAX_TEXT_BYTES};

use crate::ends::{MOST_WORDS, WORDS_BYTES};
use crate::text::{cut, json_cost};

/// The stream of the application's standard error.
pub const ERR: &str = "err";
/// Most entries kept of all pipes together.
pub const MOST_LINES: usize = 1000;
/// Most bytes of them.
pub const MOST_BYTES: usize = 1 << 20;
/// Most entries kept of all files together.
pub const MOST_FILE_LINES: usize = 512;
/// Most bytes of them, but for one pass of the reader.
pub const MOST_FILE_BYTES: usize = 512 << 10;
/// Most bytes of entries in one batch, as JSON.
const LINES_BYTES: usize = 384 << 10;

#[derive(Debug)]
struct Waiting {
    line: LogLine,
    /// Lines that it stands for: one, or those that a mark tells of.
    stands_for: u64,
}

impl Waiting {
    fn of_file(&self) -> bool {
        self.line.sequence.is_some()
    }

    fn bytes(&self) -> usize {
        self.line.text.len()
    }
}

/// Lines and bytes that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    lines: usize,
    bytes: usize,
}

impl Load {
    const fn change(&mut self, bytes: usize, comes: bool) {
        if comes {
            self.lines += 1;
            self.bytes += bytes;
        } else {
            self.lines -= 1;
            self.bytes -= bytes;
        }
    }
}

/// Lines of one stream that gave way.
#[derive(Debug, Default)]
struct Lost {
    lines: u64,
    number: u64,
}

/// What waits, oldest first.
#[derive(Debug, Default)]
pub struct LogRing {
    lines: VecDeque<Waiting>,
    pipes: Load,
    files: Load,
    /// What waits of each pipe.
    of_pipe: BTreeMap<String, Load>,
    last: u64,
    dropped: u64,
    lost: BTreeMap<String, Lost>,
    /// Entries up to this number are on their way and stay.
    under_way: u64,
    taken: BTreeMap<String, u64>,
    /// The last lines of the application's standard error, taken or not: they may say why it ended.
    words: VecDeque<String>,
}

impl LogRing {
    /// Numbers begin after `base`.
    pub fn new(base: u64) -> Self {
        Self {
            last: base,
            ..Self::default()
        }
    }

    /// Entries that wait.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// More waits than one batch can carry.
    pub fn is_much(&self) -> bool {
        self.lines.len() >= MAX_LOG_LINES
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost.is_empty()
    }

    /// Lines that nobody could take, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Keeps an entry from a pipe; the oldest of the fullest pipe gives way, so that one that babbles hides no other.
    pub fn push(&mut self, stream: &str, text: &str) {
        if stream == ERR {
            self.words
                .extend(text.lines().map(|line| cut(line, WORDS_BYTES).to_owned()));
            let over = self.words.len().saturating_sub(MOST_WORDS);
            self.words.drain(..over);
        }
        self.append(stream, None, text);
        while self.pipes.lines > MOST_LINES || self.pipes.bytes > MOST_BYTES {
            if !self.give_way() {
                return;
            }
        }
    }

    /// Entries of pipes that wait, oldest first, for another agent. Those of files it finds there.
    pub fn handed(&mut self) -> Vec<(String, String)> {
        self.tell_lost();
        let of_pipes = self.lines.iter().filter(|waiting| !waiting.of_file());
        of_pipes
            .map(|waiting| (waiting.line.stream.clone(), waiting.line.text.clone()))
            .collect()
    }

    /// An agent before has dropped so many.
    pub fn resume(&mut self, dropped: u64) {
        self.dropped += dropped;
    }

    /// What the application wrote last to its standard error since this was asked before.
    pub fn take_words(&mut self) -> Vec<String> {
        self.words.drain(..).collect()
    }

    /// Keeps an entry from a file; there is [`LogRing::file_room`] for it.
    pub fn push_file(&mut self, stream: &str, sequence: u64, text: &str) {
        self.append(stream, Some(sequence), text);
    }

    /// How many more entries of files may come.
    pub fn file_room(&self) -> usize {
        if self.files.bytes >= MOST_FILE_BYTES {
            0
        } else {
            MOST_FILE_LINES.saturating_sub(self.files.lines)
        }
    }

    /// The oldest entries that fit into a batch; they are on their way until the next call.
    pub fn begin(&mut self) -> Vec<LogLine> {
        self.tell_lost();
        let mut room = LINES_BYTES;
        let logs: Vec<LogLine> = self
            .lines
            .iter()
            .map(|waiting| &waiting.line)
            .take(MAX_LOG_LINES)
            .take_while(|line| {
                let left = room.checked_sub(json_cost(&line.text) + json_cost(&line.stream) + 80);
                room = left.unwrap_or(0);
                left.is_some()
            })
            .cloned()
            .collect();
        self.under_way = logs.last().map_or(0, |line| line.number);
        logs
    }

    /// Entries up to this number were taken.
    pub fn forget(&mut self, up_to: u64) {
        while self.lines.front().is_some_and(|w| w.line.number <= up_to) {
            let Some(gone) = self.remove(0) else { return };
            if let Some(sequence) = gone.line.sequence {
                self.taken.insert(gone.line.stream, sequence);
            }
        }
    }

    /// Entries up to this number will never be taken.
    pub fn refuse(&mut self, up_to: u64) {
        let of = |w: &&Waiting| w.line.number <= up_to;
        self.dropped += self
            .lines
            .iter()
            .take_while(of)
            .map(|w| w.stands_for)
            .sum::<u64>();
    }

    /// Entries of files were taken since this was last asked for.
    pub fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// The last sequence taken of each file since this was last asked.
    pub fn take_taken(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.taken)
    }

    fn append(&mut self, stream: &str, sequence: Option<u64>, text: &str) {
        self.last += 1;
        self.insert(
            self.lines.len(),
            Waiting {
                line: LogLine {
                    number: self.last,
                    stream: cut(stream, MAX_TEXT_BYTES).to_owned(),
                    sequence,
                    text: cut(text, MAX_LINE_BYTES).to_owned(),
                },
                stands_for: 1,
            },
        );
    }

    /// Counts an entry that comes, or goes.
    fn count(&mut self, waiting: &Waiting, comes: bool) {
        let bytes = waiting.bytes();
        if waiting.of_file() {
            self.files.change(bytes, comes);
            return;
        }
        self.pipes.change(bytes, comes);
        let stream = &waiting.line.stream;
        let load = self.of_pipe.entry(stream.clone()).or_default();
        load.change(bytes, comes);
        if load.lines == 0 {
            self.of_pipe.remove(stream);
        }
    }

    fn insert(&mut self, at: usize, waiting: Waiting) {
        self.count(&waiting, true);
        self.lines.insert(at, waiting);
    }

    fn remove(&mut self, at: usize) -> Option<Waiting> {
        let gone = self.lines.remove(at)?;
        self.count(&gone, false);
        Some(gone)
    }

    /// The oldest entry of the fullest pipe that is not on its way; else of any pipe.
    fn give_way(&mut self) -> bool {
        let by_bytes = self.pipes.bytes > MOST_BYTES;
        let size = |load: &Load| if by_bytes { load.bytes } else { load.lines };
        let fullest = self.of_pipe.iter().max_by_key(|(_, load)| size(load));
        let fullest = fullest.map(|(stream, _)| stream.as_str());
        let free = |w: &&Waiting| !w.of_file() && w.line.number > self.under_way;
        let of = |wanted: &dyn Fn(&Waiting) -> bool| {
            let mut all = self.lines.iter().enumerate();
            all.find(|(_, w)| free(w) && wanted(w)).map(|(at, _)| at)
        };
        let at = of(&|w| Some(w.line.stream.as_str()) == fullest).or_else(|| of(&|_| true));
        let Some(gone) = at.and_then(|at| self.remove(at)) else {
            return false;
        };
        self.dropped += u64::from(gone.stands_for == 1);
        let lost = self.lost.entry(gone.line.stream).or_default();
        lost.lines += gone.stands_for;
        lost.number = gone.line.number;
        true
    }

    /// Marks stand where the last of the lines stood that they tell of.
    fn tell_lost(&mut self) {
        for (stream, Lost { lines, number }) in std::mem::take(&mut self.lost) {
            let at = self.lines.partition_point(|w| w.line.number < number);
            let text = format!("({lines} lines were not kept: they could not be sent in time)");
            let line = LogLine {
                number,
                stream,
                sequence: None,
                text,
            };
            self.insert(
                at,
                Waiting {
                    line,
                    stands_for: lines,
                },
            );
        }
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;

//! The newest rows of something numbered, bounded. Refuses to know what the rows say.

use std::collections::{BTreeMap, VecDeque};

use cartridge_protocol::link::{LogLine, Notice};

/// Most bytes of text kept of one member, however few rows they are.
const MAX_BYTES: usize = 256 << 10;
/// Most streams of one member of which it is known how far they were taken.
const MAX_STREAMS: usize = 256;

/// A row that counts up.
pub trait Numbered: Clone {
    /// Its number.
    fn number(&self) -> u64;
    /// How much text it holds.
    fn bytes(&self) -> usize;
    /// Its stream and its place there, where it has one that outlives its number.
    fn place(&self) -> Option<(&str, u64)> {
        None
    }
}

impl Numbered for LogLine {
    fn number(&self) -> u64 {
        self.number
    }

    fn bytes(&self) -> usize {
        self.stream.len() + self.text.len()
    }

    fn place(&self) -> Option<(&str, u64)> {
        Some((&self.stream, self.sequence?))
    }
}

impl Numbered for Notice {
    fn number(&self) -> u64 {
        self.number
    }

    fn bytes(&self) -> usize {
        self.kind.len() + self.text.len()
    }
}

/// The newest rows of one life of a member.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    incarnation: u64,
    most: usize,
    rows: VecDeque<T>,
    bytes: usize,
    places: Places,
}

/// How far each stream was taken: an entry that an agent reads again after a crash has another number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(BTreeMap<String, u64>);

impl Places {
    /// Whether this is news, which it is once.
    pub(crate) fn advance(&mut self, place: Option<(&str, u64)>) -> bool {
        let Some((stream, sequence)) = place else {
            return true;
        };
        if let Some(last) = self.0.get_mut(stream) {
            let news = *last < sequence;
            *last = sequence.max(*last);
            return news;
        }
        if self.0.len() < MAX_STREAMS {
            self.0.insert(stream.to_owned(), sequence);
        }
        true
    }
}

impl<T: Numbered> Ring<T> {
    /// Keeps at most `most` rows.
    pub fn new(most: usize) -> Self {
        Self {
            incarnation: 0,
            most,
            rows: VecDeque::new(),
            bytes: 0,
            places: Places::default(),
        }
    }

    /// Takes in rows, oldest first; those seen before are dropped. Answers with the new ones. A new life starts over.
    pub fn take_in(&mut self, incarnation: u64, rows: Vec<T>) -> Vec<T> {
        if incarnation != self.incarnation {
            self.incarnation = incarnation;
            self.rows.clear();
            self.bytes = 0;
            self.places = Places::default();
        }
        let mut fresh = Vec::new();
        for row in rows {
            if self.rows.back().is_some_and(|last| last.number() >= row.number()) {
                continue;
            }
            if !self.places.advance(row.place()) {
                continue;
            }
            self.bytes += row.bytes();
            self.rows.push_back(row.clone());
            fresh.push(row);
            self.shed();
        }
        fresh
    }

    fn shed(&mut self) {
        while self.rows.len() > self.most || self.bytes > MAX_BYTES {
            let Some(oldest) = self.rows.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes();
        }
    }

    /// Rows with numbers above `after`.
    pub fn after(&self, after: u64) -> Vec<T> {
        self.rows
            .iter()
            .filter(|row| row.number() > after)
            .cloned()
            .collect()
    }

    /// Whose life the rows are of.
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The highest number taken in of this life.
    pub fn last_of(&self, incarnation: u64) -> u64 {
        if incarnation == self.incarnation {
            self.last()
        } else {
            0
        }
    }

    /// The highest number taken in.
    pub fn last(&self) -> u64 {
        self.rows.back().map_or(0, Numbered::number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> LogLine {
        LogLine {
            number,
            stream: "out".to_owned(),
            sequence: None,
            text: String::new(),
        }
    }

    #[test]
    fn rows_delivered_twice_are_kept_once_and_the_oldest_give_way() {
        let mut ring = Ring::new(2);
        assert_eq!(ring.take_in(1, vec![line(1), line(2)]).len(), 2);
        assert_eq!(ring.take_in(1, vec![line(2), line(3)]).len(), 1);
        let kept: Vec<u64> = ring.after(0).iter().map(|l| l.number).collect();
        assert_eq!(kept, [2, 3]);
        assert_eq!(ring.take_in(2, vec![line(1)]).len(), 1, "a new life counts anew");
        assert_eq!(ring.last(), 1);
    }

    #[test]
    fn an_entry_of_a_file_that_is_read_again_is_kept_once_whatever_its_number() {
        let of_file = |number, stream: &str, sequence| LogLine {
            stream: stream.to_owned(),
            sequence: Some(sequence),
            ..line(number)
        };
        let mut ring = Ring::new(100);
        ring.take_in(
            1,
            vec![of_file(1, "/a", 10), of_file(2, "/b", 10), of_file(3, "/a", 20)],
        );
        // The agent was killed; it reads from the last place that was acknowledged, and numbers anew.
        let again = vec![of_file(1_001, "/a", 20), line(1_002), of_file(1_003, "/a", 30)];
        let fresh: Vec<u64> = ring.take_in(1, again).iter().map(|l| l.number).collect();
        assert_eq!(fresh, [1_002, 1_003]);
        assert_eq!(
            ring.take_in(2, vec![of_file(1, "/a", 10)]).len(),
            1,
            "a new life reads anew"
        );
    }

    #[test]
    fn long_rows_are_kept_as_far_as_their_text_fits() {
        let mut ring = Ring::new(1_000);
        for number in 1..=1_000 {
            let long = LogLine {
                text: "x".repeat(4096),
                ..line(number)
            };
            ring.take_in(1, vec![long]);
        }
        let kept = ring.after(0);
        assert_eq!(kept.last().unwrap().number, 1_000);
        assert!(kept.iter().map(Numbered::bytes).sum::<usize>() <= MAX_BYTES);
        assert!(kept.len() > 50, "{}", kept.len());
    }
}

//! A stream of bytes as lines of bounded length. Refuses to know what they say.

use cartridge_protocol::link::MAX_LINE_BYTES;
use serde::{Deserialize, Serialize};

use crate::text::cut;

/// Room for the words that say how long a cut line was.
const MARK_BYTES: usize = 64;

/// How the words begin that say so.
pub const CUT_MARK: &str = " (cut: the line has ";

/// Splits bytes into lines; what is over the bound is counted and not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    partial: Vec<u8>,
    /// Bytes of the line that are not kept.
    over: u64,
}

impl Lines {
    /// Takes bytes up to the end of one line: how many, and whether a line is complete.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        match bytes.iter().position(|b| *b == b'\n') {
            Some(at) => {
                self.append(&bytes[..at]);
                (at + 1, true)
            }
            None => {
                self.append(bytes);
                (bytes.len(), false)
            }
        }
    }

    /// Whether a line has begun that has no end yet.
    pub fn has_part(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Bytes of the line as it came.
    pub fn bytes(&self) -> u64 {
        self.partial.len() as u64 + self.over
    }

    /// The line as text, and a new one begins. Bytes that are no UTF-8 become replacement characters, control
    /// characters stay.
    pub fn text(&mut self) -> String {
        let (bytes, cut_off) = (self.bytes(), self.over > 0);
        let whole = std::mem::take(&mut self.partial);
        self.over = 0;
        let text = String::from_utf8_lossy(&whole);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        if !cut_off && text.len() <= MAX_LINE_BYTES {
            return text.to_owned();
        }
        let kept = cut(text, MAX_LINE_BYTES - MARK_BYTES);
        format!("{kept}{CUT_MARK}{bytes} bytes)")
    }

    /// Forgets the line, and a new one begins.
    pub fn discard(&mut self) {
        self.partial.clear();
        self.over = 0;
    }

    fn append(&mut self, piece: &[u8]) {
        let room = MAX_LINE_BYTES.saturating_sub(self.partial.len());
        let kept = piece.len().min(room);
        self.partial.extend_from_slice(&piece[..kept]);
        self.over += (piece.len() - kept) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        for piece in pieces {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let (taken, complete) = lines.take(rest);
                rest = &rest[taken..];
                if complete {
                    got.push(lines.text());
                }
            }
        }
        if lines.has_part() {
            got.push(lines.text());
        }
        got
    }

    #[test]
    fn lines_survive_being_split_anywhere() {
        for step in 1..8 {
            let got = all(b"one\n\ntwo\r\nthree".chunks(step).map(<[u8]>::to_vec));
            assert_eq!(got, ["one", "", "two", "three"], "in pieces of {step}");
        }
    }

    #[test]
    fn an_endless_line_takes_no_more_memory_than_allowed_and_says_how_long_it_was() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            assert_eq!(lines.take(&[b'x'; 1000]), (1000, false));
        }
        assert!(lines.partial.len() <= MAX_LINE_BYTES);
        assert_eq!(lines.take(b"\nshort\n"), (1, true));
        let text = lines.text();
        assert!(text.len() <= MAX_LINE_BYTES);
        assert!(text.ends_with("xx (cut: the line has 1000000 bytes)"), "{text}");
        assert_eq!(lines.take(b"short\n"), (6, true));
        assert_eq!(lines.text(), "short");
    }

    #[test]
    fn what_is_no_text_is_kept_as_far_as_it_can_be() {
        let got = all([b"a\0b\x1b[31m\xff\xfe\n".to_vec()].into_iter());
        assert_eq!(got, ["a\0b\u{1b}[31m\u{fffd}\u{fffd}"]);
        let binary = vec![0xff; MAX_LINE_BYTES];
        let got = all([binary].into_iter());
        assert!(
            got[0].len() <= MAX_LINE_BYTES,
            "a replacement is longer than its byte"
        );
        assert!(got[0].ends_with("bytes)"));
    }
}

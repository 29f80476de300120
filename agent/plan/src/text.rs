//! Text that came from elsewhere, cut to size.
//!
//! Refuses to know where it goes.

/// The longest beginning of `text` that has at most `bytes` bytes and ends between two characters.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// One line for people: control characters become blanks, at most `bytes` bytes.
pub fn one_line(text: &str, bytes: usize) -> String {
    let mut line: String = cut(text, bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line.truncate(cut(&line, bytes).len());
    line
}

/// Bytes that a text takes inside JSON.
pub fn json_cost(text: &str) -> usize {
    text.bytes()
        .map(|b| match b {
            b'"' | b'\\' => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}

/// Splits a stream of bytes into lines of bounded length: what is over the bound is dropped up to the line's end.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    most: usize,
}

impl Lines {
    /// Lines of at most `most` bytes.
    pub const fn new(most: usize) -> Self {
        Self {
            partial: Vec::new(),
            most,
        }
    }

    /// Takes the next bytes, gives every line that they complete.
    pub fn take(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        let mut pieces = bytes.split(|b| *b == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.append(piece);
            line(self.finish().unwrap_or_default());
        }
        self.append(last);
    }

    /// The line that has no end yet.
    pub fn finish(&mut self) -> Option<String> {
        if self.partial.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&whole);
        // A replacement character is longer than the byte it stands for.
        Some(cut(text.trim_end_matches('\r'), self.most).to_owned())
    }

    fn append(&mut self, piece: &[u8]) {
        let room = self.most.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_being_split_anywhere() {
        for step in 1..8 {
            let mut lines = Lines::new(100);
            let mut got = Vec::new();
            for piece in b"one\n\ntwo\r\nthree".chunks(step) {
                lines.take(piece, |l| got.push(l));
            }
            got.extend(lines.finish());
            assert_eq!(got, ["one", "", "two", "three"], "in pieces of {step}");
        }
    }

    #[test]
    fn an_endless_line_takes_no_more_memory_than_allowed() {
        let mut lines = Lines::new(8);
        for _ in 0..1000 {
            lines.take(b"xxxxxxxxxxxxxxxx", |_| panic!("no line ended"));
        }
        assert!(lines.partial.len() <= 8);
        let mut got = Vec::new();
        lines.take(b"\nshort\n", |l| got.push(l));
        assert_eq!(got, ["xxxxxxxx", "short"]);
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(one_line("a\u{1b}[31m\nb", 100), "a [31m b");
    }
}

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

/// Words filled into lines of at most `wide` characters, each begun with `indent` blanks. A longer word is broken.
pub fn wrapped(text: &str, indent: usize, wide: usize) -> String {
    let room = wide.saturating_sub(indent).max(1);
    let mut lines: Vec<String> = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let characters: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + characters.len() <= room {
            used += 1;
            lines.last_mut().expect("there is a line").push(' ');
        } else if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for character in characters {
            if used == room {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().expect("there is a line").push(character);
            used += 1;
        }
    }
    lines
        .iter()
        .map(|line| format!("{:indent$}{line}\n", ""))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_every_word_and_no_line_is_too_long() {
        assert_eq!(wrapped("one two three", 2, 9), "  one two\n  three\n");
        assert_eq!(wrapped("a 123456789 b", 0, 4), "a\n1234\n5678\n9 b\n");
        assert_eq!(wrapped("", 4, 80), "    \n");
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(one_line("a\u{1b}[31m\nb", 100), "a [31m b");
    }
}
